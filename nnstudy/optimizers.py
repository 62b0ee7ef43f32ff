"""Optimizers: optax's own, by name, with the section's fields as keyword arguments.

There is no list of classes: `make` calls `optax.<name>(learning_rate, **fields)`. It is called
inside the traced step, because the rate and the other dynamic fields are traced scalars there; a
transform is only functions, and just its state is kept between steps.
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

    `weight_decay` is decoupled for every optimizer as in AdamW (Loshchilov & Hutter 2019): a step
    subtracts learning_rate * weight_decay * kernel. Only kernels decay, no biases or scales. Where
    optax has a default for it, as in AdamW, that is ours too; else it is off.
    """
    own = components.signature(OPTIMIZERS[name]).get('weight_decay')
    return {'weight_decay': None if own is None else float(own.default)}


def make(
    name: str, learning_rate: jax.Array, arguments: Mapping[str, Any]
) -> optax.GradientTransformation:
    """Returns the optax transform of one step.

    Args:
      name: a key of `OPTIMIZERS`.
      learning_rate: the rate of this step, schedule included; float32 [].
      arguments: the section's other fields, dynamic ones traced.
    """
    optimizer = OPTIMIZERS[name]
    arguments = dict(arguments)
    own = components.signature(optimizer)
    weight_decay = arguments.pop('weight_decay', None)
    if 'weight_decay' in own:
        # One mechanism for all: optax's own decay is off, ours below does the same to kernels.
        arguments['weight_decay'] = 0.0
    tx = optimizer(learning_rate, **arguments)
    if weight_decay is None:
        return tx
    return optax.chain(tx, optax.add_decayed_weights(-learning_rate * weight_decay, is_kernel))


def is_kernel(params: Any) -> Any:
    """Returns a tree of bools: which leaves are kernels (the last name on their path says so)."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], 'key', None) == 'kernel', params
    )
