"""Pictures of two swept fields at once: a metric as a heat map.

A cell is one value of each field, and all cells have the same size. So the axes are to scale if the
values of both fields have even steps, on a linear or a log scale.
"""

import dataclasses
from typing import Any

import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import colors, figure, image

from nnstudy import errors
from nnstudy.analysis import axes, comparison, intervals
from nnstudy.report import labels, plots, style
from nnstudy.results import Results

# Numbers are written into the cells if there are at most this many along each axis.
MAX_WRITTEN = 12


@dataclasses.dataclass(frozen=True)
class Grid:
    """Runs in the cells of two swept fields.

    Attributes:
      x: the axis of the columns.
      y: the axis of the rows, which are counted from below.
      cells: the cell of each run, counted row by row, int [R].
    """

    x: axes.Axis
    y: axes.Axis
    cells: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return len(self.y.values), len(self.x.values)


def grid(results: Results, x: str, y: str) -> Grid:
    """Puts every run into the cell of its values of two swept fields.

    Raises:
      UserError: a field is not swept.
    """
    for field in (x, y):
        if field not in results.swept:
            raise errors.unknown('swept field', field, results.swept)
    runs = results.runs
    settings = axes.settings(runs, [x, y])
    along = [axes.axis(field, settings[field]) for field in (x, y)]
    point = settings.index.get_indexer(runs['point'])
    column, row = (np.array(axis.positions(settings[axis.field]))[point] for axis in along)
    return Grid(along[0], along[1], row * len(along[0].values) + column)


def heat_map(results: Results, x: str, y: str, metric: str | None = None) -> figure.Figure:
    """Draws a metric at the end of training over two swept fields: medians over seeds.

    If other fields are swept too, a cell pools all of their values, and a note says so. A cross
    marks a cell in which half or more of the runs diverged.

    Args:
      results: of the study.
      x: the field along the x-axis.
      y: the field along the y-axis.
      metric: a column of `runs`; the test accuracy (regression: the test loss) by default.

    Raises:
      UserError: a field is not swept, or the metric is no column of numbers.
    """
    runs = results.runs
    metric = metric or f'test_{comparison.headline(runs)}'
    if metric not in runs.select_dtypes('number'):
        raise errors.unknown('metric', metric, runs.select_dtypes('number'))
    placed = grid(results, x, y)
    cells, count = placed.cells, placed.shape[0] * placed.shape[1]
    sizes = np.bincount(cells, minlength=count)
    filled = comparison.finite_or_worst(runs, results.directions)
    values = filled[metric].to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(values)
    median = intervals.quartiles_by(cells[known], values[known], count)[:, 1] * labels.scale(metric)
    diverged = (runs['status'] == 'diverged').to_numpy(np.float64)
    crossed = np.bincount(cells, diverged, count) >= np.maximum(0.5 * sizes, 0.5)
    number = '{} to {}'.format(*np.unique(sizes[sizes > 0])[[0, -1]])
    if sizes[sizes > 0].min() == sizes.max():
        number = f'{sizes.max()}'
    notes = [f'Median of {number} {"run" if sizes.max() == 1 else "runs"} a cell.']
    is_loss = not results.higher_is_better(metric)
    ceiling = plots.loss_ceiling(results, metric)
    if (median > ceiling).any():
        notes.append(
            f'Values above {labels.number(ceiling)} are shown as {labels.number(ceiling)}.'
        )
        median = np.minimum(median, ceiling)

    picture, [[panel]] = style.panels(7.2, 5.2)
    norm = (colors.LogNorm if is_loss and style.spans(median) else colors.Normalize)()
    norm.autoscale_None(median[np.isfinite(median)])
    # Bright is good: losses have the scale upside down.
    shades = style.VIRIDIS.reversed() if is_loss else style.VIRIDIS
    drawn = draw(panel, placed, median.reshape(placed.shape), shades, norm)
    is_written = max(placed.shape) <= MAX_WRITTEN
    look = style.DIVERGED | {'markersize': 6 if is_written else max(1, 160 / max(placed.shape))}
    for cell, value in enumerate(median):
        row, column = divmod(cell, placed.shape[1])
        ink = _ink(drawn, value)
        if is_written and np.isfinite(value):
            text = labels.number(float(value))
            panel.text(column, row, text, ha='center', va='center', fontsize=8, color=ink)
        if crossed[cell]:
            above = 0.3 if is_written else 0  # the number
            panel.plot([column], [row + above], linestyle='', color=ink, **look)
    style.colour_bar(picture, drawn, panel, labels.metric(metric))
    if others := [field for field in results.swept if field not in (x, y)]:
        notes.append(f'Pooled over {", ".join(others)}.')
    if crossed.any():
        notes.append('×: half or more of the runs diverged.')
    style.finish(picture, f'Final {labels.metric(metric)}', notes)
    return picture


def draw(
    panel: mpl_axes.Axes,
    grid: Grid,
    values: np.ndarray,
    shades: colors.Colormap,
    norm: colors.Normalize,
) -> image.AxesImage:
    """Draws the values of all cells [Y, X], and names the values of both axes."""
    look: dict[str, Any] = {'origin': 'lower', 'aspect': 'auto', 'interpolation': 'nearest'}
    drawn = panel.imshow(values, cmap=shades, norm=norm, **look)
    panel.grid(False)
    for axis, which in ((grid.x, panel.xaxis), (grid.y, panel.yaxis)):
        named = _ticks(axis)
        which.set_ticks(list(named.values()), list(named))
        which.set_label_text(axis.field)
    return drawn


def _ticks(axis: axes.Axis) -> dict[str, float]:
    """Returns the names along an axis, and their places in units of cells, from 0."""
    texts = labels.values(axis.values)
    if len(axis.values) <= MAX_WRITTEN or not axis.numbers:
        every = -(-len(axis.values) // MAX_WRITTEN)
        return {texts[v]: float(i) for i, v in [*enumerate(axis.values)][::every]}
    scale, ticks = np.asarray(axis.scale, np.float64), style.ticks(axis.scale, axis.logarithmic)
    warp = np.log if axis.logarithmic else np.asarray
    places = len(axis.apart) + np.interp(warp(ticks), warp(scale), np.arange(len(scale)))
    return {
        **{texts[v]: float(i) for i, v in enumerate(axis.apart)},
        **{texts.get(v, labels.number(v)): float(x) for v, x in zip(ticks, places, strict=True)},
    }


def _ink(drawn: image.AxesImage, value: float) -> str:
    """Returns black or white, whichever can be read on the colour of a value."""
    red, green, blue, alpha = drawn.to_rgba(np.asarray(value))
    brightness = 0.3 * red + 0.59 * green + 0.11 * blue
    return 'black' if brightness * alpha + (1 - alpha) > 0.5 else 'white'
