"""What a study claims, as plain data, and whether its runs bear it out.

A claim is a statement with conditions on quantities (see `nnstudy.analysis.quantities`):

    claim('B8c', 'Very large batches hurt', greater(
        quantity('test_loss', {'batch_size': 256}), quantity('test_loss', {'batch_size': 32})))

Its conditions are true or false of each seed: quantities of one seed are compared with each other,
because runs of one seed share initial weights and order of examples. So every claim, of whatever
conditions, is a number of successes among n seeds, and the test is that of a proportion.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from nnstudy import errors
from nnstudy.analysis import quantities
from nnstudy.analysis.quantities import Quantity
from nnstudy.results import Results

Condition = dict[str, Any]
Claim = dict[str, Any]

LEVEL = 0.05
# What is true of this share of the seeds, or more, does not depend on the seed.
MOST = 0.95
RESAMPLES = 4999
MAX_NEEDED = 10_000  # seeds; a claim that needs more is not going to be decided

OF = ('seed', 'median', 'some', 'fact')


def claim(name: str, statement: str, *conditions: Condition, of: str = 'seed') -> Claim:
    """Returns a claim as plain data.

    Args:
      name: such as `'B7a'`.
      statement: in words.
      *conditions: all of them have to be true.
      of: what they are true of: `'seed'`, nearly every single seed; `'median'`, the medians over
        seeds, which says nothing of a single one; `'some'`, at least one seed; `'fact'`, numbers
        in which no luck is, and which therefore are not tested.

    Raises:
      UserError: `of` is something else, or there is no condition.
    """
    if of not in OF:
        raise errors.unknown('kind of claim (of)', of, OF)
    if not conditions:
        raise errors.UserError(f'claim {name!r} has no condition')
    return {'name': name, 'statement': statement, 'of': of, 'conditions': list(conditions)}


def less(a: Quantity | float, b: Quantity | float) -> Condition:
    """Returns the condition that `a` is below `b`; one of them may be a number."""
    return {'test': 'less', 'sides': [a, b]}


def greater(a: Quantity | float, b: Quantity | float) -> Condition:
    """Returns the condition that `a` is above `b`; one of them may be a number."""
    return {'test': 'greater', 'sides': [a, b]}


def rising(what: Quantity, field: str) -> Condition:
    """Returns the condition that a quantity rises along a numeric field.

    More pairs of values of the field have the quantity in their own order than in the opposite
    one: Kendall's tau is positive (scipy.stats.kendalltau), which for the order of chance it is in
    at most half of the cases.
    """
    return {'test': 'rising', 'sides': [what], 'field': field}


def falling(what: Quantity, field: str) -> Condition:
    """Returns the condition that a quantity falls along a numeric field, see `rising`."""
    return {'test': 'falling', 'sides': [what], 'field': field}


def lowest(what: Quantity, *first: Mapping[str, Any]) -> Condition:
    """Returns the condition that certain points have the lowest values, in any order.

    Args:
      what: of all points that its `where` chooses.
      *first: fields that choose each of those that are to be lowest.
    """
    return {'test': 'lowest', 'sides': [what], 'first': [dict(where) for where in first]}


def highest(what: Quantity, *first: Mapping[str, Any]) -> Condition:
    """Returns the condition that certain points have the highest values, see `lowest`."""
    return {'test': 'highest', 'sides': [what], 'first': [dict(where) for where in first]}


@dataclasses.dataclass(frozen=True)
class Side:
    """A quantity of a condition over the seeds."""

    label: str
    median: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
      name: of the claim.
      statement: its words.
      of: see `claim`.
      verdict: `'holds'`, `'does not hold'`, `'depends on the seed'` or `'undecided'`.
      n: number of seeds.
      successes: number of seeds of which it is true.
      interval: Clopper-Pearson 95% interval of the share of seeds of which it is true.
      resampled: of a claim about medians, the share of resamples of the seeds in whose medians it
        is true; NaN of others.
      p_value: the corrected one of what the verdict says; NaN for `'undecided'`.
      needed: so many seeds would decide, if the share stayed and this were the claim with the
        smallest p-value; None if it is decided, or if more than ten thousand are needed.
      tests: the name of each condition.
      sides: the quantities of each condition.
    """

    name: str
    statement: str
    of: str
    verdict: str
    n: int
    successes: int
    interval: tuple[float, float]
    resampled: float
    p_value: float
    needed: int | None
    tests: list[str]
    sides: list[list[Side]]

    @property
    def share(self) -> float:
        """The share of seeds of which it is true."""
        return self.successes / self.n if self.n else math.nan


def judge(results: Results, claims: Sequence[Claim] | None = None) -> list[Verdict]:
    """Returns the verdict on each claim.

    Three tests a claim, at level 5%, each corrected by Holm's method over all claims of the study:

    - it *holds* if the share of seeds of which it is true is above one half: the sign test (exact
      binomial, one-sided; Conover, Practical Nonparametric Statistics, 3.4);
    - it *does not hold* if that share is below one half;
    - it *depends on the seed*, whatever the two say, if the share is both below 95% and above 5%.

    Without any of them it is *undecided*. A claim about medians (`of='median'`) holds, or does not,
    if it is true, or false, in at least 95% of 4,999 bootstrap resamples of the seeds, but with no
    smaller p-value than 2^-n, that of n seeds in a sign test. A claim about some seed holds with
    the first of which it is true, and does not hold if the share is below 5%. A fact holds if it is
    true of all runs.

    A tie, and a comparison with a value that is not a number, is no success.

    Args:
      results: of the study.
      claims: None for the study's own.

    Raises:
      UserError: a claim names a point, column or epoch that is not there.
    """
    claims = results.claims if claims is None else claims
    evidence = [_evidence(results, one) for one in claims]
    p_values = np.array([found.p_values for found in evidence]).reshape(-1, 3)
    corrected = np.array([holm(column) for column in p_values.T]).reshape(3, -1).T
    verdicts = []
    num_tested = sum(one['of'] != 'fact' for one in claims)
    for one, found, p in zip(claims, evidence, corrected, strict=True):
        verdict, p_value = _verdict(one['of'], *p)
        needed = _needed(one['of'], found, num_tested) if verdict == 'undecided' else None
        verdicts.append(
            Verdict(
                name=one['name'],
                statement=one['statement'],
                of=one['of'],
                verdict=verdict,
                n=found.n,
                successes=found.successes,
                interval=_interval(found.successes, found.n),
                resampled=found.resampled,
                p_value=p_value,
                needed=needed,
                tests=[condition['test'] for condition in one['conditions']],
                sides=found.sides,
            )
        )
    return verdicts


def holm(p_values: np.ndarray) -> np.ndarray:
    """Returns p-values corrected for their number by Holm's step-down method.

    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979).

    Args:
      p_values: [m]; NaN is no test, and stays.
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind='stable')]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


@dataclasses.dataclass(frozen=True)
class _Evidence:
    n: int
    successes: int
    resampled: float
    p_values: tuple[float, float, float]  # for holds, does not hold, depends on the seed
    sides: list[list[Side]]


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """What a condition compares.

    Attributes:
      table: float64 [S, columns], a row a seed.
      labels: of the columns.
      is_true: from values [..., columns] to whether the condition is true of them, [...].
    """

    table: pd.DataFrame
    labels: list[str]
    is_true: Callable[[np.ndarray], np.ndarray]


def _evidence(results: Results, one: Claim) -> _Evidence:
    compared = [_comparison(results, condition) for condition in one['conditions']]
    seeds = functools.reduce(pd.Index.intersection, [c.table.index for c in compared])
    n = len(seeds)
    if not n:
        raise errors.UserError(f'claim {one["name"]}: its points have no seed in common')
    arrays = [c.table.loc[seeds].to_numpy(np.float64) for c in compared]

    def is_true(rows: Sequence[np.ndarray]) -> np.ndarray:
        return np.logical_and.reduce(
            [c.is_true(values) for c, values in zip(compared, rows, strict=True)]
        )

    successes = int(is_true(arrays).sum())
    resampled = _resampled(arrays, is_true) if one['of'] == 'median' else math.nan
    sides = [
        [
            Side(label, *(float(f(column)) for f in (np.median, np.min, np.max)))
            for label, column in zip(c.labels, array.T, strict=True)
        ]
        for c, array in zip(compared, arrays, strict=True)
    ]
    return _Evidence(n, successes, resampled, _p_values(one['of'], n, successes, resampled), sides)


def _comparison(results: Results, condition: Condition) -> _Comparison:
    test, sides = condition['test'], condition['sides']
    if test in ('less', 'greater'):
        columns = [
            quantities.values(results, side) if isinstance(side, dict) else side for side in sides
        ]
        table = pd.DataFrame(dict(enumerate(columns))).dropna(how='any')
        told = _told_apart([side['where'] for side in sides if isinstance(side, dict)])
        labels = [
            quantities.label({**side, 'where': told.pop(0)})
            if isinstance(side, dict)
            else f'{side:g}'
            for side in sides
        ]
        sign = 1 if test == 'less' else -1
        return _Comparison(table, labels, lambda v: sign * v[..., 0] < sign * v[..., 1])
    (what,) = sides
    points = quantities.chosen(results, what['where'])
    table = quantities.per_point(results, what, points).dropna(how='any')
    if test in ('rising', 'falling'):
        field = condition['field']
        places = quantities.places(results, points, field)
        order = sorted(points, key=places.__getitem__)
        labels = [f'{quantities.label(what)}, {field} = {places[p]:g}' for p in order]
        sign = 1 if test == 'rising' else -1
        return _Comparison(table[order], labels, lambda v: sign * _concordance(v) > 0)
    chosen = [quantities.chosen(results, {**what['where'], **w}) for w in condition['first']]
    first = sorted(set().union(*chosen))
    rest = [point for point in points if point not in first]
    if not rest:
        raise errors.UserError(f'condition {test!r} names all points, so none is left to compare')
    told = _told_apart([results.points[p] for p in first + rest])
    labels = [quantities.label({**what, 'where': where}) for where in told]
    sign, k = (1 if test == 'lowest' else -1), len(first)
    return _Comparison(
        table[first + rest],
        labels,
        lambda v: (sign * v[..., :k]).max(axis=-1) < (sign * v[..., k:]).min(axis=-1),
    )


def _told_apart(wheres: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns fields and values of several choices of points without those that all share.

    The words of a claim say what it is about; beside its numbers stands what they differ in.
    """
    if len(wheres) == 1:
        return [dict(wheres[0])]
    return [
        {f: v for f, v in where.items() if any(f not in w or w[f] != v for w in wheres)}
        for where in wheres
    ]


def _concordance(values: np.ndarray) -> np.ndarray:
    """Returns how many more pairs of [..., m] rise than fall: Kendall's tau without its divisor."""
    first, second = np.triu_indices(values.shape[-1], k=1)
    before, after = values[..., first], values[..., second]
    return (before < after).sum(axis=-1) - (before > after).sum(axis=-1)


def _resampled(
    arrays: Sequence[np.ndarray], is_true: Callable[[Sequence[np.ndarray]], np.ndarray]
) -> float:
    """Returns the share of resamples of the seeds in whose medians all conditions are true."""
    n = len(arrays[0])
    rng = np.random.default_rng(0)  # the same runs, the same share
    size = max(1, 2**22 // (n * sum(array.shape[1] for array in arrays)))  # 32 MiB at a time
    true = 0
    for start in range(0, RESAMPLES, size):
        rows = rng.integers(n, size=(min(size, RESAMPLES - start), n))
        true += int(is_true([np.median(array[rows], axis=1) for array in arrays]).sum())
    return true / RESAMPLES


def _p_values(of: str, n: int, successes: int, resampled: float) -> tuple[float, float, float]:
    """Returns those for that a claim holds, does not hold, and depends on the seed."""
    if of == 'fact':
        return (0.0, math.nan, math.nan) if successes == n else (math.nan, 0.0, math.nan)
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
        least, drawn = 0.5**n, RESAMPLES + 1
        true = round(resampled * RESAMPLES)
        holds = max((RESAMPLES - true + 1) / drawn, least)
        fails = max((true + 1) / drawn, least)
    return holds, fails, mixed


def _verdict(of: str, holds: float, fails: float, mixed: float) -> tuple[str, float]:
    """Returns the verdict of corrected p-values, and the one that it rests on."""
    found = [('depends on the seed', mixed), ('holds', holds), ('does not hold', fails)]
    if of == 'median':  # what is true of medians may well not be of each seed
        found = found[1:] + found[:1]
    for verdict, p_value in found:
        if p_value <= LEVEL:
            return verdict, p_value
    return 'undecided', math.nan


def _needed(of: str, found: _Evidence, factor: int) -> int | None:
    """Returns how many seeds would decide, if the shares stayed what they are."""
    share = found.successes / found.n
    sizes = np.unique(np.geomspace(found.n + 1, MAX_NEEDED, 500).astype(int)).tolist()
    for n in sizes:
        p_values = _p_values(of, n, round(share * n), found.resampled)
        if _verdict(of, *(factor * p for p in p_values))[0] != 'undecided':
            return n
    return None


def _interval(successes: int, n: int) -> tuple[float, float]:
    interval = stats.binomtest(successes, n).proportion_ci(method='exact')
    return float(interval.low), float(interval.high)
