"""What every side is given: data, a net as plain layers, its initial weights, and how to train it.

Written by the nnstudy side, read by the peers. Knows NumPy only.

A layer is a dict with its kind under `'op'`:

    conv       features, size, padding ('SAME' or 'VALID'), activation, norm, name
    dense      features, activation, name
    max_pool, avg_pool      size, stride, padding
    flatten    shape: [H, W, C] of what is flattened, in this order
    global_mean             over the pixels
    dropout    rate
    residual   body, shortcut: lists of layers; shortcut [] is the identity; activation of the sum
    branches   branches: lists of layers, whose outputs are joined along the channels

`norm` is None or `{'name', 'momentum', 'epsilon'}`, a batch normalisation before the activation,
its `momentum` the share of the old statistics that a step keeps. A name is that of the weights:
`weights['Conv_0/kernel']` is `[H, W, in, out]`, `weights['Dense_0/kernel']` is `[in, out]`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

Layers = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """One run of a workload.

    Attributes:
      net: the layers, see above.
      loss: 'softmax_cross_entropy' or 'squared_error'; its mean over the batch is minimised.
      optimizer: `{'name': 'sgd', 'learning_rate', 'momentum'}`, the momentum None for plain SGD,
        or `{'name': 'adam', 'learning_rate', 'eps'}`.
      batch_size: examples of a step; the last batch of an epoch may be short.
      epochs: of a run.
      augmentation: None, or the strengths `horizontal_flip`, `shift` and `rotation`, see
        `nnstudy.data.augmentation`.
      evaluates: whether loss and accuracy of all splits are measured after every epoch.
      sizes: `{'train': n, 'test': m}`, the splits in the order in which `inputs` has them.
      inputs: float32 `[N, H, W, C]` or `[N, F]`, normalised.
      labels: int32 `[N]`, or float32 `[N, K]`.
      order: int `[B, batch_size]`, examples of the batches that losses are compared on.
      weights: initial values by name.
    """

    net: Layers
    loss: str
    optimizer: dict[str, Any]
    batch_size: int
    epochs: int
    augmentation: dict[str, float] | None
    evaluates: bool
    sizes: dict[str, int]
    inputs: np.ndarray
    labels: np.ndarray
    order: np.ndarray
    weights: dict[str, np.ndarray]

    @property
    def num_train(self) -> int:
        return self.sizes['train']

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_train // self.batch_size)

    def split_rows(self) -> list[slice]:
        """Returns where the splits are in `inputs`."""
        ends = np.cumsum(list(self.sizes.values()))
        return [
            slice(int(end) - size, int(end))
            for end, size in zip(ends, self.sizes.values(), strict=True)
        ]


_ARRAYS = ('inputs', 'labels', 'order')


def save(problem: Problem, folder: Path) -> None:
    """Writes a problem into a folder."""
    fields = {field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)}
    weights = {f'weights/{name}': value for name, value in fields.pop('weights').items()}
    arrays = {name: fields.pop(name) for name in _ARRAYS}
    np.savez(folder / 'arrays.npz', **arrays, **weights)
    (folder / 'problem.json').write_text(json.dumps(fields))


def load(folder: Path) -> Problem:
    """Reads what `save` has written."""
    with np.load(folder / 'arrays.npz') as stored:
        arrays = dict(stored)
    weights = {
        name.removeprefix('weights/'): arrays.pop(name)
        for name in list(arrays)
        if name.startswith('weights/')
    }
    fields = json.loads((folder / 'problem.json').read_text())
    return Problem(**fields, **arrays, weights=weights)
