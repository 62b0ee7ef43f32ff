"""The swept fields as axes: which values each took, and how they are ordered and spaced."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
import pandas as pd

from nnstudy.spec import zoom


def plain(value: object) -> object:
    """Returns a table's cell as the config's own value: a Python scalar, a tuple or None.

    A column that mixes None with floats holds NaN in its place, and parquet turns tuples into
    arrays; both are undone here.
    """
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(plain(item) for item in value)
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def settings(runs: pd.DataFrame, swept: list[str]) -> pd.DataFrame:
    """Returns the swept fields' values of every point: index `point`, one column per field."""
    first = runs.drop_duplicates('point').sort_values('point')
    index = pd.Index(first['point'], name='point')
    columns = {
        field: pd.Series([plain(v) for v in first[field]], index=index, dtype=object)
        for field in swept
    }
    return pd.DataFrame(columns, index=index)


def telling(runs: pd.DataFrame, swept: list[str]) -> list[str]:
    """Returns the swept fields without those that another field determines.

    A field whose values are words, such as `schedule.name`, determines `schedule.factor` if points
    with the same name always have the same factor. Numbers do not determine others: in a random
    search every draw is different.
    """
    table = settings(runs, swept).map(repr)
    words = [
        field
        for field, column in settings(runs, swept).items()
        if column.map(lambda value: isinstance(value, str)).all() and column.nunique() > 1
    ]
    kept: list[str] = []
    for field in sorted(swept, key=lambda field: field not in words):
        leads = [word for word in words if word in kept]
        if not any((table.groupby(word)[field].nunique() == 1).all() for word in leads):
            kept.append(field)
    return [field for field in swept if field in kept]


@dataclasses.dataclass(frozen=True)
class Axis:
    """The distinct values of one swept field.

    Attributes:
      field: its dotted name.
      values: all values; numbers rise, after `None`; others are in the order of the points.
      numbers: the values as numbers, rising and without `None`; empty on a categorical axis.
      logarithmic: whether the numbers are spaced more evenly by ratio than by difference.
    """

    field: str
    values: tuple
    numbers: tuple[float, ...] = ()
    logarithmic: bool = False

    @functools.cached_property
    def apart(self) -> tuple:
        """Values of a numeric axis with no place on its scale: `None`, and 0 among ratios."""
        scale = set(self.scale)
        return tuple(v for v in self.values if v not in scale) if self.numbers else ()

    @functools.cached_property
    def scale(self) -> tuple[float, ...]:
        """The numbers that have a place on the axis's scale."""
        return tuple(n for n in self.numbers if n > 0 or not self.logarithmic)

    def positions(self, values: Iterable) -> list[int]:
        """Returns for each of `values` which of the axis's values it is, counted from 0."""
        position = {value: i for i, value in enumerate(self.values)}
        return [position[value] for value in values]


def axis(field: str, values: Iterable) -> Axis:
    """Returns the axis that `values` span: numeric if two or more differ and all but `None` are
    numbers, else categorical."""
    distinct = list(dict.fromkeys(plain(v) for v in values))
    # By type, since to isinstance a bool is an int.
    numbers = tuple(sorted(v for v in distinct if type(v) is int or type(v) is float))
    others = set(distinct) - set(numbers) - {None}
    if len(numbers) < 2 or others:
        return Axis(field, tuple(distinct))
    off = (None,) if None in distinct else ()
    return Axis(field, off + numbers, numbers, zoom.is_logarithmic(numbers))


def edge(axis: Axis, value: object) -> str | None:
    """Returns `'lower'` or `'upper'` if `value` lies at that end of a numeric axis, else None.

    Of fewer than three numbers most are ends, so there is no edge to speak of. Nor is 0 a lower
    edge: rates, decays and probabilities have nothing below it.
    """
    if len(axis.numbers) < 3:
        return None
    if value == axis.numbers[-1]:
        return 'upper'
    return 'lower' if value == axis.numbers[0] and value != 0 else None
