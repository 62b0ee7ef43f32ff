"""Points against each other: the summary of each, the best, and those that may be as good.

A value that is not finite counts as the worst finite value that any run of the table had in that
metric: a run that diverged is ranked with the worst, and is never left out of a median. A metric
without a finite value is NaN for all runs.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nnstudy.analysis import axes, intervals
from nnstudy.training.metrics import directions, headline, higher_is_better, selection_split

# The smallest p-value of a two-sided sign-flip test of n pairs is 2 / 2^n: below 5% from 6 on.
MIN_SEEDS = 6
LEVEL = 0.05
# Up to this many pairs, all flips are enumerated; of more pairs, 2^16 flips are drawn.
MAX_ENUMERATED = 16

_SPLITS = ('train', 'validation', 'test', 'best_test')


def metrics(table: pd.DataFrame, known: Mapping[str, bool] | None = None) -> list[str]:
    """Returns the metric columns of a table of runs or of history, those of arrays left out.

    `known` are the study's metrics, `Results.directions`; None for those of this process.
    """
    names = directions() if known is None else known
    columns = {f'{split}_{name}' for split in _SPLITS for name in names}
    return [name for name in table.columns if name in columns]


def finite_or_worst(table: pd.DataFrame, known: Mapping[str, bool] | None = None) -> pd.DataFrame:
    """Returns the table with every metric's non-finite values at its worst finite one.

    The arguments are those of `metrics`.
    """
    values = table[metrics(table, known)].astype(np.float64)
    finite = values.where(np.isfinite(values))
    ups = {name: higher_is_better(name, known) for name in finite}
    worst = {name: finite[name].min() if up else finite[name].max() for name, up in ups.items()}
    return table.assign(**finite.fillna(worst))


def by_point(runs: pd.DataFrame, swept: list[str]) -> pd.DataFrame:
    """Returns a row a point, in order, with the spread of its runs.

    The columns are `point`, the swept fields, `n` and `diverged` (numbers of runs), and
    `<metric>_median`, `<metric>_q25`, `<metric>_q75` of every metric.
    """
    points, groups = np.unique(runs['point'], return_inverse=True)
    diverged = (runs['status'] == 'diverged').to_numpy()
    columns = {
        'n': np.bincount(groups, minlength=len(points)),
        'diverged': np.bincount(groups[diverged], minlength=len(points)),
    }
    filled = finite_or_worst(runs)
    for name in metrics(runs):
        q25, median, q75 = intervals.quartiles_by(groups, filled[name], len(points)).T
        columns |= {f'{name}_median': median, f'{name}_q25': q25, f'{name}_q75': q75}
    summary = pd.DataFrame(columns, index=pd.Index(points, name='point'))
    return axes.settings(runs, swept).join(summary).reset_index()


def ranking(runs: pd.DataFrame) -> list[int]:
    """Returns all points, best first.

    The median of the headline metric on the selection split decides (see `nnstudy.training.metrics`
    for both), then the lowest median loss, the fewest diverged runs (the worst finite point is
    before one that only counts as it), and the lower number. Pruned points come after all others:
    their values are of fewer steps.
    """
    summary = by_point(runs, [])
    pruned = set(runs.loc[runs['status'] == 'pruned', 'point'])
    summary['pruned'] = summary['point'].isin(pruned)
    split, metric = selection_split(runs), headline(runs)
    # Whether the lowest is first, by column.
    order = {'pruned': True, f'{split}_{metric}_median': not higher_is_better(metric)}
    order |= {f'{split}_loss_median': True, 'diverged': True, 'point': True}
    ranked = summary.sort_values(list(order), ascending=list(order.values()))
    return ranked['point'].tolist()


class Best(NamedTuple):
    """The best point, and what it reached on the test split."""

    point: int
    split: str  # on which it was chosen, see `selection_split`
    metric: str  # of the following three, on the test split
    median: float  # over the runs of the point
    interval: tuple[float, float]  # bootstrap 95% interval of the median
    n: int  # number of runs


def best(runs: pd.DataFrame) -> Best | None:
    """Returns the best point; None if no run has a finite value to choose by."""
    split, metric = selection_split(runs), headline(runs)
    filled = finite_or_worst(runs)
    if not np.isfinite(filled[f'{split}_{metric}']).any():
        return None
    point, metric = ranking(runs)[0], f'test_{metric}'
    values = filled.loc[filled['point'] == point, metric]
    median, interval = float(np.quantile(values, 0.5)), intervals.median_interval(values)
    return Best(point, split, metric, median, interval, len(values))


def sign_flip_p(differences: ArrayLike) -> np.ndarray:
    """Returns p-values `[...]` of two-sided sign-flip tests of paired differences `[..., n]`.

    The null hypothesis is that they are symmetric about 0; the statistic is the mean. All 2^n flips
    are enumerated up to n = 16, above that 65,536 are drawn with a fixed seed (Good, "Permutation,
    Parametric and Bootstrap Tests of Hypotheses", 3.2.1). NaN for no differences or one that is not
    finite. `scipy.stats.permutation_test` does one such test; here many are done at once.
    """
    differences = np.asarray(differences, np.float64)
    *shape, n = differences.shape
    p_values = np.full(shape, np.nan)
    tested = np.isfinite(differences).all(axis=-1)
    if not n or not tested.any():
        return p_values[()]
    if n <= MAX_ENUMERATED:
        # A flip and its opposite lie as far from 0: those that leave the first sign are enough.
        flips = np.array([(1.0, *signs) for signs in itertools.product((1, -1), repeat=n - 1)])
    else:
        flips = np.random.default_rng(0).choice((-1, 1), size=(2**MAX_ENUMERATED, n)).astype(float)
    # What was seen is one of the flips too: were it not counted among drawn ones, p could be 0.
    drawn = int(n > MAX_ENUMERATED)
    rows = differences[tested]
    # Flips that tie with what was seen but for rounding count.
    seen = np.abs(rows.sum(axis=1)) - 1e-13 * np.abs(rows).sum(axis=1)
    size = max(1, 2**22 // len(flips))  # of so many tests at a time the sums take 32 MiB
    as_far = [
        (np.abs(flips @ rows[i : i + size].T) >= seen[i : i + size]).sum(axis=0)
        for i in range(0, len(rows), size)
    ]
    p_values[tested] = (np.concatenate(as_far) + drawn) / (len(flips) + drawn)
    return p_values[()]


def against(runs: pd.DataFrame, point: int) -> pd.DataFrame:
    """Tests every other point against `point` on the headline test metric, paired by seed.

    Pairing takes out what runs of one seed share: initial weights and data order. The p-values are
    not corrected for the number of points: the aim is to name the points that may well be as good,
    and a correction would only lengthen that list.

    The columns are `point`, `n` (number of seeds in common), `difference` (mean over seeds, that
    point less `point`), `p_value` (see `sign_flip_p`) and `verdict`: `'differs'` (p at most 5%),
    `'cannot tell'` or, with fewer than six seeds, `'too few seeds'`.
    """
    metric = f'test_{headline(runs)}'
    values = finite_or_worst(runs).pivot(index='point', columns='seed', values=metric)
    # [points, seeds], NaN where either point lacks the seed.
    differences = (values - values.loc[point]).drop(index=point)
    n = differences.notna().sum(axis=1)
    table = pd.DataFrame({'n': n, 'difference': differences.mean(axis=1), 'p_value': np.nan})
    for size, rows in differences.groupby(n):
        if size:
            pairs = rows.to_numpy()[rows.notna().to_numpy()].reshape(-1, size)
            table.loc[rows.index, 'p_value'] = sign_flip_p(pairs)
    few, differs = n < MIN_SEEDS, table['p_value'] <= LEVEL
    verdicts = np.select([few, differs], ['too few seeds', 'differs'], 'cannot tell')
    return table.assign(verdict=verdicts.astype(object)).reset_index()


def best_epoch(runs: pd.DataFrame, history: pd.DataFrame, point: int) -> float:
    """Returns the epoch of the lowest loss on the selection split, the median over a point's runs.

    NaN if none of them has a finite loss.
    """
    loss = f'{selection_split(runs)}_loss'
    rows = history[(history['point'] == point) & np.isfinite(history[loss].astype(np.float64))]
    lowest = rows.loc[rows.groupby('run')[loss].idxmin(), 'epoch']
    return float(lowest.median()) if len(lowest) else np.nan
