"""The form in which runs read data: all splits back to back in one array on the device.

Inputs stay as they are stored (8-bit images are a quarter of their float size) and become floats
inside the step. All runs share one copy per device.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nnstudy import errors
from nnstudy.data import splits as splits_lib
from nnstudy.data.dataset import Dataset

# How an input that means full intensity and one that means none are mapped: (low, high).
NORMALIZATIONS = {'unit': (0.0, 1.0), 'symmetric': (-1.0, 1.0), 'none': None}


class Data(struct.PyTreeNode):
    """Examples of all splits, with what the program must know of them as static fields.

    Attributes:
      inputs: [N, ...], uint8 or float32: the examples of the splits one after the other.
      labels: int32 [N] (classification) or float32 [N, K] (regression).
      sizes: `(('train', n), ('validation', n), ('test', n))`, in the order of `inputs`.
      num_outputs: number of classes, or K.
      scale: normalised input = scale * input + offset.
      offset: see scale.
    """

    inputs: jax.Array | np.ndarray
    labels: jax.Array | np.ndarray
    sizes: tuple[tuple[str, int], ...] = struct.field(pytree_node=False)
    num_outputs: int = struct.field(pytree_node=False)
    scale: float = struct.field(pytree_node=False, default=1.0)
    offset: float = struct.field(pytree_node=False, default=0.0)

    @property
    def is_classification(self) -> bool:
        return bool(jnp.issubdtype(self.labels.dtype, jnp.integer))

    @property
    def num_train(self) -> int:
        return dict(self.sizes)['train']

    @property
    def selection_split(self) -> str:
        """The split that the best epoch and the best point are chosen on."""
        return 'validation' if 'validation' in dict(self.sizes) else 'test'

    def normalized(self, inputs: jax.Array) -> jax.Array:
        """Returns a batch of stored inputs [B, ...] as the model reads them, float32."""
        return inputs.astype(jnp.float32) * self.scale + self.offset


def prepare(
    dataset: Dataset,
    normalization: str = 'unit',
    train: str = 'train',
    validation: str | None = None,
    test: str = 'test',
) -> Data:
    """Returns the splits of a data set as `Data`, still in host memory.

    Args:
      dataset: see `nnstudy.data.load`.
      normalization: a key of `NORMALIZATIONS`.
      train: split string, such as `'train[:80%]'`.
      validation: split string, or None for no validation split.
      test: split string.

    Raises:
      UserError: the normalization or a split is unknown or out of range.
    """
    if normalization not in NORMALIZATIONS:
        raise errors.unknown('normalization', normalization, NORMALIZATIONS)
    specs = {'train': train, 'validation': validation, 'test': test}
    parts = {}
    for name, spec in specs.items():
        try:
            if spec is not None:
                parts[name] = splits_lib.select(dataset, spec)
        except errors.UserError as error:
            raise errors.UserError(f'config.split.{name}: {error}') from None
    _refuse_overlap(specs, parts)
    max_value = dataset.max_value or 1.0
    low, high = NORMALIZATIONS[normalization] or (0.0, max_value)
    return Data(
        inputs=np.concatenate([inputs for inputs, _ in parts.values()]),
        labels=np.concatenate([labels for _, labels in parts.values()]),
        sizes=tuple((name, len(inputs)) for name, (inputs, _) in parts.items()),
        num_outputs=dataset.num_outputs,
        scale=(high - low) / max_value,
        offset=low,
    )


def _refuse_overlap(
    specs: dict[str, str | None], parts: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    """What is chosen or reported on examples that were trained on says nothing."""
    for a, b in itertools.combinations(parts, 2):
        # Splits are views of the data set's arrays, so shared memory is shared examples.
        if np.may_share_memory(parts[a][0], parts[b][0]):
            raise errors.UserError(
                f'config.split.{b} {specs[b]!r} has examples in common with config.split.{a} '
                f'{specs[a]!r}; change one of them'
                + (', or set config.split.validation=None' if 'validation' in (a, b) else '')
            )
