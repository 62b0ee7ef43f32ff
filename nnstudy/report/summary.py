"""The summary of a study in the terminal: a row a point, then what may be concluded."""

import functools
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import rich.table
from rich import console, text

from nnstudy.analysis import axes, comparison, sensitivity
from nnstudy.report import labels, tables
from nnstudy.results import Results

MAX_POINTS = 40
SHOWN_POINTS = 20
SHOWN_NAMES = 10
MIN_RATES = 3  # values of the learning rate; with fewer, nothing is said of its sensitivity


def summarise(results: Results) -> console.Group:
    """Returns the summary of a study, ready for `rich.console.Console.print`."""
    return console.Group(_table(results), *map(text.Text, conclusions(results)))


def points(results: Results, shown: Sequence[int] | None = None) -> pd.DataFrame:
    """Returns a row a point, as text, for some points in this order, by default all.

    The columns are the swept fields, by their short names; the headline metric of the splits that
    decide, median [quartiles] over seeds, with line breaks in its name; and how many runs of how
    many diverged.
    """
    runs, swept = results.runs, results.swept
    summary = comparison.by_point(runs, []).set_index('point')
    summary = summary if shown is None else summary.loc[list(shown)]
    texts = labels.settings(runs, swept).loc[summary.index].rename(columns=labels.short(swept))
    metric = comparison.headline(runs)
    for split in dict.fromkeys((comparison.selection_split(runs), 'test')):
        name = f'{split}_{metric}'
        median, low, high = (
            summary[f'{name}_{part}'].map(functools.partial(labels.reading, name))
            for part in ('median', 'q25', 'q75')
        )
        # Ranking counts a run without a value as the worst; a point of such runs only shows a dash.
        measured = np.isfinite(runs[name].astype(np.float64)).groupby(runs['point']).any()
        spread = (median + ' [' + low + ', ' + high + ']').where(measured, '–')
        texts[labels.metric(f'{split}\n{metric}') + '\nmedian [IQR]'] = spread
    counts = summary[['diverged', 'n']].astype(str)
    return texts.assign(diverged=counts['diverged'] + '/' + counts['n'])


def _table(results: Results) -> rich.table.Table:
    runs, swept, best = results.runs, results.swept, comparison.best(results.runs)
    sizes = runs.groupby('point').size()
    shown = list(sizes.index)
    title = f'{labels.count(len(shown), "point")} of {labels.count(sizes, "seed")}'
    if len(shown) > MAX_POINTS:
        shown = comparison.ranking(runs)[:SHOWN_POINTS]
        title += f': the best {len(shown)}, best first; {len(sizes) - len(shown)} are left out'
    cells = points(results, shown)
    if len(swept) == 1:
        # Broken after its dots, a long name makes no wide column.
        cells = cells.rename(columns={cells.columns[0]: swept[0].replace('.', '.\n')})
    styles: dict[Hashable, str] = {}
    if best is not None and best.point in shown and len(sizes) > 1:
        cells.iloc[shown.index(best.point), 0] = f'* {cells.iloc[shown.index(best.point), 0]}'
        styles[best.point] = 'bold'
    return tables.printed(cells, title, right=list(cells), styles=styles)


def conclusions(results: Results) -> list[str]:
    """Returns the sentences below the table: the best point, and which may be as good."""
    runs, swept = results.runs, results.swept
    best, metric = comparison.best(runs), comparison.headline(runs)
    if best is None:
        split = comparison.selection_split(runs)
        return [f'No best point: no run has a finite {split} {metric}.']
    lines = []
    lost = int((~np.isfinite(runs[best.metric].astype(np.float64))).sum())
    if metric == 'accuracy' and lost:
        worst = labels.reading(best.metric, comparison.finite_or_worst(runs)[best.metric].min())
        lines.append(
            f'{labels.count(lost, "run")} without a finite {best.metric.replace("_", " ")}: '
            f'counted as the worst finite one, {worst} %.'
        )
    if pruned := runs.loc[runs['status'] == 'pruned', 'point'].nunique():
        lines.append(
            f'{labels.count(pruned, "point")} stopped early by halving: their values are those of '
            'their last step.'
        )
    settings, whose = labels.settings(runs, swept), 'The'
    if len(settings) > 1:
        whose = 'Its'
        how = 'highest' if comparison.higher_is_better(metric) else 'lowest'
        chosen = f'chosen on {best.split}: {how} median {metric}'
        if best.split == 'test':
            chosen += ' (no validation split, so its test value is optimistic)'
        where = ', '.join(f'{field} = {text}' for field, text in settings.loc[best.point].items())
        lines.append(f'Best point (*): {where}; {chosen}.')
    unit = ' %' if comparison.higher_is_better(best.metric) else ''

    def spread(median: float, interval: tuple[float, float]) -> str:
        middle, low, high = (labels.reading(best.metric, v) for v in (median, *interval))
        told = f'bootstrap 95% interval [{low}, {high}]'
        return f'{middle}{unit}, {"no interval" if np.isnan(interval[0]) else told}'

    lines.append(
        f'{whose} {best.metric.replace("_", " ")}: median '
        f'{spread(best.median, best.interval)}, n = {labels.count(best.n, "seed")}.'
    )
    if len(settings) > 1 and np.isfinite(best.cross_fitted):
        lines.append(
            'Each half of the seeds at the point that the other half chooses, as new seeds would '
            f'see it: median {spread(best.cross_fitted, best.cross_fitted_interval)}.'
        )
    if diverged := ((runs['point'] == best.point) & (runs['status'] == 'diverged')).sum():
        lines.append(f'Warning: {diverged} of {whose.lower()} {best.n} runs diverged.')
    epoch = comparison.best_epoch(runs, results.history, best.point)
    if not np.isnan(epoch):
        own = results.history['point'] == best.point
        last = labels.number(float(results.history.loc[own, 'epoch'].max()))
        lines.append(
            f'{whose} {best.split} loss was lowest at epoch {labels.number(epoch)} of {last} '
            '(median over seeds).'
        )
    if len(settings) > 1:
        names = settings.agg(', '.join, axis=1)
        names = names if len(swept) == 1 else '(' + names + ')'
        lines.append(_not_told_apart(comparison.against(runs, best.point), names))
    for field, column in axes.settings(runs, swept).items():
        if side := axes.edge(axes.axis(str(field), column), value := column[best.point]):
            lines.append(
                f'Warning: the best lies at the {side} edge of {field} ({labels.value(value)}): a '
                'better value may lie beyond.'
            )
    return lines + _along_the_rate(results)


def _not_told_apart(against: pd.DataFrame, names: pd.Series) -> str:
    """Says which points may be as good as the best one, from `comparison.against`."""
    if against.empty:
        return 'All others were stopped early, so none is compared with it.'
    few = int((against['verdict'] == 'too few seeds').sum())
    if few == len(against):
        return (
            'Too few seeds to compare the others with it: the paired sign-flip test needs at least '
            f'{comparison.MIN_SEEDS} seeds, and there are {against["n"].max()}.'
        )
    test = 'paired sign-flip test over seeds, 5% for all points together'
    alike = names[against.loc[against['verdict'] == 'cannot tell', 'point']].tolist()
    line = f'All others differ from it ({test}).'
    if alike:
        more = f' and {len(alike) - SHOWN_NAMES} more' if len(alike) > SHOWN_NAMES else ''
        line = f'Not significantly different from it ({test}): '
        line += f'{", ".join(alike[:SHOWN_NAMES])}{more}.'
    elif few:
        line = f'{labels.count(len(against) - few, "other point")} differ from it ({test}).'
    if few:
        line += f' Too few seeds to compare: {labels.count(few, "other point")}.'
    return line


def _along_the_rate(results: Results) -> list[str]:
    """Returns sentences on the sensitivity to the learning rate, one a setting of other fields."""
    runs, rate = results.runs, sensitivity.RATE
    others = [field for field in results.swept if field != rate]
    if rate not in results.swept or len(set(labels.points(runs, others).values())) > 100:
        return []
    table = sensitivity.by_setting(runs, results.history, results.swept)
    table = table[table['values'] >= MIN_RATES]
    if len(table) > SHOWN_NAMES:
        return []
    names = labels.short([field for field in others if table[field].map(repr).nunique() > 1])
    first, last = (labels.number(float(end)) for end in (runs[rate].min(), runs[rate].max()))
    lines = []
    for row in table.to_dict('records'):
        where = ', '.join(
            f'{name} = {labels.value(axes.plain(row[field]))}' for field, name in names.items()
        )
        line = (
            f'Learning rate{where and f" at {where}"}: on average over its {row["values"]} values, '
            f'the final loss is {labels.number(row["sensitivity"])} higher than at the best one '
            '(sensitivity; no run counts with more than its loss before training)'
        )
        if np.isfinite(row['low']):  # some run diverged
            median, low, high = (
                f'<{first}' if at == 0 else f'>{last}' if at == np.inf else labels.number(at)
                for at in (row['median'], row['low'], row['high'])
            )
            seeds = labels.count(row['n'], 'seed')
            line += f'. Runs begin to diverge at {median} [{low}, {high}], median of {seeds}'
        lines.append(f'{line}.')
    return lines
