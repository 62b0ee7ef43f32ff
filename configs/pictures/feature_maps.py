"""Inside a net: its filters, what each convolution makes of an image, and how sure it is of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from matplotlib import figure

from nnstudy import Results, errors
from nnstudy.report import examples, labels, style
from nnstudy.results.predictions import Net, Predictions

MAX_FILTERS = 64
MAX_MAPS = 8
MAX_BARS = 10  # classes of an image's probabilities


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
    arrays = traverse_util.flatten_dict(results.params(median.run, which), sep='/')
    kernels = {
        name.removesuffix('/kernel'): array
        for name, array in arrays.items()
        if name.endswith('/kernel') and array.ndim == 4
    }
    if layer is None and kernels:
        layer = min(kernels, key=labels.natural)
    if layer not in kernels:
        raise errors.unknown('convolution', layer, kernels)
    kernel = kernels[layer]  # [H, W, C, F]
    height, width, channels, num = kernel.shape
    shown = kernel if channels == 3 else kernel.mean(axis=2)
    largest = float(np.abs(shown).max()) or 1.0
    tiles = np.moveaxis(shown, -1, 0)[:MAX_FILTERS]
    picture, panels = style.wrapped(len(tiles), 8, 0.9, 0.9)
    for panel, tile in zip(panels, tiles, strict=True):
        style.image(panel, tile, signed=True, limit=largest)
    mean = '' if channels in (1, 3) else ' (their mean)'
    notes = [
        f'{height}x{width} weights each, {labels.count(channels, "channel")}{mean}; mid-grey 0, '
        f'black and white ±{labels.number(largest)}. The net of seed {median.seed}, the median one.'
    ]
    if num > len(tiles):
        notes.append(f'The first {len(tiles)} of {num} filters.')
    what = f'Filters of {layer}, {labels.setting(results, point)}'
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
    net = results.net(point)
    median = examples.typical(results, point)
    image, label = image_of(net, split, index)
    maps = outputs_of_convolutions(net, results.variables(median.run, which), image[None])
    rows = len(maps) + 1
    picture, panels = style.panels(1.0 + 0.95 * MAX_MAPS, 0.9 + 1.0 * rows, rows, MAX_MAPS)
    for panel in panels.flat:
        panel.set_axis_off()
    style.image(panels[0, 0], image, limit=net.data.max_value)
    names, cut = ['image'], []
    for (layer, outputs), row in zip(maps.items(), panels[1:], strict=True):
        height, width, num = outputs.shape[1:]
        largest = float(np.abs(outputs).max())
        for panel, values in zip(row, np.moveaxis(outputs[0], -1, 0), strict=False):
            style.image(panel, values, signed=True, limit=largest)
        names.append(f'{layer}\n{num} of {height}x{width}')
        cut += [layer] if num > MAX_MAPS else []
    for panel, name in zip(panels[:, 0], names, strict=True):
        look = {'transform': panel.transAxes, 'ha': 'right', 'va': 'center', 'color': style.INK}
        panel.text(-0.12, 0.5, name, fontsize=8.5, **look)
    notes = [
        'Before the activation; mid-grey is 0, and a layer has one scale. '
        f'The net of seed {median.seed}, the median one.'
    ]
    if cut:
        notes.append(f'The first {MAX_MAPS} maps of {", ".join(cut)}.')
    assert net.dataset.class_names is not None
    title = f'Feature maps of {split} image {index} ({net.dataset.class_names[label]}), '
    style.finish(picture, title + labels.setting(results, point), notes)
    return picture


def outputs_of_convolutions(net: Net, variables: Any, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the output of every convolution on inputs [B, H, W, C], before the activation.

    float32 [B, H', W', F] by the name of the layer, such as `'Conv_0'`, in their order.

    Raises:
      UserError: the model has no Linen convolutions.
    """
    maps: dict[str, jax.Array] = {}

    def record(call, args, keywords, context):
        outputs = call(*args, **keywords)
        if isinstance(context.module, nn.Conv):
            maps['/'.join(context.module.path)] = outputs
        return outputs

    with nn.intercept_methods(record):
        net.model.apply(variables, net.data.normalized(jnp.asarray(inputs)), train=False)
    if not maps:
        raise errors.UserError('feature maps are of convolutions, and the model has none')
    return {name: np.asarray(outputs) for name, outputs in maps.items()}


def sample(
    results: Results, point: int = 0, index: int = 0, split: str = 'test', which: str = 'best'
) -> figure.Figure:
    """Draws an image beside the probabilities of its classes, from the nets of a point.

    Args:
      results: of a study of classification of images.
      point: number of the point.
      index: number of the image in the split.
      split: `'train'`, `'validation'` or `'test'`.
      which: the parameters at the `'best'` evaluation or after the `'final'` step.

    Raises:
      UserError: there is no such point, split or image, or the data are no images of classes.
    """
    net, median = results.net(point), examples.typical(results, point)
    names = examples.image_classes(net)
    picked, label = image_of(net, split, index)
    runs = results.only([point]).runs['run'].tolist()
    outputs = [np.asarray(net.apply(results.variables(run, which), picked[None])) for run in runs]
    said = Predictions(picked[None], np.array([label]), np.concatenate(outputs))
    own = runs.index(median.run)
    probabilities = 100 * said.probabilities  # [R, K]
    medians = np.median(probabilities, axis=0)

    picture, [[image, bars]] = style.panels(7.4, 3.6, 1, 2, width_ratios=(1, 1.5))
    style.image(image, picked, limit=net.data.max_value)
    title = f'predicted: {names[said.classes[own]]} ({said.confidence[own]:.1%})'
    image.set_title(f'{title}\ntrue: {names[label]}', fontsize=9.5, loc='left')

    # The most probable classes and the true one, in the order of the classes.
    kept = np.union1d(np.argsort(-medians, kind='stable')[:MAX_BARS], [label])
    shade = [style.BLUE if k == label else '0.75' for k in kept]
    bars.barh(range(len(kept)), medians[kept], color=shade, height=0.7)
    if len(runs) > 1:
        look = style.RUN | {'mec': 'white', 'mew': 0.5, 'alpha': 0.8}
        bars.plot(probabilities[:, kept].T, range(len(kept)), ls='', color=style.INK, **look)
    written = [f'{names[k]}  (true)' if k == label else names[k] for k in kept]
    bars.set_yticks(range(len(kept)), written)
    bars.invert_yaxis()
    bars.set_xlim(0, 100)
    bars.set_xlabel('probability, softmax of the outputs (%)')
    right = int((said.classes == label).sum())
    notes = [
        f'Correct: {right} of {labels.count(len(runs), "seed")}. On the left: the prediction of '
        f'seed {median.seed}, the median one.'
    ]
    if len(runs) > 1:
        notes.append('Bars: median over seeds; dots: each seed.')
    what = f'{split.capitalize()} image {index}, {labels.setting(results, point)}'
    return style.finish(picture, what, notes)


def image_of(net: Net, split: str, index: int) -> tuple[np.ndarray, int]:
    """Returns an image [H, W, C] as stored, and its label.

    Raises:
      UserError: there is no such split or image, or the data are no images of classes.
    """
    examples.image_classes(net)
    inputs, truth = net.examples(split)
    if index not in range(len(inputs)):
        raise errors.UserError(f'no {split} image {index!r}: there are {len(inputs)}, from 0 on')
    return inputs[index], int(truth[index])
