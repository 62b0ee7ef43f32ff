"""Pictures of predictions: the confusion matrix, and misclassified images.

A picture of a single net shows the net of the median seed, and says how many of the others agree.
A split is `'train'`, `'validation'` or `'test'`.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import cm, colors, figure

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.report import labels, style
from nnstudy.results import Results
from nnstudy.results.predictions import Net
from nnstudy.training import metrics

# From white to nearly black: darker always means more.
SHADES = colors.LinearSegmentedColormap.from_list('paper', ['white', *style.VIRIDIS((0.45, 0.0))])
# Shades follow the square root, so that 5% of confusions can be seen beside 90% of correct ones.
NORM = colors.PowerNorm(0.5, 0, 100)
MAX_WRITTEN = 20  # classes of a matrix whose cells are written out
COLUMNS = 5  # misclassified images in a row


def confusion(results: Results, point: int = 0, split: str = 'test') -> figure.Figure:
    """Draws the confusion matrix of the nets of a point, after their last epoch.

    On the left are numbers of examples, on the right shares of each true class, both as medians
    over seeds; the shares also with their range. The numbers are in the tables if the study has
    `config.metrics = ('confusion',)`; otherwise every run predicts the examples again.

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
    side = 1.6 + max(0.42 * min(len(names), MAX_WRITTEN), 3.0)
    picture, [[left, right]] = style.panels(2 * side, side + 0.4, 1, 2)
    for panel, values in ((left, np.median(counts, axis=0)[None]), (right, shares)):
        _draw_matrix(panel, values, np.median(shares, axis=0), names)
    left.set_ylabel('true class')
    left.set_title(f'number of {split} examples', fontsize=9.5)
    right.set_yticklabels([])
    right.set_title('share of the true class (%)', fontsize=9.5)
    notes = [f'Median over {labels.count(len(counts), "seed")}.']
    if len(names) > MAX_WRITTEN:
        shades = cm.ScalarMappable(NORM, SHADES)
        style.colour_bar(picture, shades, [left, right], 'share of the true class (%)')
    else:
        notes += ['Small: from the lowest to the highest.'] if len(counts) > 1 else []
        notes.append('Shades: the share. Empty: no example.')
    if lost.any():
        notes.append(f'Without {labels.count(lost.sum(), "run")} whose outputs are not finite.')
    return style.finish(picture, f'Confusion matrix, {labels.setting(results, point)}', notes)


def misclassified(
    results: Results, point: int = 0, num: int = 20, split: str = 'test', which: str = 'final'
) -> figure.Figure:
    """Draws `num` misclassified images at most, those with the highest confidence first.

    The net is that of the point's median seed, with the parameters after the `'final'` step or at
    the `'best'` evaluation.

    Raises:
      UserError: there is no such point or split, or the data are no images of classes.
    """
    net = results.net(point)
    names, median = image_classes(net), typical(results, point)
    runs = results.only([point]).runs['run']
    predictions = {run: net.predict(results.variables(run, which), split) for run in runs}
    shown = predictions[median.run]
    agreeing = sum(one.classes == shown.classes for one in predictions.values())
    wrong, confidence = np.flatnonzero(shown.classes != shown.labels), shown.confidence
    chosen = wrong[np.argsort(-confidence[wrong], kind='stable')][:num]

    picture, panels = style.wrapped(max(1, len(chosen)), COLUMNS, 1.64, 1.75)
    if not len(chosen):
        panels[0].set_axis_off()
        style.say_empty(panels[0], 'no image is misclassified')
    for panel, i in zip(panels, chosen, strict=False):
        style.image(panel, shown.inputs[i], limit=net.data.max_value)
        seeds = f', {agreeing[i]}/{len(runs)}' if len(runs) > 1 else ''
        title = f'{names[shown.labels[i]]}\n→ {names[shown.classes[i]]}\n{confidence[i]:.0%}{seeds}'
        panel.set_title(title, fontsize=8, pad=3)
    share = len(wrong) / len(shown.labels)
    notes = [
        f'The net of seed {median.seed}, the median one, misclassifies {len(wrong):,} of '
        f'{len(shown.labels):,} images ({share:.1%}). Shown: the {len(chosen)} with the highest '
        'confidence.',
        'Above each: true class, → predicted class, confidence (softmax)'
        + (f', and how many of {len(runs)} seeds predict the same.' if len(runs) > 1 else '.'),
    ]
    return style.finish(
        picture, f'Misclassified {split} images, {labels.setting(results, point)}', notes
    )


def typical(results: Results, point: int) -> Any:
    """Returns `run` and `seed` of the run whose final test metric is the point's median one, or
    just below it."""
    name = f'test_{comparison.headline(results.runs)}'
    runs = comparison.finite_or_worst(results.runs)
    runs = runs[runs['point'] == point].sort_values([name, 'run'])
    return [*runs[['run', 'seed']].itertuples(index=False)][(len(runs) - 1) // 2]


def image_classes(net: Net) -> tuple[str, ...]:
    """Returns the names of the classes of images; raises UserError for other data."""
    if net.dataset.class_names is None or not net.data.is_image:
        raise errors.UserError(f'{net.dataset.name!r} has no images of classes')
    return net.dataset.class_names


def _confusions(results: Results, point: int, split: str, num_classes: int) -> np.ndarray:
    """Returns the confusion matrix of every run of a point, [R, K, K]."""
    runs = results.only([point]).runs
    shape = len(runs), num_classes, num_classes
    if f'{split}_confusion_0_0' in runs:
        columns = [f'{split}_confusion_{i}_{j}' for i, j in np.ndindex(shape[1:])]
        return runs[columns].to_numpy(np.float64).reshape(shape)
    net, matrices = results.net(point), np.full(shape, np.nan)
    for matrix, run in zip(matrices, runs['run'], strict=True):
        said = net.predict(results.variables(run, 'final'), split)
        if np.isfinite(said.outputs).all():
            pair = jnp.asarray(said.outputs), jnp.asarray(said.labels)
            matrix[:] = metrics.METRICS['confusion'](*pair)
    return matrices


def _draw_matrix(
    panel: mpl_axes.Axes, values: np.ndarray, share: np.ndarray, names: tuple[str, ...]
) -> None:
    """Draws the shares [K, K] of a confusion matrix as shades.

    Of few classes, the median of `values` [R, K, K] is written into each cell, and below it their
    range.
    """
    panel.imshow(np.nan_to_num(share), cmap=SHADES, norm=NORM)
    panel.grid(False)
    panel.spines[:].set(visible=True, color=style.GREY)
    size = 8.5 if len(names) <= 12 else 6.5
    panel.set_xticks(range(len(names)), names, rotation=45, ha='right', rotation_mode='anchor')
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(labelsize=size, length=2)
    panel.set_xlabel('predicted class')
    for i, j in np.ndindex(share.shape if len(names) <= MAX_WRITTEN else (0, 0)):
        low, median, high = np.quantile(values[:, i, j], (0, 0.5, 1))
        if not high > 0:
            continue
        color = 'white' if NORM(share[i, j]) > 0.45 else style.INK
        look: dict[str, Any] = {'color': color, 'ha': 'center', 'va': 'center'}
        if len(values) > 1:
            panel.text(j, i + 0.27, f'{low:.0f}–{high:.0f}', fontsize=size - 3, **look)
        up = 0.14 if len(values) > 1 else 0
        text = labels.number(median) if len(values) == 1 else f'{median:.0f}'
        panel.text(j, i - up, text, fontsize=size - 0.5, **look)
