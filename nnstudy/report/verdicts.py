"""Claims with their verdicts, and printed numbers with their place, as tables."""

import math
from collections.abc import Sequence

import pandas as pd
from rich import box, table, text

from nnstudy.analysis import judging, references
from nnstudy.report import labels

_SIGNS = {'less': '<', 'greater': '>'}


def verdicts(judged: Sequence[judging.Verdict]) -> pd.DataFrame:
    """Returns a row a claim: its words, the verdict in words, numbers of seeds and p-value."""
    return pd.DataFrame(
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


def places(placed: Sequence[references.Placed]) -> pd.DataFrame:
    """Returns a row a printed number, and the seeds' numbers beside it."""
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


def said(verdict: judging.Verdict) -> str:
    """Writes a verdict with what it rests on: `depends on the seed (34% of 1,000)`."""
    if verdict.claim.of == 'fact':
        return f'{verdict.verdict} (a fact, of no seed)'
    share = f'{100 * verdict.share:.0f}% of {labels.count(verdict.n, "seed")}'
    if verdict.claim.of == 'median':
        share += f', {100 * verdict.resampled:.0f}% of resampled medians'
    if verdict.verdict == 'undecided':
        needed = f'; {verdict.needed:,} would do' if verdict.needed else ''
        return f'undecided ({share}{needed})'
    return f'{verdict.verdict} ({share})'


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


def claims_table(judged: Sequence[judging.Verdict]) -> table.Table:
    """Returns the verdicts, ready to be printed in a terminal."""
    rendered = _table('Claims: of single seeds, Holm-corrected over the study')
    for header in ('claim', 'statement', 'verdict'):
        rendered.add_column(header)
    for verdict in judged:
        style = {'holds': 'green', 'does not hold': 'red'}.get(verdict.verdict, 'yellow')
        rendered.add_row(
            text.Text(verdict.claim.name),
            text.Text(verdict.claim.statement),
            text.Text(said(verdict), style=style),
        )
    return rendered


def references_table(placed: Sequence[references.Placed]) -> table.Table:
    """Returns printed numbers and those of the seeds, ready to be printed in a terminal."""
    rendered = _table('Printed numbers (one seed), and those of our seeds')
    rendered.add_column('what')
    for header in ('printed', 'median [min, max]', 'seeds', 'quantile'):
        rendered.add_column(header, justify='right')
    for one in placed:
        spread = f'{number(one.median)} [{number(one.low)}, {number(one.high)}]'
        quantile = f'{one.quantile:.2f}' + ('' if one.is_covered else ' (outside)')
        printed = one.reference
        cells = printed.name, number(printed.value), spread, str(one.n), quantile
        rendered.add_row(*map(text.Text, cells))
    return rendered


def _table(title: str) -> table.Table:
    return table.Table(
        title=text.Text(title),
        title_justify='left',
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
