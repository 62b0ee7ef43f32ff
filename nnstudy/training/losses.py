"""Losses: one value per example, from a model's outputs and the labels.

A loss is `loss(outputs, labels, **fields) -> [B]`, with outputs `[B, K]` and labels either int32
`[B]` (classification) or float32 `[B, K]` (regression). The mean over a batch is taken by
training, which knows which examples of a last, short batch are real. Float fields are dynamic.

Losses that are made for numbers (`squared_error`, `absolute_error`, `huber`) compare class labels
one-hot with the outputs as they are, without a softmax.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnstudy import errors


def softmax_cross_entropy(
    outputs: jax.Array, labels: jax.Array, *, label_smoothing: float | None = None
) -> jax.Array:
    """Returns -Σ_k target_k log softmax(outputs)_k, with outputs as logits; finite at ±1e4.

    Args:
      outputs: `[B, K]`.
      labels: int32 `[B]`, or float32 `[B, K]`: one-hot, or any distribution over the classes.
      label_smoothing: the share of the target that is spread over all K classes, the right one
        among them, in [0, 1] (Szegedy et al. 2016).
    """
    log_p = jax.nn.log_softmax(outputs)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        loss = -jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
    else:
        loss = optax.softmax_cross_entropy(outputs, labels)
    if label_smoothing is None:
        return loss
    return (1 - label_smoothing) * loss - label_smoothing * log_p.mean(axis=-1)


def binary_cross_entropy(
    outputs: jax.Array, labels: jax.Array, *, label_smoothing: float | None = None
) -> jax.Array:
    """Returns -(t log σ(z) + (1 - t) log(1 - σ(z))) for the logit z, its mean if there are several.

    Args:
      outputs: `[B, 1]` for two classes; `[B, K]` for K labels in [0, 1].
      labels: int32 `[B]` of 0 and 1, or float32 `[B, K]`.
      label_smoothing: s moves the target t to (1 - s) t + s / 2.
    """
    targets = _column(labels)
    if label_smoothing is not None:
        targets = (1 - label_smoothing) * targets + label_smoothing / 2
    return optax.sigmoid_binary_cross_entropy(outputs, targets).mean(axis=-1)


def squared_error(outputs: jax.Array, labels: jax.Array, *, reduction: str = 'mean') -> jax.Array:
    """Returns the `'mean'` or the `'sum'` over the K outputs of (output - label)²."""
    return _reduce(jnp.square(outputs - _one_hot(outputs, labels)), reduction)


def absolute_error(outputs: jax.Array, labels: jax.Array, *, reduction: str = 'mean') -> jax.Array:
    """Returns the `'mean'` or the `'sum'` over the K outputs of |output - label|."""
    return _reduce(jnp.abs(outputs - _one_hot(outputs, labels)), reduction)


def huber(
    outputs: jax.Array, labels: jax.Array, *, delta: float = 1.0, reduction: str = 'mean'
) -> jax.Array:
    """Returns Huber's loss (1964): e²/2 for errors |e| up to `delta`, then delta (|e| - delta/2).

    Its `'mean'` or `'sum'` over the K outputs.
    """
    return _reduce(optax.huber_loss(outputs, _one_hot(outputs, labels), delta=delta), reduction)


def hinge(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns max(0, 1 + max_{k ≠ label} output_k - output_label), of Crammer and Singer (2001)."""
    return optax.losses.multiclass_hinge_loss(outputs, labels)


def binary_hinge(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns max(0, 1 - y output) for outputs `[B, 1]`, with y = -1 for class 0 and +1 for 1."""
    return optax.hinge_loss(outputs, 2 * _column(labels) - 1)[:, 0]


def zero_one(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns 1. where the predicted class is wrong, else 0.

    For measuring: its gradient is zero, so it is none of `LOSSES`.
    """
    return (predicted_class(outputs) != labels).astype(jnp.float32)


def predicted_class(outputs: jax.Array) -> jax.Array:
    """Returns the class of each example: the largest of K outputs, or 1 where a single one is > 0.

    Args:
      outputs: `[B, K]`.

    Returns:
      int `[B]`.
    """
    if outputs.shape[-1] == 1:
        return (outputs[:, 0] > 0).astype(jnp.int32)
    return jnp.argmax(outputs, axis=-1)


def predicted_values(name: str, outputs: jax.Array) -> jax.Array:
    """Returns a model's outputs `[B, K]` on the scale of labels that are numbers.

    Those are probabilities where the loss `name` takes outputs as their logits.
    """
    links = {'binary_cross_entropy': jax.nn.sigmoid, 'softmax_cross_entropy': jax.nn.softmax}
    return links[name](outputs) if name in links else outputs


LOSSES: dict[str, Callable[..., jax.Array]] = {
    'softmax_cross_entropy': softmax_cross_entropy,
    'binary_cross_entropy': binary_cross_entropy,
    'squared_error': squared_error,
    'absolute_error': absolute_error,
    'huber': huber,
    'hinge': hinge,
    'binary_hinge': binary_hinge,
}

_CLASSES_ONLY = ('hinge', 'binary_hinge')
_BINARY = ('binary_cross_entropy', 'binary_hinge')  # a single output tells two classes apart


def num_outputs(name: str, data: Any) -> int:
    """Returns how many outputs a model needs for a loss: one a class, or one of a binary loss.

    Args:
      name: a key of `LOSSES`.
      data: see `nnstudy.data.Data`.
    """
    return 1 if name in _BINARY and data.is_classification else data.num_outputs


def check(name: str, dataset: str, data: Any) -> None:
    """Raises UserError if a loss cannot be taken of labels like these.

    Args:
      name: a key of `LOSSES`.
      dataset: name of the data set, for the message.
      data: see `nnstudy.data.Data`; in host memory.
    """
    field = f'config.loss.name {name!r}'
    if data.is_classification:
        if name in _BINARY and data.num_outputs != 2:
            fitting = ', '.join(sorted(LOSSES.keys() - _BINARY))
            raise errors.UserError(
                f'{field} is for two classes, and {dataset!r} has {data.num_outputs}: use one of '
                f'{fitting}'
            )
        return
    labels = np.asarray(data.labels)
    fitting = ', '.join(
        sorted(LOSSES.keys() - {*_CLASSES_ONLY, 'softmax_cross_entropy', 'binary_cross_entropy'})
    )
    if name in _CLASSES_ONLY:
        raise errors.UserError(
            f'{field} needs class labels, and {dataset!r} has numbers to predict: use one of '
            f'{fitting}'
        )
    is_share = ((labels >= 0) & (labels <= 1)).all()
    if name == 'binary_cross_entropy' and not is_share:
        raise errors.UserError(
            f'{field} needs class labels or labels from 0 to 1, and {dataset!r} has others: use '
            f'one of {fitting}'
        )
    adds_up = labels.shape[1] > 1 and np.allclose(labels.sum(axis=1), 1, atol=1e-4)
    if name == 'softmax_cross_entropy' and not (is_share and adds_up):
        raise errors.UserError(
            f'{field} needs class labels, or distributions over classes, and {dataset!r} has '
            f'numbers to predict: use one of {fitting}'
        )


def _one_hot(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return jax.nn.one_hot(labels, outputs.shape[-1])
    return labels


def _column(labels: jax.Array) -> jax.Array:
    """Returns class labels `[B]` as numbers `[B, 1]`; labels that are numbers as they are."""
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return labels[:, None].astype(jnp.float32)
    return labels


def _reduce(values: jax.Array, reduction: str) -> jax.Array:
    reductions = {'mean': jnp.mean, 'sum': jnp.sum}
    if reduction not in reductions:
        raise errors.unknown('config.loss.reduction', reduction, reductions)
    return reductions[reduction](values, axis=-1)
