"""What is learnt and what of it holds on other examples: train and test curves in one picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure, ticker

from nnstudy import errors
from nnstudy.analysis import axes, comparison
from nnstudy.report import labels, plots, style
from nnstudy.results import Results

MAX_POINTS = 6
DASHES = {'train': '-', 'validation': (0, (3, 2)), 'test': (0, (3, 2))}


def curves(
    results: Results,
    where: Mapping[str, Mapping[str, Any]] | None = None,
    split: str = 'test',
    metric: str | None = None,
) -> figure.Figure:
    """Draws loss and metric of the training split and of another one over the epochs.

    Training curves are solid, the others dashed; each setting has its colour and marker.

    Args:
      results: of the study.
      where: settings by the name that they have in the legend: values of fields, which choose one
        point each. By default all points, named by their swept fields.
      split: what is beside the training split, `'test'` or `'validation'`.
      metric: what is beside the loss: the accuracy by default, of regressions the mean absolute
        error.

    Raises:
      UserError: there are more than six settings, one of them is not one point, or the split or
        metric is not in the tables.
    """
    points = _points(results, where)
    history = results.history
    metric = metric or ('accuracy' if 'test_accuracy' in history else 'mae')
    known = comparison.metrics(history)
    for name in (f'train_{metric}', f'{split}_{metric}'):
        if name not in known:
            raise errors.unknown('metric', name, known)
    history = history[history['point'].isin(points.values())]
    spread = plots.spread_over_seeds(
        history, [f'{s}_{what}' for what in ('loss', metric) for s in ('train', split)]
    )

    picture = figure.Figure(figsize=(10, 4.2), layout='constrained')
    panels = picture.subplots(1, 2)
    runs = results.runs[results.runs['point'].isin(points.values())]
    notes = [plots.spread_note(runs, 'band')]
    for panel, what in zip(panels, ('loss', metric), strict=True):
        notes += _draw(style.dress(panel), spread, list(points.values()), what, split)
    handles = [
        style.handle(name, _color(i, len(points)), '-', marker=style.MARKERS[i], markersize=4.5)
        for i, name in enumerate(points)
        if name
    ]
    handles += [style.handle(s, '0.35', DASHES[s]) for s in ('train', split)]
    style.legend(picture, handles, None)
    named = metric.replace('mae', 'MAE')
    style.caption(picture, f'Loss and {named} on training and {split} examples', notes)
    return picture


def _points(results: Results, where: Mapping[str, Mapping[str, Any]] | None) -> dict[str, int]:
    """Returns the point of every setting by name."""
    if where is None:
        names = plots.point_names(axes.settings(results.runs, results.swept))
        points = {name: point for point, name in names.items()}
    else:
        points = {}
        for name, fields in where.items():
            found = results.points_with(fields)
            if len(found) > 1:
                raise errors.UserError(f'{name!r} stands for {len(found)} points; name more fields')
            points[name] = found[0]
    if len(points) > MAX_POINTS:
        raise errors.UserError(
            f'{len(points)} points are too many for one picture of train and test curves: choose '
            f'at most {MAX_POINTS} with where'
        )
    return points


def _color(i: int, n: int) -> tuple:
    return style.BLUE if n == 1 else tuple(style.VIRIDIS(0.85 * i / (n - 1)))


def _draw(
    panel: mpl_axes.Axes, spread: pd.DataFrame, points: list[int], what: str, split: str
) -> list[str]:
    """Draws one metric of two splits; returns notes on what was cut."""
    for i, point in enumerate(points):
        rows = spread[spread['point'] == point]
        epoch, color = rows['epoch'].to_numpy(), _color(i, len(points))
        for s in ('train', split):
            q25, median, q75 = (
                rows[f'{s}_{what}_{part}'].to_numpy() for part in ('q25', 'median', 'q75')
            )
            panel.fill_between(epoch, q25, q75, color=color, alpha=0.13, linewidth=0)
            mark = {'marker': style.MARKERS[i], 'markersize': 4.5} if len(points) > 1 else {}
            every = max(1, len(epoch) // 8)
            look: dict[str, Any] = {'color': color, 'linestyle': DASHES[s], **mark}
            panel.plot(epoch, median, linewidth=1.5, markevery=every, **look)
    panel.set_xlabel('epoch')
    panel.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
    panel.set_ylabel(labels.metric(f' {what}').strip())
    if comparison.higher_is_better(what):
        return []
    # One scale for both splits, so that the gap between them is seen as it is.
    both = pd.concat(
        [
            pd.DataFrame(
                {'point': spread['point']}
                | {
                    f'both_{part}': spread[f'{s}_{what}_{part}']
                    for part in ('q25', 'median', 'q75')
                }
            )
            for s in ('train', split)
        ]
    )
    if not np.isfinite(both['both_median']).any():
        style.say_empty(panel)
        return []
    return plots.limit_loss(panel, both, 'both')
