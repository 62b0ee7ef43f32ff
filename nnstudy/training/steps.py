"""Gradient descent of one run: the state before it, a step, a segment of steps, and all of them."""

import contextlib
import functools
import math
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
from nnstudy.machine import target as targets
from nnstudy.machine.target import Kind
from nnstudy.spec import fields
from nnstudy.spec.fields import Config
from nnstudy.training import evaluation, histograms, metrics, regularization, resolve
from nnstudy.training.run import Best, HParams, Keys, Run, TrainState, data_keys, steps_per_epoch

STEP = 'step'  # in the names of its operations
STRETCH_STEPS = 32  # about so many, see `stretch_length`


def exact(config: Config) -> contextlib.AbstractContextManager[None]:
    """Within it, products outside of the network are of float32, as in penalties and diagnostics.

    Not where no precision is asked for: then all are as JAX has them on the device.
    """
    return jax.default_matmul_precision(config.precision and 'float32')


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
    return TrainState(
        variables=variables,
        opt_state=run.optimizer(jnp.float32(0)).init(params),
        schedule=run.schedule.init(),
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
    device: Kind = targets.CPU,
) -> tuple[TrainState, dict[str, Any]]:
    """Takes the steps from `start` to before `stop`, and then evaluates if `evaluate` is true.

    Args:
      run: the run.
      state: after step `start - 1`.
      start: int32 [].
      stop: int32 []. Both may be traced, so that one program serves segments of any length.
      evaluate: bool [].
      log_size: rows of the log of single steps; at least as many as there are steps to log.
      device: what it is compiled for.

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
    measure = functools.partial(of_grads, run)
    # Before the first step, an evaluation needs the gradient of that step. The step is computed
    # then, but changes nothing.
    end = jnp.maximum(stop, 1)

    def one_step(first, number, rows, carry):
        state, last, log = carry
        is_alive, is_taken = state.frozen_at < 0, (first <= number) & (number < stop)
        with jax.named_scope(STEP):
            state, loss, metric, grads = step(run, state, number, rows, is_taken, device)
        if device.branches:  # only the last step needs this, and it takes a pass over all gradients
            last = lax.cond(number == end - 1, measure, lambda _: last, grads)
        else:
            last = grads
        if log:
            # Steps that are not logged are beyond the last row, where nothing is written.
            is_logged = is_taken & (number % log_every == 0)
            row = jnp.where(is_logged, number // log_every - first_row, log_size)
            log = {
                name: log[name].at[row].set(jnp.where(is_alive, value, jnp.nan))
                for name, value in zip(names, (loss, metric), strict=True)
            }
        return state, last, log

    length = stretch_length(run.config, run.data.num_train)

    def stretch(index, carry):
        first = start + index * length
        after = jnp.minimum(first + length, end)
        # Of a short stretch the first steps are left out, or, where the compiler has to know the
        # number of steps, they are computed and change nothing.
        numbers = after - length + jnp.arange(length)
        rows = jax.vmap(run.examples)(numbers)
        begin = first - numbers[0] if device.counts else 0
        return lax.fori_loop(
            begin, length, lambda i, carry: one_step(first, numbers[i], rows[i], carry), carry
        )

    params = state.variables['params']
    last = jax.eval_shape(measure, params) if device.branches else params
    carry = state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), last), empty
    state, last, log = lax.fori_loop(0, (end - start + length - 1) // length, stretch, carry)
    measured = last if device.branches else measure(last)

    @functools.partial(jax.jit, inline=True)  # traced once for values and shapes
    def evaluated(state: TrainState):
        return evaluation.evaluated(run, state, stop, measured)

    def not_evaluated(state: TrainState):
        shapes = jax.eval_shape(evaluated, state)[1]
        return state, jax.tree.map(lambda s: jnp.full(s.shape, jnp.nan, s.dtype), shapes)

    state, row = lax.cond(evaluate, evaluated, not_evaluated, state)
    return state, {'metrics': row, 'log': log, 'is_over': state.frozen_at >= 0}


def stretch_length(config: Config, num_train: int) -> int:
    """Returns how many steps are taken between two orders of examples: about 32.

    The order of all of them is made at once. Where the compiler has to know the number of steps,
    those up to an evaluation are a few whole stretches, of which only the last one may be short.
    """
    between = config.eval_every * steps_per_epoch(config, num_train)
    return math.ceil(between / max(1, round(between / STRETCH_STEPS)))


def step(
    run: Run,
    state: TrainState,
    number: jax.Array,
    examples: jax.Array,
    is_taken: jax.Array | bool = True,
    device: Kind = targets.CPU,
) -> tuple[TrainState, jax.Array, jax.Array, Any]:
    """Takes one step on the examples of these numbers, int32 [B].

    It changes nothing if it is not to be taken, or the run is frozen.

    Returns:
      The state; loss and metric of the mini-batch, float32 []; and the gradient.
    """
    config, data = run.config, run.data
    _, step_key, augmentation_key = data_keys(run.keys)
    inputs, labels, mask = _batch(run, number, examples)
    if strengths := fields.given(config.augmentation):
        epoch = number // run.steps_per_epoch
        inputs = augmentation.augment(
            augmentation_key, epoch, examples, inputs.astype(jnp.float32), strengths, data.max_value
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

    is_alive = (state.frozen_at < 0) & is_taken
    is_finite = jnp.isfinite(value)
    old = state.variables, state.opt_state
    if device.branches and config.batch_size > 1:
        # This saves a pass over parameters and moments, compared with `where`.
        variables, opt_state = lax.cond(is_alive & is_finite, updated, lambda: old)
    else:
        # With a batch of one, the gradients are outer products, which XLA fuses into the update. A
        # branch would have them written to memory.
        variables, opt_state = optax.tree.where(is_alive & is_finite, updated(), old)
    num_examples = jnp.where(is_alive, len(inputs) if mask is None else mask.sum(), 0)
    state = state.replace(
        variables=variables,
        opt_state=opt_state,
        loss_sum=state.loss_sum + jnp.where(is_alive, loss * num_examples, 0),
        num_examples=state.num_examples + num_examples,
        frozen_at=jnp.where(is_alive & ~is_finite, number, state.frozen_at),
    )
    return state, loss, metric, grads


def of_grads(run: Run, grads: Any) -> dict[str, jax.Array]:
    """Returns the measurements of a gradient: its norm, float32 [], and histograms."""
    measured = {'l2_grads': optax.tree.norm(grads)}
    if run.config.histograms:
        measured['grads_histogram'] = histograms.count(grads)
    return measured


def _batch(run: Run, number: jax.Array, examples: jax.Array):
    """Returns inputs, labels and mask of a step's examples; mask None: all count."""
    data, batch_size = run.data, run.config.batch_size
    if batch_size == data.num_train:  # the whole set is there already
        return data.inputs[:batch_size], data.labels[:batch_size], None
    mask = run.places(number) < data.num_train if data.num_train % batch_size else None
    return data.inputs[examples], data.labels[examples], mask


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
    device = targets.kind_here()

    def train(keys: Keys, hparams: HParams, data: Data):
        for field in hparams:
            errors.check_known('dynamic field', field, setting.hparams)
        run = Run(setting.replace({**setting.hparams, **hparams}), keys, data)
        stops = evaluation.evaluation_steps(setting, data.num_train)
        starts = np.concatenate([[0], stops[:-1]]).astype(np.int32)

        def interval(state, bounds):
            start, stop = bounds
            evaluate = jnp.asarray(True)
            state, outputs = segment(run, state, start, stop, evaluate, device=device)
            return state, {'step': stop, **outputs['metrics']}

        with exact(setting):
            return lax.scan(interval, init(run), (starts, stops))

    return train
