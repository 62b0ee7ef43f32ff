"""Whether the runs of a study bear out its claims.

The conditions of a claim are true or false of each seed: quantities of one seed are compared with
each other, because runs of one seed share initial weights (of the same net) and order of examples
(of the same batch size). So every claim, of whatever conditions, is a number of successes among n
seeds, and the test is that of a proportion.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from nnstudy import errors
from nnstudy.analysis import quantities
from nnstudy.analysis.comparison import LEVEL
from nnstudy.results import Results
from nnstudy.spec.claims import Claim, Condition, Quantity

# What is true of this share of the seeds, or more, does not depend on the seed.
MOST = 0.95
RESAMPLES = 4999
MAX_NEEDED = 10_000  # seeds; of a claim that needs more, no number is said


@dataclasses.dataclass(frozen=True)
class Side:
    """A quantity of a condition over the seeds."""

    label: str
    median: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class MedianTest:
    """One comparison of the medians of two columns, of all that a claim about medians makes.

    Attributes:
      resampled: the share of resamples in whose medians it is true.
      least: lower bounds of the p-values that it is true, and that it is false.
    """

    resampled: float
    least: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
      claim: which one.
      n: number of seeds.
      successes: number of seeds of which it is true.
      resampled: of a claim about medians, the share of resamples of the seeds in whose medians it
        is true; NaN of others.
      sides: the quantities of each condition.
      medians: of a claim about medians, its comparisons.
      verdict: `'holds'`, `'does not hold'`, `'depends on the seed'` or `'undecided'`.
      p_value: the corrected one of what the verdict says; NaN for `'undecided'`.
      needed: how many seeds would decide, if the share stayed and this were the claim with the
        smallest p-value; None if it is decided, or if more than ten thousand are needed.
    """

    claim: Claim
    n: int
    successes: int
    resampled: float
    sides: list[list[Side]]
    medians: Sequence[MedianTest] = ()
    verdict: str = 'undecided'
    p_value: float = math.nan
    needed: int | None = None

    @property
    def share(self) -> float:
        """The share of seeds of which it is true."""
        return self.successes / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper-Pearson 95% interval of that share."""
        interval = stats.binomtest(self.successes, self.n).proportion_ci(method='exact')
        return float(interval.low), float(interval.high)


def judge(results: Results, claims: Sequence[Claim] | None = None) -> list[Verdict]:
    """Returns the verdict on each claim.

    Three tests a claim, one-sided at level 5%, each corrected by Holm's method over all claims of
    the study by itself (of a true share of one half either direction errs in up to 5%):

    - it *holds* if the share of seeds of which it is true is above one half: the sign test (exact
      binomial, one-sided; Conover, Practical Nonparametric Statistics, 3.4);
    - it *does not hold* if that share is below one half;
    - it *depends on the seed*, whatever the two say, if the share is both below 95% and above 5%.

    Without any of them it is *undecided*. A claim about medians (`of='median'`) holds if it is true
    in at least 95% of 4,999 bootstrap resamples of the seeds. It does not hold if a comparison in
    it is false in so many; of k comparisons (`lowest` has many) in 100 - 5/k percent, since one
    among many that are barely true is often false by chance. No p-value is smaller than 2^-n, that
    of n seeds in a sign test, and in a comparison with a number none is smaller than that of the
    sign test, because there the bootstrap of few seeds errs too often. A claim about some seed
    holds with the first of which it is true, and does not hold if the share is below 5%. A fact is
    not tested: it holds if it is true of all runs.

    A tie, or a comparison with a value that is not a number, is not a success.

    Args:
      results: of the study.
      claims: None for the study's own.

    Raises:
      UserError: a claim names a point, column or epoch that is not there.
    """
    claims = results.claims if claims is None else claims
    undecided = [_evidence(results, claim) for claim in claims]
    p_values = np.array([_p_values(found) for found in undecided]).reshape(-1, 3)
    corrected = np.array([holm(column) for column in p_values.T]).reshape(3, -1).T
    num_tested = sum(claim.of != 'fact' for claim in claims)
    verdicts = []
    for found, p in zip(undecided, corrected, strict=True):
        verdict, p_value = _verdict(found, *p)
        needed = _needed(found, num_tested) if verdict == 'undecided' else None
        verdicts.append(dataclasses.replace(found, verdict=verdict, p_value=p_value, needed=needed))
    return verdicts


def holm(p_values: np.ndarray) -> np.ndarray:
    """Returns p-values corrected for their number by Holm's step-down method.

    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979).

    Args:
      p_values: [m]; NaN (no test) stays NaN.
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind='stable')]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """What a condition compares.

    Attributes:
      table: float64 [S, columns], one row per seed; NaN where a run has no number.
      quantities: those of the columns, each of one point; or the number that a column repeats.
      is_true: from values [..., columns] to whether the condition is true of them, [...].
      pairs: columns of which the first has to be below the second; empty for a trend, which is no
        such list.
    """

    table: pd.DataFrame
    quantities: Sequence[Quantity | float]
    is_true: Callable[[np.ndarray], np.ndarray]
    pairs: Sequence[tuple[int, int]] = ()


def _evidence(results: Results, claim: Claim) -> Verdict:
    """Returns what the verdict on a claim rests on, before anything is tested."""
    compared = [_comparison(results, condition) for condition in claim.conditions]
    seeds = functools.reduce(pd.Index.intersection, [c.table.index for c in compared])
    if not len(seeds):
        raise errors.UserError(f'claim {claim.name}: its points have no seed in common')
    arrays = [c.table.loc[seeds].to_numpy(np.float64) for c in compared]
    true = [c.is_true(values) for c, values in zip(compared, arrays, strict=True)]
    resampled, medians = _medians(compared, arrays) if claim.of == 'median' else (math.nan, [])
    labels = iter(_labels(results, [what for c in compared for what in c.quantities]))
    return Verdict(
        claim=claim,
        n=len(seeds),
        successes=int(np.logical_and.reduce(true).sum()),
        resampled=resampled,
        medians=medians,
        sides=[[_side(next(labels), column) for column in array.T] for array in arrays],
    )


def _side(label: str, values: np.ndarray) -> Side:
    known = pd.Series(values).dropna()
    return Side(label, float(known.median()), float(known.min()), float(known.max()))


def _medians(
    compared: Sequence[_Comparison], arrays: Sequence[np.ndarray]
) -> tuple[float, list[MedianTest]]:
    """Returns the share of resamples in whose medians all comparisons are true, and each one."""
    columns = np.concatenate(arrays, axis=1)  # [S, columns of all conditions]
    starts = np.cumsum([0, *(array.shape[1] for array in arrays)])
    pairs = [
        (start + i, start + j)
        for c, start in zip(compared, starts, strict=False)
        for i, j in c.pairs
    ]
    below, above = np.transpose(pairs)
    n = len(columns)
    rng = np.random.default_rng(0)  # the same runs, the same share
    size = max(1, 2**22 // columns.size)  # 32 MiB at a time
    resampled = []
    for start in range(0, RESAMPLES, size):
        rows = rng.integers(n, size=(min(size, RESAMPLES - start), n))
        medians = np.median(columns[rows], axis=1)
        resampled.append(medians[:, below] < medians[:, above])
    is_true = np.concatenate(resampled)  # [RESAMPLES, pairs]
    tests = []
    for low, high, share in zip(columns.T[below], columns.T[above], is_true.mean(0), strict=True):
        least = 0.5**n, 0.5**n
        if any((side == side[0]).all() for side in (low, high)):  # a number, or as good as one
            least = _sign_test(low < high), _sign_test(low > high)
        tests.append(MedianTest(float(share), least))
    return float(is_true.all(axis=1).mean()), tests


def _sign_test(successes: np.ndarray) -> float:
    """Returns the one-sided p-value of more than half of bool [n] being true."""
    return stats.binomtest(int(successes.sum()), len(successes), 0.5, 'greater').pvalue


def _comparison(results: Results, condition: Condition) -> _Comparison:
    test = condition.test
    if test in ('less', 'greater'):
        # Numbers at the precision of metrics: 90% of the images are not less than 0.9.
        columns = [
            quantities.values(results, side) if isinstance(side, Quantity) else np.float32(side)
            for side in condition.sides
        ]
        known = [c.index for c in columns if isinstance(c, pd.Series)]
        table = pd.DataFrame(
            dict(enumerate(columns)), index=functools.reduce(pd.Index.intersection, known)
        )
        return _compared(table, condition.sides, [(0, 1) if test == 'less' else (1, 0)])
    (quantity,) = condition.sides
    assert isinstance(quantity, Quantity)
    points = results.points_with(quantity.fields)
    table = quantities.per_point(results, quantity, points)
    if condition.field is not None:
        places = {point: _place(results, point, condition.field) for point in points}
        points = sorted(points, key=places.__getitem__)
        at_points = [quantity.where({condition.field: places[point]}) for point in points]
        sign = 1 if test == 'rising' else -1
        return _Comparison(table[points], at_points, lambda v: sign * _concordance(v) > 0)
    chosen = [results.points_with({**quantity.fields, **fields}) for fields in condition.first]
    first = sorted(set().union(*chosen))
    rest = [point for point in points if point not in first]
    if not rest:
        raise errors.UserError(f'condition {test!r} names all points, so none is left to compare')
    points = first + rest
    at_points = [quantity.where(results.points[point]) for point in points]
    firsts, others = range(len(first)), range(len(first), len(points))
    ordered = (firsts, others) if test == 'lowest' else (others, firsts)
    return _compared(table[points], at_points, list(itertools.product(*ordered)))


def _compared(
    table: pd.DataFrame, sides: Sequence[Quantity | float], pairs: Sequence[tuple[int, int]]
) -> _Comparison:
    """Returns what is true if of each pair of columns the first is below the second."""
    below, above = (list(columns) for columns in zip(*pairs, strict=True))
    return _Comparison(
        table,
        sides,
        lambda v: np.logical_and.reduce(v[..., below] < v[..., above], axis=-1),
        pairs,
    )


def _place(results: Results, point: int, field: str) -> float:
    """Returns the numeric value of a field at a point."""
    value = results.settings(point).get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise errors.UserError(f'there is no trend along {field}: {value!r} is no number')
    return value


def _labels(results: Results, sides: Sequence[Quantity | float]) -> list[str]:
    """Returns how the quantities of a claim are written, without what the claim is all about.

    Fields that all of them share are left out, since the statement of the claim says them, and so
    are fields that are off.
    """
    base = results.config.flat
    each = [side.fields for side in sides if isinstance(side, Quantity)]
    told = {
        field
        for fields in each
        for field, value in fields.items()
        if len(each) == 1 or any(other.get(field, base.get(field)) != value for other in each)
    }

    def written(quantity: Quantity) -> str:
        fields = {f: v for f, v in quantity.fields.items() if f in told and v is not None}
        return str(dataclasses.replace(quantity, fields=fields))

    return [written(side) if isinstance(side, Quantity) else f'{side:g}' for side in sides]


def _concordance(values: np.ndarray) -> np.ndarray:
    """Returns how many more pairs of [..., m] rise than fall: Kendall's tau without its divisor."""
    first, second = np.triu_indices(values.shape[-1], k=1)
    before, after = values[..., first], values[..., second]
    return (before < after).sum(axis=-1) - (before > after).sum(axis=-1)


def _p_values(found: Verdict) -> tuple[float, float, float]:
    """Returns the p-values of 'holds', 'does not hold' and 'depends on the seed'."""
    n, successes, of = found.n, found.successes, found.claim.of
    if of == 'fact':
        return math.nan, math.nan, math.nan
    if of == 'some':
        no_more = stats.binomtest(successes, n, 1 - MOST, 'less').pvalue
        return (math.nan if not successes else 0.0), (1.0 if successes else no_more), math.nan
    holds = stats.binomtest(successes, n, 0.5, 'greater').pvalue
    fails = stats.binomtest(successes, n, 0.5, 'less').pvalue
    mixed = max(
        stats.binomtest(successes, n, MOST, 'less').pvalue,
        stats.binomtest(successes, n, 1 - MOST, 'greater').pvalue,
    )
    if of == 'median':
        holds = max(_rarely(1 - found.resampled), *(test.least[0] for test in found.medians))
        refuted = [max(_rarely(test.resampled), test.least[1]) for test in found.medians]
        fails = len(refuted) * min(refuted)  # Bonferroni
    return holds, fails, mixed


def _rarely(share: float) -> float:
    """Returns the p-value of what is true in a share of the resamples."""
    return (round(share * RESAMPLES) + 1) / (RESAMPLES + 1)


def _verdict(found: Verdict, holds: float, fails: float, mixed: float) -> tuple[str, float]:
    """Returns the verdict of corrected p-values, and the one that it rests on."""
    if found.claim.of == 'fact':
        return 'holds' if found.successes == found.n else 'does not hold', math.nan
    verdicts = [('depends on the seed', mixed), ('holds', holds), ('does not hold', fails)]
    if found.claim.of == 'median':  # what is true of medians may well not be of each seed
        verdicts = verdicts[1:] + verdicts[:1]
    for verdict, p_value in verdicts:
        if p_value <= LEVEL:
            return verdict, p_value
    return 'undecided', math.nan


def _needed(found: Verdict, factor: int) -> int | None:
    """Returns how many seeds would decide, if the shares stayed what they are."""
    sizes = np.unique(np.geomspace(found.n + 1, MAX_NEEDED, 500).astype(int)).tolist()
    for n in sizes:
        grown = n / found.n
        medians = [
            MedianTest(test.resampled, (test.least[0] ** grown, test.least[1] ** grown))
            for test in found.medians
        ]
        successes = round(found.successes / found.n * n)
        more = dataclasses.replace(found, n=n, successes=successes, medians=medians)
        if _verdict(more, *(factor * p for p in _p_values(more)))[0] != 'undecided':
            return n
    return None
