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
# Halves of the seeds, see `Best`. With more folds nearly the same seeds choose and are looked at:
# of equal points the median is too high again, and with 8 folds its interval covers 84%, not 92%.
FOLDS = 2

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
    """The best point, and what it reached on the test split.

    The point that was best with some seeds is so partly by their luck. So each half of the seeds is
    also looked at where the other half alone would have chosen: that is cross-fitted. It says what
    to expect of such a choice with new seeds.
    """

    point: int
    split: str  # on which it was chosen, see `selection_split`
    metric: str  # of the following, on the test split
    n: int  # number of runs of the point
    median: float  # over them
    interval: tuple[float, float]  # 95% interval of the median, see `intervals.median_interval`
    cross_fitted: float  # median over all seeds; NaN with fewer than two
    cross_fitted_interval: tuple[float, float]


def best(runs: pd.DataFrame) -> Best | None:
    """Returns the best point; None if no run has a finite value to choose by."""
    split, metric = selection_split(runs), headline(runs)
    filled = finite_or_worst(runs)
    if not np.isfinite(filled[f'{split}_{metric}']).any():
        return None
    point, metric = ranking(runs)[0], f'test_{metric}'
    values = filled.loc[filled['point'] == point, metric]
    crossed = _cross_fitted(runs, filled.set_index(['point', 'seed'])[metric])
    return Best(
        point=point,
        split=split,
        metric=metric,
        n=len(values),
        median=float(np.quantile(values, 0.5)),
        interval=intervals.median_interval(values),
        cross_fitted=float(np.median(crossed)),
        cross_fitted_interval=intervals.median_interval(crossed),
    )


def _cross_fitted(runs: pd.DataFrame, values: pd.Series) -> np.ndarray:
    """Returns the value of each seed at the point that the other folds of seeds choose."""
    folds = np.array_split(np.sort(runs['seed'].unique()), FOLDS)
    found: list[float] = []
    for fold in folds:
        others = runs[~runs['seed'].isin(fold)]
        if not others.empty:
            own = values.reindex([(ranking(others)[0], seed) for seed in fold])
            found += own.dropna().tolist()
    return np.array(found or [np.nan])


def sign_flip_p(differences: ArrayLike) -> np.ndarray:
    """Returns p-values [m] of two-sided sign-flip tests of m paired differences [n, m] at once.

    The null hypothesis is that the differences are symmetric about 0; the statistic is their sum,
    divided by the root of the sum of their squares. A flip gives one sign to each of the n pairs,
    the same in all tests, so that what they have in common stays. The p-values are corrected for
    the number of tests by the step-down maximum of the statistics over the flips (Westfall & Young
    1993, "Resampling-Based Multiple Testing", algorithm 2.8): the probability that any test errs is
    at most the level. Of one test it is the plain one (Good, "Permutation, Parametric and Bootstrap
    Tests of Hypotheses", 3.2.1).

    All 2^n flips are enumerated up to n = 16, above that 65,536 are drawn with a fixed seed. NaN
    counts as no difference; without any, p is 1.
    """
    differences = np.nan_to_num(np.asarray(differences, np.float64))
    n, m = differences.shape
    norms = np.sqrt((differences**2).sum(axis=0))
    scaled = np.divide(differences, norms, out=np.zeros_like(differences), where=norms > 0)
    # Flips that tie with what was seen but for rounding count.
    seen = np.abs(scaled.sum(axis=0)) - 1e-12
    order = np.argsort(seen)
    if n <= MAX_ENUMERATED:
        # A flip and its opposite lie as far from 0: those that leave the first sign are enough.
        flips = np.array([(1.0, *signs) for signs in itertools.product((1, -1), repeat=n - 1)])
    else:
        flips = np.random.default_rng(0).choice((-1, 1), size=(2**MAX_ENUMERATED, n)).astype(float)
    # What was seen is one of the flips too: were it not counted among drawn ones, p could be 0.
    drawn = int(n > MAX_ENUMERATED)
    as_far = np.zeros(m)
    size = max(1, 2**22 // m)  # of so many flips at a time the sums take 32 MiB
    for start in range(0, len(flips), size):
        sums = np.abs(flips[start : start + size] @ scaled[:, order])
        largest = np.maximum.accumulate(sums, axis=1)  # of this test and all that are less clear
        as_far[order] += (largest >= seen[order]).sum(axis=0)
    p_values = (as_far + drawn) / (len(flips) + drawn)
    p_values[order] = np.maximum.accumulate(p_values[order][::-1])[::-1]
    return p_values


def against(runs: pd.DataFrame, point: int) -> pd.DataFrame:
    """Tests every other point against `point` on the headline test metric, paired by seed.

    Pairing takes out what runs of one seed share: initial weights and data order. All points are
    tested at once, by `sign_flip_p` of the signed ranks of the differences (Wilcoxon): where all
    points are equal, any is said to differ in at most 5% of studies. A run without a finite value
    is the worst difference, or none if both are; how bad other points are does not matter. Pruned
    points are left out, since their values are of fewer steps.

    The columns are `point`, `n` (number of seeds in common), `difference` (median over seeds, that
    point less `point`), `p_value`, corrected for the number of points, and `verdict`: `'differs'`
    (p at most 5%), `'cannot tell'` or, with fewer than six seeds, `'too few seeds'`.
    """
    metric = f'test_{headline(runs)}'
    pruned = runs.loc[runs['status'] == 'pruned', 'point'].unique()
    compared = runs[~runs['point'].isin(np.setdiff1d(pruned, [point]))]
    values = compared[metric].astype(np.float64)
    values = values.where(np.isfinite(values), -np.inf if higher_is_better(metric) else np.inf)
    # [seeds, points], NaN where a point lacks the seed.
    table = compared.assign(value=values).pivot(index='seed', columns='point', values='value')
    others, own = table.drop(columns=point), table[point]
    with np.errstate(invalid='ignore'):
        differences = others.sub(own, axis=0).mask(others.eq(own, axis=0), 0.0)  # both infinite
    n = differences.notna().sum()
    tested = differences.loc[:, n >= MIN_SEEDS]
    found = pd.DataFrame({'n': n, 'difference': differences.median(), 'p_value': np.nan})
    if tested.size:
        ranks = tested.abs().replace(0.0, np.nan).rank() * np.sign(tested)
        found.loc[tested.columns, 'p_value'] = sign_flip_p(ranks.to_numpy())
    few, differs = n < MIN_SEEDS, found['p_value'] <= LEVEL
    verdicts = np.select([few, differs], ['too few seeds', 'differs'], 'cannot tell')
    found = found.assign(verdict=verdicts.astype(object))
    return found.rename_axis(index='point').reset_index()


def best_epoch(runs: pd.DataFrame, history: pd.DataFrame, point: int) -> float:
    """Returns the epoch of the lowest loss on the selection split, the median over a point's runs.

    NaN if none of them has a finite loss.
    """
    loss = f'{selection_split(runs)}_loss'
    rows = history[(history['point'] == point) & np.isfinite(history[loss].astype(np.float64))]
    lowest = rows.loc[rows.groupby('run')[loss].idxmin(), 'epoch']
    return float(lowest.median()) if len(lowest) else np.nan
