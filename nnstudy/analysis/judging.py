"""Whether the runs of a study bear out its claims, and where printed numbers fall among its seeds.

The conditions of a claim are true or false of each seed: quantities of one seed are compared with
each other, because runs of one seed share initial weights (of the same net) and order of examples
(of the same batch size). So every claim, of whatever conditions, is a number of successes among n
seeds, and the test is that of a proportion.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy

from nnstudy import errors
from nnstudy.analysis import quantities
from nnstudy.analysis.comparison import LEVEL
from nnstudy.results import Results
from nnstudy.spec.claims import Claim, Fields, Quantity, Reference, Side

# What is true of this share of the seeds, or more, does not depend on the seed.
MOST = 0.95
RESAMPLES = 4999
MAX_NEEDED = 10_000  # seeds; of a claim that needs more, no number is said

# Of the table of verdicts.
COLUMNS = ['claim', 'statement', 'verdict', 'of', 'n', 'successes', 'share_low', 'share_high']
COLUMNS += ['resampled_medians', 'p_value', 'seeds_needed', 'evidence']


def judge(results: Results, claims: Sequence[Claim] | None = None) -> pd.DataFrame:
    """Returns the verdict on each claim.

    Three tests a claim, one-sided at level 5%, each corrected by Holm's method over all claims of
    the study by itself (of a true share of one half either direction errs in up to 5%). A claim

    - *holds* if the share of seeds of which it is true is above one half: the sign test (exact
      binomial; Conover, Practical Nonparametric Statistics, 3.4);
    - *does not hold* if that share is below one half;
    - *depends on the seed*, whatever the two say, if the share is both below 95% and above 5%;
    - is *undecided* otherwise.

    A claim about medians holds if it is true in 95% of the bootstrap resamples of the seeds. It
    does not hold if one of its k comparisons is false in 100 - 5/k percent of them: among many that
    are barely true, one is often false by chance. No p-value is smaller than that of a sign test of
    n seeds, 2^-n, or, in a comparison with a number, of these seeds: there the bootstrap of few
    seeds errs too often. A claim about some seed holds with the first of which it is true, and does
    not hold if the share is below 5%. A fact holds if it is true of all runs, without a test.

    A tie, or a comparison with a value that is not a number, is not a success. By default, the
    claims are the study's own.

    Returns:
      A row a claim: `claim`, its name; `statement`; `verdict`; `of`; `n`, the number of seeds;
      `successes`, those of which it is true; `share_low` and `share_high`, the Clopper-Pearson 95%
      interval of their share; `resampled_medians`, the share of resamples in whose medians it is
      true; `p_value`, the corrected one of the verdict; `seeds_needed`, how many would decide if
      the share stayed and no other claim had a smaller p-value; and `evidence`, the medians of its
      quantities over seeds, [smallest, largest].

    Raises:
      UserError: a claim names a point, column or epoch that is not there.
    """
    claims = results.claims if claims is None else claims
    found = []
    for claim in claims:
        with errors.within(f'claim {claim.name!r}'):
            found.append(_counted(results, claim))
    tests = np.array([_p_values(one) for one in found])
    corrected = np.apply_along_axis(holm, 0, tests)
    num_tested = sum(claim.of != 'fact' for claim in claims)
    rows = []
    for claim, one, p_values in zip(claims, found, corrected, strict=True):
        verdict, p_value = _verdict(one, *p_values)
        row: dict[str, Any] = {'claim': claim.name, 'statement': claim.statement}
        row |= {'verdict': verdict, 'of': one.of, 'n': one.n, 'successes': one.successes}
        share = scipy.stats.binomtest(one.successes, one.n).proportion_ci(method='exact')
        row |= {'share_low': share.low, 'share_high': share.high}
        row |= {'resampled_medians': one.resampled, 'p_value': p_value}
        row['seeds_needed'] = _needed(one, num_tested) if verdict == 'undecided' else None
        rows.append({**row, 'evidence': one.evidence})
    return pd.DataFrame(rows, columns=COLUMNS).astype({'seeds_needed': 'Int64'})


def place(results: Results, references: Sequence[Reference] | None = None) -> pd.DataFrame:
    """Returns where each printed number, by default of the study, falls among those of the seeds.

    A document had one seed and other random numbers: its number is expected to be one that some
    seed could have given, not to be equal to any.

    Returns:
      A row a number: `reference`, its name; `printed`; `n`, the number of seeds; their `median`,
      `min` and `max`; and `quantile`, the share of seeds below the printed number, equal ones
      counting half, after rounding as the document did.

    Raises:
      UserError: a reference names a point, column or epoch that is not there, or no run has it.
    """
    rows = []
    for one in results.references if references is None else references:
        with errors.within(f'reference {one.name!r}'):
            values = quantities.values(results, one.quantity).dropna().to_numpy(np.float64)
            if not values.size:
                raise errors.UserError('no run has a number to compare')
        row = {'reference': one.name, 'printed': one.value, 'n': len(values)}
        row |= {'median': np.median(values), 'min': values.min(), 'max': values.max()}
        if one.decimals is not None:
            unit = 10.0**one.decimals
            values = (np.floor if one.is_cut else np.round)(values * unit) / unit
        below, equal = np.mean(values < one.value), np.mean(values == one.value)
        rows.append({**row, 'quantile': below + equal / 2})
    return pd.DataFrame(rows)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Returns p-values [m] corrected for their number by Holm's step-down method; NaN stays.

    Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6 (1979).
    """
    corrected = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind='stable')]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return corrected


class _Counts(NamedTuple):
    """What the verdict on a claim rests on, and its evidence as text."""

    of: str  # see `Claim`
    n: int  # number of seeds
    successes: int  # number of seeds of which it is true
    evidence: str
    # Of a claim about medians: the share of resamples in whose medians it is true; and of its K
    # comparisons that share, and lower bounds of the p-values that it is true and that it is false.
    resampled: float = math.nan
    medians: np.ndarray = np.zeros((3, 0))


def _counted(results: Results, claim: Claim) -> _Counts:
    def find(fields: Fields) -> list[Fields]:
        return [results.settings(point) for point in results.points_with(fields)]

    compared = [condition.compared(find) for condition in claim.conditions]
    sides = [side for own, _ in compared for side in own]
    # Numbers at the precision of metrics: 90% of the images are not less than 0.9.
    numbers = [
        quantities.values(results, side) if isinstance(side, Quantity) else np.float32(side)
        for side in sides
    ]
    indices = [column.index for column in numbers if isinstance(column, pd.Series)]
    seeds = functools.reduce(pd.Index.intersection, indices)
    if not len(seeds):
        raise errors.UserError('its points have no seed in common')
    # [S, sides of all conditions]
    values = pd.DataFrame(dict(enumerate(numbers)), index=seeds).to_numpy(np.float64)
    texts = _written(results, sides, values)
    true, pairs, evidence, start = [], [], [], 0
    for condition, (own, places) in zip(claim.conditions, compared, strict=True):
        pairs.append(start + np.reshape(list(places), (-1, 2)).astype(int).T)
        if not pairs[-1].size:
            raise errors.UserError(f'{condition.name!r} has no two points to compare')
        true.append(condition.is_true(*np.moveaxis(values[:, pairs[-1]], 1, 0)))
        evidence.append(condition.written(list(itertools.islice(texts, len(own)))))
        start += len(own)
    successes = int(np.logical_and.reduce(true).sum())
    found = _Counts(claim.of, len(seeds), successes, ' | '.join(evidence))
    if claim.of == 'median':
        resampled, medians = _medians(values, np.concatenate(pairs, axis=1))
        found = found._replace(resampled=resampled, medians=medians)
    return found


def _written(results: Results, sides: Sequence[Side], values: np.ndarray) -> Iterator[str]:
    """Yields the sides of a claim as text, with the spread of their values [S, sides].

    Fields that all of several points share are left out, since the statement of the claim says
    them, and so are fields that are off.
    """
    base = results.config.flat
    each = [side.fields for side in sides if isinstance(side, Quantity)]
    is_one_point = all(fields == each[0] for fields in each)
    told = {
        field
        for fields in each
        for field, value in fields.items()
        if is_one_point or any(other.get(field, base.get(field)) != value for other in each)
    }
    for side, column in zip(sides, values.T, strict=True):
        if not isinstance(side, Quantity):
            yield f'{side:g}'
            continue
        fields = {f: v for f, v in side.fields.items() if f in told and v is not None}
        known = pd.Series(column).dropna()
        median, low, high = map(number, (known.median(), known.min(), known.max()))
        spread = median if known.min() == known.max() else f'{median} [{low}, {high}]'
        yield f'{dataclasses.replace(side, fields=fields)}: {spread}'


def number(value: float) -> str:
    """Writes a number of a claim or a reference: four digits, counts in full."""
    if not math.isfinite(value):
        return '∞' if value > 0 else '−∞' if value < 0 else '–'
    return f'{value:,.0f}' if value == round(value) and abs(value) < 1e9 else f'{value:.4g}'


def _medians(columns: np.ndarray, pairs: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the share of resamples in whose medians all pairs are true, and `_Counts.medians`.

    Args:
      columns: [S, C].
      pairs: places of the columns that are to be below others, and of these [2, K].
    """
    n = len(columns)
    rng = np.random.default_rng(0)  # the same runs, the same share
    size = max(1, 2**22 // columns.size)  # 32 MiB at a time
    resampled = []
    for start in range(0, RESAMPLES, size):
        rows = rng.integers(n, size=(min(size, RESAMPLES - start), n))
        below, above = np.median(columns[rows], axis=1).T[pairs]
        resampled.append(below < above)
    is_true = np.concatenate(resampled, axis=1)  # [K, RESAMPLES]
    least = np.full((2, len(is_true)), 0.5**n)
    for i, (below, above) in enumerate(np.moveaxis(columns.T[pairs], 1, 0)):
        if any((side == side[0]).all() for side in (below, above)):  # a number, or as good as one
            true = np.array([(below < above).sum(), (below > above).sum()])
            least[:, i] = scipy.stats.binom.sf(true - 1, n, 0.5)
    return float(is_true.all(axis=0).mean()), np.array([is_true.mean(axis=1), *least])


def _p_values(found: _Counts) -> tuple[float, float, float]:
    """Returns the p-values of 'holds', 'does not hold' and 'depends on the seed'."""
    n, successes, of = found.n, found.successes, found.of
    if of == 'fact':
        return math.nan, math.nan, math.nan
    binomial = scipy.stats.binom
    if of == 'some':
        if successes:
            return 0.0, 1.0, math.nan
        return math.nan, binomial.cdf(0, n, 1 - MOST), math.nan
    holds, fails = binomial.sf(successes - 1, n, 0.5), binomial.cdf(successes, n, 0.5)
    mixed = max(binomial.cdf(successes, n, MOST), binomial.sf(successes - 1, n, 1 - MOST))
    if of == 'median':
        true, least_true, least_false = found.medians
        holds = max(_rarely(1 - found.resampled), *least_true)
        fails = len(true) * np.maximum(_rarely(true), least_false).min()  # Bonferroni
    return holds, fails, mixed


def _rarely(share: float | np.ndarray) -> float | np.ndarray:
    """Returns the p-value of what is true in a share of the resamples."""
    return (np.round(share * RESAMPLES) + 1) / (RESAMPLES + 1)


def _verdict(found: _Counts, holds: float, fails: float, mixed: float) -> tuple[str, float]:
    """Returns the verdict of corrected p-values, and the one that it rests on."""
    if found.of == 'fact':
        return 'holds' if found.successes == found.n else 'does not hold', math.nan
    verdicts = {'depends on the seed': mixed, 'holds': holds, 'does not hold': fails}
    if found.of == 'median':  # what is true of medians may well not be of each seed
        verdicts['depends on the seed'] = verdicts.pop('depends on the seed')
    for verdict, p_value in verdicts.items():
        if p_value <= LEVEL:
            return verdict, p_value
    return 'undecided', math.nan


def _needed(found: _Counts, factor: int) -> int | None:
    """Returns how many seeds would decide, if the shares stayed what they are."""
    sizes = np.unique(np.geomspace(found.n + 1, MAX_NEEDED, 500).astype(int)).tolist()
    for n in sizes:
        more = found._replace(
            n=n,
            successes=round(found.successes / found.n * n),
            medians=found.medians ** [[1], [n / found.n], [n / found.n]],
        )
        if _verdict(more, *(factor * p for p in _p_values(more)))[0] != 'undecided':
            return n
    return None
