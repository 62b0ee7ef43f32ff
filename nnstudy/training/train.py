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
from nnstudy.training import evaluation, histograms, metrics, regularization, resolve, stopping
from nnstudy.training import step as step_lib
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
        """Takes one step, see `nnstudy.training.step.step`."""
        return step_lib.step(Run.bind(self.config, keys, hparams, data), state, number, stop)

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
        """Trains from step `start` to before step `stop`, then evaluates if asked to.

        Args:
          state: after step `start - 1`.
          keys: see `make_keys`.
          hparams: the dynamic fields, float32 [] each.
          data: what to train and evaluate on.
          start: int32 [].
          stop: int32 []; both may be traced, one program serves segments of every length.
          evaluate: bool [].
          log_size: number of rows of the log of single steps; enough for `stop - start` steps at
            one row every `config.log_every_steps`.

        Returns:
          The state, and `{'metrics': ..., 'log': ..., 'is_over': ...}`: the metrics of the
          evaluation (NaN without one); batch loss and metric of single steps, float32 [log_size]
          each, the first of them for the first step of the segment that `log_every_steps` divides;
          and whether the run is frozen, bool []. A frozen run has NaN for what only training has.
        """
        run = Run.bind(self.config, keys, hparams, data)
        log_every = self.config.log_every_steps or 1
        first_row = (start + log_every - 1) // log_every
        names = ('batch_loss', 'batch_' + metrics.metric_name(data.is_classification))
        empty = {name: jnp.full([log_size + 1], jnp.nan) for name in names if log_size}

        def body(number, carry):
            state, _, log = carry
            is_alive = state.frozen_at < 0
            state, loss, metric, of_grads = step_lib.step(run, state, number, stop)
            if log:
                # Steps that are not logged go to a last row, which is cut off.
                row = jnp.where(number % log_every == 0, number // log_every - first_row, log_size)
                row = jnp.where(number < stop, row, log_size)
                log = {
                    name: log[name].at[row].set(jnp.where(is_alive, value, jnp.nan))
                    for name, value in zip(names, (loss, metric), strict=True)
                }
            return state, of_grads, log

        carry = (state, step_lib.of_no_grads(run, state.variables['params']), empty)
        # The evaluation before the first step has the gradient of that step, which is not taken.
        state, of_grads, log = lax.fori_loop(start, jnp.maximum(stop, 1), body, carry)

        def evaluated(state: TrainState):
            return _evaluated(run, state, stop, of_grads)

        def not_evaluated(state: TrainState):
            shapes = jax.eval_shape(evaluated, state)[1]
            return state, jax.tree.map(lambda s: jnp.full(s.shape, jnp.nan, s.dtype), shapes)

        state, row = lax.cond(evaluate, evaluated, not_evaluated, state)
        log = jax.tree.map(lambda rows: rows[:-1], log)
        return state, {'metrics': row, 'log': log, 'is_over': state.frozen_at >= 0}


def _evaluated(
    run: Run, state: TrainState, step: jax.Array, of_grads: dict[str, jax.Array]
) -> tuple[TrainState, dict[str, Any]]:
    """Returns the state after an evaluation before step `step`, and what it measured."""
    row = evaluation.evaluate(run, state.variables)
    row['batch_loss'] = state.loss_sum / state.num_examples  # NaN before the first step
    watched = run.schedule.observe(state.schedule, row[f'{run.data.selection_split}_loss'])
    of_training = {
        **evaluation.diagnose(run, state.variables),
        'learning_rate': run.schedule.rate(watched, jnp.asarray(step)),
        **of_grads,
    }
    is_alive = state.frozen_at < 0
    row |= {name: jnp.where(is_alive, value, jnp.nan) for name, value in of_training.items()}
    if run.config.histograms:
        row['params_histogram'] = histograms.count(state.variables['params'])
    best = stopping.better(run, state.best, state.variables, row, step)
    stops = is_alive & stopping.is_over(run, best, row, step)
    state = state.replace(
        schedule=watched,
        loss_sum=jnp.float32(0),
        num_examples=jnp.float32(0),
        frozen_at=jnp.where(stops, step, state.frozen_at),
        stopped=state.stopped | stops,
        best=best,
    )
    return state, row


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
    steps = np.array(epochs, np.int32) * first
    early = np.linspace(0, first, (config.eval_in_first_epoch or 0) + 2).round()
    return np.union1d(steps, early[1:-1].astype(np.int32))


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
