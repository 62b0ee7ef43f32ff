"""Optimizers: those of optax, by name, with the section's fields as keyword arguments.

`make` calls `optax.<name>(**fields)` inside the traced step, where the learning rate and the other
dynamic fields are traced scalars.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import optax

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec import components, values
from nnstudy.spec.fields import Config
from nnstudy.spec.values import Count, DropRate, Field, Fraction, NonNegative, Positive
from nnstudy.training import regularization

_LEFT_OUT = {
    'noisy_sgd',  # needs a random key
    'rprop',  # reads the rate once, at init, so that a schedule would be ignored
    'optimistic_adam',  # deprecated for optimistic_adam_v2
    *('scale_by_learning_rate', 'scale_by_rprop'),  # parts of optimizers
}

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    name: function
    for name, function in vars(optax).items()
    if inspect.isfunction(getattr(function, 'func', function))  # optax.nadam is a partial
    and not name.startswith('_')
    and name not in _LEFT_OUT
    and 'learning_rate' in inspect.signature(function).parameters
}

# Arguments that are not plain data, and adafactor's name for `weight_decay`.
RESERVED = ('mask', 'weight_decay_mask', 'linesearch', 'weight_decay_rate')

# What optax's arguments may be, which its annotations do not say.
TYPES: dict[str, Any] = {
    **dict.fromkeys(('b1', 'b2'), DropRate),
    **dict.fromkeys(('momentum', 'decay', 'rho'), Fraction),
    **dict.fromkeys(
        ('mu_dtype', 'accumulator_dtype', 'dtype_momentum'),
        Literal['float32', 'bfloat16', 'float16'] | None,
    ),
    'eps': NonNegative,
    'memory_size': Count,
}


def shared_arguments(optimizer: Callable[..., Any]) -> dict[str, Field]:
    """Returns the arguments that an optimizer's section has besides the optimizer's own.

    `clip_norm` scales a gradient down to that norm where it is larger (Pascanu et al. 2013).
    An optimizer without `weight_decay` gets the decoupled one of AdamW (Loshchilov & Hutter 2019),
    off by default: a step subtracts learning_rate * weight_decay * parameter.
    """
    own = values.signature(optimizer).get('weight_decay')
    weight_decay = None if own is None else float(own.default)
    return {
        'learning_rate': values.read(NonNegative),
        'weight_decay': values.read(NonNegative | None, weight_decay),
        'clip_norm': values.read(Positive | None, None),
    }


SLOT = components.Slot('optimizer', OPTIMIZERS, RESERVED, TYPES, shared_arguments)


def check(config: Config, data: Data) -> None:
    """Raises UserError if an optimizer does not fit the batch size, or its arguments each other."""
    chosen, num_train = config.optimizer, data.num_train
    arguments = chosen.keywords
    has_none = 'momentum' in chosen.defaults and arguments.get('momentum') is None
    for argument in ('nesterov', 'accumulator_dtype'):
        if has_none and arguments.get(argument):
            raise errors.UserError(
                f'config.optimizer.{argument} needs config.optimizer.momentum, which is None'
            )
    # Its line search needs the same loss function at each step.
    if chosen.name == 'lbfgs' and config.batch_size != num_train:
        raise errors.UserError(
            f"config.optimizer.name 'lbfgs' needs the whole training set in each step: set "
            f'config.batch_size={num_train}, not {config.batch_size}, or use another optimizer'
        )


def make(
    optimizer: Callable[..., optax.GradientTransformation],
    arguments: Mapping[str, Any],
    mask: regularization.Mask,
) -> optax.GradientTransformationExtraArgs:
    """Returns the optax transform of one step.

    `optimizer` is a value of `OPTIMIZERS`, its arguments are the section's fields with the
    `learning_rate` of this step, and the mask says which parameters decay.
    """
    arguments, own = dict(arguments), values.signature(optimizer)
    clip_norm, weight_decay = (arguments.pop(name, None) for name in ('clip_norm', 'weight_decay'))
    masks = [name for name in ('mask', 'weight_decay_mask') if name in own]
    if 'weight_decay' in own:
        arguments['weight_decay'] = 0.0  # optax's default is not off
        if masks:  # without one, optax would let all parameters decay
            given = 0.0 if weight_decay is None else weight_decay
            arguments |= {'weight_decay': given, masks[0]: mask}
            weight_decay = None
    parts = [optimizer(**arguments)]
    if clip_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(clip_norm))
    if weight_decay is not None:
        rate = -arguments['learning_rate'] * weight_decay
        parts.append(optax.add_decayed_weights(rate, mask))
    return optax.chain(*parts)
