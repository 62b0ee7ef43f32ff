"""What trained nets say of single examples: confusions, mistakes, and one image with its classes.

Where one net is shown, it is that of the median seed, and how many of the others agree is said.
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
from nnstudy.results import predictions as predict
from nnstudy.training import metrics

# White to nearly black, so that the order of the shades is that of their brightness.
SHADES = colors.LinearSegmentedColormap.from_list('paper', ['white', *style.VIRIDIS((0.45, 0.0))])
MAX_WRITTEN = 20  # classes of a matrix whose cells are written out
MAX_BARS = 10  # classes of an image's probabilities


def confusion(results: Results, point: int = 0, split: str = 'test') -> figure.Figure:
    """Draws which classes the nets of a point take for which, after their last epoch.

    Left the numbers of examples, right the shares of each true class; both are medians over seeds,
    beside the range of the shares. Taken from the columns of `config.metrics = ('confusion',)`
    where the study has them, else from what every run says of the split.

    Args:
      results: of a study of classification.
      point: number of the point.
      split: `'train'`, `'validation'` or `'test'`.

    Raises:
      UserError: there is no such point or split, or what is predicted are no classes.
    """
    names = _class_names(results, point)
    # [R, K, K], a row of each matrix a true class
    counts = _confusions(results, point, split, len(names))
    lost = ~np.isfinite(counts).all(axis=(1, 2))
    counts = counts[~lost]
    if not len(counts):
        raise errors.UserError(f'no run of point {point} ended with finite outputs')
    with np.errstate(invalid='ignore'):
        shares = 100 * counts / counts.sum(axis=2, keepdims=True)
    seeds = labels.count(len(counts), 'seed')
    side = 1.6 + max(0.42 * min(len(names), MAX_WRITTEN), 3.0)
    picture = figure.Figure(figsize=(2 * side, side + 0.4), layout='constrained')
    panels = picture.subplots(1, 2)
    share = np.median(shares, axis=0)
    texts = [_counted(np.median(counts, axis=0)), _ranged(shares)]
    titles = [f'number of {split} examples', 'share of the true class (%)']
    for panel, text, title in zip(panels, texts, titles, strict=True):
        _matrix(panel, share, text if len(names) <= MAX_WRITTEN else None, names)
        panel.set_title(title, fontsize=9.5, color=style.INK)
    panels[1].set_yticklabels([])
    panels[1].set_ylabel('')
    notes = [f'Median over {seeds}.']
    if len(names) > MAX_WRITTEN:
        bar = picture.colorbar(cm.ScalarMappable(_norm(), SHADES), ax=panels, aspect=28, pad=0.01)
        bar.set_label('share of the true class (%)', color=style.INK)
    else:
        notes += ['Small: from the lowest to the highest.'] if len(counts) > 1 else []
        notes.append('Shades: the share. Empty: no example.')
    if lost.any():
        runs = labels.count(int(lost.sum()), 'run')
        notes.append(f'Without {runs} whose outputs are not finite.')
    style.caption(picture, f'Confusion matrix, {setting(results, point)}', notes)
    return picture


def misclassified(
    results: Results, point: int = 0, num: int = 20, split: str = 'test', which: str = 'final'
) -> figure.Figure:
    """Draws images that a net takes for another class, those that it is surest of first.

    Args:
      results: of a study of classification of images.
      point: number of the point; the net is that of its median seed.
      num: at most so many images.
      split: `'train'`, `'validation'` or `'test'`.
      which: the parameters after the `'final'` step or at the `'best'` evaluation.

    Raises:
      UserError: there is no such point or split, or the data are no images of classes.
    """
    net = predict.net(results, point)
    names = _image_classes(net)
    run = typical(results, point)
    shown = net.predict(results.variables(run, which), split)
    # [R, N]; the median seed is one of them.
    said = np.stack(
        [
            net.predict(results.variables(r, which), split).classes if r != run else shown.classes
            for r in _runs(results, point)
        ]
    )
    agreeing = (said == shown.classes).sum(axis=0)
    wrong = np.flatnonzero(shown.classes != shown.labels)
    confidence = shown.confidence
    chosen = wrong[np.argsort(-confidence[wrong], kind='stable')][:num]

    columns = 5
    rows = max(1, -(-len(chosen) // columns))
    picture = figure.Figure(figsize=(8.2, 0.7 + 1.75 * rows), layout='constrained')
    panels = picture.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, i in zip(panels, chosen, strict=False):
        draw_image(panel, shown.inputs[i], net)
        seeds = f', {agreeing[i]}/{len(said)}' if len(said) > 1 else ''
        title = f'{names[shown.labels[i]]}\n→ {names[shown.classes[i]]}\n{confidence[i]:.0%}{seeds}'
        panel.set_title(title, fontsize=8, color=style.INK, pad=3)
    share = len(wrong) / len(shown.labels)
    seed = results.runs.set_index('run').loc[run, 'seed']
    notes = [
        f'{len(wrong):,} of {len(shown.labels):,} images ({share:.1%}) are taken for another class '
        f'by the net of seed {seed}, the median one. Shown: the {len(chosen)} it is surest of.',
        'Above each: its class, → what it is taken for, confidence (softmax)'
        + (f', and how many of {len(said)} seeds say so.' if len(said) > 1 else '.'),
    ]
    if not len(chosen):
        panels[0].text(0.5, 0.5, 'no image is misclassified', ha='center', color=style.INK)
    style.caption(picture, f'Misclassified {split} images, {setting(results, point)}', notes)
    return picture


def sample(
    results: Results, point: int = 0, index: int = 0, split: str = 'test', which: str = 'best'
) -> figure.Figure:
    """Draws an image with what the nets of a point take it for, and how sure they are.

    Args:
      results: of a study of classification of images.
      point: number of the point.
      index: number of the image in the split.
      split: `'train'`, `'validation'` or `'test'`.
      which: the parameters at the `'best'` evaluation or after the `'final'` step.

    Raises:
      UserError: there is no such point, split or image, or the data are no images of classes.
    """
    net = predict.net(results, point)
    names = _image_classes(net)
    picked, label = image_of(net, split, index)
    runs, run = _runs(results, point), typical(results, point)
    outputs = [np.asarray(net.apply(results.variables(r, which), picked[None])) for r in runs]
    said = predict.Predictions(picked[None], np.array([label]), np.concatenate(outputs))
    own = runs.index(run)
    # [R, K]
    probabilities = 100 * said.probabilities
    medians = np.median(probabilities, axis=0)

    picture = figure.Figure(figsize=(7.4, 3.6), layout='constrained')
    image, bars = picture.subplots(1, 2, width_ratios=(1, 1.5))
    image.set_axis_off()
    draw_image(image, picked, net)
    title = f'predicted: {names[said.classes[own]]} ({said.confidence[own]:.1%})'
    title += f'\ntrue: {names[label]}'
    image.set_title(title, fontsize=9.5, color=style.INK, loc='left')

    # The likeliest ones, and the true one anyhow; in the order of the classes.
    order = np.argsort(-medians, kind='stable')
    kept = np.sort([k for place, k in enumerate(order) if place < MAX_BARS or k == label])
    places = np.arange(len(kept))
    shade = [style.BLUE if k == label else '0.75' for k in kept]
    style.dress(bars).barh(places, medians[kept], color=shade, height=0.7)
    if len(runs) > 1:
        for place, k in zip(places, kept, strict=True):
            x = probabilities[:, k]
            dot = style.RUN | {'markeredgecolor': 'white', 'markeredgewidth': 0.5, 'alpha': 0.8}
            bars.plot(x, np.full(len(x), place), color=style.INK, linestyle='', **dot)
    written = [f'{names[k]}  (true)' if k == label else names[k] for k in kept]
    bars.set_yticks(places, written)
    bars.invert_yaxis()
    bars.set_xlim(0, 100)
    bars.set_xlabel('probability, softmax of the outputs (%)')
    right = int((said.classes == label).sum())
    notes = [
        f'{right} of {labels.count(len(runs), "seed")} right; on the left the prediction of seed '
        f'{results.runs.set_index("run").loc[run, "seed"]}, the median one.'
    ]
    if len(runs) > 1:
        notes.append('Bars: median over seeds; dots: each seed.')
    what = f'{split.capitalize()} image {index}, {setting(results, point)}'
    style.caption(picture, what, notes)
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


def typical(results: Results, point: int) -> int:
    """Returns the run of a point whose final test metric is the median one, or just below it."""
    name = f'test_{comparison.headline(results.runs)}'
    runs = comparison.finite_or_worst(results.runs)
    runs = runs[runs['point'] == point].sort_values([name, 'run'])
    return int(runs['run'].iloc[(len(runs) - 1) // 2])


def _runs(results: Results, point: int) -> list[int]:
    return results.runs.loc[results.runs['point'] == point, 'run'].tolist()


def _class_names(results: Results, point: int) -> tuple[str, ...]:
    dataset = predict.net(results, point).dataset
    if dataset.class_names is None:
        raise errors.UserError(f'{dataset.name!r} has numbers to predict, not classes')
    return dataset.class_names


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
    net = predict.net(results, point)
    matrices = []
    for run in runs['run']:
        said = net.predict(results.variables(run, 'final'), split)
        pair = jnp.asarray(said.outputs), jnp.asarray(said.labels)
        matrix = np.asarray(metrics.METRICS['confusion'](*pair))
        is_finite = np.isfinite(said.outputs).all()
        matrices.append(matrix if is_finite else np.full_like(matrix, np.nan))
    return np.stack(matrices).astype(np.float64)


def _counted(counts: np.ndarray) -> list[list[str]]:
    return [[labels.number(float(n)) if n else '' for n in row] for row in counts]


def _ranged(shares: np.ndarray) -> list[list[str]]:
    """Writes the median of shares [R, K, K], and below it from where to where they go."""

    def text(values: np.ndarray) -> str:
        if not np.nan_to_num(values).any():
            return ''
        low, median, high = (f'{v:.0f}' for v in np.quantile(values, (0, 0.5, 1)))
        return median if len(values) == 1 else f'{median}\n{low}–{high}'

    return [[text(shares[:, i, j]) for j in range(shares.shape[2])] for i in range(shares.shape[1])]


def _norm() -> colors.Normalize:
    # By the root, for a confusion of 5% to be seen beside 90% that are right.
    return colors.PowerNorm(0.5, 0, 100)


def _matrix(
    panel: mpl_axes.Axes,
    shares: np.ndarray,
    texts: list[list[str]] | None,
    names: tuple[str, ...],
) -> None:
    norm = _norm()
    panel.imshow(np.nan_to_num(shares), cmap=SHADES, norm=norm)
    panel.spines[:].set_color(style.GREY)
    size = 8.5 if len(names) <= 12 else 6.5
    places = np.arange(len(names))
    panel.set_xticks(places, names, rotation=45, ha='right', rotation_mode='anchor')
    panel.set_yticks(places, names)
    panel.tick_params(labelsize=size, labelcolor=style.INK, color=style.GREY, length=2)
    panel.set_xlabel('predicted class', color=style.INK)
    panel.set_ylabel('true class', color=style.INK)
    for i, row in enumerate(texts or []):
        for j, text in enumerate(row):
            if not text:
                continue
            dark = norm(np.nan_to_num(shares[i, j])) > 0.45
            head, _, small = text.partition('\n')
            look: dict[str, Any] = {'color': 'white' if dark else style.INK, 'ha': 'center'}
            panel.text(
                j, i - (0.14 if small else 0), head, va='center', fontsize=size - 0.5, **look
            )
            if small:
                panel.text(j, i + 0.27, small, va='center', fontsize=size - 3, **look)


def draw_image(panel: mpl_axes.Axes, image: np.ndarray, net: predict.Net) -> None:
    """Draws an image [H, W, C] as stored: in colour if it has three channels, else in grey."""
    image = image.astype(np.float32) / net.data.max_value
    if image.shape[-1] != 3:
        image = image.mean(axis=-1)
    panel.imshow(np.clip(image, 0, 1), cmap='gray', vmin=0, vmax=1, interpolation='nearest')


def setting(results: Results, point: int) -> str:
    """Writes what is swept as it is at a point."""
    swept = results.swept
    short = labels.short(swept)
    values = results.points[point]
    written = [f'{short[field]} {labels.value(values[field])}' for field in swept]
    return ', '.join(written) or results.name
