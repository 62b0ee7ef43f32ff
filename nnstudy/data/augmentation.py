"""Random changes of training images, made on the device inside the training step.

What happens to an example depends on the run's key, the epoch and the example's number alone: not
on its place in the batch, the batch size, or which other changes are on. So runs with the same seed
use the same random numbers at every point of a sweep, and only the strengths differ. A strength may
be traced, and at exactly 0 it leaves every bit as it was.

The kinds, and what their strengths mean, are the fields of `fields.Augmentation`.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec import fields

KINDS = tuple(field.name for field in dataclasses.fields(fields.Augmentation))
_GEOMETRY = {'horizontal_flip', 'shift', 'rotation', 'zoom'}
_INTENSITY = {'brightness', 'contrast'}

Numbers = Mapping[str, jax.Array]  # by kind: only of those that are on


def check(section: fields.Augmentation, dataset: str, data: Data) -> None:
    """Raises UserError if data, in host memory, cannot be augmented in the ways that are on."""
    values = np.asarray(data.inputs)
    for kind in fields.given(section):
        if not data.is_image:
            raise errors.UserError(
                f'config.augmentation.{kind} is for images, and {dataset!r} has none; leave it None'
            )
        if kind in _INTENSITY and (values.min() < 0 or values.max() > data.max_value):
            raise errors.UserError(
                f'config.augmentation.{kind} is for images from 0 to {data.max_value:g}, full '
                f'intensity, and {dataset!r} has values from {values.min():g} to {values.max():g}'
            )


def augment(
    key: jax.Array,
    epoch: jax.Array,
    examples: jax.Array,
    images: jax.Array,
    strengths: Numbers,
    max_value: float,
) -> jax.Array:
    """Returns training images with random changes; outside of an image all is black (0).

    Contrast and brightness come first, then one geometric map (flip, rotation and zoom about the
    centre, then shift) with one bilinear interpolation, then cutout. A shift is the same as a
    random crop of the image padded with zeros (He et al. 2016: 4 pixels of 32, so 0.125). The
    centre of a cutout is uniform over the pixels, so a part of the square may lie outside (DeVries
    and Taylor 2017, who cut after normalisation and so fill with the mean).

    Args:
      key: the run's.
      epoch: int32 [].
      examples: int32 [B], the examples' numbers in the training set.
      images: `[B, H, W, C]`, float32 in [0, max_value] as the result, before normalisation.
      strengths: float32 [] each, in the ranges of the config.
      max_value: full intensity.
    """

    def change(example, image):
        return apply(image, draw(key, epoch, example, strengths, image.shape[:2]), max_value)

    return jax.vmap(change)(examples, images)


def draw(
    key: jax.Array, epoch: jax.Array, example: jax.Array, strengths: Numbers, size: tuple[int, int]
) -> dict[str, jax.Array]:
    """Returns the changes of one example in an epoch, drawn uniformly within the strengths.

    `example` is its number, int32 [], and `size` height and width of the image; for the others see
    `augment`. The changes are float32, of the kinds in `strengths` only:

    - `horizontal_flip` []: -1 is flipped, 1 is not.
    - `shift` [2]: whole pixels down and to the right.
    - `rotation` []: degrees, counter-clockwise.
    - `zoom` []: factor of the size.
    - `brightness` []: fraction of full intensity to add.
    - `contrast` []: relative change of the distance from the image's mean.
    - `cutout` [2, 2]: first row and column of the square, and those just after it.
    """
    key = jax.random.fold_in(jax.random.fold_in(key, epoch), example)
    # A row for every kind, on or off, so that none depends on the others; in one call, since each
    # call costs compile time.
    numbers = dict(zip(KINDS, jax.random.uniform(key, (len(KINDS), 2)), strict=True))
    changes = {}
    for kind, strength in strengths.items():
        if kind == 'horizontal_flip':
            changes[kind] = jnp.where(numbers[kind][0] < strength, -1.0, 1.0)
        elif kind == 'shift':
            most = jnp.round(strength * jnp.array(size))
            changes[kind] = jnp.floor(numbers[kind] * (2 * most + 1)) - most
        elif kind == 'cutout':
            side = jnp.round(strength * min(size))
            first = jnp.floor(numbers[kind] * jnp.array(size)) - side // 2
            changes[kind] = jnp.stack([first, first + side])
        else:
            change = strength * (2 * numbers[kind][0] - 1)
            changes[kind] = 1 + change if kind == 'zoom' else change
    return changes


def apply(image: jax.Array, changes: Numbers, max_value: float) -> jax.Array:
    """Returns one image `[H, W, C]` after the changes, see `draw`; only these are traced."""
    height, width, _ = image.shape
    if 'contrast' in changes:
        # Not mean + factor * (image - mean), which rounds even where the factor is 1.
        image = image + changes['contrast'] * (image - image.mean())
        image = jnp.clip(image, 0, max_value)
    if 'brightness' in changes:
        image = jnp.clip(image + changes['brightness'] * max_value, 0, max_value)
    if _GEOMETRY & changes.keys():
        image = _interpolated(image, *_origins(height, width, changes))
    if 'cutout' in changes:
        (top, left), (bottom, right) = changes['cutout']
        rows, columns = jnp.arange(height), jnp.arange(width)
        is_cut_row = (rows >= top) & (rows < bottom)
        is_cut_column = (columns >= left) & (columns < right)
        image = jnp.where(is_cut_row[:, None, None] & is_cut_column[:, None], 0, image)
    return image


def _origins(height: int, width: int, changes: Numbers) -> tuple[jax.Array, jax.Array]:
    """Returns the row and the column, [H, W] both, that each pixel's value comes from.

    The changes are undone one by one, the last first. What comes from a whole pixel does so
    exactly: half-pixel centres and small whole numbers have no rounding.
    """
    rows, columns = jnp.indices((height, width), jnp.float32)
    if 'shift' in changes:
        down, right = changes['shift']
        rows, columns = rows - down, columns - right
    middle, centre = (height - 1) / 2, (width - 1) / 2
    rows, columns = rows - middle, columns - centre
    if 'zoom' in changes:
        rows, columns = rows / changes['zoom'], columns / changes['zoom']
    if 'rotation' in changes:
        angle = jnp.deg2rad(changes['rotation'])
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        rows, columns = cos * rows + sin * columns, cos * columns - sin * rows
    if 'horizontal_flip' in changes:
        columns = columns * changes['horizontal_flip']
    return rows + middle, columns + centre


def _interpolated(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Returns the image `[H, W, C]` at places between its pixels `[H', W']`, bilinear.

    All pixels outside are 0, also as neighbours of those at the border (`mode='grid-constant'` of
    `scipy.ndimage`). Exact where a place is a pixel. `jax.scipy.ndimage.map_coordinates` rounds
    differently, and takes 1.5 times as long for images with three channels.
    """
    height, width, _ = image.shape
    # All that is outside is moved to a frame of zeros, which needs no masks.
    framed = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    rows, columns = jnp.clip(rows, -1, height) + 1, jnp.clip(columns, -1, width) + 1
    top, left = jnp.floor(rows), jnp.floor(columns)

    def pixels(rows, columns):
        return framed.at[rows.astype(int), columns.astype(int)].get(mode='clip')

    def between(a, b, fraction):
        return a + fraction[..., None] * (b - a)

    return between(
        between(pixels(top, left), pixels(top, left + 1), columns - left),
        between(pixels(top + 1, left), pixels(top + 1, left + 1), columns - left),
        rows - top,
    )
