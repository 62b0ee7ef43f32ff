"""The swept fields as axes: which values each took, and how they are ordered and spaced."""

import dataclasses
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
    first = runs.drop_duplicates('point').set_index('point').sort_index()
    columns = {
        field: pd.Series([plain(v) for v in first[field]], first.index, object) for field in swept
    }
    return pd.DataFrame(columns, first.index)


def telling(runs: pd.DataFrame, swept: list[str]) -> list[str]:
    """Returns the swept fields without those that another field determines.

    A field whose values are words, such as `schedule.name`, determines `schedule.factor` if points
    with the same name always have the same factor. Numbers do not determine others: in a random
    search every draw is different.
    """
    values = settings(runs, swept)
    is_word = values.map(lambda value: isinstance(value, str)).all() & (values.nunique() > 1)
    table, kept = values.map(repr), list[str]()
    for field in sorted(swept, key=lambda field: not is_word[field]):
        words = [word for word in kept if is_word[word]]
        if not any((table.groupby(word)[field].nunique() == 1).all() for word in words):
            kept.append(field)
    return [field for field in swept if field in kept]


@dataclasses.dataclass(frozen=True)
class Axis:
    """The distinct values of one swept field."""

    field: str  # its dotted name
    values: tuple  # all values; numbers rise, after `None`; others are in the order of the points
    # The last of them, numbers with a place on a scale; empty on a categorical axis.
    scale: tuple[float, ...] = ()
    # Whether the numbers are spaced more evenly by ratio than by difference.
    logarithmic: bool = False

    @property
    def apart(self) -> tuple:
        """Values of a numeric axis with no place on its scale: `None`, and 0 among ratios."""
        return self.values[: -len(self.scale)] if self.scale else ()

    def positions(self, values: Iterable) -> list[int]:
        """Returns for each of `values` which of the axis's values it is, counted from 0."""
        return [self.values.index(value) for value in values]


def axis(field: str, values: Iterable) -> Axis:
    """Returns the axis that `values` span: numeric if two or more differ and all but `None` are
    numbers, else categorical."""
    distinct = list(dict.fromkeys(plain(v) for v in values))
    # By type, since to isinstance a bool is an int.
    numbers = tuple(sorted(v for v in distinct if type(v) is int or type(v) is float))
    off = (None,) if None in distinct else ()
    if len(numbers) < 2 or len(off) + len(numbers) < len(distinct):
        return Axis(field, tuple(distinct))
    logarithmic = zoom.is_logarithmic(numbers)
    scale = tuple(n for n in numbers if n > 0 or not logarithmic)
    return Axis(field, off + numbers, scale, logarithmic)


def edge(axis: Axis, value: object) -> str | None:
    """Returns `'lower'` or `'upper'` if `value` lies at that end of a numeric axis, else None.

    Of fewer than three numbers most are ends, so there is no edge to speak of. Nor is 0 a lower
    edge: rates, decays and probabilities have nothing below it.
    """
    numbers = [v for v in axis.values if v is not None]
    if not axis.scale or len(numbers) < 3:
        return None
    if value == numbers[-1]:
        return 'upper'
    return 'lower' if value == numbers[0] and value != 0 else None
