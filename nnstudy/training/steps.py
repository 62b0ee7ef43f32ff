"""Gradient descent of one run: the state before it, a step, a segment of steps, and all of them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.data import augmentation
from nnstudy.data.device import Data
from nnstudy.spec import fields
from nnstudy.training import evaluation, histograms, metrics, regularization, resolve
from nnstudy.training.run import Best, HParams, Keys, Run, TrainState, data_keys


def init(run: Run) -> TrainState:
    """Returns the state before the first step."""
    config, data = run.config, run.data
    inputs = data.normalized(jnp.asarray(data.inputs[:1]))
    variables = dict(run.model.init(run.keys['init'], inputs))
    params = variables['params']
    if (scale := config.init_scale) is not None:
        params = variables['params'] = jax.tree.map(
            lambda leaf: scale * leaf if leaf.ndim >= 2 else leaf, params
        )
    is_shuffled = config.shuffle and config.batch_size < data.num_train
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


def segment(
    run: Run,
    state: TrainState,
    start: jax.Array,
    stop: jax.Array,
    evaluate: jax.Array,
    log_size: int = 0,
) -> tuple[TrainState, dict[str, Any]]:
    """Takes the steps from `start` to before `stop`, and then evaluates if `evaluate` is true.

    Args:
      run: the run.
      state: after step `start - 1`.
      start: int32 [].
      stop: int32 []. Both may be traced, so that one program serves segments of any length.
      evaluate: bool [].
      log_size: rows of the log of single steps; at least as many as there are steps to log.

    Returns:
      The state, and a dict of `'metrics'`: those of the evaluation, NaN without one; `'log'`: batch
      loss and metric of the steps that `config.log_every_steps` divides, float32 [log_size] each;
      and `'is_over'`: whether the run is frozen, bool []. A frozen run is evaluated, but its
      gradient, learning rate and diagnostics are NaN.
    """
    log_every = run.config.log_every_steps or 1
    first_row = (start + log_every - 1) // log_every
    (metric_name,) = metrics.select((), run.data)
    names = ('batch_loss', f'batch_{metric_name}') if log_size else ()
    empty = {name: jnp.full([log_size], jnp.nan) for name in names}

    def body(number, carry):
        state, _, log = carry
        is_alive = state.frozen_at < 0
        state, loss, metric, of_grads = step(run, state, number, stop)
        if log:
            # Steps that are not logged are beyond the last row, where nothing is written.
            is_logged = (number % log_every == 0) & (number < stop)
            row = jnp.where(is_logged, number // log_every - first_row, log_size)
            log = {
                name: log[name].at[row].set(jnp.where(is_alive, value, jnp.nan))
                for name, value in zip(names, (loss, metric), strict=True)
            }
        return state, of_grads, log

    carry = (state, of_no_grads(run, state.variables['params']), empty)
    # Before the first step, an evaluation needs the gradient of that step. The step is computed
    # then, but changes nothing.
    state, of_grads, log = lax.fori_loop(start, jnp.maximum(stop, 1), body, carry)

    @functools.partial(jax.jit, inline=True)  # traced once for values and shapes
    def evaluated(state: TrainState):
        return evaluation.evaluated(run, state, stop, of_grads)

    def not_evaluated(state: TrainState):
        shapes = jax.eval_shape(evaluated, state)[1]
        return state, jax.tree.map(lambda s: jnp.full(s.shape, jnp.nan, s.dtype), shapes)

    state, row = lax.cond(evaluate, evaluated, not_evaluated, state)
    return state, {'metrics': row, 'log': log, 'is_over': state.frozen_at >= 0}


def step(
    run: Run, state: TrainState, number: jax.Array, stop: jax.Array
) -> tuple[TrainState, jax.Array, jax.Array, dict[str, jax.Array]]:
    """Takes one step. It changes nothing if the step is not before `stop`, or the run is frozen.

    Returns:
      The state; loss and metric of the mini-batch, float32 []; and what `of_grads` measures of the
      gradient: zeros, except from the last step before `stop` on.
    """
    config, data = run.config, run.data
    epoch, batch = jnp.divmod(number, run.steps_per_epoch)
    order_key, step_key, augmentation_key = data_keys(run.keys)
    if state.order is not None:
        order_key = jax.random.fold_in(order_key, epoch)
        permuted = functools.partial(jax.random.permutation, order_key, data.num_train)
        state = state.replace(order=lax.cond(batch == 0, permuted, lambda: state.order))
    rows, inputs, labels, mask = _batch(run, state.order, batch)
    if strengths := fields.given(config.augmentation):
        inputs = augmentation.augment(
            augmentation_key, epoch, rows, inputs.astype(jnp.float32), strengths, data.max_value
        )

    rng = jax.random.fold_in(step_key, number)
    objective = run.objective(state.variables, inputs, labels, mask, rng)
    params = state.variables['params']
    (value, (loss, metric, updates)), grads = jax.value_and_grad(objective, has_aux=True)(params)
    rate = run.schedule.rate(state.schedule, jnp.asarray(number))

    def updated() -> tuple[Any, Any]:
        of_line_search = {'value': value, 'grad': grads, 'value_fn': lambda p: objective(p)[0]}
        deltas, opt_state = run.optimizer(rate).update(
            grads, state.opt_state, params, **of_line_search
        )
        new_params = optax.apply_updates(params, deltas)
        if (strength := config.regularization.proximal_l1) is not None:
            new_params = regularization.shrink(new_params, run.penalized, rate * strength)
        return {**state.variables, 'params': new_params, **updates}, opt_state

    is_alive = (state.frozen_at < 0) & (number < stop)
    is_finite = jnp.isfinite(value)
    old = state.variables, state.opt_state
    if config.batch_size > 1:
        # This saves a pass over parameters and moments, compared with `where`.
        variables, opt_state = lax.cond(is_alive & is_finite, updated, lambda: old)
    else:
        # The gradients are outer products, which XLA fuses into the update. A branch would have
        # them written to memory.
        variables, opt_state = optax.tree.where(is_alive & is_finite, updated(), old)
    # Only an evaluation needs this, and it takes a pass over all gradients.
    measured = lax.cond(
        number >= stop - 1, lambda: of_grads(run, grads), lambda: of_no_grads(run, grads)
    )
    num_examples = jnp.where(is_alive, len(inputs) if mask is None else mask.sum(), 0)
    state = state.replace(
        variables=variables,
        opt_state=opt_state,
        loss_sum=state.loss_sum + jnp.where(is_alive, loss * num_examples, 0),
        num_examples=state.num_examples + num_examples,
        frozen_at=jnp.where(is_alive & ~is_finite, number, state.frozen_at),
    )
    return state, loss, metric, measured


def of_grads(run: Run, grads: Any) -> dict[str, jax.Array]:
    """Returns the measurements of a gradient: its norm, float32 [], and histograms."""
    measured = {'l2_grads': optax.tree.norm(grads)}
    if run.config.histograms:
        measured['grads_histogram'] = histograms.count(grads)
    return measured


def of_no_grads(run: Run, grads: Any) -> dict[str, jax.Array]:
    """Returns zeros of the same shapes."""
    return jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: of_grads(run, grads)))


def _batch(run: Run, order: jax.Array | None, batch: jax.Array):
    """Returns the places in the epoch, inputs, labels and mask of a batch; mask None: all count."""
    data, batch_size = run.data, run.config.batch_size
    rows = batch * batch_size + jnp.arange(batch_size)
    if batch_size == data.num_train:  # the whole set: its order does not matter
        return rows, data.inputs[:batch_size], data.labels[:batch_size], None
    mask = None
    if data.num_train % batch_size:
        mask = rows < data.num_train
        rows = jnp.minimum(rows, data.num_train - 1)
    if order is not None:
        rows = order[rows]
    return rows, data.inputs[rows], data.labels[rows], mask


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
      `'step'`), with a row for each of the E evaluations.

    Raises:
      UserError: a field or its value is wrong.
    """
    (setting,) = resolve.study(config).settings

    def train(keys: Keys, hparams: HParams, data: Data):
        for field in hparams:
            errors.check_known('dynamic field', field, setting.hparams)
        run = Run(setting.replace({**setting.hparams, **hparams}), keys, data)
        stops = evaluation.evaluation_steps(setting, data.num_train)
        starts = np.concatenate([[0], stops[:-1]]).astype(np.int32)

        def interval(state, bounds):
            start, stop = bounds
            state, outputs = segment(run, state, start, stop, evaluate=jnp.asarray(True))
            return state, {'step': stop, **outputs['metrics']}

        return lax.scan(interval, init(run), (starts, stops))

    return train
