"""The end of a study: its tables on the screen, its claims judged, its pictures saved."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nnstudy.analysis import judging
from nnstudy.report import labels, summary, tables
from nnstudy.results import results as results_lib
from nnstudy.spec.study_file import StudyFile

# Each verdict on a claim: its plural, and its colour in a terminal.
VERDICTS = {
    'holds': ('hold', 'green'),
    'does not hold': ('do not hold', 'red'),
    'undecided': ('undecided', 'yellow'),
}


def conclude(
    results: results_lib.Results, said: StudyFile | None = None, *, is_whole: bool = True
) -> None:
    """Shows the tables of a finished study, and draws its pictures in its working directory.

    What the config file has `said` measures and draws too; its claims may be newer than those of
    the results. Unless the study `is_whole`, with all of its runs, no claim is judged.
    """
    from nnstudy.report import plots  # matplotlib takes a second, and training does not need it

    workdir, screen = results.workdir, tables.console()
    assert workdir is not None
    if said is not None:
        results = as_said(results, said)
    screen.print(summary.summarise(results))
    for name in ('references.csv', 'claims.csv'):
        (workdir / name).unlink(missing_ok=True)  # of an earlier call
    found = {}
    if results.references and is_whole:
        found['references.csv'] = placed = judging.place(results)
        text = references_text(placed)
        title = 'Numbers in the document, and those of our seeds'
        screen.print(tables.printed(text, title, right=[*text][1:]))
    if results.claims and is_whole:
        found['claims.csv'] = judged = judging.judge(results)
        title = 'Claims, judged seed by seed; the error of 5% is that of all claims together'
        styles = {row: VERDICTS[verdict][1] for row, verdict in judged['verdict'].items()}
        screen.print(tables.printed(claims_text(judged), title, styles=styles))
    for name, table in found.items():
        table.to_csv(workdir / name, index=False)
    files = ['runs.csv', 'runs.parquet', 'history.parquet', *found]
    # Pictures come last: a study that has them has been judged too.
    drawn = said.pictures(results) if said is not None and said.pictures is not None else {}
    written = plots.save(results, workdir / 'plots', drawn)
    screen.print(f'\ntables:   {workdir}/{", ".join(files)}')
    screen.print(f'pictures: {", ".join(str(path) for path in written)}')


def as_said(results: results_lib.Results, said: StudyFile) -> results_lib.Results:
    """Returns results with the claims of a config file, and what it measures."""
    results = results_lib.with_claims(results, said.claims, said.references)
    if said.measure is not None:
        results = results_lib.with_columns(results, said.measure(results))
    return results


def claims_text(judged: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a claim, as text, from the table of `judging.judge`."""
    found = judged.to_dict('records')
    told = {'verdict': [*map(verdict, found)], 'true of': [*map(true_of, found)]}
    return judged[['claim', 'statement']].assign(**told)


def verdict(claim: Mapping[str, Any]) -> str:
    """Writes the verdict on a claim, and how reliable it is: `holds, mostly`."""
    text: str = claim['verdict']
    if _is_given(claim, 'reliability'):
        text += f', {claim["reliability"]}'
    return text if claim['beforehand'] else f'{text} (worded afterwards)'


def true_of(claim: Mapping[str, Any]) -> str:
    """Writes how many seeds a claim is true of, from its row: `964 of 1,000 seeds; above 94%`."""
    if claim['of'] == 'fact':
        return 'a fact'
    text = f'{claim["wins"]:,} of {labels.count(claim["n"], "seed")}'
    if claim['ties']:
        text += f', {labels.count(claim["ties"], "tie")}'
    if claim['of'] == 'median':
        text += '; of medians'
    elif claim['of'] == 'some':
        text += '; one is enough'
    else:
        text += f'; {_share(claim)}'
    if claim['verdict'] == 'undecided' and _is_given(claim, 'seeds_needed'):
        text += f'; {claim["seeds_needed"]:,.0f} would decide (80%)'
    return text


def _share(claim: Mapping[str, Any]) -> str:
    """Writes the bound of the share of seeds that goes with a verdict, or both bounds."""
    low, high = math.floor(100 * claim['share_low']), math.ceil(100 * claim['share_high'])
    several = claim['conditions'] > 1
    whole = ' of those without a tie' if claim['ties'] else ' of all'
    if claim['verdict'] == 'holds':
        return f'{"each condition " if several else ""}at least {low}%{whole}'
    if claim['verdict'] == 'does not hold':
        return f'{"a condition " if several else ""}at most {high}%{whole}'
    return f'{"the weakest condition " if several else ""}{low} to {high}%'


def _is_given(claim: Mapping[str, Any], column: str) -> bool:
    """Whether a row has a value; an empty cell of a file is NaN."""
    return bool(pd.notna(claim.get(column)))


def counted(judged: pd.DataFrame) -> str:
    """Writes how many claims have which verdict: `3 hold, 1 undecided`."""
    counts = judged['verdict'].value_counts()
    return ', '.join(
        f'{counts[one]} {one if counts[one] == 1 else several}'
        for one, (several, _) in VERDICTS.items()
        if one in counts
    )


def references_text(placed: pd.DataFrame) -> pd.DataFrame:
    """Returns a row a printed number, as text, from the table of `judging.place`."""
    spread = placed[['median', 'min', 'max']].map(judging.number)
    ours = spread['median'] + ' [' + spread['min'] + ', ' + spread['max'] + ']'
    outside = placed['quantile'].map(lambda q: ' (outside)' if q in (0, 1) else '')
    return pd.DataFrame(
        {
            'printed number': placed['reference'],
            'document': placed['printed'].map('{:,.10g}'.format),
            'ours: median [min, max]': ours,
            'seeds': placed['n'],
            'quantile': placed['quantile'].map('{:.2f}'.format) + outside,
            'p': placed['p_value'].map('{:.2g}'.format),
        }
    )
