"""Training curves of each point of a grid: one picture each, or all side by side.

Every run is a thin line, the median over seeds a thick one. The argument `names` says how to write
the values of a field in titles, for example

    names = {'model.widths': lambda widths: f'{widths[-1]} hidden units'}
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import figure

from nnstudy import errors
from nnstudy.analysis import axes, comparison
from nnstudy.report import labels, style
from nnstudy.results import Results

Name = Callable[[Any], str]  # how a value is written

# The axis of a loss ends at this many times the loss of step 0: it shows how high a run goes.
MAX_LOSS_RATIO = 1000.0
# With at least `MIN_EARLY` evaluations within the first epoch, and more than `MAX_UNZOOMED` epochs,
# the first epoch has a panel of its own.
MIN_EARLY, MAX_UNZOOMED = 5, 4
# Cells in a row, if no fields are given for the rows.
MAX_WRAPPED = 4


def each(
    results: Results, where: Mapping[str, Any] = {}, names: Mapping[str, Name] = {}
) -> dict[str, figure.Figure]:
    """Draws a picture for each point, see `cell`, and returns them by file name: `cell_<title>`.

    Args:
      results: of the study.
      where: values of fields, which choose the points; by default all.
      names: of the fields of the title. By default these are all that differ between the points,
        written as `learning_rate = 0.1`.
    """
    points = results.points_with(where)
    settings = axes.settings(results.only(points).runs, results.swept).map(repr)
    fields = list(names) or [field for field in results.swept if settings[field].nunique() > 1]
    pictures = {}
    for point, title in _titles(results, points, fields, names, ', ').items():
        slug = re.sub(r'[^\w.-]+', '_', title).strip('_') or f'point_{point}'
        pictures[f'cell_{slug}'] = cell(results, point, title=title)
    return pictures


def cell(
    results: Results, point: int, metric: str = 'train_loss', title: str = ''
) -> figure.Figure:
    """Draws a metric of all runs of a point against the epoch, and the first epoch in detail.

    Raises:
      UserError: there is no such metric.
    """
    curves = _curves(results, point, metric)
    early = curves.index[(curves.index > 0) & (curves.index < 1)]
    is_zoomed = len(early) >= MIN_EARLY and curves.index[-1] > MAX_UNZOOMED
    widths = (1, 2) if is_zoomed else (1,)
    size = 2.4 + 3.2 * len(widths), 3.8
    picture, (panels,) = style.panels(*size, 1, len(widths), sharey=True, width_ratios=widths)
    for panel in panels:
        _draw(panel, curves)
    if is_zoomed:
        panels[0].set_xlim(-0.03, 1.03)
        panels[0].set_xlabel('first epoch')
    panels[0].set_ylabel(labels.metric(metric))
    title = title or labels.setting(results, point)
    return style.finish(picture, title, _scale(results, panels, [curves], metric))


def overview(
    results: Results,
    rows: Sequence[str],
    columns: Sequence[str],
    metric: str = 'train_loss',
    where: Mapping[str, Any] = {},
    names: Mapping[str, Name] = {},
) -> figure.Figure:
    """Draws the pictures of many cells side by side, with one y-axis for all.

    Each combination of the values of the fields `rows` is a row, and so with `columns`. Without
    `rows`, the columns are wrapped, four in a row. The other arguments are those of `each`.

    Raises:
      UserError: two points are in the same place, or there is no such field or metric.
    """
    points = results.points_with(where)
    of_rows, of_columns = (_titles(results, points, f, names, '\n') for f in (rows, columns))
    places: dict[tuple[str, str], int] = {}
    for point in points:
        first = places.setdefault((of_rows[point], of_columns[point]), point)
        if first != point:
            raise errors.UserError(
                f'points {first} and {point} are in the same place of the overview: name more '
                'fields in rows, columns or where'
            )
    row_titles, titles = (list(dict.fromkeys(of.values())) for of in (of_rows, of_columns))
    if rows:
        size = max(6.0, 1.2 + 2.5 * len(titles)), max(3.4, 1.2 + 1.15 * len(row_titles))
        shape = len(row_titles), len(titles)
        picture, grid = style.panels(*size, *shape, sharex='col', sharey=True)
        for title, panel in zip(row_titles, grid[:, 0], strict=True):
            panel.set_ylabel(title, fontsize=8.5, rotation=0, ha='right', va='center')
        panels = [*grid.flat]
    else:
        picture, panels = style.wrapped(len(titles), MAX_WRAPPED, 2.7, 2.0, sharey=True)
    curves = {place: _curves(results, point, metric) for place, point in places.items()}
    for place, panel in zip(itertools.product(row_titles, titles), panels, strict=True):
        if place in curves:
            _draw(panel, curves[place])
        else:
            style.say_empty(panel, 'not run')
        panel.tick_params(which='both', labelsize=7.5)
        if rows:
            panel.label_outer()
    for title, panel in zip(titles, panels, strict=False):
        panel.set_title(title, fontsize=9)
    notes = _scale(results, panels, list(curves.values()), metric)
    cells = labels.count(len(places), 'cell')
    return style.finish(picture, f'{labels.metric(metric).capitalize()} in {cells}', notes)


def _titles(
    results: Results,
    points: Sequence[int],
    fields: Sequence[str],
    names: Mapping[str, Name],
    separator: str,
) -> dict[int, str]:
    """Returns the written values of some fields at each of the points."""
    titles: dict[int, list[str]] = {point: [] for point in points}
    for field, short in labels.short(fields).items():
        errors.check_known('field of the overview', field, results.settings(points[0]))
        values = {point: axes.plain(results.settings(point)[field]) for point in points}
        texts = labels.values(list(dict.fromkeys(values.values())))
        for point, value in values.items():
            own = names[field](value) if field in names else f'{short} = {texts[value]}'
            titles[point].append(own)
    return {point: separator.join(written) for point, written in titles.items()}


def _curves(results: Results, point: int, metric: str) -> pd.DataFrame:
    """Returns a metric of the runs of a point in its unit: a row an epoch, a column a run."""
    history = results.history[results.history['point'] == point]
    errors.check_known('metric', metric, comparison.metrics(history, results.directions))
    curves = history.pivot(index='epoch', columns='run', values=metric).astype(np.float64)
    return curves.where(np.isfinite(curves)) * labels.scale(metric)


def _draw(panel: mpl_axes.Axes, curves: pd.DataFrame) -> None:
    """Draws the runs of a point and their median, and a cross where one became not finite."""
    style.epochs(panel)
    if curves.isna().all(axis=None):
        style.say_empty(panel)
        return
    style.thin(panel, [run.reset_index().to_numpy() for _, run in curves.items()], color=style.BLUE)
    for _, run in curves.loc[:, curves.iloc[-1].isna()].items():
        last = run.last_valid_index()
        if last is not None:
            panel.plot(last, run[last], color=style.RED, **style.DIVERGED)
    # A run without a finite value is not left out, but counts as the worst. A median that falls on
    # such a run is not drawn.
    median = curves.fillna(np.inf).median(axis=1)
    panel.plot(median.where(np.isfinite(median)), color=style.INK, linewidth=1.7, zorder=4)


def _scale(results: Results, panels: Any, curves: list[pd.DataFrame], metric: str) -> list[str]:
    """Sets the scale of the y-axis that all panels share; returns the notes below them."""
    seeds = labels.count([table.shape[1] for table in curves], 'seed')
    notes = [f'Thin: each of {seeds}; thick: their median.']
    if lost := sum(int(table.iloc[-1].isna().sum()) for table in curves):
        runs = labels.count(lost, 'run')
        notes.append(f'Cross: where the {metric.replace("_", " ")} of {runs} became not finite.')
    if results.higher_is_better(metric):
        return notes
    values = np.concatenate([table.to_numpy().ravel() for table in curves])
    first = max(table.iloc[0].max() for table in curves)
    return notes + style.loss_y(panels, values, first, MAX_LOSS_RATIO)
