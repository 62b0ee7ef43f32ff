"""Pictures of predictions: the confusion matrix, misclassified images, one image with its classes.

A picture of a single net shows the net of the median seed, and says how many of the others agree.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import cm, colors, figure

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.report import labels, style
from nnstudy.results import Results
from nnstudy.results import predictions as predict
from nnstudy.training import metrics

# From white to nearly black: darker always means more.
SHADES = colors.LinearSegmentedColormap.from_list('paper', ['white', *style.VIRIDIS((0.45, 0.0))])
# Shades follow the square root, so that 5% of confusions can be seen beside 90% of correct ones.
NORM = colors.PowerNorm(0.5, 0, 100)
MAX_WRITTEN = 20  # classes of a matrix whose cells are written out
MAX_BARS = 10  # classes of an image's probabilities
COLUMNS = 5  # misclassified images in a row


def confusion(results: Results, point: int = 0, split: str = 'test') -> figure.Figure:
    """Draws the confusion matrix of the nets of a point, after their last epoch.

    On the left are numbers of examples, on the right shares of each true class, both as medians
    over seeds; the shares also with their range. The numbers are in the tables if the study has
    `config.metrics = ('confusion',)`; otherwise every run predicts the examples again.

    Args:
      results: of a study of classification.
      point: number of the point.
      split: `'train'`, `'validation'` or `'test'`.

    Raises:
      UserError: there is no such point or split, or the labels are not classes.
    """
    dataset = results.net(point).dataset
    names = dataset.class_names
    if names is None:
        raise errors.UserError(f'{dataset.name!r} has numbers to predict, not classes')
    # [R, K, K], a row of each matrix a true class
    counts = _confusions(results, point, split, len(names))
    lost = ~np.isfinite(counts).all(axis=(1, 2))
    counts = counts[~lost]
    if not len(counts):
        raise errors.UserError(f'no run of point {point} ended with finite outputs')
    with np.errstate(invalid='ignore'):
        shares = 100 * counts / counts.sum(axis=2, keepdims=True)
    is_written = len(names) <= MAX_WRITTEN
    side = 1.6 + max(0.42 * min(len(names), MAX_WRITTEN), 3.0)
    picture, (panels,) = style.panels(2 * side, side + 0.4, 1, 2)
    share = np.median(shares, axis=0)
    for panel in panels:
        _draw_matrix(panel, share, names)
    panels[0].set_ylabel('true class')
    panels[1].set_yticklabels([])
    panels[0].set_title(f'number of {split} examples', fontsize=9.5, color=style.INK)
    panels[1].set_title('share of the true class (%)', fontsize=9.5, color=style.INK)
    notes = [f'Median over {labels.count(len(counts), "seed")}.']
    if is_written:
        for panel, values in zip(panels, (np.median(counts, axis=0)[None], shares), strict=True):
            _write_cells(panel, values, share)
        notes += ['Small: from the lowest to the highest.'] if len(counts) > 1 else []
        notes.append('Shades: the share. Empty: no example.')
    else:
        shades = cm.ScalarMappable(NORM, SHADES)
        style.colour_bar(picture, shades, panels, 'share of the true class (%)')
    if lost.any():
        runs = labels.count(int(lost.sum()), 'run')
        notes.append(f'Without {runs} whose outputs are not finite.')
    style.finish(picture, f'Confusion matrix, {setting(results, point)}', notes)
    return picture


def misclassified(
    results: Results, point: int = 0, num: int = 20, split: str = 'test', which: str = 'final'
) -> figure.Figure:
    """Draws misclassified images, those with the highest confidence first.

    Args:
      results: of a study of classification of images.
      point: number of the point; the net is that of its median seed.
      num: the largest number of images.
      split: `'train'`, `'validation'` or `'test'`.
      which: the parameters after the `'final'` step or at the `'best'` evaluation.

    Raises:
      UserError: there is no such point or split, or the data are no images of classes.
    """
    net = results.net(point)
    names = _image_classes(net)
    median = typical(results, point)
    runs = _runs(results, point)
    predictions = {run: net.predict(results.variables(run, which), split) for run in runs}
    shown = predictions[median.run]
    agreeing = sum(one.classes == shown.classes for one in predictions.values())
    wrong = np.flatnonzero(shown.classes != shown.labels)
    confidence = shown.confidence
    chosen = wrong[np.argsort(-confidence[wrong], kind='stable')][:num]

    rows = max(1, -(-len(chosen) // COLUMNS))
    picture, panels = style.panels(8.2, 0.7 + 1.75 * rows, rows, COLUMNS)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, i in zip(panels.flat, chosen, strict=False):
        draw_image(panel, shown.inputs[i], net)
        seeds = f', {agreeing[i]}/{len(runs)}' if len(runs) > 1 else ''
        title = f'{names[shown.labels[i]]}\n→ {names[shown.classes[i]]}\n{confidence[i]:.0%}{seeds}'
        panel.set_title(title, fontsize=8, color=style.INK, pad=3)
    if not len(chosen):
        panels[0, 0].text(0.5, 0.5, 'no image is misclassified', ha='center', color=style.INK)
    share = len(wrong) / len(shown.labels)
    notes = [
        f'The net of seed {median.seed}, the median one, misclassifies {len(wrong):,} of '
        f'{len(shown.labels):,} images ({share:.1%}). Shown: the {len(chosen)} with the highest '
        'confidence.',
        'Above each: true class, → predicted class, confidence (softmax)'
        + (f', and how many of {len(runs)} seeds predict the same.' if len(runs) > 1 else '.'),
    ]
    style.finish(picture, f'Misclassified {split} images, {setting(results, point)}', notes)
    return picture


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
    net = results.net(point)
    names = _image_classes(net)
    picked, label = image_of(net, split, index)
    runs, median = _runs(results, point), typical(results, point)
    outputs = [np.asarray(net.apply(results.variables(run, which), picked[None])) for run in runs]
    said = predict.Predictions(picked[None], np.array([label]), np.concatenate(outputs))
    own = runs.index(median.run)
    probabilities = 100 * said.probabilities  # [R, K]
    medians = np.median(probabilities, axis=0)

    picture, [[image, bars]] = style.panels(7.4, 3.6, 1, 2, width_ratios=(1, 1.5))
    draw_image(image, picked, net)
    title = f'predicted: {names[said.classes[own]]} ({said.confidence[own]:.1%})'
    title += f'\ntrue: {names[label]}'
    image.set_title(title, fontsize=9.5, color=style.INK, loc='left')

    # The most probable classes and the true one, in the order of the classes.
    kept = np.union1d(np.argsort(-medians, kind='stable')[:MAX_BARS], [label])
    shade = [style.BLUE if k == label else '0.75' for k in kept]
    bars.barh(range(len(kept)), medians[kept], color=shade, height=0.7)
    if len(runs) > 1:
        dot = {'markeredgecolor': 'white', 'markeredgewidth': 0.5, 'alpha': 0.8}
        look = style.RUN | dot | {'color': style.INK, 'linestyle': ''}
        bars.plot(probabilities[:, kept].T, range(len(kept)), **look)
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
    what = f'{split.capitalize()} image {index}, {setting(results, point)}'
    style.finish(picture, what, notes)
    return picture


def image_of(net: predict.Net, split: str, index: int) -> tuple[np.ndarray, int]:
    """Returns an image [H, W, C] as stored, and its label.

    Raises:
      UserError: there is no such split or image, or the data are no images of classes.
    """
    _image_classes(net)
    inputs, truth = net.examples(split)
    if index not in range(len(inputs)):
        raise errors.UserError(f'no {split} image {index!r}: there are {len(inputs)}, from 0 on')
    return inputs[index], int(truth[index])


class Typical(NamedTuple):
    """The run that represents a point, and its seed."""

    run: int
    seed: int


def typical(results: Results, point: int) -> Typical:
    """Returns the run of a point whose final test metric is the median one, or just below it."""
    name = f'test_{comparison.headline(results.runs)}'
    runs = comparison.finite_or_worst(results.runs)
    runs = runs[runs['point'] == point].sort_values([name, 'run'])
    row = runs.iloc[(len(runs) - 1) // 2]
    return Typical(int(row['run']), int(row['seed']))


def _runs(results: Results, point: int) -> list[int]:
    return results.runs.loc[results.runs['point'] == point, 'run'].tolist()


def _image_classes(net: predict.Net) -> tuple[str, ...]:
    """Returns the names of the classes of images."""
    if net.dataset.class_names is None or not net.data.is_image:
        raise errors.UserError(f'{net.dataset.name!r} has no images of classes')
    return net.dataset.class_names


def _confusions(results: Results, point: int, split: str, num_classes: int) -> np.ndarray:
    """Returns the confusion matrix of every run of a point, [R, K, K]."""
    runs = results.runs[results.runs['point'] == point]
    if f'{split}_confusion_0_0' in runs:
        pairs = np.ndindex(num_classes, num_classes)
        columns = [f'{split}_confusion_{i}_{j}' for i, j in pairs]
        return runs[columns].to_numpy(np.float64).reshape(-1, num_classes, num_classes)
    net = results.net(point)
    matrices = []
    for run in runs['run']:
        said = net.predict(results.variables(run, 'final'), split)
        pair = jnp.asarray(said.outputs), jnp.asarray(said.labels)
        matrix = np.asarray(metrics.METRICS['confusion'](*pair))
        is_finite = np.isfinite(said.outputs).all()
        matrices.append(matrix if is_finite else np.full_like(matrix, np.nan))
    return np.stack(matrices).astype(np.float64)


def _draw_matrix(panel: mpl_axes.Axes, share: np.ndarray, names: tuple[str, ...]) -> None:
    """Draws the shares [K, K] of a confusion matrix as shades."""
    panel.imshow(np.nan_to_num(share), cmap=SHADES, norm=NORM)
    panel.grid(False)
    panel.spines[:].set(visible=True, color=style.GREY)
    panel.set_xticks(range(len(names)), names, rotation=45, ha='right', rotation_mode='anchor')
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(labelsize=_font_size(len(names)), length=2)
    panel.set_xlabel('predicted class')


def _write_cells(panel: mpl_axes.Axes, values: np.ndarray, share: np.ndarray) -> None:
    """Writes the median of values [R, K, K] into their cells, and below it their range."""
    size = _font_size(len(share))
    for i, j in np.ndindex(share.shape):
        cell = values[:, i, j]
        if not np.nan_to_num(cell).any():
            continue
        low, median, high = np.quantile(cell, (0, 0.5, 1))
        dark = NORM(np.nan_to_num(share[i, j])) > 0.45
        look: dict[str, Any] = {'color': 'white' if dark else style.INK, 'ha': 'center'}
        up = 0.14 if len(cell) > 1 else 0
        text = labels.number(float(median)) if len(values) == 1 else f'{median:.0f}'
        panel.text(j, i - up, text, va='center', fontsize=size - 0.5, **look)
        if len(cell) > 1:
            panel.text(j, i + 0.27, f'{low:.0f}–{high:.0f}', va='center', fontsize=size - 3, **look)


def _font_size(num_classes: int) -> float:
    return 8.5 if num_classes <= 12 else 6.5


def draw_image(panel: mpl_axes.Axes, image: np.ndarray, net: predict.Net) -> None:
    """Draws an image [H, W, C] as stored: in colour if it has three channels, else in grey."""
    shown = image if image.shape[-1] == 3 else image.astype(np.float32).mean(axis=-1)
    style.image(panel, shown, limit=net.data.max_value)


def setting(results: Results, point: int) -> str:
    """Writes the swept fields with their values at a point."""
    return labels.points(results.runs, results.swept, with_fields=True)[point] or results.name
