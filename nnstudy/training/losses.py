"""Losses: one value per example, from a model's outputs and the labels.

A loss is `loss(outputs, labels, **fields) -> [B]`, with outputs `[B, K]` and labels either int32
`[B]` (classification) or float32 `[B, K]` (regression). Which labels it accepts, and what its
outputs mean, is in its `Traits`.

Losses for numbers (`squared_error`, `absolute_error`, `huber`) compare one-hot class labels with
the outputs themselves, without a softmax.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec import components
from nnstudy.spec.fields import Config
from nnstudy.spec.values import Fraction, Positive

Reduction = Literal['mean', 'sum']  # over the K outputs
_Function = TypeVar('_Function', bound=Callable[..., jax.Array])


class Traits(NamedTuple):
    """Which labels a loss accepts, and what its outputs mean; by default, all and predictions."""

    is_binary: bool = False  # whether it is for two classes, told apart by a single output
    takes: Callable[[np.ndarray], bool] = lambda labels: True  # whether these numbers, [N, K]
    needs: str = 'any labels'  # for messages
    # From outputs [B, K] to predictions of numbers, such as from logits to probabilities.
    link: Callable[[jax.Array], jax.Array] = lambda outputs: outputs

    def __call__(self, loss: _Function) -> _Function:
        """Gives a loss these traits, as a decorator."""
        loss.traits = self  # type: ignore[attr-defined]
        return loss


def traits(loss: Callable[..., jax.Array]) -> Traits:
    """Returns the traits of a loss."""
    return getattr(loss, 'traits', Traits())


def _are_shares(labels: np.ndarray) -> bool:
    return bool(((labels >= 0) & (labels <= 1)).all())


def _are_distributions(labels: np.ndarray) -> bool:
    adds_up = labels.shape[1] > 1 and np.allclose(labels.sum(axis=1), 1, atol=1e-4)
    return adds_up and _are_shares(labels)


@Traits(takes=_are_distributions, needs='class labels, or distributions', link=jax.nn.softmax)
def softmax_cross_entropy(
    outputs: jax.Array, labels: jax.Array, *, label_smoothing: Fraction | None = None
) -> jax.Array:
    """Returns -Σ_k target_k log softmax(outputs)_k, with outputs as logits; finite at ±1e4.

    Args:
      outputs: `[B, K]`.
      labels: int32 `[B]`, or float32 `[B, K]`: one-hot, or any distribution over the classes.
      label_smoothing: the share of the target that is spread over all K classes, the right one
        among them (Szegedy et al. 2016).
    """
    log_p = jax.nn.log_softmax(outputs)
    if _are_classes(labels):
        loss = -jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
    else:
        loss = optax.softmax_cross_entropy(outputs, labels)
    if label_smoothing is None:
        return loss
    return (1 - label_smoothing) * loss - label_smoothing * log_p.mean(axis=-1)


@Traits(is_binary=True, takes=_are_shares, needs='labels from 0 to 1', link=jax.nn.sigmoid)
def binary_cross_entropy(
    outputs: jax.Array, labels: jax.Array, *, label_smoothing: Fraction | None = None
) -> jax.Array:
    """Returns -(t log σ(z) + (1 - t) log(1 - σ(z))) for the logit z, its mean if there are several.

    Args:
      outputs: `[B, 1]` for two classes; `[B, K]` for K labels in [0, 1].
      labels: int32 `[B]` of 0 and 1, or float32 `[B, K]`.
      label_smoothing: s moves the target t to (1 - s) t + s / 2.
    """
    targets = _targets(outputs, labels)
    if label_smoothing is not None:
        targets = (1 - label_smoothing) * targets + label_smoothing / 2
    return optax.sigmoid_binary_cross_entropy(outputs, targets).mean(axis=-1)


def squared_error(
    outputs: jax.Array, labels: jax.Array, *, reduction: Reduction = 'mean'
) -> jax.Array:
    """Returns the `'mean'` or the `'sum'` over the K outputs of (output - label)²."""
    return getattr(jnp, reduction)(jnp.square(outputs - _targets(outputs, labels)), axis=-1)


def absolute_error(
    outputs: jax.Array, labels: jax.Array, *, reduction: Reduction = 'mean'
) -> jax.Array:
    """Returns the `'mean'` or the `'sum'` over the K outputs of |output - label|."""
    return getattr(jnp, reduction)(jnp.abs(outputs - _targets(outputs, labels)), axis=-1)


def huber(
    outputs: jax.Array, labels: jax.Array, *, delta: Positive = 1.0, reduction: Reduction = 'mean'
) -> jax.Array:
    """Returns Huber's loss (1964), its `'mean'` or `'sum'` over the K outputs.

    It is e²/2 for errors |e| up to `delta`, then delta (|e| - delta/2).
    """
    loss = optax.huber_loss(outputs, _targets(outputs, labels), delta=delta)
    return getattr(jnp, reduction)(loss, axis=-1)


@Traits(takes=lambda labels: False, needs='class labels')
def hinge(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns max(0, 1 + max_{k ≠ label} output_k - output_label), of Crammer and Singer (2001)."""
    return optax.losses.multiclass_hinge_loss(outputs, labels)


@Traits(is_binary=True, takes=lambda labels: False, needs='class labels')
def binary_hinge(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns max(0, 1 - y output) for outputs `[B, 1]`, with y = -1 for class 0 and +1 for 1."""
    return optax.hinge_loss(outputs, 2 * _targets(outputs, labels) - 1)[:, 0]


def zero_one(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns 1. where the predicted class is wrong, else 0; its gradient is zero."""
    return (predicted_class(outputs) != labels).astype(jnp.float32)


def predicted_class(outputs: jax.Array) -> jax.Array:
    """Returns the class of outputs `[B, K]`, int `[B]`; of a single one, 1 where it is above 0."""
    if outputs.shape[-1] == 1:
        return (outputs[:, 0] > 0).astype(jnp.int32)
    return jnp.argmax(outputs, axis=-1)


_OF_CLASSES = softmax_cross_entropy, binary_cross_entropy, hinge, binary_hinge
LOSSES: dict[str, Callable[..., jax.Array]] = {
    loss.__name__: loss for loss in (*_OF_CLASSES, squared_error, absolute_error, huber)
}
SLOT = components.Slot('loss', LOSSES, ('outputs', 'labels'))


def num_outputs(loss: Callable[..., jax.Array], data: Data) -> int:
    """Returns how many outputs a model needs for a loss: one a class, or one of a binary loss."""
    return 1 if traits(loss).is_binary and data.is_classification else data.num_outputs


def check(config: Config, data: Data) -> None:
    """Raises UserError if a loss does not accept labels like these."""

    def problem(loss: Callable[..., jax.Array]) -> str:
        said = traits(loss)
        if not data.is_classification and not said.takes(np.asarray(data.labels)):
            return f'needs {said.needs}, and {config.dataset!r} has other labels'
        if data.is_classification and said.is_binary and data.num_outputs != 2:
            return f'is for two classes, and {config.dataset!r} has {data.num_outputs}'
        return ''

    if found := problem(config.loss.function):
        fitting = ', '.join(sorted(name for name, loss in LOSSES.items() if not problem(loss)))
        raise errors.UserError(
            f'config.loss.name {config.loss.name!r} {found}: use one of {fitting}'
        )


def _are_classes(labels: jax.Array) -> bool:
    return jnp.issubdtype(labels.dtype, jnp.integer)


def _targets(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the labels as numbers `[B, K]`: classes one-hot, or as they are for one output."""
    if not _are_classes(labels):
        return labels
    if outputs.shape[-1] == 1:
        return labels[:, None].astype(jnp.float32)
    return jax.nn.one_hot(labels, outputs.shape[-1])
