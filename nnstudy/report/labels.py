"""How points, fields, their values and metrics are written in tables and pictures."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nnstudy.analysis import axes
from nnstudy.results import Results


def number(value: float, digits: int = 3) -> str:
    """Writes a number to `digits` significant digits: `0.001`, `3.2e-05`, `64`."""
    # An integer that passed through a float column is still written as one.
    if isinstance(value, int) or (abs(value) < 1e6 and value == round(value)):
        return str(round(value))
    return f'{value:.{digits}g}'


def value(value: object, digits: int = 3) -> str:
    """Writes a value of a swept field; `None`, a feature that is not used, is `off`."""
    if value is None:
        return 'off'
    return number(value, digits) if isinstance(value, float) else str(value)


def values(distinct: Sequence) -> dict[object, str]:
    """Writes the values of an axis with the fewest digits, at least three, that keep them apart."""
    for digits in range(3, 18):
        texts = [value(v, digits) for v in distinct]
        if len(set(texts)) == len(texts):
            break
    return dict(zip(distinct, texts, strict=True))


def short(fields: Sequence[str]) -> dict[str, str]:
    """Returns the last part of every dotted name, or the whole name where that is not unique."""
    last = [field.rpartition('.')[2] for field in fields]
    return {
        field: name if last.count(name) == 1 else field
        for field, name in zip(fields, last, strict=True)
    }


def settings(runs: pd.DataFrame, swept: list[str]) -> pd.DataFrame:
    """Writes the swept fields' values of every point: index `point`, a column a field."""
    table = axes.settings(runs, swept)
    return table.apply(lambda column: column.map(values(column.unique()).get))


def points(runs: pd.DataFrame, swept: list[str]) -> dict[int, str]:
    """Names every point by the values of its swept fields: `0.1, 32`."""
    return {point: ', '.join(row) for point, *row in settings(runs, swept).itertuples()}


def setting(results: Results, point: int) -> str:
    """Writes the swept fields of a point with their values: `learning_rate = 0.1, width = 32`."""
    written = settings(results.runs, results.swept).loc[point].rename(short(results.swept))
    return ', '.join(f'{name} = {text}' for name, text in written.items()) or results.name


def natural(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts numbers in names as numbers: `Dense_2` before `Dense_10`."""
    parts = re.split(r'(\d+)', name)  # every second one is a number
    return [(int(part), '') if i % 2 else (0, part) for i, part in enumerate(parts)]


def metric(name: str) -> str:
    """Writes a metric's name with its unit: `test accuracy (%)`, `train loss`, `test MAE`."""
    written = name.replace('_', ' ').replace('mae', 'MAE').replace('mse', 'MSE')
    return f'{written} (%)' if scale(name) == 100 else written


def scale(name: str) -> float:
    """Returns the factor from a metric's table values to the unit of `metric`."""
    return 100.0 if name.endswith('accuracy') else 1.0


def reading(name: str, value: float) -> str:
    """Writes a metric's value without its unit: accuracy in percent, others to four digits."""
    if scale(name) == 100:
        return f'{100 * value:.2f}'
    return f'{value:#.4g}'.removesuffix('.')


def count(n: ArrayLike, noun: str) -> str:
    """Writes a number of things, or a range of numbers: `1 seed`, `8,000 seeds`, `3 to 8 seeds`."""
    low, high = np.min(n), np.max(n)
    text = f'{high:,} {noun}{"" if high == 1 else "s"}'
    return text if low == high else f'{low:,} to {text}'
