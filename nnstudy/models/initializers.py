"""Initialisers and activations by the names that configs use."""

import math
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from nnstudy.spec import components

# PyTorch's default for dense and convolutional layers is U(±1/sqrt(fan_in)), biases included.
KERNEL_INITS: dict[str, Callable[..., jax.Array]] = {
    'glorot_uniform': nn.initializers.glorot_uniform(),
    'glorot_normal': nn.initializers.glorot_normal(),
    'he_uniform': nn.initializers.he_uniform(),
    'he_normal': nn.initializers.he_normal(),
    'lecun_uniform': nn.initializers.lecun_uniform(),
    'lecun_normal': nn.initializers.lecun_normal(),
    'pytorch': nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform'),
    'orthogonal': nn.initializers.orthogonal(),
}

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    'relu': nn.relu,
    'leaky_relu': nn.leaky_relu,
    'elu': nn.elu,
    'selu': nn.selu,
    'gelu': nn.gelu,
    'silu': nn.silu,
    'softplus': nn.softplus,
    'sigmoid': nn.sigmoid,
    'tanh': nn.tanh,
    'identity': lambda x: x,
}


def activation(name: str) -> Callable[[jax.Array], jax.Array]:
    """Returns an activation function by name; UserError names the known ones."""
    return components.get('activation of config.model', ACTIVATIONS, name)


def layer(name: str, fan_in: int) -> dict[str, Any]:
    """Returns the `kernel_init` and `bias_init` of a Linen layer.

    Args:
      name: a key of `KERNEL_INITS`. Biases start at zero, except in 'pytorch'.
      fan_in: the number of inputs of one output of the layer.
    """
    kernel_init = components.get('config.model.kernel_init', KERNEL_INITS, name)
    bias_init: Callable[..., jax.Array] = nn.initializers.zeros
    if name == 'pytorch':
        bound = 1 / math.sqrt(fan_in)

        def bias_init(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

    return {'kernel_init': kernel_init, 'bias_init': bias_init}
