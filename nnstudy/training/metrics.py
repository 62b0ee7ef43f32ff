"""What is measured beside the loss, on the whole of a split.

A metric is what it sums over the examples, and what it computes from the sums. So a split of any
size is measured in batches, in one pass. A new metric is an entry in `METRICS`.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec.fields import Config
from nnstudy.training import losses


class Metric(NamedTuple):
    """A metric; `metric(outputs, labels)` is its value on arrays at hand."""

    # `statistics(outputs, labels) -> [B, ...]`, from outputs `[B, K]` and labels int32 `[B]` or
    # float32 `[B, K]`: what is summed over the examples.
    statistics: Callable[[jax.Array, jax.Array], jax.Array]
    # `value(sums, count) -> [...]`, for `count` examples; by default the mean.
    value: Callable[[jax.Array, jax.Array], jax.Array] = lambda sums, count: sums / count
    is_regression: bool = False  # whether it compares numbers; if not, classes
    min_classes: int = 0  # with fewer it is always the same
    is_array: bool = False  # whether the value is more than one number
    higher_is_better: bool = False

    def __call__(self, outputs: jax.Array, labels: jax.Array) -> jax.Array:
        return self.value(self.statistics(outputs, labels).sum(axis=0), jnp.asarray(len(labels)))


def _hits(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    return (losses.predicted_class(outputs) == labels).astype(jnp.float32)


def _top_5(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    own = jnp.take_along_axis(outputs, labels[:, None], axis=-1)
    # Among equal outputs the lower class comes first, as for argmax.
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


METRICS: dict[str, Metric] = {
    # Shares of the examples.
    'accuracy': Metric(_hits, higher_is_better=True),
    'top_5_accuracy': Metric(_top_5, min_classes=6, higher_is_better=True),
    'zero_one': Metric(losses.zero_one),
    # Of each class `[K]`, the share of its examples; NaN where there are none.
    'class_accuracy': Metric(
        _confusions,
        lambda sums, count: jnp.diagonal(sums) / jnp.sum(sums, axis=1),
        is_array=True,
        higher_is_better=True,
    ),
    # Counts `[K, K]`: a row for each true class, a column for each predicted one.
    'confusion': Metric(_confusions, lambda sums, count: sums, is_array=True),
    # Means over the K outputs.
    'mae': Metric(losses.absolute_error, is_regression=True),
    'mse': Metric(losses.squared_error, is_regression=True),
    # 1 - Σ (output - label)² / Σ (label - mean label)², as in scikit-learn; NaN or -inf if all
    # labels are equal.
    'r2': Metric(_squares, _r2, is_regression=True, higher_is_better=True),
}


def select(names: tuple[str, ...], data: Data) -> dict[str, Metric]:
    """Returns the metric that every study of such labels has, and those of other names."""
    own = 'accuracy' if data.is_classification else 'mae'
    return {name: METRICS[name] for name in (own, *names)}


def check(config: Config, data: Data) -> None:
    """Raises UserError if a metric is unknown, or means nothing for such labels."""
    for name in config.metrics:
        errors.check_known('metric in config.metrics', name, METRICS)
        metric = METRICS[name]
        if not isinstance(metric, Metric) or name == 'loss':
            raise errors.UserError(
                f"METRICS[{name!r}] must be an nnstudy.metrics.Metric, and not be called 'loss'"
            )
        if metric.is_regression == data.is_classification:
            task = 'regression' if metric.is_regression else 'classification'
            fitting = [n for n, m in METRICS.items() if m.is_regression != metric.is_regression]
            raise errors.UserError(
                f'config.metrics: {name!r} is for {task}, and the labels are not; accepted are '
                f'{", ".join(fitting)}'
            )
        if data.num_outputs < metric.min_classes:
            raise errors.UserError(
                f'config.metrics: {name!r} needs {metric.min_classes} classes or more, and the '
                f'data set has {data.num_outputs}'
            )


def directions() -> dict[str, bool]:
    """Returns of the loss and of each metric whether more of it is better, by name."""
    return {'loss': False, **{name: metric.higher_is_better for name, metric in METRICS.items()}}


def higher_is_better(column: str, known: Mapping[str, bool] | None = None) -> bool:
    """Whether more of a column of the tables is better: as of the metric that its name ends with.

    Such as `best_test_accuracy`, or an element of an array, `test_class_accuracy_0`. Of a column of
    no metric, less is better. `known` is what `directions` has returned; None: as it is now.
    """
    known = directions() if known is None else known
    for name in (column, re.sub(r'(_\d+)+$', '', column)):
        endings = [metric for metric in known if f'_{name}'.endswith(f'_{metric}')]
        if endings:
            return known[max(endings, key=len)]
    return False


def headline(columns: Container[str]) -> str:
    """Returns what runs and points are judged by: `'accuracy'`, or `'loss'` for regression.

    `columns` are the names of what is measured, of a table or of one evaluation.
    """
    return 'accuracy' if 'test_accuracy' in columns else 'loss'


def selection_split(columns: Container[str]) -> str:
    """Returns the split that chooses the best: `'validation'` where there is one, else `'test'`."""
    return 'validation' if 'validation_loss' in columns else 'test'
