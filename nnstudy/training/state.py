"""The random keys of a run, and its state from step to step."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import struct

Keys = dict[str, jax.Array]
HParams = Mapping[str, jax.Array | np.ndarray]


class Best(struct.PyTreeNode):
    """The best evaluation so far, on the validation split, or on test if there is none."""

    variables: Any
    score: jax.Array  # float32 [], larger is better
    step: jax.Array  # int32 []


class TrainState(struct.PyTreeNode):
    """The state of a run between two steps.

    Attributes:
      variables: of the model, with `'params'`.
      opt_state: state of the optax transform.
      schedule: state of the schedule; most have none, `()`.
      order: the order of the training examples in this epoch, int32 [num_train]; None without
        shuffling. It is a function of the data key and the epoch, and kept because computing it in
        every step would take longer than the step.
      loss_sum: sum of the examples' losses over the mini-batches since the last evaluation.
      num_examples: number of those examples.
      frozen_at: the step at which the run ended early, because its loss was not finite or it was
        stopped; -1 before that. From then on nothing changes.
      stopped: whether it was stopped by `config.stop`.
      best: see `Best`.
    """

    variables: Any
    opt_state: Any
    schedule: Any
    order: jax.Array | None
    loss_sum: jax.Array
    num_examples: jax.Array
    frozen_at: jax.Array
    stopped: jax.Array
    best: Best


def make_keys(seed: int | jax.Array, data_seed: int | jax.Array | None = None) -> Keys:
    """Returns the random keys of a run: `{'init': ..., 'data': ...}`, both from its seed.

    `jax.vmap(make_keys)` gives the keys of several runs. With `data_seed`, the key `'data'` is that
    of another seed.
    """
    init_key, data_key = jax.random.split(jax.random.key(seed))
    if data_seed is not None:
        data_key = make_keys(data_seed)['data']
    return {'init': init_key, 'data': data_key}


def data_keys(keys: Keys) -> jax.Array:
    """Returns three keys of a run: for the order of examples, the steps and augmentation."""
    return jax.random.split(keys['data'], 3)
