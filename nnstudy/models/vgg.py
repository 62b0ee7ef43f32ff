"""VGG networks (Simonyan and Zisserman 2015): groups of 3x3 convolutions, halved in between."""

import functools
from typing import Literal

import jax
from flax import linen as nn

from nnstudy import ops
from nnstudy.models import layers
from nnstudy.spec.ranges import Count, DropRate, Fraction, NonNegative


class VGG(nn.Module):
    """Groups of 3x3 convolutions with max-pooling 2x2 after each, then dense layers.

    On 32x32 images with three channels and 10 classes the default net has 2,395,434 parameters,
    and 896 more with batch normalisation. The smallest image has 2^groups pixels a side.

    Attributes:
      num_outputs: width of the last layer.
      groups: filters of the convolutions, a tuple for each group.
      dense_widths: widths of the hidden dense layers.
      activation: after every layer but the last.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
      batch_norm: of the convolutions, 'before' or 'after' the activation; None for none.
      batch_norm_momentum: None for 0.9; see nnstudy.models.layers.Norm.
      batch_norm_epsilon: None for 1e-5.
      flatten_dropout: rate between the convolutions and the dense layers; None for none.
      dense_dropout: rate after each hidden dense layer; None for none.
    """

    num_outputs: int
    groups: tuple[tuple[Count, ...], ...] = ((32, 32), (64, 64), (128, 128))
    dense_widths: tuple[Count, ...] = (1024,)
    activation: str = 'relu'
    kernel_init: str = 'glorot_uniform'
    batch_norm: Literal['before', 'after'] | None = None
    batch_norm_momentum: Fraction | None = None
    batch_norm_epsilon: NonNegative | None = None
    flatten_dropout: DropRate | None = None
    dense_dropout: DropRate | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        layers.check_dense_dropout(self.dense_dropout, self.dense_widths)
        layers.check_images(self, x, smallest=2 ** len(self.groups))
        norm = layers.norm_of(self, train, mask)
        conv = functools.partial(
            layers.conv, activation=self.activation, kernel_init=self.kernel_init, norm=norm
        )
        dense = functools.partial(layers.dense, kernel_init=self.kernel_init)
        for group in self.groups:
            for width in group:
                x = conv(x, width, 3)
            x = ops.max_pool(x)
        x = x.reshape(x.shape[0], -1)
        x = layers.dropout(self, x, self.flatten_dropout, train)
        for width in self.dense_widths:
            x = dense(x, width, activation=self.activation)
            x = layers.dropout(self, x, self.dense_dropout, train)
        return dense(x, self.num_outputs)


# Configuration D of the paper with the batch normalisation and the single dense layer that its
# versions for CIFAR have: 14,728,266 parameters, as github.com/kuangliu/pytorch-cifar.
VGG16 = functools.partial(
    VGG,
    groups=((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    dense_widths=(),
    kernel_init='he_normal',
    batch_norm='before',
)
