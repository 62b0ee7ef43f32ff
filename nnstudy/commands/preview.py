"""Draws training images as augmentation changes them, epoch by epoch.

    nnstudy preview --config=configs/FILE.py --config.augmentation.rotation=15
    nnstudy preview          # each kind of change, on a digit

The first column is the image as it is stored. The others, one for each epoch, are what a run with
the values and the seed of the config is trained on.
"""

import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import figure
from ml_collections import ConfigDict

from nnstudy import commands, errors
from nnstudy import data as data_lib
from nnstudy.data import Data, augmentation
from nnstudy.report import labels, style
from nnstudy.running import plan as plan_lib
from nnstudy.spec import fields, study_file
from nnstudy.training import run as run_lib

TYPICAL = {
    'horizontal_flip': 0.5,
    'shift': 0.125,
    'rotation': 20.0,
    'zoom': 0.2,
    'brightness': 0.3,
    'contrast': 0.6,
    'cutout': 0.375,
}


def of_config(
    config: ConfigDict,
    examples: int = 8,
    epochs: int = 8,
    data_dir: str | os.PathLike[str] | None = None,
) -> figure.Figure:
    """Draws training examples, a row each, as augmented by the config, a column an epoch.

    Raises:
      UserError: something is wrong with the config or the data, or the data are no images.
    """
    dataset = data_lib.load(config.dataset, data_dir)
    group = plan_lib.make(config, data=dataset).groups[0]  # this checks everything
    data = group.data
    if not data.is_image:
        raise errors.UserError(
            f'config.dataset {config.dataset!r} has inputs of shape '
            f'{list(data.inputs.shape[1:])}; a preview is of images [H, W, C]'
        )
    strengths = fields.given(group.config.augmentation)
    numbers = np.arange(min(examples, data.num_train))
    shown = data.labels[numbers]
    names = [str(k) if dataset.class_names is None else dataset.class_names[k] for k in shown]
    images = augmented(data, numbers, strengths, epochs, config.seed)
    what = 'augmented' if strengths else 'no augmentation'
    note = f'{_describe(strengths)}; seed {config.seed}' if strengths else ''
    return sheet(images, names, f'First training examples of {config.dataset}, {what}', note)


def of_kinds(epochs: int = 8) -> figure.Figure:
    """Draws one digit under each kind of change, a row a kind, and under all of them."""
    data = data_lib.prepare(data_lib.load('digits'))
    example = np.flatnonzero(data.labels == 7)[:1]
    rows = {_describe({k: v}): {k: v} for k, v in TYPICAL.items()} | {'all': TYPICAL}
    off = dict.fromkeys(TYPICAL, 0.0)  # 0 changes nothing; with it, all rows share one program
    images = [augmented(data, example, {**off, **row}, epochs)[0] for row in rows.values()]
    return sheet(np.stack(images), list(rows), 'One training example of digits, each change')


def augmented(
    data: Data, examples: np.ndarray, strengths: Mapping[str, float], epochs: int, seed: int = 0
) -> np.ndarray:
    """Returns training images as stored, then as the run with that seed sees them in each epoch.

    They are float32 `[N, 1 + epochs, H, W, C]` in [0, 1], of N examples by number.
    """
    _, _, key = run_lib.data_keys(run_lib.make_keys(seed))
    images = np.asarray(data.inputs[examples], np.float32)
    seen = _in_epochs(key, jnp.arange(epochs), examples, images, strengths, data.max_value)
    return np.stack([images, *seen], axis=1) / np.float32(data.max_value)


_in_epochs = jax.jit(jax.vmap(augmentation.augment, in_axes=(None, 0, None, None, None, None)))


def sheet(images: np.ndarray, names: Sequence[str], title: str, note: str = '') -> figure.Figure:
    """Draws images `[R, 1 + epochs, H, W, C]` in [0, 1] in R rows of one example each.

    They are in colour if there are three channels, else the mean over the channels in grey.
    """
    if images.shape[-1] != 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    num_rows, num_columns, height, width, _ = images.shape
    gap = max(1, round(0.06 * width))
    framed = np.pad(images, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1)
    mosaic = np.concatenate([np.concatenate(row, axis=1) for row in framed])[:-gap, :-gap]

    inches = 0.9 / (width + gap)  # of a pixel
    size = max(6, inches * mosaic.shape[1] + 1.2), inches * mosaic.shape[0] + 0.65
    picture, [[panel]] = style.panels(*size)
    panel.grid(False)
    panel.imshow(mosaic, interpolation='nearest')
    panel.spines[:].set_visible(False)
    epochs = [f'epoch {number}' for number in range(1, num_columns)]
    panel.set_xticks(
        (width - 1) / 2 + (width + gap) * np.arange(num_columns), ['original', *epochs]
    )
    panel.set_yticks((height - 1) / 2 + (height + gap) * np.arange(num_rows), names)
    panel.tick_params(length=0, labeltop=True, labelbottom=False)
    return style.finish(picture, title, [note])


def _describe(strengths: Mapping[str, float]) -> str:
    return ', '.join(f'{kind}={labels.number(value)}' for kind, value in strengths.items())


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy preview', __doc__)
    parser.add_config()
    parser.add_data_dir()
    parser.add_number('--epochs', 8, 'number of columns')
    parser.add_number('--examples', 8, 'number of rows')
    parser.add_out('preview.png')
    args = parser.parse_config(argv)
    if args.overrides and not args.config:
        parser.error('--config.FIELD needs --config=FILE.py')
    if args.config:
        config = study_file.load(args.config, args.overrides).config
        picture = of_config(config, args.examples, args.epochs, args.data_dir)
    else:
        picture = of_kinds(args.epochs)
    style.save(picture, args.out)
    print(f'picture: {args.out}')
