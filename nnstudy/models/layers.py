"""What the families share: layers with initialiser, activation and norm, and checks of fields.

The layers are functions that create Linen modules in the compact method they are called from, so
the parameters of a model are `Conv_0`, `BatchNorm_0`, `Dense_0`, ... in the order of its code.
"""

import dataclasses
from typing import Any, Literal

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import initializers


@dataclasses.dataclass(frozen=True)
class Norm:
    """Batch normalisation (Ioffe and Szegedy 2015) before or after each activation, or none.

    Scales start at 1, shifts at 0. Each run has statistics of its own, in `'batch_stats'`.

    Attributes:
      place: 'before' or 'after' the activation; None for no normalisation.
      momentum: share of the old value that running statistics keep in a step; None for 0.9. A
        short batch changes them by as much less as it has fewer examples.
      epsilon: what is added to the variance; None for 1e-5.
      train: whether to normalise by the batch, and not by the running statistics.
      mask: bool `[B]`, the examples that count in the statistics of the batch; None if all do.

    Raises:
      UserError: there is no place and yet a momentum or an epsilon.
    """

    place: Literal['before', 'after'] | None = None
    momentum: Any = None
    epsilon: Any = None
    train: bool = False
    mask: jax.Array | None = None

    def __post_init__(self):
        for field in ('momentum', 'epsilon'):
            if self.place is None and getattr(self, field) is not None:
                raise errors.UserError(
                    f'config.model.batch_norm_{field} needs config.model.batch_norm, which is None'
                )

    def activate(self, x: jax.Array, activation: str) -> jax.Array:
        """Returns the activation of x `[B, ..., C]`, with the normalisation in its place."""
        if self.place == 'before':
            x = self._normalize(x)
        x = initializers.activation(activation)(x)
        return self._normalize(x) if self.place == 'after' else x

    def _normalize(self, x: jax.Array) -> jax.Array:
        momentum, mask = 0.9 if self.momentum is None else self.momentum, self.mask
        if mask is not None:
            # A short batch counts for as much as it has examples: one alone has no variance.
            momentum = 1 - (1 - momentum) * mask.mean()
        norm = nn.BatchNorm(
            use_running_average=not self.train,
            momentum=momentum,
            epsilon=1e-5 if self.epsilon is None else self.epsilon,
        )
        return norm(x, mask=None if mask is None else mask.reshape(-1, *[1] * (x.ndim - 1)))


NO_NORM = Norm()


def norm_of(module: Any, train: bool, mask: jax.Array | None) -> Norm:
    """Returns the normalisation that the fields `batch_norm...` of a module ask for, see `Norm`."""
    return Norm(
        module.batch_norm, module.batch_norm_momentum, module.batch_norm_epsilon, train, mask
    )


def conv(
    x: jax.Array,
    features: int,
    size: int,
    *,
    activation: str,
    kernel_init: str,
    norm: Norm = NO_NORM,
    stride: int = 1,
    padding: int | str = 'SAME',
    use_bias: bool = True,
) -> jax.Array:
    """Returns a convolution `[B, H, W, C]` -> `[B, H', W', features]`, normalised and activated.

    Args:
      x: `[B, H, W, C]`.
      features: number of filters.
      size: their height and width, in pixels.
      activation: see `nnstudy.models.initializers`.
      kernel_init: see `nnstudy.models.initializers`.
      norm: the normalisation.
      stride: pixels between two windows, in both directions.
      padding: 'SAME', 'VALID', or pixels on each side.
      use_bias: whether the filters have biases.
    """
    init = initializers.layer(kernel_init, fan_in=size * size * x.shape[-1])
    x = ops.Conv(
        features, (size, size), (stride, stride), padding=padding, use_bias=use_bias, **init
    )(x)
    return norm.activate(x, activation)


def dense(
    x: jax.Array,
    width: int,
    *,
    activation: str = 'identity',
    kernel_init: str,
    norm: Norm = NO_NORM,
) -> jax.Array:
    """Returns a dense layer `[B, N]` -> `[B, width]`, normalised and activated; see `conv`."""
    x = nn.Dense(width, **initializers.layer(kernel_init, fan_in=x.shape[-1]))(x)
    return norm.activate(x, activation)


def dropout(module: nn.Module, x: jax.Array, rate: Any, train: bool) -> jax.Array:
    """Returns x after dropout in training, and x itself in evaluation or where the rate is None."""
    if rate is None or not train:
        return x
    return ops.dropout(x, rate, module.make_rng('dropout'))


def check_dense_dropout(rate: Any, widths: tuple[int, ...]) -> None:
    """Raises UserError if there is a rate of dropout after hidden dense layers, and no layer."""
    if rate is not None and not widths:
        raise errors.UserError(
            'config.model.dense_dropout is for hidden dense layers, and config.model.dense_widths '
            'is ()'
        )


def global_pool(x: jax.Array, pooling: str) -> jax.Array:
    """Returns the 'mean' or the 'max' over each image, `[B, H, W, C]` -> `[B, C]`."""
    poolings = {'mean': ops.global_avg_pool, 'max': ops.global_max_pool}
    return poolings[pooling](x)


def check_images(module: nn.Module, x: jax.Array, smallest: int = 1) -> None:
    """Raises UserError unless x is images `[B, H, W, C]` with sides of so many pixels at least."""
    name = type(module).__name__
    if x.ndim != 4:
        raise errors.UserError(
            f'config.model.name: {name} takes images, not inputs of shape {x.shape[1:]}'
        )
    if min(x.shape[1:3]) < smallest:
        raise errors.UserError(
            f'config.model.name: {name} takes images of at least {smallest}x{smallest} pixels with '
            f'these fields, not {x.shape[1]}x{x.shape[2]}; config.image_size enlarges them'
        )
