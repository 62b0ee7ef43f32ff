"""What is inside the nets: how weights and gradients are spread, filters and feature maps."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax import traverse_util
from matplotlib import axes as mpl_axes
from matplotlib import figure, ticker

from nnstudy import errors
from nnstudy.report import examples, labels, style
from nnstudy.results import Results
from nnstudy.results import predictions as predict
from nnstudy.training import histograms as histograms_lib

MAX_RIDGES = 12  # evaluations that are drawn of a layer
BINS = 80
TAIL = 0.01  # share of the numbers on each side that may lie beyond the x-axis
MAX_FILTERS = 64
MAX_MAPS = 8
COLUMNS = ('weights', 'gradient of weights', 'biases', 'gradient of biases')


def histograms(
    results: Results, point: int = 0, layers: Sequence[str] | None = None
) -> figure.Figure:
    """Draws how weights, biases and their gradients were spread in each layer over the epochs.

    Every curve is a histogram of the numbers of one evaluation, those of all seeds of the point
    together, and as high as its row allows; its base line stands at its epoch. Gradients are those
    of one mini-batch.

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
    rows = layers or sorted(known, key=_natural)

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
        f'Histograms of the numbers of {seeds} together, each as high as there is room, from '
        f'{labels.number(float(epochs[0]))} to {labels.number(float(epochs[-1]))} epochs. '
        f'At most {2 * TAIL:.0%} lie beyond an axis. Gradients: of one mini-batch.'
    ]
    what = f'Weights and gradients over the epochs, {examples.setting(results, point)}'
    style.finish(picture, what, notes)
    return picture


def filters(
    results: Results, point: int = 0, layer: str | None = None, which: str = 'best'
) -> figure.Figure:
    """Draws the filters of a convolution, of the net of the median seed.

    Filters of three channels are in colour, others a mean over their channels in grey; mid-grey is
    zero, and all have one scale.

    Args:
      results: of a study of a net with convolutions.
      point: number of the point.
      layer: name of the convolution, such as `'Conv_0'`; by default the first one.
      which: the parameters at the `'best'` evaluation or after the `'final'` step.

    Raises:
      UserError: there is no such point, or no such convolution.
    """
    median = examples.typical(results, point)
    kernels = _convolutions(results.params(median.run, which))
    if layer is None and kernels:
        layer = min(kernels, key=_natural)
    if layer not in kernels:
        raise errors.unknown('convolution', layer, kernels)
    kernel = kernels[layer]  # [H, W, C, F]
    height, width, channels, num = kernel.shape
    shown = kernel if channels == 3 else kernel.mean(axis=2)
    largest = float(np.abs(shown).max()) or 1.0
    tiles = np.moveaxis(shown, -1, 0)[:MAX_FILTERS]
    columns = min(8, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    picture, panels = style.panels(max(6.0, 0.9 * columns), 0.9 + 0.9 * rows, rows, columns)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, tile in zip(panels.flat, tiles, strict=False):
        style.image(panel, tile, signed=True, limit=largest)
    mean = '' if channels in (1, 3) else ' (their mean)'
    notes = [
        f'{height}x{width} weights each, {labels.count(channels, "channel")}{mean}; mid-grey 0, '
        f'black and white ±{labels.number(largest)}. The net of seed {median.seed}, the median one.'
    ]
    if num > len(tiles):
        notes.append(f'The first {len(tiles)} of {num} filters.')
    what = f'Filters of {layer}, {examples.setting(results, point)}'
    style.finish(picture, what, notes)
    return picture


def feature_maps(
    results: Results, point: int = 0, index: int = 0, split: str = 'test', which: str = 'best'
) -> figure.Figure:
    """Draws what every convolution makes of an image, before the activation.

    Args:
      results: of a study of a net with convolutions.
      point: number of the point; the net is that of its median seed.
      index: number of the image in the split.
      split: `'train'`, `'validation'` or `'test'`.
      which: the parameters at the `'best'` evaluation or after the `'final'` step.

    Raises:
      UserError: there is no such point, split or image, or the net has no convolutions.
    """
    net = predict.net(results, point)
    median = examples.typical(results, point)
    image, label = examples.image_of(net, split, index)
    maps = net.feature_maps(results.variables(median.run, which), image[None])
    rows = len(maps) + 1
    picture, panels = style.panels(1.0 + 0.95 * MAX_MAPS, 0.9 + 1.0 * rows, rows, MAX_MAPS)
    for panel in panels.flat:
        panel.set_axis_off()
    examples.draw_image(panels[0, 0], image, net)
    _name(panels[0, 0], 'image')
    cut = []
    for (layer, outputs), row in zip(maps.items(), panels[1:], strict=True):
        height, width, num = outputs.shape[1:]
        largest = float(np.abs(outputs).max())
        for panel, values in zip(row, np.moveaxis(outputs[0], -1, 0), strict=False):
            style.image(panel, values, signed=True, limit=largest)
        _name(row[0], f'{layer}\n{num} of {height}x{width}')
        cut += [layer] if num > MAX_MAPS else []
    notes = [
        'Before the activation; mid-grey is 0, and a layer has one scale. '
        f'The net of seed {median.seed}, the median one.'
    ]
    if cut:
        notes.append(f'The first {MAX_MAPS} maps of {", ".join(cut)}.')
    assert net.dataset.class_names is not None
    title = f'Feature maps of {split} image {index} ({net.dataset.class_names[label]}), '
    style.finish(picture, title + examples.setting(results, point), notes)
    return picture


def _layer(name: str) -> str:
    """Returns the layer of an array: `'Dense_0'` of `'Dense_0/kernel'`."""
    return name.rpartition('/')[0] or name


def _natural(name: str) -> list:
    """Sorts `Dense_10` after `Dense_2`."""
    return [(int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', name)]


def _convolutions(params: Mapping) -> dict[str, np.ndarray]:
    """Returns the kernels [H, W, C, F] of all convolutions by the name of the layer."""
    arrays = traverse_util.flatten_dict(params, sep='/')
    return {
        _layer(name): array
        for name, array in arrays.items()
        if name.endswith('kernel') and array.ndim == 4
    }


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


def _name(panel: mpl_axes.Axes, text: str) -> None:
    """Writes a name to the left of a panel that has no axes."""
    place: dict[str, Any] = {'transform': panel.transAxes, 'ha': 'right', 'va': 'center'}
    panel.text(-0.12, 0.5, text, fontsize=8.5, color=style.INK, **place)
