"""What the networks share: their layers, with initialisers and activations by name.

The methods create Linen modules in the compact `__call__` that they are called from, so the
parameters of a model are `Conv_0`, `BatchNorm_0`, `Dense_0`, ... in the order of its code.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.spec import components
from nnstudy.spec.values import Count, DropRate, Fraction, NonNegative

Activation = Callable[[jax.Array], jax.Array]
Mask = jax.Array | None  # bool [B], the examples that statistics of the batch are of; None: all
Place = Literal['before', 'after']  # the activation
Norm = Callable[[jax.Array, Place], jax.Array]  # normalises in its own place, and returns the other

KERNEL_INITS: dict[str, Callable[..., jax.Array]] = {
    name: getattr(nn.initializers, name)()
    for name in (
        *('glorot_uniform', 'glorot_normal', 'he_uniform', 'he_normal'),
        *('lecun_uniform', 'lecun_normal', 'orthogonal'),
    )
}
# PyTorch's default for dense and convolutional layers is U(±1/sqrt(fan_in)), biases included.
KERNEL_INITS['pytorch'] = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')

_IN_LINEN = 'relu', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'softplus', 'sigmoid', 'tanh'
ACTIVATIONS: dict[str, Activation] = {name: getattr(nn, name) for name in _IN_LINEN}
ACTIVATIONS['identity'] = lambda x: x


def activation(name: str) -> Activation:
    """Returns an activation function by name; UserError names the known ones."""
    return components.get('activation of config.model', ACTIVATIONS, name)


class Net(nn.Module, kw_only=True):
    """A network whose layers have one initialiser."""

    num_outputs: int  # width of the last layer
    kernel_init: str = 'glorot_uniform'  # a key of `KERNEL_INITS`

    def initializers(self, fan_in: int) -> dict[str, Any]:
        """Returns the `kernel_init` and `bias_init` of a Linen layer.

        Biases start at zero, except in 'pytorch'; `fan_in` is the number of inputs of one output.
        """
        kernel_init = components.get('config.model.kernel_init', KERNEL_INITS, self.kernel_init)
        bias_init: Callable[..., jax.Array] = nn.initializers.zeros
        if self.kernel_init == 'pytorch':
            bound = 1 / math.sqrt(fan_in)
            bias_init = functools.partial(jax.random.uniform, minval=-bound, maxval=bound)
        return {'kernel_init': kernel_init, 'bias_init': bias_init}

    def conv(
        self,
        x: jax.Array,
        features: int,
        size: int,
        *,
        activation: str,
        norm: Norm | None = None,
        stride: int = 1,
        **options: Any,
    ) -> jax.Array:
        """Returns a convolution `[B, H, W, C]` -> `[B, H', W', features]`, normalised, activated.

        Filters are squares of `size` pixels a side, `stride` apart in both directions. Options are
        `padding` ('SAME' by default) and `use_bias` of `flax.linen.Conv`.
        """
        options |= self.initializers(fan_in=size * size * x.shape[-1])
        x = ops.Conv(features, (size, size), (stride, stride), **options)(x)
        return _activated(x, activation, norm)

    def dense(
        self, x: jax.Array, width: int, *, activation: str = 'identity', norm: Norm | None = None
    ) -> jax.Array:
        """Returns a dense layer `[B, N]` -> `[B, width]`, normalised and activated."""
        x = nn.Dense(width, **self.initializers(fan_in=x.shape[-1]))(x)
        return _activated(x, activation, norm)

    def drop(self, x: jax.Array, rate: float | None, train: bool) -> jax.Array:
        """Returns x after dropout; x itself in evaluation, or where the rate is None."""
        if rate is None or not train:
            return x
        return ops.dropout(x, rate, self.make_rng('dropout'))

    def check_images(self, x: jax.Array, smallest: int = 1) -> None:
        """Raises UserError unless x is images `[B, H, W, C]` of so many pixels a side, or more."""
        with errors.within(f'config.model.name: {type(self).__name__}'):
            if x.ndim != 4:
                raise errors.UserError(f'takes images, not inputs of shape {x.shape[1:]}')
            if min(x.shape[1:3]) < smallest:
                raise errors.UserError(
                    f'takes images of at least {smallest}x{smallest} pixels with these fields, '
                    f'not {x.shape[1]}x{x.shape[2]}; config.image_size enlarges them'
                )


def _activated(x: jax.Array, name: str, norm: Norm | None) -> jax.Array:
    if norm is None:
        return activation(name)(x)
    return norm(activation(name)(norm(x, 'before')), 'after')


class NormedNet(Net):
    """A network that may have batch normalisation (Ioffe and Szegedy 2015).

    Scales start at 1, shifts at 0. Each run has statistics of its own, in `'batch_stats'`.
    """

    # 'before' or 'after' each activation but the last; None for none.
    batch_norm: Place | None = None
    # Share of the old value that running statistics keep in a step; None for 0.9. A short batch
    # changes them by as much less as it has fewer examples.
    batch_norm_momentum: Fraction | None = None
    batch_norm_epsilon: NonNegative | None = None  # what is added to the variance; None for 1e-5

    def norm(self, train: bool, mask: Mask) -> Norm:
        """Returns the normalisation: by the batch in training, else by the running statistics.

        Raises:
          UserError: there is no normalisation and yet a field of it.
        """
        fields = {'momentum': self.batch_norm_momentum, 'epsilon': self.batch_norm_epsilon}
        given: dict[str, Any] = {name: v for name, v in fields.items() if v is not None}
        if given and self.batch_norm is None:
            raise errors.UserError(
                f'config.model.batch_norm_{next(iter(given))} needs config.model.batch_norm, '
                'which is None'
            )

        def normalize(x: jax.Array, place: Place) -> jax.Array:
            if place != self.batch_norm:
                return x
            options, counts = {'momentum': 0.9, 'epsilon': 1e-5, **given}, None
            if mask is not None:
                # A short batch counts for as much as it has examples: one alone has no variance.
                options['momentum'] = 1 - (1 - options['momentum']) * mask.mean()
                counts = mask.reshape(-1, *[1] * (x.ndim - 1))
            return nn.BatchNorm(use_running_average=not train, **options)(x, mask=counts)

        return normalize


class DenseHead(Net):
    """A network with dense layers at its end."""

    dense_widths: tuple[Count, ...] = ()  # widths of the hidden dense layers
    flatten_dropout: DropRate | None = None  # rate before the dense layers; None for none
    dense_dropout: DropRate | None = None  # rate after each hidden dense layer; None for none

    def head(self, x: jax.Array, activation: str, train: bool) -> jax.Array:
        """Returns the outputs `[B, num_outputs]` of the dense layers on x `[B, ...]`, flattened.

        Raises:
          UserError: there is a rate of dropout after hidden layers, and no such layer.
        """
        if self.dense_dropout is not None and not self.dense_widths:
            raise errors.UserError(
                'config.model.dense_dropout is for hidden dense layers, and '
                'config.model.dense_widths is ()'
            )
        x = x.reshape(x.shape[0], -1)
        x = self.drop(x, self.flatten_dropout, train)
        for width in self.dense_widths:
            x = self.dense(x, width, activation=activation)
            x = self.drop(x, self.dense_dropout, train)
        return self.dense(x, self.num_outputs)


def global_pool(x: jax.Array, pooling: Literal['mean', 'max']) -> jax.Array:
    """Returns the mean or the maximum over each image, `[B, H, W, C]` -> `[B, C]`."""
    return {'mean': ops.global_avg_pool, 'max': ops.global_max_pool}[pooling](x)
