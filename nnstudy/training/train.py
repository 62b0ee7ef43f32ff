"""Training of ONE run, as pure functions: no runs axis, no files, no printing.

A `Training` holds what is static. Its functions take what each run has of its own:

    training = Training(config)
    state = training.init(keys, hparams, data)
    state, outputs = training.segment(state, keys, hparams, data, start, stop, evaluate)

`make_train(config)` composes them to a whole training. Models, losses, optimizers and schedules
are called inside the traced code, with the run's hparams as arguments.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec import components
from nnstudy.spec.fields import Config
from nnstudy.training import regularization, resolve, steps
from nnstudy.training.run import Run, steps_per_epoch
from nnstudy.training.state import Best, HParams, Keys, TrainState, make_keys


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """The static part of training a run.

    Two are equal, and what is compiled of one serves the other, if the static fields of their
    configs are. One with a component of a user's equals itself alone, since such code may read a
    global that changes between two studies.

    Attributes:
      config: resolved; its dynamic fields are not used.
    """

    config: Config

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, Training) or not self._is_library_code:
            return self is other
        return self.config.static(of_program=True) == other.config.static(of_program=True)

    def __hash__(self) -> int:
        return hash(self.config.static(of_program=True))

    @property
    def _is_library_code(self) -> bool:
        return all(components.is_library_code(c.function) for c in self.config.components.values())

    def make_keys(self, seed: jax.Array) -> Keys:
        """Returns the random keys of the run with a seed, int [], see `config.data_seeds`."""
        num = self.config.data_seeds
        return make_keys(seed) if num is None else make_keys(seed // num, seed % num)

    def init(self, keys: Keys, hparams: HParams, data: Data) -> TrainState:
        """Returns the state before the first step."""
        run = Run.bind(self.config, keys, hparams, data)
        inputs = data.normalized(jnp.asarray(data.inputs[:1]))
        variables = dict(run.model.init(keys['init'], inputs))
        params = variables['params']
        if (scale := run.config.init_scale) is not None:
            is_kernel = regularization.make_mask()(params)
            params = variables['params'] = jax.tree.map(
                lambda leaf, chosen: scale * leaf if chosen else leaf, params, is_kernel
            )
        is_shuffled = self.config.shuffle and self.config.batch_size < data.num_train
        return TrainState(
            variables=variables,
            opt_state=run.optimizer(jnp.float32(0)).init(params),
            schedule=run.schedule.init(),
            order=jnp.arange(data.num_train) if is_shuffled else None,
            loss_sum=jnp.float32(0),
            num_examples=jnp.float32(0),
            frozen_at=jnp.int32(-1),
            stopped=jnp.asarray(False),
            best=Best(variables, score=jnp.float32(-jnp.inf), step=jnp.int32(0)),
        )

    def step(
        self,
        state: TrainState,
        keys: Keys,
        hparams: HParams,
        data: Data,
        number: jax.Array,
        stop: jax.Array,
    ) -> tuple[TrainState, jax.Array, jax.Array, dict[str, jax.Array]]:
        """Takes one step, see `nnstudy.training.steps.step`."""
        return steps.step(Run.bind(self.config, keys, hparams, data), state, number, stop)

    def segment(
        self,
        state: TrainState,
        keys: Keys,
        hparams: HParams,
        data: Data,
        start: jax.Array,
        stop: jax.Array,
        evaluate: jax.Array,
        log_size: int = 0,
    ) -> tuple[TrainState, dict[str, Any]]:
        """Trains from step `start` to before step `stop`, see `nnstudy.training.steps.segment`."""
        run = Run.bind(self.config, keys, hparams, data)
        return steps.segment(run, state, start, stop, evaluate, log_size)


def evaluation_steps(config: Config, num_train: int) -> np.ndarray:
    """Returns the steps before which a run is evaluated: 0, every `eval_every` epochs, the last.

    With `eval_in_first_epoch` as many more lie evenly within the first epoch, fewer if it has fewer
    steps.

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
    """Returns the whole training of a run as one pure function, to be jitted and vmapped at will.

        train = jax.jit(jax.vmap(nnstudy.make_train(config), in_axes=(0, 0, None)))
        state, history = train(keys, hparams, data)

    Args:
      config: see `nnstudy.default_config`.

    Returns:
      `train(keys, hparams, data) -> (state, history)`: keys from `make_keys`; hparams a dict of
      any of the config's float fields by dotted name, float32 [], the others being as in the
      config; data from `nnstudy.data.prepare`; and history a dict of float32 [E] (int32 [E] for
      `'step'`), one row for each of `evaluation_steps`.

    Raises:
      UserError: a field or its value is wrong.
    """
    (setting,) = resolve.study(config).settings
    training = Training(setting)

    def train(keys: Keys, hparams: HParams, data: Data):
        for field in hparams:
            if field not in setting.hparams:
                raise errors.unknown('dynamic field', field, setting.hparams)
        values: dict[str, Any] = {**setting.hparams, **hparams}
        stops = evaluation_steps(setting, data.num_train)
        starts = np.concatenate([[0], stops[:-1]]).astype(np.int32)

        def interval(state, bounds):
            start, stop = bounds
            state, outputs = training.segment(
                state, keys, values, data, start, stop, evaluate=jnp.asarray(True)
            )
            return state, {'step': stop, **outputs['metrics']}

        return lax.scan(interval, training.init(keys, values, data), (starts, stops))

    return train
