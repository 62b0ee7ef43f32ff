"""The evaluation of one run: loss and metrics of every split, diagnostics; and what follows."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import flatten_util, lax

from nnstudy import models
from nnstudy.data.device import Data
from nnstudy.spec.fields import Config
from nnstudy.training import diagnostics, histograms, metrics
from nnstudy.training.run import Best, Run, TrainState, steps_per_epoch

BATCH_SIZE = 256  # examples of one forward pass


def evaluation_steps(config: Config, num_train: int) -> np.ndarray:
    """Returns the steps before which a run is evaluated, int32 [E], increasing.

    They are 0, every `eval_every` epochs, and the number of steps of the run; and as many as
    `config.eval_in_first_epoch`, evenly within the first epoch, if it has so many steps.
    """
    epochs = [*range(0, config.epochs, config.eval_every), config.epochs]
    first = steps_per_epoch(config, num_train)
    whole = np.array(epochs, np.int32) * first
    early = np.linspace(0, first, (config.eval_in_first_epoch or 0) + 2).round()
    return np.union1d(whole, early[1:-1].astype(np.int32))


def num_evaluated(config: Config, data: Data) -> dict[str, int]:
    """Returns how many examples of each split are evaluated, its first ones."""
    most = {'train': config.eval_train_examples or data.num_train}
    return {split: min(size, most.get(split, size)) for split, size in data.sizes}


def evaluate(run: Run, variables: models.Variables) -> dict[str, jax.Array]:
    """Returns loss and metrics of every split in evaluation mode, float32 [] each.

    A metric may be an array too. One loop goes through the batches of all splits, so that the
    forward pass is compiled once.
    """
    config, data, model = run.config, run.data, run.model
    measured = metrics.select(config.metrics, data)
    # Numbers to predict are shifted by the first label: large labels may differ only in their last
    # digits, which a sum of squares would lose.
    origin = 0 if data.is_classification else jnp.asarray(data.labels[:1])

    def statistics(outputs: jax.Array, labels: jax.Array) -> list[jax.Array]:
        shifted = run.predictions(outputs) - origin, labels - origin
        found = [metric.statistics(*shifted) for metric in measured.values()]
        found = [run.loss(outputs, labels, train=False), *found]
        return [part.astype(jnp.float32) for part in found]

    total, counts = sum(size for _, size in data.sizes), num_evaluated(config, data)
    batch_size = min(BATCH_SIZE, total)
    batches, begin = [], 0  # (split, first example that counts, first that does not)
    for split, (name, size) in enumerate(data.sizes):
        end = begin + counts[name]
        starts = range(begin, end, batch_size)
        batches += [(split, low, min(low + batch_size, end)) for low in starts]
        begin += size
    shapes = jax.eval_shape(statistics, jnp.zeros([1, run.num_outputs]), data.labels[:1])
    one, unravel = flatten_util.ravel_pytree([jnp.zeros(part.shape[1:]) for part in shapes])

    def body(sums, batch):
        split, low, high = batch
        # A slice beyond the end is moved back, and what does not belong to the batch is masked.
        offset = jnp.minimum(low, total - batch_size)
        rows = offset + jnp.arange(batch_size)
        inputs = lax.dynamic_slice_in_dim(data.inputs, offset, batch_size)
        labels = lax.dynamic_slice_in_dim(data.labels, offset, batch_size)
        outputs, _ = model.apply(variables, data.normalized(inputs), train=False, rng=None)
        # One array, since many small ones make a slow loop.
        flat = jax.vmap(lambda parts: flatten_util.ravel_pytree(parts)[0])(
            statistics(outputs, labels)
        )
        counted = ((rows >= low) & (rows < high))[:, None]
        return sums.at[split].add(jnp.where(counted, flat, 0).sum(axis=0)), None

    empty = jnp.zeros([len(counts), one.size])
    sums, _ = lax.scan(body, empty, jnp.asarray(np.array(batches, np.int32)))
    row = {}
    for (name, count), of_split in zip(counts.items(), sums, strict=True):
        loss, *parts = unravel(of_split)
        row[f'{name}_loss'] = loss / count
        for (metric, measure), part in zip(measured.items(), parts, strict=True):
            value = measure.value(part, jnp.float32(count))
            # argmax of outputs that are not finite would be class 0.
            row[f'{name}_{metric}'] = jnp.where(jnp.isfinite(loss / count), value, jnp.nan)
    return row


def diagnose(run: Run, variables: models.Variables) -> dict[str, jax.Array]:
    """Returns the diagnostics of `config.diagnostics`, float32 [] each."""
    config, data = run.config, run.data

    def objective(params, rows, mask):
        return run.objective(variables, data.inputs[rows], data.labels[rows], mask)(params)[0]

    count, key = diagnostics.num_examples(config, data), jax.random.fold_in(run.keys['init'], 1)
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
    column = f'{metrics.selection_split(row)}_{metrics.headline(row)}'
    score = row[column] if metrics.higher_is_better(column) else -row[column]
    new = Best(state.variables, score.astype(jnp.float32), jnp.asarray(step, jnp.int32))
    # The earlier one if they are equal. The score is NaN where the loss is not finite.
    best = optax.tree.where(new.score > state.best.score, new, state.best)
    stops = is_alive & _is_over(run, best, row, step)
    state = state.replace(
        schedule=watched,
        loss_sum=jnp.float32(0),
        num_examples=jnp.float32(0),
        frozen_at=jnp.where(stops, step, state.frozen_at),
        stopped=state.stopped | stops,
        best=best,
    )
    return state, row


def _is_over(run: Run, best: Best, row: Mapping[str, jax.Array], step: jax.Array) -> jax.Array:
    """Returns whether an evaluation before `step` ends the run before its last step, bool []."""
    config, epoch = run.config, run.steps_per_epoch
    over = jnp.asarray(False)
    if config.stop.target is not None:
        metric, target = config.stop.metric, config.stop.target
        higher = metrics.higher_is_better(metric)
        over |= row[metric] > target if higher else row[metric] < target
    if config.stop.patience is not None:
        over |= step - best.step >= config.stop.patience * config.eval_every * epoch
    return over & (step < config.epochs * epoch)
