"""What is measured beside the loss, on the whole of a split.

A metric is what it sums over the examples, and what it makes of the sums: an accuracy is a sum of
hits over the number of examples, R² needs sums of squares too. So a split of any size is gone
through in batches, in one pass.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nnstudy import errors
from nnstudy.training import losses


class Metric(NamedTuple):
    """A metric; `metric(outputs, labels)` is its value on arrays at hand.

    Attributes:
      statistics: `statistics(outputs, labels) -> [B, ...]`, from outputs `[B, K]` and labels int32
        `[B]` or float32 `[B, K]`: what is summed over the examples.
      value: `value(sums, count) -> [...]`, from the sums and the number of examples.
      is_array: whether that is more than one number.
      higher_is_better: whether more of it is better.
    """

    statistics: Callable[[jax.Array, jax.Array], jax.Array]
    value: Callable[[jax.Array, jax.Array], jax.Array] = lambda sums, count: sums / count
    is_array: bool = False
    higher_is_better: bool = False

    def __call__(self, outputs: jax.Array, labels: jax.Array) -> jax.Array:
        return self.value(self.statistics(outputs, labels).sum(axis=0), jnp.asarray(len(labels)))


def _hits(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    return (losses.predicted_class(outputs) == labels).astype(jnp.float32)


def _top_5(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    own = jnp.take_along_axis(outputs, labels[:, None], axis=-1)
    # Of equal outputs the first class comes first, as for argmax.
    is_before = jnp.arange(outputs.shape[-1]) < labels[:, None]
    rank = ((outputs > own) | ((outputs == own) & is_before)).sum(axis=-1)
    return (rank < 5).astype(jnp.float32)


def _confusions(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    num_classes = max(outputs.shape[-1], 2)  # a single output tells two classes apart
    true = jax.nn.one_hot(labels, num_classes)
    predicted = jax.nn.one_hot(losses.predicted_class(outputs), num_classes)
    return true[:, :, None] * predicted[:, None, :]


def _squares(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.stack([jnp.square(outputs - labels), jnp.square(labels), labels], axis=1)


def _r2(sums: jax.Array, count: jax.Array) -> jax.Array:
    residual, total, mean = sums[0], sums[1], sums[2] / count
    return jnp.mean(1 - residual / (total - count * mean**2))


# Shares of the examples; of `class_accuracy` [K], of those of each class (NaN where there are
# none); counts of `confusion` [K, K], the row being the true class and the column the predicted.
CLASSIFICATION: dict[str, Metric] = {
    'accuracy': Metric(_hits, higher_is_better=True),
    'top_5_accuracy': Metric(_top_5, higher_is_better=True),
    'zero_one': Metric(losses.zero_one),
    'class_accuracy': Metric(
        _confusions,
        lambda sums, count: jnp.diagonal(sums) / jnp.sum(sums, axis=1),
        is_array=True,
        higher_is_better=True,
    ),
    'confusion': Metric(_confusions, lambda sums, count: sums, is_array=True),
}

# Means over the K outputs. R² = 1 - Σ (output - label)² / Σ (label - mean label)², as scikit-learn
# has it; labels that are all equal have none (NaN or -inf).
REGRESSION: dict[str, Metric] = {
    'mae': Metric(losses.absolute_error),
    'mse': Metric(losses.squared_error),
    'r2': Metric(_squares, _r2, higher_is_better=True),
}


def metric_name(is_classification: bool) -> str:
    """Returns the metric that is always there: `'accuracy'`, or `'mae'` for regression."""
    return 'accuracy' if is_classification else 'mae'


def select(names: tuple[str, ...], data: Any) -> dict[str, Metric]:
    """Returns the metrics of a study by name, the one of its task first.

    Args:
      names: those asked for beside it, `config.metrics`.
      data: see `nnstudy.data.Data`.

    Raises:
      UserError: a metric is unknown, or means nothing for such labels.
    """
    known, other = CLASSIFICATION, REGRESSION
    if not data.is_classification:
        known, other = other, known
    for name in names:
        if name in other:
            task = 'regression' if data.is_classification else 'classification'
            raise errors.UserError(
                f'config.metrics: {name!r} is for {task}, and the data set is not; accepted are '
                f'{", ".join(known)}'
            )
        if name not in known:
            raise errors.unknown('metric in config.metrics', name, known)
        if name == 'top_5_accuracy' and data.num_outputs <= 5:
            raise errors.UserError(
                f"config.metrics: 'top_5_accuracy' of {data.num_outputs} classes is always 1"
            )
    return {name: known[name] for name in (metric_name(data.is_classification), *names)}
