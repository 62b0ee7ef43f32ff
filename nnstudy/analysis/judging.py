"""Whether the runs of a study bear out its claims, and where printed numbers fall among its seeds.

The conditions of a claim are true or false of each seed: quantities of one seed are compared with
each other, because runs of one seed share initial weights (of the same net) and order of examples
(of the same batch size). So a condition, of whatever kind, is a number of wins and losses among n
seeds, and what is said of all seeds is said of the share of wins, see `nnstudy.analysis.evidence`.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.analysis import evidence, quantities
from nnstudy.analysis.comparison import LEVEL
from nnstudy.results import Results
from nnstudy.spec.claims import Claim, Quantity, Reference, Side, both, digest

FEW = 0.05  # what is true of a larger share of the seeds is true of some seed
# How reliable a claim is that holds or does not hold, by the least share of seeds on its side.
RELIABILITY = {0.95: 'nearly always', 0.75: 'mostly', 0.5: 'more often than not'}
ASSURANCE = 0.8  # with this probability the seeds that are said to be needed decide
FUTURES = 500  # that are drawn to find that out
MAX_NEEDED = 10_000  # seeds; of a claim that needs more, no number is said

# Of the table of verdicts.
COLUMNS = ['claim', 'statement', 'verdict', 'reliability', 'of', 'n', 'wins', 'ties', 'losses']
COLUMNS += ['conditions']
COLUMNS += ['share_low', 'share_high', 'e_value', 'beforehand', 'seeds_needed', 'evidence']


def judge(results: Results, claims: Sequence[Claim] | None = None) -> pd.DataFrame:
    """Returns the verdict on each claim.

    A claim of single seeds

    - *holds* if each of its conditions is true more often than not: of the seeds where it or its
      opposite is true, more than half are wins;
    - *does not hold* if one of its k conditions is true less often than not;
    - is *undecided* otherwise.

    A verdict is given at an e-value of m/5% for m claims (`evidence.of_share`), of which that of
    the weakest condition counts for the first (an intersection-union test), and the strongest one
    divided by k for the second. So over all claims and at whatever numbers of seeds one looks, each
    of the two is wrongly given with a probability of at most 5%. The bounds of the share of seeds
    err no more often, and the lower one is above one half just where the claim holds.

    A claim about medians compares them over all seeds (`evidence.apart`). One about some seed
    holds with the first of which it is true, and does not hold if the share is below 5%. A fact
    holds if it is true of all runs, without a test.

    A tie counts for neither verdict, and a comparison with a value that is not a number against
    both. By default, the claims are the study's own.

    Returns:
      A row a claim: `claim`, its name; `statement`; `verdict`; `reliability`, by the bound, see
      `RELIABILITY`; `of`; `n`, the number of seeds; `wins`, those of which all conditions are true,
      `ties`, and `losses`, those of which the opposite of one is true; `conditions`, how many there
      are; `share_low` and `share_high`, bounds of the share of wins, among seeds without a tie, of
      the weakest condition; `e_value`, of the
      verdict, or the larger one of both; `beforehand`, whether the claim was so worded before the
      first step of the study; `seeds_needed`, how many would decide with a probability
      of 80%, averaged over what is known of the shares; and `evidence`, the medians of its
      quantities over seeds, [smallest, largest], and the wins of each of several conditions.

    Raises:
      UserError: a claim names a point, column or epoch that is not there.
    """
    claims = results.claims if claims is None else claims
    # How often a single claim may err.
    level = LEVEL / max(1, sum(claim.of != 'fact' for claim in claims))
    rows = []
    for claim in claims:
        with errors.within(f'claim {claim.name!r}'):
            found, beforehand = _counted(results, claim), digest(claim) in results.stated
        row = {'claim': claim.name, 'statement': claim.statement, 'beforehand': beforehand}
        row['conditions'] = len(claim.conditions)
        rows.append({**row, **_judged(found, level)})
    return pd.DataFrame(rows, columns=COLUMNS).astype({'seeds_needed': 'Int64'})


def points(results: Results, claim: Claim) -> set[int]:
    """Returns the points that a claim speaks of."""
    return {
        point
        for condition in claim.conditions
        for side in condition.compared(results.settings_with)[0]
        if isinstance(side, Quantity)
        for point in results.points_with(side.fields)
    }


def place(results: Results, references: Sequence[Reference] | None = None) -> pd.DataFrame:
    """Returns where each printed number, by default of the study, falls among those of the seeds.

    A document had one seed and other random numbers: its number is expected to be one that some
    seed could have given, not to be equal to any.

    Returns:
      A row a number: `reference`, its name; `printed`; `n`, the number of seeds; their `median`,
      `min` and `max`; `quantile`, the share of seeds below the printed number, equal ones counting
      half, after rounding as the document did; and `p_value`, the probability that one more seed
      lies as far out among all n + 1, were the document's one of them: twice the smaller of the
      numbers of seeds from it downwards and upwards, itself among them, divided by n + 1.

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
        outward = 1 + min(np.sum(values <= one.value), np.sum(values >= one.value))
        p_value = min(1.0, 2 * outward / (len(values) + 1))
        rows.append({**row, 'quantile': below + equal / 2, 'p_value': p_value})
    return pd.DataFrame(rows)


class _Bet(NamedTuple):
    """A bet that wins have more than a share of all seeds, in each of several counts of seeds."""

    wins: np.ndarray  # [q]
    losses: np.ndarray  # [q]
    share: float = 0.5
    # By what the smallest e-value of the counts is divided, since they were chosen by the seeds.
    divisor: float = 1.0

    @property
    def e_value(self) -> float:
        """How far the bet is won; see `nnstudy.analysis.evidence`."""
        return float(evidence.of_share(self.wins, self.losses, self.share).min() / self.divisor)

    def least_share(self, level: float) -> float:
        """Returns a bound of the smallest share."""
        return float(evidence.least_share(self.wins, self.losses, level / self.divisor).min())


class _Counted(NamedTuple):
    """What the verdict on a claim rests on, and its evidence as text."""

    of: str  # see `Claim`
    outcomes: np.ndarray  # of the seeds, [S], see `Condition.outcome`
    holds: _Bet
    fails: _Bet
    evidence: str


def _counted(results: Results, claim: Claim) -> _Counted:
    compared = [condition.compared(results.settings_with) for condition in claim.conditions]
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
    each, pairs, told, start = [], [], [], 0
    for condition, (own, places) in zip(claim.conditions, compared, strict=True):
        pairs.append(start + np.reshape(list(places), (-1, 2)).astype(int).T)
        if not pairs[-1].size:
            raise errors.UserError(f'{condition.name!r} has no two points to compare')
        each.append(condition.outcome(*np.moveaxis(values[:, pairs[-1]], 1, 0)))
        told.append(condition.written(list(itertools.islice(texts, len(own)))))
        if len(claim.conditions) > 1 and claim.of == 'seed':
            told[-1] += f' ({(each[-1] == 1).sum():,} of {len(seeds):,})'
        start += len(own)
    outcomes = np.stack(each, axis=1)
    if claim.of == 'median':
        bets = _on_medians(values.T[np.concatenate(pairs, axis=1)])
    elif claim.of == 'some':
        wins, unknown = (
            np.sum(found, keepdims=True)
            for found in (both(outcomes) == 1, np.isnan(both(outcomes)))
        )
        rest = len(seeds) - wins
        fails = _Bet(rest - unknown, wins + unknown, share=1 - FEW)
        bets = _Bet(wins, rest, share=0.0), fails
    else:
        bets = _on_conditions(outcomes)
    return _Counted(claim.of, both(outcomes), *bets, ' | '.join(told))


def _on_conditions(outcomes: np.ndarray) -> tuple[_Bet, _Bet]:
    """Returns the bets on a claim of single seeds, from the outcomes of its conditions [S, k]."""
    wins, losses = (outcomes == 1).sum(axis=0), (outcomes == -1).sum(axis=0)
    unknown = np.isnan(outcomes).sum(axis=0)
    worst = [evidence.of_share(losses, wins + unknown).argmax()]
    fails = _Bet(losses[worst], (wins + unknown)[worst], divisor=len(wins))
    return _Bet(wins, losses + unknown), fails


def _on_medians(columns: np.ndarray) -> tuple[_Bet, _Bet]:
    """Returns the bets on a claim about medians, from both sides of its comparisons [2, K, S]."""
    n, num_pairs = columns.shape[-1], columns.shape[1]
    true, false = (
        np.array([evidence.apart(*pair) for pair in zip(*sides, strict=True)])  # [K, 2]
        for sides in (columns, columns[::-1])
    )
    worst = false[false.min(axis=1).argmax()]
    fails = _Bet(worst, n - worst, divisor=2 * num_pairs)
    return _Bet(true.ravel(), n - true.ravel(), divisor=2), fails


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


def _judged(found: _Counted, level: float) -> dict[str, Any]:
    """Returns the columns of `judge` that rest on the runs."""
    n = len(found.outcomes)
    row: dict[str, Any] = {'of': found.of, 'n': n, 'evidence': found.evidence}
    for name, outcome in (('wins', 1), ('ties', 0), ('losses', -1)):
        row[name] = int((found.outcomes == outcome).sum())
    if found.of == 'fact':
        return {**row, 'verdict': 'holds' if row['wins'] == n else 'does not hold'}
    bets = {'holds': found.holds, 'does not hold': found.fails}
    e_values = {verdict: bet.e_value for verdict, bet in bets.items()}
    likely = max(e_values, key=e_values.__getitem__)
    is_decided = e_values[likely] >= 1 / level
    row |= {'verdict': likely if is_decided else 'undecided', 'e_value': e_values[likely]}
    if found.of != 'median':  # of which there is no share
        least = {verdict: bet.least_share(level) for verdict, bet in bets.items()}
        row |= {'share_low': least['holds'], 'share_high': 1 - least['does not hold']}
        if is_decided and found.of == 'seed':
            words = (word for share, word in RELIABILITY.items() if least[likely] >= share)
            row['reliability'] = next(words, [*RELIABILITY.values()][-1])  # but for rounding
    return row if is_decided else {**row, 'seeds_needed': _needed(found, level)}


def _needed(found: _Counted, level: float) -> int | None:
    """Returns how many seeds in all would decide with a probability of `ASSURANCE`, or None.

    It is averaged over what the seeds say of each share of wins, by a uniform prior (assurance:
    O'Hagan, Stevens & Campbell 2005, Pharmaceutical Statistics 4). Ties stay as frequent.
    """
    n, rng = len(found.outcomes), np.random.default_rng(0)
    more = np.unique(np.geomspace(1, MAX_NEEDED, 100).astype(int))
    decided = np.zeros(len(more))
    for bet in (found.holds, found.fails):
        shares = rng.beta(bet.wins + 1, bet.losses + 1, size=(FUTURES, 1, len(bet.wins)))
        seen = bet.wins + bet.losses
        new = np.round(seen / n * more[:, None]).astype(int)  # [sizes, q]
        least = evidence.least_wins(seen + new, bet.share, bet.divisor / level)
        wins = rng.binomial(new, shares)
        if found.of == 'some' and bet is found.fails:  # which decides where no seed has won
            decided = np.maximum(decided, (bet.wins + new >= least).all(axis=-1))
        else:  # no future has both verdicts
            decided += (bet.wins + wins >= least).all(axis=-1).mean(axis=0)
    enough = more[decided >= ASSURANCE]
    return n + int(enough[0]) if enough.size else None
