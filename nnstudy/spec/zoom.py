"""Zooming in: points around the best one of a sweep."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from nnstudy.spec import sweep
from nnstudy.spec.fields import Value
from nnstudy.spec.sweep import Point
from nnstudy.spec.values import Range


def zoom(
    points: Sequence[Point], best: Point, ranges: Mapping[str, Range] | None = None, seed: int = 0
) -> list[Point]:
    """Returns points around the best one of a sweep.

    Only numbers change; all other values are those of the best point, and points with other values
    are left out.

    - From a grid it makes a grid with as many values per axis: the best one, and the others evenly
      between it and its neighbours, half below and half above.
    - From any other sweep, such as a random one, it draws as many points as before, uniformly from
      a box around the best one: range / N^(1/d) to either side of it, for N points that vary in d
      fields, which is the distance to the neighbours in a grid of N points. A field whose values
      repeat, such as a few batch sizes, is drawn from the values that a grid would have.

    An axis is logarithmic if its numbers are positive, or 0, and spaced more evenly by ratio than
    by difference; two numbers, if they are a factor of more than 3 apart. Beyond the end of an axis
    the region goes on by the last step, but at most half way to the limit of the field: a momentum
    stays below 1, and what was positive stays positive. Whole numbers are rounded, so there may
    be fewer of them; other numbers have six significant digits.

    `ranges` are those of the fields, by name; a field without one has no limits. `seed` is of what
    is drawn.
    """
    alike: list[Mapping[str, Any]] = [
        point
        for point in points
        if all(
            _is_number(point.get(field)) if _is_number(value) else point.get(field) == value
            for field, value in best.items()
        )
    ]
    axes = {}
    for field, center in best.items():
        if _is_number(center) and len(values := sorted({point[field] for point in alike})) > 1:
            axes[field] = _Axis(values, center, (ranges or {}).get(field, Range()))
    if not axes:
        return [dict(best)]
    combinations = {tuple(point[field] for field in axes) for point in alike}
    if len(combinations) == math.prod(len(axis.values) for axis in axes.values()):
        found = sweep.grid(*(sweep.choice(field, axis.closer()) for field, axis in axes.items()))
    else:
        rng, num = np.random.default_rng(seed), len(points)
        num_free = sum(len(axis.values) == len(alike) for axis in axes.values())
        share = len(alike) ** (-1 / max(num_free, 1))
        drawn = []
        for field, axis in axes.items():
            if len(axis.values) == len(alike):
                values = axis.drawn(share, num, rng)
            else:
                closer = axis.closer()
                values = [closer[k] for k in rng.integers(len(closer), size=num)]
            drawn.append(sweep.choice(field, values))
        found = sweep.zip_(*drawn)
    return list({repr(point): {**best, **point} for point in found}.values())


def is_logarithmic(values: Iterable[float]) -> bool:
    """Whether positive numbers are spaced more evenly by ratio than by difference.

    A zero among them is passed over: weight decays of 0, 1e-5, 1e-4 and 1e-3 are logarithmic with
    one value apart. Fewer than three other numbers have no spacing.
    """
    numbers = sorted(value for value in values if value != 0)
    if len(numbers) < 3 or numbers[0] <= 0:
        return False

    def unevenness(places: Iterable[float]) -> float:
        steps = np.diff(np.asarray(places))
        return float(np.std(steps) / np.mean(steps))

    return unevenness(np.log(numbers)) < unevenness(numbers)


class _Axis:
    """The rising values of a field, with the best one of them and the limits of the field."""

    def __init__(self, values: list[float], best: float, limits: Range) -> None:
        self.values, self._best = values, best
        self._lowest = max(limits.low, 0.0) if values[0] > 0 else limits.low
        self._highest = limits.high
        nonzero = [value for value in values if value != 0]
        is_log = is_logarithmic(values)
        if len(nonzero) == 2:
            is_log = nonzero[0] > 0 and nonzero[1] > 3 * nonzero[0]
        # A 0 has no place on a logarithmic axis. Where it is the best, the axis is linear.
        is_log = is_log and best != 0
        self._to: np.ufunc = np.log if is_log else np.positive
        self._back: np.ufunc = np.exp if is_log else np.positive
        self._places = self._to(np.array(nonzero if is_log else values, np.float64))

    def closer(self) -> list[float]:
        """Returns as many values between the neighbours of the best, itself among them."""
        place, steps = self._to(self._best), np.diff(self._places)
        k, num = int(np.searchsorted(self._places, place)), len(self.values) - 1
        low, high = self._region(steps[max(k - 1, 0)], steps[min(k, len(steps) - 1)])
        num_below = num if high == self._best else 0 if low == self._best else num // 2
        below = np.linspace(self._to(low), place, num_below + 2)
        above = np.linspace(place, self._to(high), num - num_below + 2)
        return sorted({self._best, *self._values_at([*below[1:-1], *above[1:-1]])})

    def drawn(self, share: float, num: int, rng: np.random.Generator) -> list[float]:
        """Returns `num` random values, at most that share of the whole axis away from the best."""
        reach = (self._places[-1] - self._places[0]) * share
        low, high = self._region(reach, reach)
        return self._values_at(rng.uniform(self._to(low), self._to(high), num))

    def _region(self, below: float, above: float) -> tuple[float, float]:
        """Returns the ends of a region about the best, which keeps away from the limits."""
        place = self._to(self._best)
        low, high = float(self._back(place - below)), float(self._back(place + above))
        if low <= self._lowest:
            low = (self._best + self._lowest) / 2
        if high >= self._highest:
            high = (self._best + self._highest) / 2
        return low, high

    def _values_at(self, places: npt.ArrayLike) -> list[float]:
        """Returns the values at some places: whole numbers, or with six significant digits."""
        found = [float(value) for value in self._back(np.asarray(places, np.float64))]
        if any(type(value) is not int for value in self.values):
            return [float(f'{value:.6g}') for value in found]
        return [max(round(value), 1) if self.values[0] > 0 else round(value) for value in found]


def _is_number(value: Value) -> TypeGuard[float]:
    return type(value) in (int, float)  # to isinstance, a bool is an int
