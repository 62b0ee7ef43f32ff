"""The evaluation of one run: loss and metrics of every split, and diagnostics."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nnstudy import models
from nnstudy.training import diagnostics, histograms, losses, metrics, stopping
from nnstudy.training.run import Run
from nnstudy.training.state import TrainState

BATCH_SIZE = 256  # examples of one forward pass


def evaluate(run: Run, variables: models.Variables) -> dict[str, jax.Array]:
    """Returns loss and metrics of every split in evaluation mode, float32 [] each.

    A metric may be an array too. Of the training split, the first `eval_train_examples` count. One
    loop goes through the batches of all splits, so that the forward pass is compiled once.
    """
    config, data, model = run.config, run.data, run.model
    measured = metrics.select(config.metrics, data)
    # Numbers to predict are shifted by the first label: large labels may differ only in their last
    # digits, which a sum of squares would lose.
    origin = 0 if data.is_classification else jnp.asarray(data.labels[:1])

    def statistics(outputs: jax.Array, labels: jax.Array) -> list[jax.Array]:
        loss = run.loss(outputs, labels, train=False)
        shifted = run.predictions(outputs) - origin, labels - origin
        return [loss, *(metric.statistics(*shifted) for metric in measured.values())]

    total = sum(size for _, size in data.sizes)
    batch_size = min(BATCH_SIZE, total)
    batches = []  # (split, first example that counts, first that does not)
    counts, begin = [], 0
    for split, (name, size) in enumerate(data.sizes):
        counts.append(size)
        if name == 'train':
            counts[-1] = min(size, config.eval_train_examples or size)
        end = begin + counts[-1]
        batches += [
            (split, low, min(low + batch_size, end)) for low in range(begin, end, batch_size)
        ]
        begin += size
    table = jnp.asarray(np.array(batches, np.int32))

    def body(sums, batch):
        split, low, high = batch
        # A slice beyond the end is moved back, and what does not belong to the batch is masked.
        offset = jnp.minimum(low, total - batch_size)
        rows = offset + jnp.arange(batch_size)
        inputs = lax.dynamic_slice_in_dim(data.inputs, offset, batch_size)
        labels = lax.dynamic_slice_in_dim(data.labels, offset, batch_size)
        outputs, _ = model.apply(variables, data.normalized(inputs), train=False, rng=None)
        # One array, since many small ones make a slow loop.
        parts = [part.reshape(batch_size, -1) for part in statistics(outputs, labels)]
        counted = ((rows >= low) & (rows < high))[:, None]
        added = jnp.where(counted, jnp.concatenate(parts, axis=1), 0).sum(axis=0)
        return sums.at[split].add(added), None

    one = jnp.zeros([1, losses.num_outputs(config.loss.name, data)])
    shapes = [part.shape[1:] for part in jax.eval_shape(statistics, one, data.labels[:1])]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    sums, _ = lax.scan(body, jnp.zeros([len(counts), ends[-1]]), table)
    row = {}
    for (name, _), count, columns in zip(data.sizes, counts, sums, strict=True):
        loss, *parts = jnp.split(columns, ends[:-1])
        mean_loss = loss[0] / count
        row[f'{name}_loss'] = mean_loss
        for (metric, measure), part, shape in zip(measured.items(), parts, shapes[1:], strict=True):
            value = measure.value(part.reshape(shape), jnp.float32(count))
            # argmax of outputs that are not finite would be class 0.
            row[f'{name}_{metric}'] = jnp.where(jnp.isfinite(mean_loss), value, jnp.nan)
    return row


def diagnose(run: Run, variables: models.Variables) -> dict[str, jax.Array]:
    """Returns the diagnostics of `config.diagnostics`, float32 [] each."""
    config, data = run.config, run.data

    def objective(params, rows, mask):
        return run.objective(variables, data.inputs[rows], data.labels[rows], mask)(params)[0]

    count = diagnostics.num_examples(config.diagnostic_examples, data.num_train)
    key = jax.random.fold_in(run.keys['init'], 1)
    return {
        name: diagnostics.DIAGNOSTICS[name].measure(objective, variables['params'], count, key)
        for name in config.diagnostics
    }


def evaluated(
    run: Run, state: TrainState, step: jax.Array, of_grads: dict[str, jax.Array]
) -> tuple[TrainState, dict[str, Any]]:
    """Evaluates before step `step`; returns the changed state and the measurements by name."""
    row = evaluate(run, state.variables)
    row['batch_loss'] = state.loss_sum / state.num_examples  # NaN before the first step
    watched = run.schedule.observe(state.schedule, row[f'{metrics.selection_split(row)}_loss'])
    of_training = {
        **diagnose(run, state.variables),
        'learning_rate': run.schedule.rate(watched, jnp.asarray(step)),
        **of_grads,
    }
    is_alive = state.frozen_at < 0
    row |= {name: jnp.where(is_alive, value, jnp.nan) for name, value in of_training.items()}
    if run.config.histograms:
        row['params_histogram'] = histograms.count(state.variables['params'])
    best = stopping.better(state.best, state.variables, row, step)
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
