"""What a run is given, and what it carries from step to step."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import struct

Keys = dict[str, jax.Array]
HParams = Mapping[str, jax.Array | np.ndarray]


class Best(struct.PyTreeNode):
    """The variables at the best evaluation so far, by validation, or by test if there is none."""

    variables: Any
    score: jax.Array  # float32 [], the larger the better
    step: jax.Array  # int32 []


class TrainState(struct.PyTreeNode):
    """What a run carries from step to step.

    Attributes:
      variables: the model's, `'params'` among them.
      opt_state: state of the optax transform.
      schedule: state of the schedule, `()` for most.
      order: the order of the training examples in this epoch, int32 [num_train]; None where it is
        not shuffled. A function of the data key and the epoch, kept because sorting anew in every
        step would cost more than the step.
      loss_sum: sum of the examples' losses over the mini-batches since the last evaluation.
      num_examples: number of those examples.
      frozen_at: the step from which on nothing changes, because the loss was not finite or the
        run was stopped; -1 while it is alive.
      stopped: whether it was stopped, by target or patience (`config.stop`).
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

    `jax.vmap(make_keys)` gives those of several runs. With `data_seed` the order of the data is
    that of another seed than the initial weights.
    """
    init_key, data_key = jax.random.split(jax.random.key(seed))
    if data_seed is not None:
        data_key = make_keys(data_seed)['data']
    return {'init': init_key, 'data': data_key}


def data_keys(keys: Keys) -> jax.Array:
    """Returns three keys of a run: of the order of examples, of each step, of augmentation."""
    return jax.random.split(keys['data'], 3)
