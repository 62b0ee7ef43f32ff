"""Losses: one value per example, from a model's outputs and the labels.

A loss is `loss(outputs, labels, **fields) -> [B]`, with outputs `[B, K]` and labels either int32
`[B]` (classification) or float32 `[B, K]` (regression). The mean over a batch is taken by
nnstudy.train, which knows which examples of a last, short batch are real.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax


def softmax_cross_entropy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns -log softmax(outputs)[label], with outputs as logits; finite for logits of ±1e4."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)


def squared_error(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the mean over the K outputs of (output - label)².

    Class labels are compared one-hot with the outputs as they are, without a softmax.
    """
    if jnp.issubdtype(labels.dtype, jnp.integer):
        labels = jax.nn.one_hot(labels, outputs.shape[-1])
    return jnp.mean(jnp.square(outputs - labels), axis=-1)


LOSSES: dict[str, Callable[..., jax.Array]] = {
    'softmax_cross_entropy': softmax_cross_entropy,
    'squared_error': squared_error,
}

# Losses that read labels as classes and so mean nothing for regression.
CLASSIFICATION_ONLY = {'softmax_cross_entropy'}
