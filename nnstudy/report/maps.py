"""Pictures of two swept fields at once: a metric as a heat map, and the boundary of trainability.

A cell stands for a value of each field, all cells being equally large; so a map of two sweeps with
even steps, on linear or log scales, is a picture in their units.
"""

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import colors, figure, ticker

from nnstudy import errors
from nnstudy.analysis import axes, comparison, intervals
from nnstudy.report import labels, style

# Numbers are written into cells where there are at most this many along each axis.
MAX_WRITTEN = 12
# Colours end at this many times the highest final loss of a run that did not diverge: exploding
# runs would make all others look alike.
MAX_LOSS_RATIO = 3.0
# A loss beyond this many times that of step 0 is as good as infinite.
MAX_RATIO = 1e6
# Converged runs are bright and diverged ones dark: this reads in black and white too.
_CONVERGED = ('#5aa6ad', '#fbf8d0')  # the slowest, the fastest
_DIVERGED = ('#a2431a', '#14060c')


def heat_map(
    runs: pd.DataFrame, swept: list[str], x: str, y: str, metric: str | None = None
) -> figure.Figure:
    """Draws a metric at the end of training over two swept fields: medians over seeds.

    With further swept fields, a cell is the median over the runs of all of their values, and the
    note says so. A cross marks cells half of whose runs, or more, diverged.

    Args:
      runs: a row a run.
      swept: dotted names of all swept fields.
      x: the field along the x-axis.
      y: the field along the y-axis.
      metric: a column of `runs`; the test accuracy (regression: the test loss) by default.

    Raises:
      UserError: a field is not swept, or the metric is no column of numbers.
    """
    metric = metric or f'test_{comparison.headline(runs)}'
    if metric not in runs.select_dtypes('number'):
        raise errors.unknown('metric', metric, runs.select_dtypes('number'))
    along = _axes(runs, swept, x, y)
    values = comparison.finite_or_worst(runs)[metric].to_numpy(np.float64, na_value=np.nan)
    cells = _cells(runs, along)
    count = len(along[0].values) * len(along[1].values)
    shape = len(along[1].values), len(along[0].values)
    known = np.isfinite(values)
    median = intervals.quartiles_by(cells[known], values[known], count)[:, 1].reshape(shape)
    median *= labels.scale(metric)
    notes = []
    calm = values[known & (runs['status'] != 'diverged').to_numpy()]
    if not comparison.higher_is_better(metric) and calm.size and calm.max() > 0:
        ceiling = MAX_LOSS_RATIO * calm.max()
        if (median > ceiling).any():
            notes.append(f'Cells above {labels.number(ceiling)} are drawn as it.')
            median = np.minimum(median, ceiling)
    diverged = (runs['status'] == 'diverged').to_numpy(np.float64)
    share = np.bincount(cells, diverged, count) / np.maximum(np.bincount(cells, minlength=count), 1)
    share = share.reshape(shape)

    picture = figure.Figure(figsize=(7.2, 5.2), layout='constrained')
    panel = style.dress(picture.subplots())
    panel.grid(False)
    is_log = not comparison.higher_is_better(metric) and _spans(median)
    norm = (colors.LogNorm if is_log else colors.Normalize)(np.nanmin(median), np.nanmax(median))
    # Bright is good: losses have the scale upside down.
    shades = style.VIRIDIS if comparison.higher_is_better(metric) else style.VIRIDIS.reversed()
    image = _draw(panel, median, along, cmap=shades, norm=norm)
    if max(shape) <= MAX_WRITTEN:
        for (row, column), value in np.ndenumerate(median):
            if np.isfinite(value):
                _write(panel, row, column, labels.number(float(value)), image)
    for row, column in np.argwhere(share >= 0.5).tolist():
        _mark(panel, row, column, max(shape), image)
    bar = picture.colorbar(image, ax=panel, pad=0.01, aspect=28)
    bar.set_label(labels.metric(metric), color=style.INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which='both', labelsize=9, labelcolor=style.INK, color=style.GREY)

    others = [field for field in swept if field not in (x, y)]
    sizes = np.bincount(cells, minlength=count)
    sizes = sizes[sizes > 0]
    number = f'{sizes.min()}' if sizes.min() == sizes.max() else f'{sizes.min()} to {sizes.max()}'
    noun = 'run' if sizes.max() == 1 else 'runs'
    notes.insert(0, f'Median of {number} {noun} a cell.')
    if others:
        notes.append(f'Pooled over {", ".join(others)}.')
    if (share >= 0.5).any():
        notes.append('×: half or more of the runs diverged.')
    style.caption(picture, f'Final {labels.metric(metric)}', notes)
    return picture


def convergence(history: pd.DataFrame) -> pd.Series:
    """Returns how fast each run's training loss falls, or explodes, by run.

    With v the loss relative to step 0, at most a million and so much where it is not finite: a run
    has converged if the mean of the last tenth of its evaluations is below 1; then it has 1 /
    mean(v), the larger the faster. Others have -1 / mean(1 / v), the smaller the faster. After
    Sohl-Dickstein (2024), arXiv 2402.06184, who sums over all steps.

    Args:
      history: a row a run and evaluation.
    """
    losses = history.pivot(index='run', columns='step', values='train_loss').ffill(axis=1)
    ratios = losses.to_numpy(np.float64) / losses.to_numpy(np.float64)[:, :1]
    ratios = np.clip(np.where(np.isfinite(ratios), ratios, MAX_RATIO), 1 / MAX_RATIO, MAX_RATIO)
    last = ratios[:, -max(1, ratios.shape[1] // 10) :].mean(axis=1)
    speed = np.where(last < 1, 1 / ratios.mean(axis=1), -1 / (1 / ratios).mean(axis=1))
    return pd.Series(speed, losses.index)


def trainability(
    runs: pd.DataFrame, history: pd.DataFrame, swept: list[str], x: str, y: str
) -> figure.Figure:
    """Draws which runs converge, a pixel a run, and how fast they do so or diverge.

    Within each of the two, shades follow the rank, so that they show structure at any scale.

    Args:
      runs: a row a run; one seed a point.
      history: a row a run and evaluation.
      swept: dotted names of the swept fields, two of them.
      x: the field along the x-axis.
      y: the field along the y-axis.

    Raises:
      UserError: a field is not swept, or a pixel has several runs.
    """
    along = _axes(runs, swept, x, y)
    cells = _cells(runs, along)
    shape = len(along[1].values), len(along[0].values)
    if len(np.unique(cells)) < len(cells):
        raise errors.UserError(
            f'the picture has a pixel for each run, and several have the same {x} and {y}'
        )
    speed = convergence(history).reindex(runs['run']).to_numpy()
    converged = speed > 0
    # Of runs that explode between the same evaluations, the later is the slower.
    order = np.stack([speed, runs['steps']], axis=1)
    shade = np.where(converged, _ranks(order, converged), _ranks(order, ~converged) - 1)
    image = np.full(np.prod(shape), np.nan)
    image[cells] = shade

    picture = figure.Figure(figsize=(7.4, 6.0), layout='constrained')
    panel = style.dress(picture.subplots())
    panel.grid(False)
    drawn = _draw(
        panel, image.reshape(shape), along, cmap=_two_shades(), norm=colors.Normalize(-1, 1)
    )
    bar = picture.colorbar(drawn, ax=panel, pad=0.01, aspect=28)
    bar.set_ticks(
        [-0.98, -0.04, 0.04, 0.98],
        labels=['diverges fast', 'diverges slowly', 'converges slowly', 'converges fast'],
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, labelcolor=style.INK, color=style.GREY, length=0)
    for label, is_upper in zip(bar.ax.get_yticklabels(), (False, True, False, True), strict=True):
        label.set_verticalalignment('top' if is_upper else 'bottom')
    steps = int(history['step'].max())
    notes = [
        f'{labels.count(len(runs), "run")} of {steps} steps, {int(converged.sum()):,} of which '
        'converge: they end below the loss of step 0. Shades: ranks within each of the two.'
    ]
    style.caption(picture, 'The boundary of trainability', notes)
    return picture


def _axes(runs: pd.DataFrame, swept: list[str], x: str, y: str) -> tuple[axes.Axis, axes.Axis]:
    for field in (x, y):
        if field not in swept:
            raise errors.unknown('swept field', field, swept)
    settings = axes.settings(runs, swept)
    return axes.axis(x, settings[x]), axes.axis(y, settings[y])


def _cells(runs: pd.DataFrame, along: tuple[axes.Axis, axes.Axis]) -> np.ndarray:
    """Returns the cell of each run, counted along the rows from below, int [R]."""
    settings = axes.settings(runs, [axis.field for axis in along])
    rows = settings.index.get_indexer(runs['point'])
    column, row = (
        np.array([axis.values.index(value) for value in settings[axis.field]])[rows]
        for axis in along
    )
    return row * len(along[0].values) + column


def _draw(panel: mpl_axes.Axes, values: np.ndarray, along, **look):
    """Draws cells [Y, X], and names the values of both axes."""
    image = panel.imshow(values, origin='lower', aspect='auto', interpolation='nearest', **look)
    for axis, which in zip(along, (panel.xaxis, panel.yaxis), strict=True):
        places, texts = _ticks(axis)
        which.set_ticks(places, texts)
        which.set_label_text(axis.field)
    return image


def _ticks(axis: axes.Axis) -> tuple[list[float], list[str]]:
    """Returns where along a row of cells, counted from 0, which values are named."""
    texts = labels.values(axis.values)
    if len(axis.values) <= MAX_WRITTEN or not axis.numbers:
        every = -(-len(axis.values) // MAX_WRITTEN)
        return list(range(0, len(axis.values), every)), [texts[v] for v in axis.values[::every]]
    apart, scale = len(axis.apart), np.asarray(axis.scale, np.float64)
    locator: ticker.Locator = ticker.MaxNLocator(style.MAX_TICKS)
    if axis.logarithmic:
        locator = ticker.LogLocator(subs=(1,) if scale[-1] > 999 * scale[0] else (1, 2, 5))
    named = np.array([v for v in locator.tick_values(scale[0], scale[-1]) if _place(axis, v) >= 0])
    return (
        [*range(apart), *(apart + _place(axis, v) for v in named)],
        [*(texts[v] for v in axis.apart), *(labels.number(float(v)) for v in named)],
    )


def _place(axis: axes.Axis, value: float) -> float:
    """Returns where a value lies among the cells of an axis's scale, -1 if it is off the scale."""
    scale = np.asarray(axis.scale, np.float64)
    # An end may be computed to lie a rounding error inside.
    if not scale[0] * (1 - 1e-9) <= value <= scale[-1] * (1 + 1e-9):
        return -1.0
    warp = np.log if axis.logarithmic else np.asarray
    return float(np.interp(warp(value), warp(scale), np.arange(len(scale))))


def _ranks(order: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the rank among the chosen rows of [R, 2], from 0 to 1, and 0 of the other rows."""
    ranks = np.zeros(len(order))
    _, inverse, counts = np.unique(order[chosen], axis=0, return_inverse=True, return_counts=True)
    ranks[chosen] = ((np.cumsum(counts) - counts / 2) / max(1, counts.sum()))[inverse]
    return ranks


def _two_shades() -> colors.Colormap:
    slow, fast = (colors.to_rgb(c) for c in _CONVERGED)
    drifts, explodes = (colors.to_rgb(c) for c in _DIVERGED)
    places = (0, 0.5, 0.5, 1)
    return colors.LinearSegmentedColormap.from_list(
        'trainability', list(zip(places, (explodes, drifts, slow, fast), strict=True)), N=1024
    )


def _ink(image, value: float) -> str:
    """Returns what is read on the colour of a value."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return 'black' if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else 'white'


def _write(panel: mpl_axes.Axes, row: int, column: int, text: str, image) -> None:
    value = image.get_array()[row, column]
    panel.text(column, row, text, ha='center', va='center', fontsize=8, color=_ink(image, value))


def _mark(panel: mpl_axes.Axes, row: int, column: int, longest: int, image) -> None:
    is_written = longest <= MAX_WRITTEN
    up = 0.3 if is_written else 0  # above the number
    size = 6 if is_written else max(1.0, 160 / longest)
    look = style.DIVERGED | {'markersize': size}
    color = _ink(image, image.get_array()[row, column])
    panel.plot([column], [row + up], linestyle='', color=color, **look)


def _spans(values: np.ndarray) -> bool:
    """Whether only a log scale shows all of so wide a range."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.max() > 20 * finite.min() > 0)
