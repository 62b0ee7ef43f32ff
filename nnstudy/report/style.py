"""The look all pictures share: colours, marks, axes, legends and notes.

Knows matplotlib only, nothing of studies.
"""

import math
import os
import pathlib
import textwrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib import axes, colors, figure, lines, ticker

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

    All of it up to 40 points, 27% at 2,000, never below 20%: in a crowd, smaller marks hide less of
    each other.
    """
    return min(1.0, max(0.2, (40 / max(1, n)) ** (1 / 3)))


def dress(panel: axes.Axes) -> axes.Axes:
    """Gives a panel its quiet frame and grid."""
    panel.spines[['top', 'right']].set_visible(False)
    panel.spines[['left', 'bottom']].set_color(GREY)
    panel.tick_params(which='both', labelsize=9, labelcolor=INK, color=GREY)
    panel.grid(color='0.92', linewidth=0.7)
    panel.set_axisbelow(True)
    panel.xaxis.label.set_color(INK)
    panel.yaxis.label.set_color(INK)
    return panel


def band(panel: axes.Axes, x: Any, values: Any, i: int, num: int, **look: Any) -> lines.Line2D:
    """Draws the median and the interquartile range of `values` [seeds, x], as line i of `num`."""
    look = {'color': VIRIDIS(0.8 * i / max(1, num - 1)), 'linestyle': DASHES[i], **look}
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    panel.fill_between(x, low, high, color=look['color'], alpha=0.15, linewidth=0)
    (line,) = panel.plot(x, median, **look)
    return line


def handle(label: str, color: Any, linestyle: Any, **style: Any) -> lines.Line2D:
    """Returns a legend's entry for a line or mark."""
    return lines.Line2D([], [], label=label, color=color, linestyle=linestyle, **style)


def legend(picture: figure.Figure, handles: list, title: str | None) -> None:
    """Puts a legend to the right of all panels, where it hides nothing."""
    legend = picture.legend(
        handles=handles,
        title=title,
        loc='outside right upper',
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
        labelcolor=INK,
        alignment='left',
        handlelength=3.2,  # so long that dashes are told apart on both sides of a marker
    )
    legend.get_title().set_color(INK)


def caption(picture: figure.Figure, title: str, notes: list[str]) -> None:
    """Sets the title above and the notes below all panels."""
    picture.suptitle(title, x=0.01, ha='left', fontsize=11, color=INK)
    width = int(14 * picture.get_figwidth())
    text = '\n'.join(textwrap.wrap(' '.join(dict.fromkeys(notes)), width))
    picture.supxlabel(text, x=0.01, ha='left', fontsize=8, color='0.35')


def save(picture: figure.Figure, path: pathlib.Path) -> None:
    """Writes a picture as PNG, whole or not at all.

    Raises:
      UserError: it cannot be written there.
    """
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


def log_y(panel: axes.Axes, low: float, high: float) -> None:
    """Gives the y-axis a log scale, with plain numbers at 1, 2 and 5 if the decades are few."""
    panel.set_yscale('log')
    if high / low < 1000:
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: labels.number(float(y))))
    panel.yaxis.set_minor_formatter(ticker.NullFormatter())


def log_ticks(scale: tuple[float, ...]) -> list[float]:
    """Returns the places to name: all values, or the powers of ten among many over decades."""
    if len(scale) <= MAX_TICKS:
        return list(scale)
    decades = range(
        math.ceil(math.log10(scale[0]) - 1e-6), math.floor(math.log10(scale[-1]) + 1e-6) + 1
    )
    if len(decades) >= 3:
        return [10.0**d for d in decades[:: math.ceil(len(decades) / MAX_TICKS)]]
    return list(scale[:: math.ceil(len(scale) / MAX_TICKS)])
