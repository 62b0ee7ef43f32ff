"""The form in which runs read data: all splits back to back in one array on the device.

Inputs stay as they are stored (8-bit images take a quarter of the memory of floats) and become
floats inside the step; texts are token ids. All runs share one copy per device.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from PIL import Image

from nnstudy import errors
from nnstudy.data import splits
from nnstudy.data import text as text_lib
from nnstudy.data.dataset import Dataset
from nnstudy.machine import devices
from nnstudy.spec import fields

CHUNK_SIZE = 100  # examples that are float64 at once

Coefficients = tuple[np.ndarray, np.ndarray]  # scale and offset, see `Data`


class Data(struct.PyTreeNode):
    """Examples of all splits, with what the program must know of them as static fields."""

    # The examples of the splits one after the other: [N, H, W, C] or [N, F], uint8 or float32; or
    # int32 [N, T], the token ids of texts, see `nnstudy.data.text`.
    inputs: jax.Array | np.ndarray
    labels: jax.Array | np.ndarray  # int32 [N] (classification) or float32 [N, K] (regression)
    # Normalised input = scale * input + offset: float32 [], [C] or [F].
    scale: jax.Array | np.ndarray
    offset: jax.Array | np.ndarray  # see scale
    # `(('train', n), ('validation', n), ('test', n))`, in the order of `inputs`.
    sizes: tuple[tuple[str, int], ...] = struct.field(pytree_node=False)
    num_outputs: int = struct.field(pytree_node=False)  # number of classes, or K
    # The input value that stands for full intensity, before normalisation.
    max_value: float = struct.field(pytree_node=False)
    # How many different ids there may be, padding and unknown words among them; None if inputs are
    # not texts.
    num_tokens: int | None = struct.field(pytree_node=False)

    @property
    def is_classification(self) -> bool:
        return bool(jnp.issubdtype(self.labels.dtype, jnp.integer))

    @property
    def is_image(self) -> bool:
        return self.inputs.ndim == 4

    @property
    def is_text(self) -> bool:
        return self.num_tokens is not None

    @property
    def num_train(self) -> int:
        return dict(self.sizes)['train']

    def describe(self) -> str:
        """Returns what the data are: `1,437 train, 360 test: images 8×8×1, 10 classes`."""
        shape = '×'.join(map(str, self.inputs.shape[1:]))
        if self.is_text:
            inputs = f'texts of {shape} tokens out of {self.num_tokens:,}'
        else:
            inputs = f'images {shape}' if self.is_image else f'rows of {shape} numbers'
        labels = 'classes' if self.is_classification else 'to predict'
        sizes = ', '.join(f'{size:,} {split}' for split, size in self.sizes)
        return f'{sizes}: {inputs}, {self.num_outputs:,} {labels}'

    def normalized(self, inputs: jax.Array) -> jax.Array:
        """Returns a batch of stored inputs [B, ...] as the model reads them: float32, or ids."""
        if self.is_text:
            return inputs
        return inputs.astype(jnp.float32) * self.scale + self.offset


def prepare(
    dataset: Dataset,
    normalization: str | None = 'unit',
    train: str = 'train',
    validation: str | None = None,
    test: str = 'test',
    *,
    image_size: int | None = None,
    text: fields.Text | None = None,
) -> Data:
    """Returns the splits of a data set as `Data`, still in host memory.

    Means, standard deviations, vocabulary and length of texts are those of the training split.

    Args:
      dataset: see `nnstudy.data.load`.
      normalization: a key of `NORMALIZATIONS`; None leaves inputs as they are stored. Texts take
        the default and None, which both leave them.
      train, validation, test: split strings, such as `'train[:80%]'`; None for no validation.
      image_size: height and width in pixels that images are resized to; None leaves them.
      text: how texts become rows of token ids; None for the defaults.

    Raises:
      UserError: the normalization, a split or an option is unknown, out of range or not for data
        of this kind; or two splits share examples, as scores on training examples mislead.
    """
    text = text or fields.Text()
    if normalization not in (None, *NORMALIZATIONS):
        raise errors.unknown('normalization', normalization, [*NORMALIZATIONS, 'None'])
    changed = None if normalization == 'unit' else normalization  # the default is for all
    _check_options(dataset, 'numbers', not dataset.is_text, normalization=changed)
    _check_options(dataset, 'images', dataset.is_image, image_size=image_size)
    texts = {f'text.{name}': value for name, value in vars(text).items()}
    _check_options(dataset, 'texts', dataset.is_text, **texts)
    specs = {'train': train, 'validation': validation, 'test': test}
    inputs, labels = {}, []
    for name, spec in specs.items():
        if spec is not None:
            with errors.within(f'config.split.{name}'):
                inputs[name], part = splits.select(dataset, spec)
                labels.append(part)
    for a, b in itertools.combinations(inputs, 2):
        # Splits are views of the data set's arrays, so shared memory is shared examples.
        if np.may_share_memory(inputs[a], inputs[b]):
            raise errors.UserError(
                f'config.split.{b} {specs[b]!r} has examples in common with config.split.{a} '
                f'{specs[a]!r}; change one of them'
                + (', or set config.split.validation=None' if 'validation' in (a, b) else '')
            )
    max_value = dataset.max_value or 1.0
    scale, offset = np.ones((), np.float32), np.zeros((), np.float32)
    num_tokens = None
    if dataset.is_text:
        inputs, num_tokens = text_lib.token_ids(inputs, text)
    else:
        if image_size is not None:
            _check_memory(list(inputs.values()), image_size)
            inputs = {name: resize(part, image_size) for name, part in inputs.items()}
        if normalization is not None:
            scale, offset = NORMALIZATIONS[normalization](inputs['train'], max_value)
    return Data(
        inputs=np.concatenate(list(inputs.values())),
        labels=np.concatenate(labels),
        scale=scale,
        offset=offset,
        sizes=tuple((name, len(part)) for name, part in inputs.items()),
        num_outputs=dataset.num_outputs,
        max_value=max_value,
        num_tokens=num_tokens,
    )


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Returns images resized to a square by Pillow, bilinear and antialiased.

    `[N, H, W, C]`, uint8 or float32 -> `[N, size, size, C]` of the same type; `images` themselves
    if they have that size. So does torchvision's `Resize`. About 3 s for CIFAR-10's 60,000.
    """
    if images.shape[1:3] == (size, size):
        return images
    resized = np.empty((len(images), size, size, images.shape[-1]), images.dtype)
    # Of 8-bit colours, one call is quicker than three.
    channels = images.shape[-1]
    whole = images.dtype == np.uint8 and channels == 3
    parts: Sequence[int | slice] = [slice(None)] if whole else range(channels)
    for source, target in zip(images, resized, strict=True):
        for part in parts:
            image = Image.fromarray(source[..., part])
            target[..., part] = image.resize((size, size), Image.Resampling.BILINEAR)
    return resized


def to_range(inputs: np.ndarray, max_value: float, low: float, high: float) -> Coefficients:
    """Maps 0 to `low` and full intensity to `high`."""
    return np.asarray((high - low) / max_value, np.float32), np.asarray(low, np.float32)


def standard(inputs: np.ndarray, max_value: float) -> Coefficients:
    """Gives each column (channel) of the training inputs mean 0 and standard deviation 1.

    The standard deviation is that of the population, divided by N. A column that is constant, as
    far as float32 can tell, is only centred.
    """
    # Along the examples first: NumPy is slow along the other axes of images.
    mean = _mean_of_rest(inputs.mean(0, np.float64))
    centre = np.broadcast_to(mean, inputs.shape[1:]).copy()
    starts = range(0, len(inputs), CHUNK_SIZE)
    squares = sum(((inputs[n : n + CHUNK_SIZE] - centre) ** 2).sum(0) for n in starts)
    deviation = np.sqrt(_mean_of_rest(squares) / len(inputs))
    is_constant = deviation <= np.finfo(np.float32).eps * np.abs(mean)
    scale = 1 / np.where(is_constant, 1, deviation)
    return scale.astype(np.float32), (-mean * scale).astype(np.float32)


def _mean_of_rest(values: np.ndarray) -> np.ndarray:
    """Returns the mean over all axes but the last."""
    return values.reshape(-1, values.shape[-1]).mean(0)


# A normalization gets the training inputs `[N, ...]` and the value that means full intensity.
NORMALIZATIONS: dict[str, Callable[[np.ndarray, float], Coefficients]] = {
    'unit': functools.partial(to_range, low=0.0, high=1.0),
    'symmetric': functools.partial(to_range, low=-1.0, high=1.0),
    'standard': standard,
}


def _check_options(dataset: Dataset, kind: str, has_any: bool, **options: Any) -> None:
    """Raises UserError if options are out of range, or given and not for the data set's inputs."""
    for field, value in options.items():
        if value is not None and not has_any:
            raise errors.UserError(
                f'config.{field} {value!r} is for {kind}, and {dataset.name!r} has none'
            )
        fields.closed()[field].check(field, value)


def _check_memory(inputs: Sequence[np.ndarray], image_size: int) -> None:
    size = sum(len(x) * x.shape[-1] * x.itemsize for x in inputs) * image_size**2
    memory = devices.host_memory_bytes()
    if size > memory / 4:  # while they are resized and copied, there are several copies
        raise errors.UserError(
            f'config.image_size {image_size} makes {size / 2**30:,.1f} GiB of images, more than '
            f'fits well into {memory / 2**30:.1f} GiB of memory'
        )
