"""Sweeps: small functions from fields and values to lists of points.

A point is a plain dict of values by dotted field name, a sweep a list of points:

    grid(logspace('optimizer.learning_rate', 1e-4, 10.0, 13),
         choice('model.activation', ['relu', 'tanh']))            # 26 points
"""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from nnstudy import errors
from nnstudy.spec.fields import Value

Point = dict[str, Value]


def choice(field: str, values: Iterable[Value]) -> list[Point]:
    """Returns a point for each of the values of one field."""
    points = [{field: value} for value in values]
    if not points:
        raise errors.UserError(f'choice over {field} has no values')
    return points


def logspace(field: str, low: float, high: float, num: int) -> list[Point]:
    """Returns `num` values from `low` to `high`, both included, evenly spaced on a log axis.

    They have six significant digits, so that tables and flags can repeat them. UserError unless
    bounds are above 0 and there are two values or more.
    """
    if not (0 < low < math.inf and 0 < high < math.inf and num >= 2):
        raise errors.UserError(
            f'logspace over {field} needs positive bounds and at least 2 values, '
            f'not {low}, {high}, {num}'
        )
    return choice(field, [float(f'{v:.6g}') for v in np.geomspace(low, high, num)])


def log_uniform(field: str, low: float, high: float, num: int, seed: int = 0) -> list[Point]:
    """Returns `num` random values between `low` and `high`, uniform on a log axis.

    For a random search over several fields, `zip_` draws that have different seeds.
    """
    if not (0 < low < high < math.inf and num >= 1):
        raise errors.UserError(
            f'log_uniform over {field} needs 0 < low < high and at least 1 value, '
            f'not {low}, {high}, {num}'
        )
    draws = np.random.default_rng(seed).uniform(np.log(low), np.log(high), num)
    return choice(field, [float(f'{v:.6g}') for v in np.exp(draws)])


def grid(*axes: Sequence[Point]) -> list[Point]:
    """Returns every combination of the points of the axes; the last axis varies fastest."""
    return [_joined(points) for points in itertools.product(*axes)]


def zip_(*axes: Sequence[Point]) -> list[Point]:
    """Returns the points of axes of equal length, else UserError, joined one by one."""
    lengths = [len(axis) for axis in axes]
    if len(set(lengths)) > 1:
        raise errors.UserError(f'zip_ needs axes of equal length, not {lengths}')
    return [_joined(points) for points in zip(*axes, strict=True)]


def chain(*axes: Sequence[Point]) -> list[Point]:
    """Returns the points of the axes one after the other."""
    return list(itertools.chain(*axes))


def swept(points: Sequence[Point]) -> list[str]:
    """Returns the fields that any point sets, in the order in which they appear."""
    return list(dict.fromkeys(itertools.chain(*points)))


def replace_axis(points: Sequence[Point], field: str, values: Sequence[Value]) -> list[Point]:
    """Returns the grid of `values` with what the points say of the other fields.

    A field that was not swept becomes another axis.
    """
    rest = [{k: v for k, v in point.items() if k != field} for point in points]
    unique = list({repr(point): point for point in rest}.values())
    return grid(unique, choice(field, values))


def _joined(points: Iterable[Point]) -> Point:
    joined: Point = {}
    for point in points:
        for field in joined.keys() & point.keys():
            raise errors.UserError(f'two axes of a sweep set the same field {field!r}')
        joined |= point
    return joined
