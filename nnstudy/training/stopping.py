"""Which evaluation of a run is the best, and when a run stops before its last step."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from nnstudy import models
from nnstudy.training import metrics
from nnstudy.training.run import Run
from nnstudy.training.state import Best


def better(
    best: Best,
    variables: models.Variables,
    row: Mapping[str, jax.Array],
    step: jax.Array,
) -> Best:
    """Returns the better of `best` and a new evaluation; the earlier one if they are equal.

    The score is the accuracy on the split that selects, or minus its loss where numbers are
    predicted, see `metrics.headline`. It is NaN where the loss is not finite, and NaN is never
    better.
    """
    column = f'{metrics.selection_split(row)}_{metrics.headline(row)}'
    score = row[column] if metrics.higher_is_better(column) else -row[column]
    new = Best(variables, score.astype(jnp.float32), jnp.asarray(step, jnp.int32))
    return optax.tree.where(new.score > best.score, new, best)


def is_over(run: Run, best: Best, row: Mapping[str, jax.Array], step: jax.Array) -> jax.Array:
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
