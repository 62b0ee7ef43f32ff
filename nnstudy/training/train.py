"""The whole training of one run, as one pure function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec.fields import Config
from nnstudy.training import resolve, steps
from nnstudy.training.run import Run, steps_per_epoch
from nnstudy.training.state import HParams, Keys, TrainState


def evaluation_steps(config: Config, num_train: int) -> np.ndarray:
    """Returns the steps before which a run is evaluated: 0, every `eval_every` epochs, the last.

    `config.eval_in_first_epoch` adds so many evaluations, evenly within the first epoch; fewer if
    the epoch has fewer steps.

    Args:
      config: of the run.
      num_train: number of training examples.

    Returns:
      int32 [E], increasing; the last one is the number of steps of the run.
    """
    epochs = [*range(0, config.epochs, config.eval_every), config.epochs]
    first = steps_per_epoch(config, num_train)
    whole = np.array(epochs, np.int32) * first
    early = np.linspace(0, first, (config.eval_in_first_epoch or 0) + 2).round()
    return np.union1d(whole, early[1:-1].astype(np.int32))


def make_train(config: ConfigDict) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
    """Returns the whole training of a run as one pure function, for `jax.jit` and `jax.vmap`.

        train = jax.jit(jax.vmap(nnstudy.make_train(config), in_axes=(0, 0, None)))
        state, history = train(keys, hparams, data)

    Args:
      config: see `nnstudy.default_config`.

    Returns:
      `train(keys, hparams, data) -> (state, history)`: keys from `make_keys`; hparams a dict of
      float fields by dotted name, float32 [], where fields that are left out have the config's
      values; data from `nnstudy.data.prepare`. `history` is a dict of float32 [E] (int32 [E] for
      `'step'`), with a row for each of the E `evaluation_steps`.

    Raises:
      UserError: a field or its value is wrong.
    """
    (setting,) = resolve.study(config).settings

    def train(keys: Keys, hparams: HParams, data: Data):
        for field in hparams:
            errors.check_known('dynamic field', field, setting.hparams)
        values: dict[str, Any] = {**setting.hparams, **hparams}
        run = Run.bind(setting, keys, values, data)
        stops = evaluation_steps(setting, data.num_train)
        starts = np.concatenate([[0], stops[:-1]]).astype(np.int32)

        def interval(state, bounds):
            start, stop = bounds
            state, outputs = steps.segment(run, state, start, stop, evaluate=jnp.asarray(True))
            return state, {'step': stop, **outputs['metrics']}

        return lax.scan(interval, steps.init(run), (starts, stops))

    return train
