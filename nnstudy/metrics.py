"""What is measured beside the loss: one value per example, averaged over a split."""

import jax
import jax.numpy as jnp


def accuracy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns 1. where the largest of the outputs [B, K] is at the label [B], else 0."""
    return (jnp.argmax(outputs, axis=-1) == labels).astype(jnp.float32)


def mae(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean absolute error over the K outputs: [B, K], [B, K] -> [B]."""
    return jnp.mean(jnp.abs(outputs - labels), axis=-1)


METRICS = {'accuracy': accuracy, 'mae': mae}


def metric_name(is_classification: bool) -> str:
    """Returns the metric of a task: `'accuracy'`, or `'mae'` for regression."""
    return 'accuracy' if is_classification else 'mae'
