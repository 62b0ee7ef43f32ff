"""Claims with their verdicts, and printed numbers with their place, as tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import table

from nnstudy.analysis import judging, references
from nnstudy.report import labels, tables

# Each verdict on a claim, and its plural.
VERDICTS = {
    'holds': 'hold',
    'does not hold': 'do not hold',
    'depends on the seed': 'depend on the seed',
    'undecided': 'undecided',
}
_SIGNS = {'less': '<', 'greater': '>'}


def verdicts(judged: Sequence[judging.Verdict]) -> pd.DataFrame:
    """Returns a row a claim: its words, the verdict in words, numbers of seeds and p-value."""
    table = pd.DataFrame(
        {
            'claim': [v.claim.name for v in judged],
            'statement': [v.claim.statement for v in judged],
            'verdict': [v.verdict for v in judged],
            'of': [v.claim.of for v in judged],
            'n': [v.n for v in judged],
            'successes': [v.successes for v in judged],
            'share_low': [v.interval[0] for v in judged],
            'share_high': [v.interval[1] for v in judged],
            'resampled_medians': [v.resampled for v in judged],
            'p_value': [v.p_value for v in judged],
            'seeds_needed': pd.array([v.needed for v in judged], 'Int64'),
            'evidence': [evidence(v) for v in judged],
        }
    )
    # So that the texts are texts where there is no claim.
    return table.astype(dict.fromkeys(('claim', 'statement', 'verdict', 'of', 'evidence'), str))


def places(placed: Sequence[references.Placed]) -> pd.DataFrame:
    """Returns a row a printed number, with the median and range of our seeds."""
    return pd.DataFrame(
        {
            'reference': [p.reference.name for p in placed],
            'printed': [p.reference.value for p in placed],
            'n': [p.n for p in placed],
            'median': [p.median for p in placed],
            'min': [p.low for p in placed],
            'max': [p.high for p in placed],
            'quantile': [p.quantile for p in placed],
        }
    )


def true_of(claim: Mapping[str, Any]) -> str:
    """Writes how many seeds a claim is true of, from a row of `verdicts`."""
    if claim['of'] == 'fact':
        return 'a fact'
    text = f'{claim["successes"]:,} of {labels.count(claim["n"], "seed")}'
    if claim['of'] == 'median':
        text += f'; {100 * claim["resampled_medians"]:.0f}% of resampled medians'
    if claim['of'] == 'some':
        text += '; one is enough'
    if claim['verdict'] == 'undecided' and pd.notna(claim['seeds_needed']):
        text += f'; {claim["seeds_needed"]:,.0f} would decide'
    return text


def claims_text(judged: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a claim, as text, from the table of `verdicts`."""
    seeds = [true_of(claim) for claim in judged.to_dict('records')]
    return judged[['claim', 'statement', 'verdict']].assign(**{'true of': seeds})


def references_text(placed: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a printed number, as text, from the table of `places`."""
    spread = placed[['median', 'min', 'max']].map(number)
    ours = spread['median'] + ' [' + spread['min'] + ', ' + spread['max'] + ']'
    outside = placed['quantile'].map(lambda q: ' (outside)' if q in (0, 1) else '')
    return pd.DataFrame(
        {
            'printed number': placed['reference'],
            'document': placed['printed'].map('{:,.10g}'.format),
            'ours: median [min, max]': ours,
            'seeds': placed['n'],
            'quantile': placed['quantile'].map('{:.2f}'.format) + outside,
        }
    )


def counted(judged: pd.DataFrame) -> str:
    """Writes how many claims have which verdict: `3 hold, 1 undecided`."""
    counts = judged['verdict'].value_counts()
    return ', '.join(
        f'{counts[one]} {one if counts[one] == 1 else several}'
        for one, several in VERDICTS.items()
        if one in counts
    )


def evidence(verdict: judging.Verdict, most: int = 4) -> str:
    """Writes the quantities of a verdict's conditions: medians over seeds, [smallest, largest]."""
    conditions = []
    for condition, sides in zip(verdict.claim.conditions, verdict.sides, strict=True):
        test, written = condition.test, [_side(side) for side in sides]
        if test in _SIGNS:
            a, b = written
            conditions.append(f'{a} {_SIGNS[test]} {b}')
            continue
        more = f', and {len(written) - most} more' if len(written) > most else ''
        conditions.append(f'{test}: {"; ".join(written[:most])}{more}')
    return ' | '.join(conditions)


def _side(side: judging.Side) -> str:
    is_number = side.label == f'{side.median:g}'
    return side.label if is_number else f'{side.label}: {_spread(side)}'


def _spread(side: judging.Side) -> str:
    if side.low == side.high:
        return number(side.median)
    return f'{number(side.median)} [{number(side.low)}, {number(side.high)}]'


def number(value: float) -> str:
    """Writes a number of a claim or a reference: four digits, counts in full."""
    if not math.isfinite(value):
        return '∞' if value > 0 else '−∞' if value < 0 else '–'
    if value == round(value) and abs(value) < 1e9:
        return f'{value:,.0f}'
    return labels.number(value, 4)


def claims_table(judged: pd.DataFrame) -> table.Table:
    """Returns the table of `verdicts`, ready to be printed in a terminal."""
    shades = {'holds': 'green', 'does not hold': 'red'}
    styles = {row: shades.get(verdict, 'yellow') for row, verdict in judged['verdict'].items()}
    title = 'Claims, judged seed by seed; corrected for the number of claims (Holm)'
    return tables.printed(claims_text(judged), title, styles=styles)


def references_table(placed: pd.DataFrame) -> table.Table:
    """Returns the table of `places`, ready to be printed in a terminal."""
    text = references_text(placed)
    return tables.printed(text, 'Numbers in the document, and those of our seeds', [*text][1:])
