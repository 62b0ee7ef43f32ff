"""Zooming in: points around the best one of a sweep."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

import numpy as np

from nnstudy.spec import sweep
from nnstudy.spec.fields import Value
from nnstudy.spec.sweep import Point
from nnstudy.spec.values import Range


def zoom(
    points: Sequence[Point],
    best: Point,
    ranges: Mapping[str, Range] | None = None,
    seed: int = 0,
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

    Args:
      points: of the sweep.
      best: one of them.
      ranges: of the fields, by name; a field without one has no limits.
      seed: of what is drawn.
    """
    numeric = {field: value for field, value in best.items() if _is_number(value)}
    alike = [
        point
        for point in points
        if all(
            _is_number(point.get(field)) if field in numeric else point.get(field) == value
            for field, value in best.items()
        )
    ]
    columns = {field: [v for point in alike if _is_number(v := point[field])] for field in numeric}
    axes = {field: sorted(set(values)) for field, values in columns.items()}
    axes = {field: values for field, values in axes.items() if len(values) > 1}
    if not axes:
        return [dict(best)]
    limits = {field: (ranges or {}).get(field, Range()) for field in axes}
    zoomed = {
        field: _zoomed(limits[field], values, numeric[field]) for field, values in axes.items()
    }
    combinations = {tuple(point[field] for field in axes) for point in alike}
    if len(combinations) == math.prod(map(len, axes.values())):
        found = sweep.grid(*(sweep.choice(field, values) for field, values in zoomed.items()))
    else:
        rng = np.random.default_rng(seed)
        free = [field for field, values in axes.items() if len(values) == len(alike)]
        share = len(alike) ** (-1 / max(len(free), 1))
        drawn = {
            field: _drawn(limits[field], values, numeric[field], share, len(points), rng)
            if field in free
            else [zoomed[field][k] for k in rng.integers(len(zoomed[field]), size=len(points))]
            for field, values in axes.items()
        }
        found = sweep.zip_(*(sweep.choice(field, values) for field, values in drawn.items()))
    return list({repr(point): {**best, **point} for point in found}.values())


def _is_number(value: Value) -> TypeGuard[float]:
    return type(value) in (int, float)  # to isinstance, a bool is an int


def _zoomed(limits: Range, values: Sequence[float], best: float) -> list[float]:
    """Returns as many values between the neighbours of `best`, itself among them."""
    places, to, back = _axis(values, best)
    place = to(best)
    k = int(np.searchsorted(places, place))
    steps = np.diff(places)
    below, above = steps[max(k - 1, 0)], steps[min(k, len(steps) - 1)]
    low, high = _limited(limits, values, best, back(place - below), back(place + above))
    num_below = (len(values) - 1) // 2
    if high == best:
        num_below = len(values) - 1
    elif low == best:
        num_below = 0
    num_above = len(values) - 1 - num_below
    beside = [
        *np.linspace(to(low), place, num_below + 2)[1:-1],
        *np.linspace(place, to(high), num_above + 2)[1:-1],
    ]
    return sorted({best, *_written(values, back(beside))})


def _drawn(
    limits: Range,
    values: Sequence[float],
    best: float,
    share: float,
    num: int,
    rng: np.random.Generator,
) -> list[float]:
    """Returns `num` random values, at most that share of the whole axis away from `best`."""
    places, to, back = _axis(values, best)
    reach = (places[-1] - places[0]) * share
    low, high = _limited(limits, values, best, back(to(best) - reach), back(to(best) + reach))
    return _written(values, back(rng.uniform(to(low), to(high), num)))


def _axis(values: Sequence[float], best: float) -> tuple[np.ndarray, np.ufunc, np.ufunc]:
    """Returns the places of rising values on their axis, and the ways there and back.

    A 0 has no place on a logarithmic axis. Where it is the best, the axis is linear.
    """
    nonzero = np.array([value for value in values if value != 0], np.float64)
    is_log = is_logarithmic(values)
    if len(nonzero) == 2:
        is_log = bool(nonzero[0] > 0 and nonzero[1] > 3 * nonzero[0])
    if is_log and best != 0:
        return np.log(nonzero), np.log, np.exp
    return np.array(values, np.float64), np.positive, np.positive


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


def _limited(
    limits: Range, values: Sequence[float], best: float, low: float, high: float
) -> tuple[float, float]:
    """Returns a region about `best` that keeps away from the limits of the field."""
    lowest, highest = limits.low, limits.high
    if values[0] > 0:
        lowest = max(lowest, 0.0)
    if low <= lowest:
        low = (best + lowest) / 2
    if high >= highest:
        high = (best + highest) / 2
    return float(low), float(high)


def _written(values: Sequence[float], found: Iterable[float]) -> list[float]:
    """Returns what was found as `values` are: whole numbers, or six significant digits."""
    if all(type(value) is int for value in values):
        return [max(round(float(v)), 1) if values[0] > 0 else round(float(v)) for v in found]
    return [float(f'{v:.6g}') for v in found]
