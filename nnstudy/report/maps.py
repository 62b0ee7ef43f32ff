"""Pictures of two swept fields at once: a metric as a heat map.

A cell is one value of each field, and all cells have the same size. So the axes are to scale if the
values of both fields have even steps, on a linear or a log scale.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import colors, figure, image

from nnstudy import errors
from nnstudy.analysis import axes, comparison
from nnstudy.report import labels, plots, style
from nnstudy.results import Results

# Numbers are written into the cells if there are at most this many along each axis.
MAX_WRITTEN = 12


def grid(results: Results, x: str, y: str) -> tuple[axes.Axis, axes.Axis, np.ndarray]:
    """Puts every run into the cell of its values of two swept fields.

    Returns the axes of the X columns and of the Y rows, and the row, counted from below, and the
    column of each run, int `[2, R]`.

    Raises:
      UserError: a field is not swept.
    """
    for field in (x, y):
        errors.check_known('swept field', field, results.swept)
    settings = axes.settings(results.runs, [x, y])
    columns, rows = (axes.axis(field, settings[field]) for field in (x, y))
    cells = np.array([rows.positions(settings[y]), columns.positions(settings[x])])
    return columns, rows, cells[:, settings.index.get_indexer(results.runs['point'])]


def heat_map(results: Results, x: str, y: str, metric: str | None = None) -> figure.Figure:
    """Draws a metric at the end of training over two swept fields: medians over seeds.

    The metric is a column of `runs`, by default the test accuracy (regression: the test loss). If
    other fields are swept too, a cell pools all of their values, and a note says so. A cross marks
    a cell in which half or more of the runs diverged.

    Raises:
      UserError: a field is not swept, or the metric is no column of numbers.
    """
    runs = results.runs
    metric = metric or f'test_{comparison.headline(runs)}'
    errors.check_known('metric', metric, runs.select_dtypes('number'))
    columns, rows, places = grid(results, x, y)
    values = comparison.finite_or_worst(runs, results.directions)[metric] * labels.scale(metric)
    of_runs = pd.DataFrame({'value': values, 'diverged': runs['status'] == 'diverged'})
    of_cells = of_runs.astype(np.float64).groupby([*places])
    notes = [f'Median of {labels.count(of_cells.size(), "run")} a cell.']
    cells = of_cells.agg({'value': 'median', 'diverged': 'mean'})
    ceiling, is_loss = plots.loss_ceiling(results, metric), not results.higher_is_better(metric)
    if (cells['value'] > ceiling).any():
        most = labels.number(ceiling)
        notes.append(f'Values above {most} are shown as {most}.')
    cells['value'] = np.minimum(cells['value'], ceiling)
    shown = np.full((len(rows.values), len(columns.values)), np.nan)
    shown[*zip(*cells.index, strict=True)] = cells['value']

    picture, [[panel]] = style.panels(7.2, 5.2)
    norm = (colors.LogNorm if is_loss and style.spans(shown) else colors.Normalize)()
    norm.autoscale_None(shown[np.isfinite(shown)])
    # Bright is good: losses have the scale upside down.
    shades = style.VIRIDIS.reversed() if is_loss else style.VIRIDIS
    drawn = draw(panel, columns, rows, shown, shades, norm)
    is_written = max(shown.shape) <= MAX_WRITTEN
    look = style.DIVERGED | {'ms': 6 if is_written else max(1, 160 / max(shown.shape))}
    for (row, column), value, share in cells.itertuples():
        ink = _ink(drawn, value)
        if is_written and np.isfinite(value):
            text = labels.number(value)
            panel.text(column, row, text, ha='center', va='center', fontsize=8, color=ink)
        if share >= 0.5:
            above = 0.3 if is_written else 0  # the number
            panel.plot([column], [row + above], linestyle='', color=ink, **look)
    style.colour_bar(picture, drawn, panel, labels.metric(metric))
    if others := [field for field in results.swept if field not in (x, y)]:
        notes.append(f'Pooled over {", ".join(others)}.')
    if (cells['diverged'] >= 0.5).any():
        notes.append('×: half or more of the runs diverged.')
    return style.finish(picture, f'Final {labels.metric(metric)}', notes)


def draw(
    panel: mpl_axes.Axes,
    columns: axes.Axis,
    rows: axes.Axis,
    values: np.ndarray,
    shades: colors.Colormap,
    norm: colors.Normalize,
) -> image.AxesImage:
    """Draws the values of all cells `[Y, X]`, and names those of both axes; see `grid`."""
    look: dict[str, Any] = {'origin': 'lower', 'aspect': 'auto', 'interpolation': 'nearest'}
    drawn = panel.imshow(values, cmap=shades, norm=norm, **look)
    panel.grid(False)
    for axis, which in ((columns, panel.xaxis), (rows, panel.yaxis)):
        named = _ticks(axis)
        which.set_ticks([*named], labels=[*named.values()])
        which.set_label_text(axis.field)
    return drawn


def _ticks(axis: axes.Axis) -> dict[float, str]:
    """Returns the places along an axis in units of cells, from 0, and their names."""
    texts = labels.values(axis.values)
    if len(axis.values) <= MAX_WRITTEN or not axis.scale:
        every = -(-len(axis.values) // MAX_WRITTEN)
        return dict([*enumerate(texts.values())][::every])
    named, apart = style.ticks(axis), len(axis.apart)
    warp = np.log if axis.logarithmic else np.asarray
    places = np.interp(warp([*named]), warp(axis.scale), apart + np.arange(len(axis.scale)))
    names = [*(texts[value] for value in axis.apart), *named.values()]
    return dict(zip([*range(apart), *places], names, strict=True))


def _ink(drawn: image.AxesImage, value: float) -> str:
    """Returns black or white, whichever can be read on the colour of a value."""
    red, green, blue, alpha = drawn.to_rgba(np.asarray(value))
    brightness = 0.3 * red + 0.59 * green + 0.11 * blue
    return 'black' if brightness * alpha + (1 - alpha) > 0.5 else 'white'
