"""The form in which runs read data: all splits back to back in one array on the device.

Inputs stay as they are stored (8-bit images are a quarter of their float size) and become floats
inside the step. All runs share one copy per device.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nnstudy import errors

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


def concatenate(
    splits: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    num_outputs: int,
    max_value: float,
    normalization: str,
) -> Data:
    """Returns the splits as `Data`, still in host memory.

    Args:
      splits: (inputs, labels) by name; `'train'` and `'test'` are needed.
      num_outputs: number of classes, or of values to predict.
      max_value: the stored value that means full intensity, such as 255.
      normalization: a key of `NORMALIZATIONS`.

    Raises:
      UserError: the normalization is unknown.
    """
    if normalization not in NORMALIZATIONS:
        raise errors.unknown('normalization', normalization, NORMALIZATIONS)
    low, high = NORMALIZATIONS[normalization] or (0.0, max_value)
    return Data(
        inputs=np.concatenate([inputs for inputs, _ in splits.values()]),
        labels=np.concatenate([labels for _, labels in splits.values()]),
        sizes=tuple((name, len(inputs)) for name, (inputs, _) in splits.items()),
        num_outputs=num_outputs,
        scale=(high - low) / max_value,
        offset=low,
    )
