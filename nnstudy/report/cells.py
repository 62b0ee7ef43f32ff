"""Training curves of each point of a grid: one picture each, or all side by side.

Every run is a thin line, the median over seeds a thick one. The argument `names` says how to write
the values of a field in titles, for example

    names = {'model.widths': lambda widths: f'{widths[-1]} hidden units'}
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import collections, figure

from nnstudy import errors
from nnstudy.analysis import axes, comparison
from nnstudy.report import labels, style
from nnstudy.results import Results

Names = Mapping[str, Callable[[Any], str]]

# The axis of a loss ends at this many times the loss of step 0. The factor is large, because these
# pictures show how high a run goes.
MAX_LOSS_RATIO = 1000.0
# With at least `MIN_EARLY` evaluations within the first epoch, and more than `MAX_UNZOOMED` epochs,
# the first epoch has a panel of its own.
MIN_EARLY, MAX_UNZOOMED = 5, 4
# Cells in a row, if no fields are given for the rows.
MAX_WRAPPED = 4


def each(
    results: Results,
    metric: str = 'train_loss',
    where: Mapping[str, Any] | None = None,
    names: Names | None = None,
) -> dict[str, figure.Figure]:
    """Draws a picture for each point, see `cell`.

    Args:
      results: of the study.
      metric: a metric column of the history.
      where: values of fields, which choose the points; all of them by default.
      names: how to write the values of each field of the title. By default the title has all
        fields that differ between these points, written as `learning_rate = 0.1`.

    Returns:
      Figures by the names of their files, `cell_<title>`.
    """
    points = results.points_with(where or {})
    fields = list(names or _differing(results, points))
    pictures = {}
    for point in points:
        title = ', '.join(_title(results, point, fields, names))
        slug = re.sub(r'[^\w.-]+', '_', title).strip('_') or f'point_{point}'
        pictures[f'cell_{slug}'] = cell(results, point, metric, title)
    return pictures


def cell(
    results: Results, point: int, metric: str = 'train_loss', title: str | None = None
) -> figure.Figure:
    """Draws a metric of all runs of a point against the epoch, and the first epoch in detail.

    Args:
      results: of the study.
      point: its number.
      metric: a metric column of the history.
      title: by default the swept fields that differ between points.

    Raises:
      UserError: there is no such metric.
    """
    if title is None:
        fields = _differing(results, range(len(results.points)))
        title = ', '.join(_title(results, point, fields))
    curves = _curves(results, point, metric)
    early = curves.index[(curves.index > 0) & (curves.index < 1)]
    is_zoomed = len(early) >= MIN_EARLY and curves.index[-1] > MAX_UNZOOMED
    widths = (1, 2) if is_zoomed else (1,)
    picture, (panels,) = style.panels(
        2.4 + 3.2 * len(widths), 3.8, 1, len(widths), sharey=True, width_ratios=widths
    )
    for panel in panels:
        _draw(panel, curves)
        style.epochs(panel)
    if is_zoomed:
        panels[0].set_xlim(-0.03, 1.03)
        panels[0].set_xlabel('first epoch')
    panels[0].set_ylabel(labels.metric(metric))
    style.finish(picture, title, _scale(results, panels, [curves], metric))
    return picture


def overview(
    results: Results,
    rows: Sequence[str],
    columns: Sequence[str],
    metric: str = 'train_loss',
    where: Mapping[str, Any] | None = None,
    names: Names | None = None,
) -> figure.Figure:
    """Draws the pictures of many cells side by side, with one y-axis for all.

    Args:
      results: of the study.
      rows: fields; each combination of their values is a row. Without any, the columns are
        wrapped, four in a row.
      columns: fields; each combination of their values is a column.
      metric: a metric column of the history.
      where: values of fields, which choose the points; all of them by default.
      names: how to write the values of some fields; by default as `learning_rate = 0.1`.

    Raises:
      UserError: two points are in the same place, or there is no such field or metric.
    """
    points = results.points_with(where or {})
    of_rows, of_columns = (_settings(results, points, fields) for fields in (rows, columns))
    row_keys, column_keys = (list(dict.fromkeys(keys.values())) for keys in (of_rows, of_columns))
    places: dict[tuple, int] = {}
    for point in points:
        first = places.setdefault((of_rows[point], of_columns[point]), point)
        if first != point:
            raise errors.UserError(
                f'points {first} and {point} are in the same place of the overview: name more '
                'fields in rows, columns or where'
            )
    curves = {place: _curves(results, point, metric) for place, point in places.items()}

    is_wrapped = not rows
    width = min(MAX_WRAPPED, len(column_keys)) if is_wrapped else len(column_keys)
    height = math.ceil(len(column_keys) / width) if is_wrapped else len(row_keys)
    inches = max(6.0, 1.2 + 2.5 * width), max(3.4, 1.2 + (1.9 if is_wrapped else 1.15) * height)
    share: Any = False if is_wrapped else 'col'
    picture, panels = style.panels(*inches, height, width, sharex=share, sharey=True)
    keys = itertools.product(row_keys, column_keys)
    for place, panel in itertools.zip_longest(keys, panels.flat):
        style.epochs(panel)
        panel.set_xlabel('')
        panel.tick_params(which='both', labelsize=7.5)
        if place in curves:
            _draw(panel, curves[place])
        elif place is None:
            panel.set_axis_off()
        else:
            panel.text(0.5, 0.5, 'not run', transform=panel.transAxes, ha='center', color='0.4')
    for column, panel in zip(column_keys, panels.flat if is_wrapped else panels[0], strict=False):
        point = next(p for p in points if of_columns[p] == column)
        title = '\n'.join(_title(results, point, columns, names))
        panel.set_title(title, fontsize=9, color=style.INK)
    for panel in panels[-1]:
        panel.set_xlabel('epoch', fontsize=8.5)
    for row, panel in zip(row_keys, panels[:, 0], strict=False):
        point = next(p for p in points if of_rows[p] == row)
        title = '\n'.join(_title(results, point, rows, names))
        panel.set_ylabel(title, fontsize=8.5, rotation=0, ha='right', va='center')
    notes = _scale(results, panels.flat, list(curves.values()), metric)
    cells = labels.count(len(places), 'cell')
    style.finish(picture, f'{labels.metric(metric).capitalize()} in {cells}', notes)
    return picture


def _differing(results: Results, points: Sequence[int]) -> list[str]:
    """Returns the swept fields that differ between points."""
    settings = pd.DataFrame([results.points[point] for point in points])
    return [field for field in results.swept if settings[field].map(repr).nunique() > 1]


def _title(
    results: Results, point: int, fields: Sequence[str], names: Names | None = None
) -> list[str]:
    """Returns the written values of some fields of a point."""
    values, short = results.settings(point), labels.short(fields)
    written = {field: f'{short[field]} = {labels.value(values[field])}' for field in fields}
    return [names[f](values[f]) if names and f in names else text for f, text in written.items()]


def _settings(
    results: Results, points: Sequence[int], fields: Sequence[str]
) -> dict[int, tuple[Any, ...]]:
    """Returns the values of some fields at each of the points, in the order of the points."""
    settings = {}
    for point in points:
        values = results.settings(point)
        for field in fields:
            if field not in values:
                raise errors.unknown('field of the overview', field, values)
        settings[point] = tuple(axes.plain(values[field]) for field in fields)
    return settings


def _curves(results: Results, point: int, metric: str) -> pd.DataFrame:
    """Returns a metric of the runs of a point in its unit: a row an epoch, a column a run."""
    history = results.history[results.history['point'] == point]
    if metric not in (known := comparison.metrics(history, results.directions)):
        raise errors.unknown('metric', metric, known)
    curves = history.pivot(index='epoch', columns='run', values=metric).astype(np.float64)
    return curves.where(np.isfinite(curves)) * labels.scale(metric)


def _draw(panel: mpl_axes.Axes, curves: pd.DataFrame) -> None:
    """Draws the runs of a point and their median, and a cross where one became not finite."""
    epochs, values = curves.index.to_numpy(), curves.to_numpy()
    if not np.isfinite(values).any():
        style.say_empty(panel)
        return
    size = style.size(values.shape[1])
    lines = [np.column_stack([epochs, run]) for run in values.T]
    look: dict[str, Any] = {'alpha': 0.55 * size, 'linewidths': 0.8, 'zorder': 2}
    panel.add_collection(collections.LineCollection(lines, colors=[style.BLUE], **look))
    for run in values.T[np.isnan(values[-1]) & np.isfinite(values).any(axis=0)]:
        last = np.flatnonzero(np.isfinite(run))[-1]
        panel.plot(epochs[last], run[last], color=style.RED, linestyle='', **style.DIVERGED)
    # A run without a finite value is not left out, but counts as the worst. A median that falls on
    # such a run is not drawn.
    median = np.median(np.where(np.isnan(values), np.inf, values), axis=1)
    median[~np.isfinite(median)] = np.nan
    panel.plot(epochs, median, color=style.INK, linewidth=1.7, zorder=4)
    panel.autoscale_view()


def _scale(results: Results, panels: Any, curves: list[pd.DataFrame], metric: str) -> list[str]:
    """Sets the scale of the y-axis that all panels share; returns the notes below them."""
    counts = sorted({table.shape[1] for table in curves})
    seeds = labels.count(counts[-1], 'seed')
    if len(counts) > 1:
        seeds = f'{counts[0]} to {seeds}'
    notes = [f'Thin: each of {seeds}; thick: their median.']
    if lost := sum(int(table.iloc[-1].isna().sum()) for table in curves):
        runs = labels.count(lost, 'run')
        notes.append(f'Cross: where the {metric.replace("_", " ")} of {runs} became not finite.')
    if results.higher_is_better(metric):
        return notes
    values = np.concatenate([table.to_numpy().ravel() for table in curves])
    first = max(table.iloc[0].max() for table in curves)
    return notes + style.loss_y(panels, values, first, MAX_LOSS_RATIO)
