"""Pictures of the histograms of weights, biases and gradients in each layer, over the epochs."""

import math
from typing import Any

import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import figure, ticker

from nnstudy.report import labels, style
from nnstudy.results import Results
from nnstudy.training import histograms as histograms_lib

MAX_RIDGES = 12  # the most evaluations drawn of a layer
BINS = 80
TAIL = 0.01  # share of the numbers on each side that may lie beyond the x-axis
# What each column shows: a kind of numbers, and whether they are those of biases.
COLUMNS = {
    'weights': ('params', False),
    'gradient of weights': ('grads', False),
    'biases': ('params', True),
    'gradient of biases': ('grads', True),
}


def histograms(results: Results, point: int = 0) -> figure.Figure:
    """Draws histograms of the weights, biases and their gradients in each layer over the epochs.

    Every curve is the histogram at one evaluation, over all seeds of the point together. Its base
    line is at its epoch, and all have the same height. Gradients are those of one mini-batch.
    Layers are in the order of their kinds and numbers. The study needs `config.histograms = True`.

    Raises:
      UserError: the study has no histograms, or the point is not there.
    """
    results.settings(point)  # raises the error if there is none
    own = results.only([point])
    epochs = np.unique(own.history['epoch'])
    runs = [results.histograms(run) for run in own.runs['run']]
    by_layer: dict[str, list[str]] = {}
    for name in runs[0]['params']:
        by_layer.setdefault(name.rpartition('/')[0] or name, []).append(name)
    rows = sorted(by_layer, key=labels.natural)

    size = 2.7 * len(COLUMNS), 1.0 + 1.9 * len(rows)
    picture, panels = style.panels(*size, len(rows), len(COLUMNS))
    for layer, row in zip(rows, panels, strict=True):
        for panel, (title, (kind, is_bias)) in zip(row, COLUMNS.items(), strict=True):
            names = [name for name in by_layer[layer] if name.endswith('bias') == is_bias]
            if not names:
                panel.set_axis_off()
                continue
            # A run that is over has none [E, B].
            counts = np.nansum([run[kind][name] for run in runs for name in names], axis=0)
            _ridges(panel, counts, epochs)
            panel.set_title(f'{layer}: {title}', fontsize=8.5)
    for panel in panels[:, 0]:
        panel.set_ylabel('epoch', fontsize=8.5)
    first, last = (labels.number(float(epoch)) for epoch in epochs[[0, -1]])
    note = (
        f'Histograms over {labels.count(len(runs), "seed")} together, scaled to the same height, '
        f'from epoch {first} to {last}. At most {2 * TAIL:.0%} of the numbers lie beyond an axis. '
        'Gradients: of one mini-batch.'
    )
    what = f'Weights and gradients over the epochs, {labels.setting(results, point)}'
    return style.finish(picture, what, [note])


def _ridges(panel: mpl_axes.Axes, counts: np.ndarray, epochs: np.ndarray) -> None:
    """Draws histograms [E, B] at their epochs [E], the later ones behind the earlier ones."""
    panel.tick_params(which='both', labelsize=7.5)
    has = np.flatnonzero(counts.any(axis=1))
    if not len(has):
        style.say_empty(panel)
        return
    chosen = has[np.unique(np.linspace(0, len(has) - 1, MAX_RIDGES).round().astype(int))]
    counts, epochs, num = counts[chosen], epochs[chosen], len(chosen)
    edges = np.linspace(*_range(counts), BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    heights = histograms_lib.rebinned(counts, edges)
    heights = heights / np.maximum(heights.max(axis=1, keepdims=True), 1)
    room = (epochs[-1] - epochs[0]) / max(1, num - 1) or 1.0
    for place, (base, height) in enumerate(zip(epochs, heights, strict=True)):
        shade, top = style.VIRIDIS(place / max(1, num - 1)), base + 1.8 * room * height
        order: dict[str, Any] = {'zorder': 3 + num - place}
        panel.fill_between(middles, base, top, color=shade, alpha=0.75, linewidth=0, **order)
        panel.plot(middles, top, color='white', linewidth=0.9, **order)
        panel.plot(middles, top, color=style.INK, linewidth=0.5, **order)
    panel.xaxis.set_major_locator(ticker.MaxNLocator(4))
    panel.set_yticks(epochs[:: math.ceil(num / 4)])
    panel.yaxis.set_major_formatter(lambda epoch, _: labels.number(float(epoch), 2))
    panel.set_xlim(edges[0], edges[-1])
    panel.grid(axis='y', visible=False)


def _range(counts: np.ndarray) -> tuple[float, float]:
    """Returns where the numbers of every evaluation [E, B] lie, but for their tails."""
    shares = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    edges = np.clip(histograms_lib.EDGES, *histograms_lib.EDGES[[1, -2]])
    low = min(edges[np.searchsorted(row, TAIL)] for row in shares)
    high = max(edges[np.searchsorted(row, 1 - TAIL) + 1] for row in shares)
    return float(low), float(high)
