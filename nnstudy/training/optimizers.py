"""Optimizers: optax's own, by name, with the section's fields as keyword arguments.

There is no list of classes: `make` calls `optax.<name>(**fields)`. It is called inside the traced
step, because the rate and the other dynamic fields are traced scalars there; a transform is only
functions, and just its state is kept between steps.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import optax

from nnstudy import errors
from nnstudy.spec import components
from nnstudy.spec.fields import Component
from nnstudy.spec.ranges import Count, DropRate, Fraction, NonNegative, Positive
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

# Arguments that are no plain data; and adafactor's name for what is `weight_decay` here.
RESERVED = ('mask', 'weight_decay_mask', 'linesearch', 'weight_decay_rate')

# Those that search along a line, with the loss as a function: it must be the same one at each step.
_FULL_BATCH = ('lbfgs',)


# What optax's arguments may be, of which its functions say nothing.
TYPES: dict[str, Any] = {
    **dict.fromkeys(('b1', 'b2'), DropRate),
    **dict.fromkeys(('momentum', 'decay', 'rho'), Fraction),
    'eps': NonNegative,
    'memory_size': Count,
}


def shared_arguments(optimizer: Callable[..., Any]) -> dict[str, components.Argument]:
    """Returns the arguments that an optimizer's section has beside its own.

    `clip_norm` scales a gradient down to that norm where it is larger (Pascanu et al. 2013).

    `weight_decay` is there for every optimizer. One that has no weight decay of its own gets the
    decoupled one of AdamW (Loshchilov & Hutter 2019): a step subtracts learning_rate *
    weight_decay * parameter. Where optax has a default for it, as in AdamW, that is ours too; else
    it is off.
    """
    own = components.signature(optimizer).get('weight_decay')
    weight_decay = None if own is None else float(own.default)
    return {
        'learning_rate': components.argument(NonNegative),
        'weight_decay': components.argument(NonNegative | None, weight_decay),
        'clip_norm': components.argument(Positive | None, None),
    }


def check(chosen: Component, batch_size: int, num_train: int) -> None:
    """Raises UserError if an optimizer cannot work like this, or an argument would do nothing.

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

    Its `update` takes `value`, `grad` and `value_fn` beside, for optimizers with a line search.

    Args:
      optimizer: a value of `OPTIMIZERS`.
      arguments: `learning_rate` of this step, schedule included, and the section's other fields;
        dynamic ones traced.
      mask: which parameters decay.
    """
    arguments = dict(arguments)
    clip_norm = arguments.pop('clip_norm', None)
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm)
    return optax.chain(clip, _with_weight_decay(optimizer, arguments, mask))


def _with_weight_decay(optimizer, arguments, mask) -> optax.GradientTransformation:
    own = components.signature(optimizer)
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
