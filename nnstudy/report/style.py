"""The look that all pictures share: panels, colours, marks, axes, legends and notes.

Knows matplotlib only, nothing of studies. Figures are made without pyplot: no global state, no
display.
"""

import math
import os
import pathlib
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import artist, axes, cm, colorbar, colors, figure, lines, ticker

from nnstudy import errors
from nnstudy.report import labels

MAX_TICKS = 8

INK = '0.15'
GREY = '0.6'
RED = '#c8380e'
# The bright end of viridis vanishes on white paper.
VIRIDIS = colors.LinearSegmentedColormap.from_list(
    'viridis_dark', matplotlib.colormaps['viridis'](np.linspace(0, 0.92, 256))
)
BLUE = VIRIDIS(0.28)
RUN: dict[str, Any] = {
    'marker': 'o',
    'markersize': 3.6,
    'markeredgewidth': 0,
    'alpha': 0.5,
    'zorder': 3,
}
DIVERGED: dict[str, Any] = {
    'marker': 'x',
    'markersize': 4.8,
    'markeredgewidth': 1.0,
    'alpha': 0.9,
    'zorder': 4.5,
}
STAR: dict[str, Any] = {
    'marker': '*',
    'markersize': 12,
    'color': '#ffb000',
    'markeredgecolor': INK,
    'markeredgewidth': 0.8,
    'zorder': 5,
    'clip_on': False,
}
MARKERS = 'os^DvP<>ph*X'
DASHES: tuple = ('-', (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))


def size(n: int) -> float:
    """Returns the share of their usual size at which the marks and lines of `n` points are drawn.

    It is 100% up to 40 points, 27% at 2,000, and never below 20%: smaller marks hide less of each
    other.
    """
    return min(1.0, max(0.2, (40 / max(1, n)) ** (1 / 3)))


def panels(
    width: float, height: float, rows: int = 1, columns: int = 1, **subplots: Any
) -> tuple[figure.Figure, np.ndarray]:
    """Opens a figure with panels in a quiet frame and grid.

    Args:
      width: of the figure in inches.
      height: likewise.
      rows: number of rows of panels.
      columns: number of panels in a row.
      **subplots: further arguments of `Figure.subplots`, such as `sharey=True`.

    Returns:
      The figure, and its panels `[rows, columns]`.
    """
    picture = figure.Figure(figsize=(width, height), layout='constrained')
    grid = picture.subplots(rows, columns, squeeze=False, **subplots)
    for panel in grid.flat:
        panel.spines[['top', 'right']].set_visible(False)
        panel.spines[['left', 'bottom']].set_color(GREY)
        panel.tick_params(which='both', labelsize=9, labelcolor=INK, color=GREY)
        panel.grid(color='0.92', linewidth=0.7)
        panel.set_axisbelow(True)
        panel.xaxis.label.set_color(INK)
        panel.yaxis.label.set_color(INK)
    return picture, grid


def shade(i: int, num: int) -> tuple[float, ...]:
    """Returns the colour of line `i` of `num`: from dark to bright, and blue for a single one."""
    return VIRIDIS(0.85 * i / (num - 1)) if num > 1 else BLUE


def band(panel: axes.Axes, x: Any, values: Any, i: int, num: int, **look: Any) -> lines.Line2D:
    """Draws the median and the interquartile range of `values` [seeds, x], as line i of `num`."""
    look = {'color': shade(i, num), 'linestyle': DASHES[i], **look}
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    panel.fill_between(x, low, high, color=look['color'], alpha=0.15, linewidth=0)
    (line,) = panel.plot(x, median, **look)
    return line


def handle(label: str, color: Any, linestyle: Any, **style: Any) -> lines.Line2D:
    """Returns a legend's entry for a line or mark."""
    return lines.Line2D([], [], label=label, color=color, linestyle=linestyle, **style)


def finish(
    picture: figure.Figure,
    title: str,
    notes: Sequence[str] = (),
    handles: Sequence[artist.Artist] = (),
    legend_title: str | None = None,
) -> None:
    """Sets the title above all panels, the notes below, and the legend to the right.

    Args:
      picture: the figure.
      title: of the whole.
      notes: sentences; one that comes twice is set once.
      handles: the entries of the legend, which has a column of its own and so hides nothing.
      legend_title: what the entries are values of.
    """
    picture.suptitle(title, x=0.01, ha='left', fontsize=11, color=INK)
    width = int(14 * picture.get_figwidth())
    text = '\n'.join(textwrap.wrap(' '.join(dict.fromkeys(notes)), width))
    picture.supxlabel(text, x=0.01, ha='left', fontsize=8, color='0.35')
    if not handles:
        return
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


def colour_bar(
    picture: figure.Figure, image: cm.ScalarMappable, panels: Any, label: str = ''
) -> colorbar.Colorbar:
    """Draws a colour bar to the right of panels, and returns it."""
    bar = picture.colorbar(image, ax=panels, pad=0.01, aspect=28)
    bar.set_label(label, color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(which='both', labelsize=9, labelcolor=INK, color=GREY, length=3)
    return bar


def save(picture: figure.Figure, path: pathlib.Path) -> None:
    """Writes a picture as PNG, whole or not at all.

    Raises:
      UserError: it cannot be written there, or is no matplotlib figure.
    """
    if not isinstance(picture, figure.Figure):
        raise errors.UserError(f'picture {path.stem!r} must be a matplotlib Figure')
    unfinished = path.parent / f'.{path.name}.{os.getpid()}.tmp'
    try:
        picture.savefig(unfinished, format='png', dpi=200)
        unfinished.replace(path)
    except OSError as error:
        raise errors.UserError(f'cannot write {str(path)!r}: {error.strerror}') from error
    finally:
        unfinished.unlink(missing_ok=True)


def say_empty(panel: axes.Axes) -> None:
    """Writes in an empty panel why it is empty."""
    panel.text(0.5, 0.5, 'no finite value', transform=panel.transAxes, ha='center', color=INK)


def image(panel: axes.Axes, values: np.ndarray, signed: bool = False, limit: float = 0.0) -> None:
    """Draws an image [H, W] in grey or [H, W, 3] in colour, in a panel without axes.

    Args:
      panel: where to.
      values: from 0, black, to the limit, white.
      signed: whether mid-grey is 0 and black the negative limit.
      limit: by default the largest absolute value.
    """
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
    panel.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True, steps=(1, 2, 5, 10)))


def log_y(panel: axes.Axes, low: float | None = None, high: float | None = None) -> None:
    """Gives the y-axis a log scale, with plain numbers at 1, 2 and 5 if the decades are few.

    Args:
      panel: with what it shows.
      low: lower end of the axis; by default the axis shows all that is drawn.
      high: likewise the upper end.
    """
    panel.set_yscale('log')
    if low is not None:
        panel.set_ylim(low, high)
    bottom, top = panel.get_ylim()
    if top / bottom < 1000:
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: labels.number(float(y))))
    panel.yaxis.set_minor_formatter(ticker.NullFormatter())


def loss_y(shown: Iterable[axes.Axes], losses: np.ndarray, first: float, ratio: float) -> list[str]:
    """Makes the y-axis of panels one of a loss, on a log scale unless the losses differ little.

    Args:
      shown: panels, which get the same limits.
      losses: all that is drawn in them; what is not finite has no place.
      first: the highest loss of step 0.
      ratio: the axis ends at this many times `first`. Otherwise the others could not be told apart
        beside runs that explode.

    Returns:
      Notes on what was cut.
    """
    losses = losses[np.isfinite(losses)]
    if not losses.size or not first > 0 or losses.min() < 0:
        return []
    top = min(1.15 * losses.max(), ratio * first)
    # A loss of zero, or nearly so, would stretch the axis over empty decades.
    bottom = max(0.85 * losses[losses > 0].min(initial=np.inf), 1e-6 * first)
    for panel in shown:
        if top < 3 * bottom:
            panel.set_ylim(bottom, top)
        else:
            log_y(panel, bottom, top)
    if losses.max() <= ratio * first:
        return []
    return [f'A loss axis ends at {ratio:g} times the loss of step 0; curves above it are cut.']


def ticks(scale: Sequence[float], logarithmic: bool) -> list[float]:
    """Returns the places to name along rising numbers: all if there is room, else round ones.

    On a log scale, round ones are powers of ten; over fewer than three decades also 2 and 5 times
    these.
    """
    first, last = scale[0], scale[-1]
    if not logarithmic:
        if len(scale) <= MAX_TICKS and np.diff(scale).min() > 0.06 * (last - first):
            return list(scale)
        places = ticker.MaxNLocator(MAX_TICKS - 1).tick_values(first, last)
        return [float(place) for place in places if first <= place <= last]
    if len(scale) <= MAX_TICKS:
        return list(scale)
    low, high = math.floor(math.log10(first)), math.ceil(math.log10(last))
    digits = (1,) if last > 99 * first else (1, 2, 5)
    round_ones = [digit * 10.0**decade for decade in range(low, high + 1) for digit in digits]
    # An end may be computed to lie a rounding error inside.
    places = [x for x in round_ones if first * (1 - 1e-6) <= x <= last * (1 + 1e-6)]
    if len(places) < 2:
        return list(scale[:: math.ceil(len(scale) / MAX_TICKS)])
    return places[:: math.ceil(len(places) / MAX_TICKS)]
