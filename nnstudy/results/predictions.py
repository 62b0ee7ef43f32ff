"""Predictions of trained runs, see `Results.predict` and `Results.net`.

The runs of a point share a `Net`, the model and the data. Each run has its own variables.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnstudy import data as data_lib
from nnstudy import errors, models
from nnstudy.data import device
from nnstudy.spec.fields import Value
from nnstudy.training import evaluation, losses, resolve
from nnstudy.training.run import Run


class Predictions(NamedTuple):
    """The predictions of a run for N examples."""

    # As stored: [N, H, W, C] or [N, F], uint8 or float32; int32 [N, T] for texts.
    inputs: np.ndarray
    labels: np.ndarray  # int32 [N] (classification) or float32 [N, K] (regression)
    # Scores of the classes, float32 [N, K], or [N, 1] for two classes with one score; or predicted
    # numbers, float32 [N, K].
    outputs: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """The predicted class of each example, int [N]."""
        return np.asarray(losses.predicted_class(jnp.asarray(self.outputs)))

    @property
    def probabilities(self) -> np.ndarray:
        """The probability of each class, float32 [N, K]: the softmax of the scores as logits."""
        if self.outputs.shape[-1] > 1:
            return np.asarray(jax.nn.softmax(self.outputs, axis=-1))
        positive = np.asarray(jax.nn.sigmoid(self.outputs))
        return np.concatenate([1 - positive, positive], axis=-1)

    @property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, float32 [N]."""
        return np.take_along_axis(self.probabilities, self.classes[:, None], axis=1)[:, 0]


@dataclasses.dataclass(frozen=True)
class Net:
    """The model of a point, and the data of its runs."""

    dataset: data_lib.Dataset  # with the names of the classes
    data: device.Data  # the splits, prepared by the point's config
    # `apply(variables, inputs) -> outputs` in evaluation mode, jitted: inputs [B, ...] as stored,
    # outputs [B, K] as in `Predictions`.
    apply: Callable[[Any, Any], jax.Array]
    model: models.Model  # see `nnstudy.models`

    def examples(self, split: str = 'test', num: int | None = None) -> tuple[np.ndarray, ...]:
        """Returns inputs and labels of the first `num` examples of a split, of all by default."""
        names, sizes = zip(*self.data.sizes, strict=True)
        errors.check_known('split', split, names)
        if num is not None and num < 1:
            raise errors.UserError(f'num must be at least 1, or None for all, not {num}')
        i = names.index(split)
        start, size = sum(sizes[:i]), sizes[i]
        rows = slice(start, start + min(size, num or size))
        return np.asarray(self.data.inputs[rows]), np.asarray(self.data.labels[rows])

    def predict(self, variables: Any, split: str = 'test', num: int | None = None) -> Predictions:
        """Returns the predictions of a run with these variables; for the others see `examples`."""
        inputs, labels = self.examples(split, num)
        batches = [
            np.asarray(self.apply(variables, inputs[i : i + evaluation.BATCH_SIZE]))
            for i in range(0, len(inputs), evaluation.BATCH_SIZE)
        ]
        return Predictions(inputs, labels, np.concatenate(batches))


def make_net(
    settings: Mapping[str, Value], data: data_lib.Dataset | None, data_dir: str | os.PathLike | None
) -> Net:
    """Returns the model and the data of a point with these fields, see `Results`."""
    config = resolve.one(settings)
    dataset = data or data_lib.load(config.dataset, data_dir)
    prepared = device.prepare(dataset, **resolve.data_options(config))
    resolve.check(config, prepared)
    run = Run(config, {}, prepared)

    @jax.jit
    def apply(variables: Any, inputs: jax.Array) -> jax.Array:
        outputs, _ = run.model.apply(variables, prepared.normalized(inputs), train=False, rng=None)
        return run.predictions(outputs)

    return Net(dataset, prepared, apply, run.model)
