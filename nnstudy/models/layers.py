"""What the networks share: their layers, batch normalisation, and the dense layers at their end.

The methods create Linen modules in the compact `__call__` that they are called from, so the
parameters of a model are `Conv_0`, `BatchNorm_0`, `Dense_0`, ... in the order of its code.
"""

from typing import Any, Literal, NamedTuple

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import initializers
from nnstudy.spec.values import Count, DropRate, Fraction, NonNegative


class Norm(NamedTuple):
    """Batch normalisation (Ioffe and Szegedy 2015) before or after each activation, or none.

    Scales start at 1, shifts at 0. Each run has statistics of its own, in `'batch_stats'`.

    Attributes:
      place: 'before' or 'after' the activation; None for no normalisation.
      momentum: share of the old value that running statistics keep in a step. A short batch
        changes them by as much less as it has fewer examples.
      epsilon: what is added to the variance.
      train: whether to normalise by the batch, and not by the running statistics.
      mask: bool `[B]`, the examples that count in the statistics of the batch; None if all do.
    """

    place: Literal['before', 'after'] | None = None
    momentum: Any = 0.9
    epsilon: Any = 1e-5
    train: bool = False
    mask: jax.Array | None = None

    def activate(self, x: jax.Array, activation: str) -> jax.Array:
        """Returns the activation of x `[B, ..., C]`, with the normalisation in its place."""
        if self.place == 'before':
            x = self._normalize(x)
        x = initializers.activation(activation)(x)
        return self._normalize(x) if self.place == 'after' else x

    def _normalize(self, x: jax.Array) -> jax.Array:
        momentum, mask = self.momentum, self.mask
        if mask is not None:
            # A short batch counts for as much as it has examples: one alone has no variance.
            momentum = 1 - (1 - momentum) * mask.mean()
            mask = mask.reshape(-1, *[1] * (x.ndim - 1))
        norm = nn.BatchNorm(
            use_running_average=not self.train, momentum=momentum, epsilon=self.epsilon
        )
        return norm(x, mask=mask)


NO_NORM = Norm()


class Net(nn.Module, kw_only=True):
    """A network whose layers have one initialiser.

    Attributes:
      num_outputs: width of the last layer.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
    """

    num_outputs: int
    kernel_init: str = 'glorot_uniform'

    def conv(
        self,
        x: jax.Array,
        features: int,
        size: int,
        *,
        activation: str,
        norm: Norm = NO_NORM,
        stride: int = 1,
        padding: int | str = 'SAME',
        use_bias: bool = True,
    ) -> jax.Array:
        """Returns a convolution `[B, H, W, C]` -> `[B, H', W', features]`, normalised, activated.

        Args:
          x: `[B, H, W, C]`.
          features: number of filters.
          size: their height and width, in pixels.
          activation: see `nnstudy.models.initializers`.
          norm: the normalisation.
          stride: pixels between two windows, in both directions.
          padding: 'SAME', 'VALID', or pixels on each side.
          use_bias: whether the filters have biases.
        """
        init = initializers.layer(self.kernel_init, fan_in=size * size * x.shape[-1])
        x = ops.Conv(
            features, (size, size), (stride, stride), padding=padding, use_bias=use_bias, **init
        )(x)
        return norm.activate(x, activation)

    def dense(
        self, x: jax.Array, width: int, *, activation: str = 'identity', norm: Norm = NO_NORM
    ) -> jax.Array:
        """Returns a dense layer `[B, N]` -> `[B, width]`, normalised and activated."""
        x = nn.Dense(width, **initializers.layer(self.kernel_init, fan_in=x.shape[-1]))(x)
        return norm.activate(x, activation)

    def drop(self, x: jax.Array, rate: float | None, train: bool) -> jax.Array:
        """Returns x after dropout; x itself in evaluation, or where the rate is None."""
        if rate is None or not train:
            return x
        return ops.dropout(x, rate, self.make_rng('dropout'))

    def check_images(self, x: jax.Array, smallest: int = 1) -> None:
        """Raises UserError unless x is images `[B, H, W, C]` of so many pixels a side, or more."""
        name = type(self).__name__
        if x.ndim != 4:
            raise errors.UserError(
                f'config.model.name: {name} takes images, not inputs of shape {x.shape[1:]}'
            )
        if min(x.shape[1:3]) < smallest:
            raise errors.UserError(
                f'config.model.name: {name} takes images of at least {smallest}x{smallest} pixels '
                f'with these fields, not {x.shape[1]}x{x.shape[2]}; config.image_size enlarges them'
            )


class NormedNet(Net):
    """A network that may have batch normalisation.

    Attributes:
      batch_norm: 'before' or 'after' each activation but the last; None for none.
      batch_norm_momentum: None for 0.9; see `Norm`.
      batch_norm_epsilon: None for 1e-5.
    """

    batch_norm: Literal['before', 'after'] | None = None
    batch_norm_momentum: Fraction | None = None
    batch_norm_epsilon: NonNegative | None = None

    def norm(self, train: bool, mask: jax.Array | None) -> Norm:
        """Returns the normalisation; raises UserError if there is none and yet a field of it."""
        given: dict[str, Any] = {}
        for field in ('momentum', 'epsilon'):
            value = getattr(self, f'batch_norm_{field}')
            if value is not None and self.batch_norm is None:
                raise errors.UserError(
                    f'config.model.batch_norm_{field} needs config.model.batch_norm, which is None'
                )
            given |= {} if value is None else {field: value}
        return Norm(self.batch_norm, train=train, mask=mask, **given)


class DenseHead(Net):
    """A network with dense layers at its end.

    Attributes:
      dense_widths: widths of the hidden dense layers.
      flatten_dropout: rate before the dense layers; None for none.
      dense_dropout: rate after each hidden dense layer; None for none.
    """

    dense_widths: tuple[Count, ...] = ()
    flatten_dropout: DropRate | None = None
    dense_dropout: DropRate | None = None

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
