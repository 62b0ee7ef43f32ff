"""The summary of a study in the terminal: a row a point, then what may be concluded."""

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
    lines = [text.Text(line) for line in conclusions(results)]
    return console.Group(_table(results), *lines)


def _names(runs: pd.DataFrame, swept: list[str]) -> dict[int, str]:
    """Returns the name of every point in a sentence."""
    names = labels.points(runs, swept)
    return names if len(swept) == 1 else {point: f'({name})' for point, name in names.items()}


def points(results: Results, shown: Sequence[int] | None = None) -> pd.DataFrame:
    """Returns a row a point, as text: its settings, and what it reaches.

    Args:
      results: of the study.
      shown: the points, in order; None for all.

    Returns:
      A column a swept field, by its short name; the headline metric of the splits that decide,
      median [quartiles] over seeds, with line breaks in its name; and how many runs of how many
      diverged.
    """
    runs, swept = results.runs, results.swept
    summary = comparison.by_point(runs, swept).set_index('point')
    summary = summary if shown is None else summary.loc[list(shown)]
    metric = comparison.headline(runs)
    splits = ['validation', 'test'] if f'validation_{metric}' in runs else ['test']
    unit = ' (%)' if metric == 'accuracy' else ''
    names = [f'{split}_{metric}' for split in splits]
    measured = np.isfinite(runs[names].astype(np.float64)).groupby(runs['point']).any()
    texts = labels.settings(runs, swept).loc[summary.index].rename(columns=labels.short(swept))
    for split, name in zip(splits, names, strict=True):
        # Ranking counts a run without a value as the worst; a point of such runs only shows a dash.
        texts[f'{split}\n{metric}{unit}\nmedian [IQR]'] = [
            _spread(row, name) if measured.loc[point, name] else '–'
            for point, row in summary.iterrows()
        ]
    return texts.assign(
        diverged=[f'{int(row["diverged"])}/{int(row["n"])}' for _, row in summary.iterrows()]
    )


def _table(results: Results) -> rich.table.Table:
    runs, swept, best = results.runs, results.swept, comparison.best(results.runs)
    sizes = runs.groupby('point').size()
    shown, seeds = list(sizes.index), sorted(sizes.unique())
    n = str(seeds[0]) if len(seeds) == 1 else f'{seeds[0]} to {seeds[-1]}'
    title = f'{labels.count(len(shown), "point")} of {n} {"seed" if seeds == [1] else "seeds"}'
    if len(shown) > MAX_POINTS:
        shown = comparison.ranking(runs)[:SHOWN_POINTS]
        title += f': the best {len(shown)}, best first; {len(sizes) - len(shown)} are left out'
    cells = points(results, shown)
    if len(swept) == 1:
        # Broken after its dots, a long name makes no wide column.
        cells = cells.rename(columns={cells.columns[0]: swept[0].replace('.', '.\n')})
    styles: dict[Hashable, str] = {}
    if best is not None and best.point in shown and len(sizes) > 1:
        first = cells.columns[0]
        cells.loc[best.point, first] = f'* {cells.loc[best.point, first]}'
        styles[best.point] = 'bold'
    return tables.printed(cells, title, right=list(cells), styles=styles)


def _spread(row: pd.Series, metric: str) -> str:
    median, q25, q75 = (
        labels.reading(metric, row[f'{metric}_{part}']) for part in ('median', 'q25', 'q75')
    )
    return f'{median} [{q25}, {q75}]'


def conclusions(results: Results) -> list[str]:
    """Returns the sentences below the table: the best point, and which may be as good."""
    runs, history, swept = results.runs, results.history, results.swept
    best = comparison.best(runs)
    names = _names(runs, swept)
    metric = comparison.headline(runs)
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
    pruned = runs.loc[runs['status'] == 'pruned', 'point'].nunique()
    if pruned:
        lines.append(
            f'{labels.count(pruned, "point")} stopped early by halving: their values are those of '
            'their last step.'
        )
    many = len(names) > 1
    if many:
        how = 'highest' if comparison.higher_is_better(metric) else 'lowest'
        chosen = f'chosen on {best.split}: {how} median {metric}'
        if best.split == 'test':
            chosen += ' (no validation split, so its test value is optimistic)'
        row = labels.settings(runs, swept).loc[best.point]
        where = ', '.join(f'{field} = {row[field]}' for field in swept) or names[best.point]
        lines.append(f'Best point (*): {where}; {chosen}.')
    whose = 'Its' if many else 'The'
    lines.append(f'{whose} {_reached(best)}')
    diverged = int(((runs['point'] == best.point) & (runs['status'] == 'diverged')).sum())
    if diverged:
        lines.append(f'Warning: {diverged} of {whose.lower()} {best.n} runs diverged.')
    lines += [f'{whose} {line}' for line in _epoch(runs, history, best)]
    if many:
        lines.append(_not_told_apart(comparison.against(runs, best.point), names))
    for field, side in comparison.edges(runs, swept, best.point).items():
        value = labels.value(results.points[best.point][field])
        lines.append(
            f'Warning: the best lies at the {side} edge of {field} ({value}): a better value may '
            'lie beyond.'
        )
    return lines + _along_the_rate(runs, history, swept)


def _reached(best: comparison.Best) -> str:
    unit = ' %' if comparison.higher_is_better(best.metric) else ''
    low, high = (labels.reading(best.metric, bound) for bound in best.interval)
    interval = f'bootstrap 95% interval [{low}, {high}]'
    if np.isnan(best.interval[0]):
        interval = 'no interval'
    return (
        f'{best.metric.replace("_", " ")}: median {labels.reading(best.metric, best.median)}'
        f'{unit}, {interval}, n = {labels.count(best.n, "seed")}.'
    )


def _epoch(runs: pd.DataFrame, history: pd.DataFrame, best: comparison.Best) -> list[str]:
    epoch = comparison.best_epoch(runs, history, best.point)
    if np.isnan(epoch):
        return []
    last = history.loc[history['point'] == best.point, 'epoch'].max()
    return [
        f'{best.split} loss was lowest at epoch {labels.number(epoch)} '
        f'of {labels.number(float(last))} (median over seeds).'
    ]


def _not_told_apart(against: pd.DataFrame, names: dict[int, str]) -> str:
    if (against['verdict'] == 'too few seeds').all():
        n = against['n'].max()
        return (
            'Too few seeds to compare the others with it: the paired sign-flip test needs at least '
            f'{comparison.MIN_SEEDS} seeds, and there are {n}.'
        )
    test = 'paired sign-flip test over seeds, 5%, uncorrected'
    alike = [names[point] for point in against.loc[against['verdict'] == 'cannot tell', 'point']]
    few = int((against['verdict'] == 'too few seeds').sum())
    line = f'All others differ from it ({test}).'
    if alike:
        line = f'Not significantly different from it ({test}): {_listed(alike)}.'
    elif few:
        line = f'{labels.count(len(against) - few, "other point")} differ from it ({test}).'
    if few:
        line += f' Too few seeds to compare: {labels.count(few, "other point")}.'
    return line


def _along_the_rate(runs: pd.DataFrame, history: pd.DataFrame, swept: list[str]) -> list[str]:
    """Returns sentences on the sensitivity to the learning rate, one a setting of other fields."""
    rate = sensitivity.RATE
    others = [field for field in swept if field != rate]
    if rate not in swept or len(axes.settings(runs, others).map(repr).drop_duplicates()) > 100:
        return []
    table = sensitivity.by_setting(runs, history, swept)
    table = table[table['values'] >= MIN_RATES]
    if len(table) > SHOWN_NAMES:
        return []
    names = labels.short([field for field in others if table[field].map(repr).nunique() > 1])
    lines = []
    for row in table.to_dict('records'):
        setting = {name: labels.value(axes.plain(row[field])) for field, name in names.items()}
        where = ', '.join(f'{name} = {value}' for name, value in setting.items())
        line = (
            f'Learning rate{where and f" at {where}"}: on average over its {row["values"]} values, '
            f'the final loss is {labels.number(row["sensitivity"])} higher than at the best one '
            '(sensitivity; no run counts with more than its loss before training)'
        )
        if row['n']:
            low, median, high = (labels.number(row[name]) for name in ('low', 'median', 'high'))
            seeds = labels.count(row['n'] + row['outside'], 'seed')
            line += f'. Runs diverge above {median} [{low}, {high}] in {row["n"]} of {seeds}'
        lines.append(f'{line}.')
    return lines


def _listed(names: list[str]) -> str:
    more = f' and {len(names) - SHOWN_NAMES} more' if len(names) > SHOWN_NAMES else ''
    return ', '.join(names[:SHOWN_NAMES]) + more
