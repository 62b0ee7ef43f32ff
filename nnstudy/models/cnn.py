"""A plain convolutional network that strides where others pool."""

import functools

import jax
from flax import linen as nn

from nnstudy.models import layers
from nnstudy.spec.ranges import Count, DropRate


class CNN(nn.Module):
    """Convolutions 3x3 of stride 2 without padding, dense layers, and dropout between these.

    On 28x28 images with one channel and 10 classes it has 360,458 parameters. The smallest image
    has 15 pixels a side, and 2^(n+1) - 1 with n convolutions.

    Attributes:
      num_outputs: width of the last layer.
      widths: filters of the convolutions.
      dense_widths: widths of the hidden dense layers.
      activation: after every layer but the last.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
      flatten_dropout: rate between the convolutions and the dense layers; None for none.
      dense_dropout: rate after each hidden dense layer; None for none.
    """

    num_outputs: int
    widths: tuple[Count, ...] = (32, 64, 128)
    dense_widths: tuple[Count, ...] = (512,)
    activation: str = 'relu'
    kernel_init: str = 'glorot_uniform'
    flatten_dropout: DropRate | None = None
    dense_dropout: DropRate | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        layers.check_dense_dropout(self.dense_dropout, self.dense_widths)
        layers.check_images(self, x, smallest=2 ** (len(self.widths) + 1) - 1)
        conv = functools.partial(
            layers.conv, activation=self.activation, kernel_init=self.kernel_init
        )
        dense = functools.partial(layers.dense, kernel_init=self.kernel_init)
        for width in self.widths:
            x = conv(x, width, 3, stride=2, padding='VALID')
        x = x.reshape(x.shape[0], -1)
        x = layers.dropout(self, x, self.flatten_dropout, train)
        for width in self.dense_widths:
            x = dense(x, width, activation=self.activation)
            x = layers.dropout(self, x, self.dense_dropout, train)
        return dense(x, self.num_outputs)
