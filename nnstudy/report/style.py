"""The look that all pictures share: panels, colours, marks, axes, legends and notes.

Figures are made without pyplot: no global state, no display.
"""

import math
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import artist, axes, cm, collections, colorbar, colors, figure, lines, ticker
from numpy.typing import ArrayLike

from nnstudy import errors
from nnstudy.analysis.axes import Axis
from nnstudy.report import labels
from nnstudy.results import files

MAX_TICKS = 8

INK = '0.15'
GREY = '0.6'
RED = '#c8380e'
# The bright end of viridis vanishes on white paper.
VIRIDIS = colors.LinearSegmentedColormap.from_list(
    'viridis_dark', matplotlib.colormaps['viridis'](np.linspace(0, 0.92, 256))
)
BLUE = VIRIDIS(0.28)
RUN: dict[str, Any] = {'marker': 'o', 'ms': 3.6, 'mew': 0, 'alpha': 0.5, 'zorder': 3}
DIVERGED: dict[str, Any] = {'marker': 'x', 'ms': 4.8, 'mew': 1, 'alpha': 0.9, 'zorder': 4.5}
STAR: dict[str, Any] = {'marker': '*', 'ms': 12, 'mew': 0.8, 'mec': INK, 'color': '#ffb000'}
STAR |= {'linestyle': '', 'zorder': 5, 'clip_on': False}
FRAME: Any = {'axes.spines.top': False, 'axes.spines.right': False, 'axes.edgecolor': GREY}
FRAME |= {'text.color': INK, 'axes.labelcolor': INK}
MARKERS = 'os^DvP<>ph*X'
DASHES: tuple = ('-', (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))


def size(n: int) -> float:
    """Returns the share of their usual size at which the marks of `n` points are drawn: smaller
    ones hide less of each other. It is 1 up to 40 points, 0.27 at 2,000, and at least 0.2."""
    return min(1.0, max(0.2, (40 / max(1, n)) ** (1 / 3)))


def panels(
    width: float, height: float, rows: int = 1, columns: int = 1, **subplots: Any
) -> tuple[figure.Figure, np.ndarray]:
    """Opens a figure with panels in a quiet frame and grid.

    Width and height are those of the figure, in inches; `subplots` are further arguments of
    `Figure.subplots`, such as `sharey=True`. Returns the figure, and its panels `[rows, columns]`.
    """
    with matplotlib.rc_context(FRAME):
        picture = figure.Figure(figsize=(width, height), layout='constrained')
        grid = picture.subplots(rows, columns, squeeze=False, **subplots)
    for panel in grid.flat:
        panel.tick_params(which='both', labelsize=9, labelcolor=INK, color=GREY)
        panel.grid(color='0.92', linewidth=0.7)
        panel.set_axisbelow(True)
    return picture, grid


def wrapped(
    num: int, columns: int, width: float, height: float, **subplots: Any
) -> tuple[figure.Figure, list[axes.Axes]]:
    """Opens a figure with `num` panels in rows of at most `columns`; see `panels`.

    Width and height are those of one panel. Returns the figure, and its panels row by row.
    """
    columns = min(columns, num)
    rows = math.ceil(num / columns)
    inches = max(6.0, width * columns), 0.9 + height * rows
    picture, grid = panels(*inches, rows, columns, **subplots)
    for panel in grid.flat[num:]:
        panel.remove()
    shown = [*grid.flat[:num]]
    for panel in shown[-columns:]:
        panel.tick_params(labelbottom=True)
    return picture, shown


def shade(i: int, num: int) -> tuple[float, ...]:
    """Returns the colour of line `i` of `num`: from dark to bright, and blue for a single one."""
    return VIRIDIS(0.85 * i / (num - 1)) if num > 1 else BLUE


def curve(panel: axes.Axes, x: ArrayLike, quartiles: ArrayLike, **look: Any) -> lines.Line2D:
    """Draws medians at `x` [X] as a line, and the interquartile range as a band behind it.

    `quartiles` [X, 3] are lower quartile, median and upper quartile; the look has a `color`.
    """
    low, median, high = np.asarray(quartiles).T
    panel.fill_between(x, low, high, color=look['color'], alpha=0.15, linewidth=0, zorder=2)
    look = {'ms': 4.5, 'markevery': max(1, len(low) // 8), 'zorder': 3, **look}
    return panel.plot(x, median, **look)[0]


def band(panel: axes.Axes, x: Any, values: Any, i: int, num: int, **look: Any) -> lines.Line2D:
    """Draws the `curve` of the quartiles of `values` [seeds, X], as line i of `num`."""
    look = {'color': shade(i, num), 'linestyle': DASHES[i], **look}
    return curve(panel, x, np.quantile(values, (0.25, 0.5, 0.75), axis=0).T, **look)


def thin(panel: axes.Axes, curves: Sequence[np.ndarray], width: float = 0.8, **look: Any) -> None:
    """Draws curves of x and y `[E, 2]`, the more of them the thinner and the more transparent.

    They are one artist, since there may be thousands. The look is that of a `LineCollection`.
    """
    share = size(len(curves))
    look = {'linewidths': width * share, 'alpha': 0.55 * share, 'zorder': 1.5, **look}
    panel.add_collection(collections.LineCollection(curves, **look))
    panel.autoscale_view()


def handle(label: str, **look: Any) -> lines.Line2D:
    """Returns a legend's entry for a line or mark."""
    return lines.Line2D([], [], label=label, **{'ms': 4.5, **look})


def finish(
    picture: figure.Figure,
    title: str,
    notes: Sequence[str] = (),
    handles: Sequence[artist.Artist] = (),
    legend_title: str | None = None,
) -> figure.Figure:
    """Sets the title above all panels, the notes below, and the legend to the right.

    A note that comes twice is set once. The legend has a column of its own and so hides nothing;
    `legend_title` is what its entries are values of. Returns the figure.
    """
    picture.suptitle(title, x=0.01, ha='left', fontsize=11, color=INK)
    width = int(14 * picture.get_figwidth())
    text = '\n'.join(textwrap.wrap(' '.join(dict.fromkeys(notes)), width))
    picture.supxlabel(text, x=0.01, ha='left', fontsize=8, color='0.35')
    if handles:
        legend = picture.legend(
            handles=handles,
            title=legend_title and '\n'.join(textwrap.wrap(legend_title, 26)),
            loc='outside right upper',
            frameon=False,
            fontsize=8.5,
            title_fontsize=8.5,
            labelcolor=INK,
            alignment='left',
            handlelength=3.2,  # so long that dashes are told apart on both sides of a marker
        )
        legend.get_title().set_color(INK)
    return picture


def colour_bar(
    picture: figure.Figure, image: cm.ScalarMappable, panels: Any, label: str = ''
) -> colorbar.Colorbar:
    """Draws a colour bar to the right of panels, and returns it."""
    bar = picture.colorbar(image, ax=panels, pad=0.01, aspect=28)
    bar.set_label(label, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which='both', labelsize=9, labelcolor=INK, color=GREY, length=3)
    return bar


def save(picture: figure.Figure, path: pathlib.Path) -> pathlib.Path:
    """Writes a picture as PNG, whole or not at all, and returns the path.

    Raises:
      UserError: it cannot be written there.
    """
    with errors.writing(path), files.whole(path) as unfinished:
        picture.savefig(unfinished, format='png', dpi=200)
    return path


def say_empty(panel: axes.Axes, why: str = 'no finite value') -> None:
    """Writes in an empty panel why it is empty."""
    panel.text(0.5, 0.5, why, transform=panel.transAxes, ha='center', color=INK)


def image(panel: axes.Axes, values: np.ndarray, signed: bool = False, limit: float = 0.0) -> None:
    """Draws an image in a panel without axes.

    It is in colour if it is [H, W, 3]; else, [H, W] or the mean over the channels, in grey. Values
    are from 0, black, to the limit, white; if they are signed, mid-grey is 0 and black the negative
    limit. The limit is by default the largest absolute value.
    """
    if values.ndim == 3 and values.shape[-1] != 3:
        values = values.mean(axis=-1, dtype=np.float32)
    limit = limit or float(np.abs(values).max()) or 1.0
    shown = 0.5 + 0.5 * values / limit if signed else values / limit
    panel.imshow(np.clip(shown, 0, 1), cmap='gray', vmin=0, vmax=1, interpolation='nearest')
    panel.set_axis_off()


def spans(values: np.ndarray) -> bool:
    """Whether values are positive and differ so much that a log scale is needed."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.max() > 20 * finite.min() > 0)


def epochs(panel: axes.Axes) -> None:
    """Makes the x-axis one of epochs, which are named in whole numbers."""
    panel.set_xlabel('epoch')
    panel.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True, steps=(1, 2, 5, 10)))


def log_y(panel: axes.Axes) -> None:
    """Gives the y-axis a log scale, with plain numbers at 1, 2 and 5 if the decades are few."""
    panel.set_yscale('log')
    bottom, top = panel.get_ylim()
    if top / bottom < 1000:
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(lambda y, _: labels.number(float(y)))
    panel.yaxis.set_minor_formatter(ticker.NullFormatter())


def loss_y(
    panels: Sequence[axes.Axes], losses: np.ndarray, first: float, ratio: float
) -> list[str]:
    """Makes the y-axis of panels one of a loss, on a log scale unless the losses differ little.

    It ends at `ratio` times the highest loss of step 0, `first`. Otherwise the others could not be
    told apart beside runs that explode. Returns notes on what was cut.
    """
    losses = losses[np.isfinite(losses)]
    if not losses.size or not first > 0 or losses.min() < 0:
        return []
    top = min(1.15 * losses.max(), ratio * first)
    # A loss of zero, or nearly so, would stretch the axis over empty decades.
    bottom = max(0.85 * losses[losses > 0].min(initial=np.inf), 1e-6 * first)
    for panel in panels:
        panel.set_ylim(bottom, top)
        if top >= 3 * bottom:
            log_y(panel)
    if losses.max() <= ratio * first:
        return []
    return [f'A loss axis ends at {ratio:g} times the loss of step 0; curves above it are cut.']


def ticks(axis: Axis) -> dict[float, str]:
    """Returns what to name along the scale of an axis: all numbers if there is room, else round
    ones, on a log scale powers of ten and, over fewer than three decades, 2 and 5 times these."""
    scale, first, last = axis.scale, axis.scale[0], axis.scale[-1]
    locator: ticker.Locator
    if axis.logarithmic:
        has_room = len(scale) <= MAX_TICKS
        digits = (1,) if last > 99 * first else (1, 2, 5)
        locator = ticker.LogLocator(subs=digits, numticks=MAX_TICKS)
    else:
        has_room = len(scale) <= MAX_TICKS and np.diff(scale).min() > 0.06 * (last - first)
        locator = ticker.MaxNLocator(MAX_TICKS - 1)
    margin = 1e-6 * abs(first)  # an end may be computed to lie a rounding error inside
    placed = locator.tick_values(first, last)
    places: Sequence[float] = [x for x in placed if first - margin <= x <= last + margin]
    if has_room or len(places) < 2:
        places = scale[:: math.ceil(len(scale) / MAX_TICKS)]
    written = labels.values(axis.values)
    return {place: written.get(place, labels.number(float(place))) for place in places}
