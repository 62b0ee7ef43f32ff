"""Columns of the history along training, a line for each point of the sweep."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import figure

from nnstudy import errors
from nnstudy.analysis import axes
from nnstudy.report import labels, style


def traces(
    history: pd.DataFrame,
    runs: pd.DataFrame,
    swept: list[str],
    columns: Sequence[str],
    x: str = 'step',
) -> figure.Figure:
    """Draws columns of the history, a panel each: medians over seeds, and every seed thinly.

    Values that are not finite have no place, and leave gaps.

    Args:
      history: a row a run and evaluation.
      runs: a row a run.
      swept: dotted names of the swept fields; few points.
      columns: such as `'sharpness'`.
      x: the column along the x-axis: `'step'`, `'epoch'`, or one that is measured.

    Raises:
      UserError: there is no such column.
    """
    for name in (x, *columns):
        if name not in history:
            raise errors.unknown('column of the history', name, history.columns)
    settings = axes.settings(runs, swept)
    shades = colours(len(settings))
    picture = figure.Figure(figsize=(2 + 4.2 * len(columns), 4.2), layout='constrained')
    panels = picture.subplots(1, len(columns), squeeze=False)[0]
    table = history.replace([np.inf, -np.inf], np.nan)
    for panel, column in zip(panels, columns, strict=True):
        style.dress(panel)
        panel.set_xlabel(labels.metric(x))
        panel.set_ylabel(labels.metric(column))
        for i, (point, color) in enumerate(zip(settings.index, shades, strict=True)):
            rows = table[table['point'] == point]
            for _, run in rows.groupby('run'):
                panel.plot(run[x], run[column], color=color, linewidth=0.6, alpha=0.35)
            median = rows.groupby('step')[list({x, column})].median(numeric_only=True)
            across = median.index if x == 'step' else median[x]
            look = {
                'markevery': max(1, len(median) // 8),
                'marker': style.MARKERS[i % len(style.MARKERS)],
            }
            panel.plot(across, median[column], color=color, markersize=4.5, linewidth=1.6, **look)
    names = [_name(settings, point) for point in settings.index]
    handles = [
        style.handle(name, color, '-', marker=style.MARKERS[i % len(style.MARKERS)], markersize=4.5)
        for i, (name, color) in enumerate(zip(names, shades, strict=True))
    ]
    style.legend(picture, handles, '\n'.join(swept) or None)
    seeds = labels.count(int(runs.groupby('point').size().max()), 'seed')
    title = ' and '.join(labels.metric(column) for column in columns)
    style.caption(
        picture,
        f'{title[0].upper()}{title[1:]} along training',
        [f'Thick: median over {seeds} a point; thin: each seed.'],
    )
    return picture


def colours(n: int) -> list[tuple]:
    """Returns the colours of the lines of `n` points, in their order."""
    return [style.VIRIDIS(0.85 * i / max(1, n - 1)) for i in range(n)]


def _name(settings: pd.DataFrame, point: int) -> str:
    return ', '.join(labels.value(value) for value in settings.loc[point]) or 'all runs'
