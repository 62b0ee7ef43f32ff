"""Optimizers: those of optax, by name, with the section's fields as keyword arguments.

`make` calls `optax.<name>(**fields)` inside the traced step, where the learning rate and the other
dynamic fields are traced scalars. An optax transform consists of functions only; what is kept
between steps is its state.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax

from nnstudy import errors
from nnstudy.spec import values
from nnstudy.spec.fields import Component
from nnstudy.spec.values import Count, DropRate, Field, Fraction, NonNegative, Positive
from nnstudy.training import regularization

_LEFT_OUT = {
    'noisy_sgd',  # needs a random key
    'rprop',  # reads the rate once, at init, so that a schedule would be ignored
    'optimistic_adam',  # deprecated for optimistic_adam_v2
    *('scale_by_learning_rate', 'scale_by_rprop'),  # parts of optimizers
}


def _optax_optimizers() -> dict[str, Callable[..., optax.GradientTransformation]]:
    return {
        name: function
        for name, function in vars(optax).items()
        if inspect.isfunction(getattr(function, 'func', function))  # optax.nadam is a partial
        and not name.startswith('_')
        and name not in _LEFT_OUT
        and 'learning_rate' in inspect.signature(function).parameters
    }


OPTIMIZERS = _optax_optimizers()

# Arguments that are not plain data, and adafactor's name for `weight_decay`.
RESERVED = ('mask', 'weight_decay_mask', 'linesearch', 'weight_decay_rate')

# Those with a line search, which need the same loss function at each step.
_FULL_BATCH = ('lbfgs',)


# The ranges of optax's arguments, which its annotations do not give.
TYPES: dict[str, Any] = {
    **dict.fromkeys(('b1', 'b2'), DropRate),
    **dict.fromkeys(('momentum', 'decay', 'rho'), Fraction),
    'eps': NonNegative,
    'memory_size': Count,
}


@functools.cache
def shared_arguments(optimizer: Callable[..., Any]) -> dict[str, Field]:
    """Returns the arguments that an optimizer's section has besides the optimizer's own.

    `clip_norm` scales a gradient down to that norm where it is larger (Pascanu et al. 2013).

    `weight_decay` is there for every optimizer. One that has no weight decay of its own gets the
    decoupled one of AdamW (Loshchilov & Hutter 2019): a step subtracts learning_rate *
    weight_decay * parameter. Its default is optax's where there is one, as in AdamW; otherwise it
    is off.
    """
    own = values.signature(optimizer).get('weight_decay')
    weight_decay = None if own is None else float(own.default)
    return {
        'learning_rate': values.read(NonNegative),
        'weight_decay': values.read(NonNegative | None, weight_decay),
        'clip_norm': values.read(Positive | None, None),
    }


def check(chosen: Component, batch_size: int, num_train: int) -> None:
    """Raises UserError if an optimizer does not fit the batch size, or its arguments each other.

    Args:
      chosen: `config.optimizer`, resolved.
      batch_size: number of examples of a step.
      num_train: number of examples there are.
    """
    arguments = chosen.keywords
    of_momentum = [a for a in ('nesterov', 'accumulator_dtype') if arguments.get(a)]
    if of_momentum and 'momentum' in chosen.defaults and arguments.get('momentum') is None:
        raise errors.UserError(
            f'config.optimizer.{of_momentum[0]} needs config.optimizer.momentum, which is None'
        )
    for argument, value in arguments.items():
        if argument.endswith('dtype') and value is not None:
            try:
                jnp.dtype(value)
            except TypeError as error:
                raise errors.UserError(
                    f"config.optimizer.{argument} must be a type such as 'float32' or 'bfloat16', "
                    f'not {value!r}'
                ) from error
    if chosen.name in _FULL_BATCH and batch_size != num_train:
        raise errors.UserError(
            f'config.optimizer.name {chosen.name!r} needs the whole training set in each step: set '
            f'config.batch_size={num_train}, not {batch_size}, or use another optimizer'
        )


def make(
    optimizer: Callable[..., optax.GradientTransformation],
    arguments: Mapping[str, Any],
    mask: regularization.Mask,
) -> optax.GradientTransformationExtraArgs:
    """Returns the optax transform of one step.

    Its `update` takes `value`, `grad` and `value_fn` too, for optimizers with a line search.

    Args:
      optimizer: a value of `OPTIMIZERS`.
      arguments: `learning_rate` of this step, by the schedule, and the section's other fields; the
        dynamic ones traced.
      mask: which parameters the weight decay applies to.
    """
    arguments = dict(arguments)
    clip_norm = arguments.pop('clip_norm', None)
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm)
    return optax.chain(clip, _with_weight_decay(optimizer, arguments, mask))


def _with_weight_decay(optimizer, arguments, mask) -> optax.GradientTransformation:
    own = values.signature(optimizer)
    masks = [name for name in ('mask', 'weight_decay_mask') if name in own]
    weight_decay = arguments.pop('weight_decay', None)
    if 'weight_decay' in own and masks:
        # optax's default is not off.
        arguments['weight_decay'] = 0.0 if weight_decay is None else weight_decay
        return optimizer(**arguments, **{masks[0]: mask})
    if 'weight_decay' in own:
        arguments['weight_decay'] = 0.0  # optax would let all parameters decay
    tx = optimizer(**arguments)
    if weight_decay is None:
        return tx
    rate = -arguments['learning_rate'] * weight_decay
    return optax.chain(tx, optax.add_decayed_weights(rate, mask))
