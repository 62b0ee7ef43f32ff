"""Pictures of the histograms of weights, biases and gradients in each layer, over the epochs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import figure, ticker

from nnstudy import errors
from nnstudy.report import examples, labels, style
from nnstudy.results import Results
from nnstudy.training import histograms as histograms_lib

MAX_RIDGES = 12  # the most evaluations drawn of a layer
BINS = 80
TAIL = 0.01  # share of the numbers on each side that may lie beyond the x-axis
COLUMNS = ('weights', 'gradient of weights', 'biases', 'gradient of biases')


def histograms(
    results: Results, point: int = 0, layers: Sequence[str] | None = None
) -> figure.Figure:
    """Draws histograms of the weights, biases and their gradients in each layer over the epochs.

    Every curve is the histogram at one evaluation, over all seeds of the point together. Its base
    line is at its epoch, and all have the same height. Gradients are those of one mini-batch.

    Args:
      results: of a study with `config.histograms = True`.
      point: number of the point.
      layers: names of the layers, such as `'Conv_0'`; by default all, in the order of their kinds
        and numbers.

    Raises:
      UserError: the study has no histograms, or the point or layer is not there.
    """
    runs = results.runs.loc[results.runs['point'] == point, 'run'].tolist()
    if not runs:
        raise errors.UserError(f'no point {point!r}: there are {len(results.points)}, from 0 on')
    kept = [results.histograms(run) for run in runs]
    # Summed over seeds; a run that is over has none [E, B].
    total = {
        (kind, name): np.nansum([run[kind][name] for run in kept], axis=0)
        for kind in ('params', 'grads')
        for name in kept[0][kind]
    }
    history = results.history[results.history['point'] == point]
    epochs = np.unique(history['epoch'])
    known = list(dict.fromkeys(_layer(name) for _, name in total))
    for layer in layers or ():
        if layer not in known:
            raise errors.unknown('layer', layer, known)
    rows = layers or sorted(known, key=labels.natural)

    size = 2.7 * len(COLUMNS), 1.0 + 1.9 * len(rows)
    picture, panels = style.panels(*size, len(rows), len(COLUMNS))
    for layer, row in zip(rows, panels, strict=True):
        own = [name for _, name in total if _layer(name) == layer]
        biases = [name for name in dict.fromkeys(own) if name.endswith('bias')]
        weights = [name for name in dict.fromkeys(own) if name not in biases]
        cells = [(kind, names) for names in (weights, biases) for kind in ('params', 'grads')]
        for panel, (kind, names), title in zip(row, cells, COLUMNS, strict=True):
            if not names:
                panel.set_axis_off()
                continue
            counts = np.sum([total[kind, name] for name in names], axis=0)
            _ridges(panel, counts, epochs)
            panel.set_title(f'{layer}: {title}', fontsize=8.5, color=style.INK)
    for panel in panels[:, 0]:
        panel.set_ylabel('epoch', fontsize=8.5)
    seeds = labels.count(len(runs), 'seed')
    notes = [
        f'Histograms over {seeds} together, scaled to the same height, from epoch '
        f'{labels.number(float(epochs[0]))} to {labels.number(float(epochs[-1]))}. At most '
        f'{2 * TAIL:.0%} of the numbers lie beyond an axis. Gradients: of one mini-batch.'
    ]
    what = f'Weights and gradients over the epochs, {examples.setting(results, point)}'
    style.finish(picture, what, notes)
    return picture


def _layer(name: str) -> str:
    """Returns the layer of an array: `'Dense_0'` of `'Dense_0/kernel'`."""
    return name.rpartition('/')[0] or name


def _ridges(panel: mpl_axes.Axes, counts: np.ndarray, epochs: np.ndarray) -> None:
    """Draws histograms [E, B] at their epochs [E], the later ones behind the earlier ones."""
    has = np.flatnonzero(counts.sum(axis=1) > 0)
    ends = np.linspace(0, max(0, len(has) - 1), MAX_RIDGES).round().astype(int)
    chosen = has[np.unique(ends)] if len(has) else has
    panel.tick_params(which='both', labelsize=7.5)
    if not len(chosen):
        style.say_empty(panel)
        return
    low, high = _range(counts[chosen])
    edges = np.linspace(low, high, BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    heights = histograms_lib.rebinned(counts[chosen], edges)
    heights = heights / np.maximum(heights.max(axis=1, keepdims=True), 1)
    room = (epochs[chosen[-1]] - epochs[chosen[0]]) / max(1, len(chosen) - 1) or 1.0
    for place, (i, height) in enumerate(zip(chosen, heights, strict=True)):
        base = epochs[i]
        shade = style.VIRIDIS(place / max(1, len(chosen) - 1))
        top = base + 1.8 * room * height
        order: dict[str, Any] = {'zorder': 3 + len(chosen) - place}
        panel.fill_between(middles, base, top, color=shade, alpha=0.75, linewidth=0, **order)
        panel.plot(middles, top, color='white', linewidth=0.9, **order)
        panel.plot(middles, top, color=style.INK, linewidth=0.5, **order)
    panel.xaxis.set_major_locator(ticker.MaxNLocator(4))
    panel.set_yticks(epochs[chosen[:: math.ceil(len(chosen) / 4)]])
    panel.yaxis.set_major_formatter(lambda epoch, _: labels.number(float(epoch), 2))
    panel.set_xlim(low, high)
    panel.grid(axis='y', visible=False)


def _range(counts: np.ndarray) -> tuple[float, float]:
    """Returns where the numbers of every evaluation [E, B] lie, but for their tails."""
    shares = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    edges = histograms_lib.EDGES.copy()
    edges[[0, -1]] = edges[1], edges[-2]
    low = min(edges[np.searchsorted(row, TAIL)] for row in shares)
    high = max(edges[np.searchsorted(row, 1 - TAIL) + 1] for row in shares)
    return float(low), float(high)
