"""Optimizers: optax's own, by name, with the section's fields as keyword arguments.

There is no list of classes: `make` calls `optax.<name>(**fields)`. It is called inside the traced
step, because the rate and the other dynamic fields are traced scalars there; a transform is only
functions, and just its state is kept between steps.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from nnstudy import components

_LEFT_OUT = {
    *('lbfgs', 'noisy_sgd'),  # need more than a gradient: the loss in a line search, a key
    'rprop',  # reads the rate once, at init, so that a schedule would be ignored
    'optimistic_adam',  # deprecated for optimistic_adam_v2
    *('scale_by_learning_rate', 'scale_by_rprop'),  # parts of optimizers
}


def _optax_optimizers() -> dict[str, Callable[..., optax.GradientTransformation]]:
    return {
        name: function
        for name, function in vars(optax).items()
        if inspect.isfunction(function)
        and not name.startswith('_')
        and name not in _LEFT_OUT
        and 'learning_rate' in inspect.signature(function).parameters
    }


OPTIMIZERS = _optax_optimizers()


def extra_fields(name: str) -> dict[str, Any]:
    """Returns fields that an optimizer's section has beside its own arguments, with defaults.

    `weight_decay` is there for every optimizer. One that has no weight decay of its own gets the
    decoupled one of AdamW (Loshchilov & Hutter 2019): a step subtracts learning_rate *
    weight_decay * kernel. Where optax has a default for it, as in AdamW, that is ours too; else it
    is off.
    """
    own = components.signature(OPTIMIZERS[name]).get('weight_decay')
    return {'weight_decay': None if own is None else float(own.default)}


def make(
    optimizer: Callable[..., optax.GradientTransformation], arguments: Mapping[str, Any]
) -> optax.GradientTransformation:
    """Returns the optax transform of one step.

    Only kernels decay, see `is_kernel`.

    Args:
      optimizer: a value of `OPTIMIZERS`.
      arguments: `learning_rate` of this step, schedule included, and the section's other fields;
        dynamic ones traced.
    """
    own = components.signature(optimizer)
    arguments = dict(arguments)
    masks = [name for name in ('mask', 'weight_decay_mask') if name in own]
    if 'weight_decay' in own and masks:
        arguments.setdefault('weight_decay', 0.0)  # optax's default is not off
        return optimizer(**arguments, **{masks[0]: is_kernel})
    weight_decay = arguments.pop('weight_decay', None)
    if 'weight_decay' in own:
        arguments['weight_decay'] = 0.0  # optax would let all parameters decay
    tx = optimizer(**arguments)
    if weight_decay is None:
        return tx
    rate = -arguments['learning_rate'] * weight_decay
    return optax.chain(tx, optax.add_decayed_weights(rate, is_kernel))


def is_kernel(params: Any) -> Any:
    """Returns a tree of bools: the leaves of two axes and more, not biases or scales."""
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
