"""AlexNet (Krizhevsky, Sutskever and Hinton 2012), sized for images of 32x32."""

import functools

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.ranges import Count, DropRate


class AlexNet(nn.Module):
    """Five convolutions with overlapping max-pooling after the first, second and last; three dense.

    Against the paper's net, for 224x224 images: the first filters are 5x5 with stride 1 instead of
    11x11 with stride 4; the flattened features are a quarter, 2,304, and so are the hidden dense
    layers, 1,024 each; every filter sees all channels, the net being on one device; and there is no
    local response normalisation. On 32x32 images with three channels and 10 classes it has
    7,139,722 parameters. The smallest image is 15x15.

    Attributes:
      num_outputs: width of the last layer.
      widths: filters of the five convolutions.
      dense_widths: widths of the hidden dense layers.
      activation: after every layer but the last.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
      dense_dropout: rate after each hidden dense layer, 0.5 in the paper; None for none.
    """

    num_outputs: int
    widths: tuple[Count, ...] = (96, 256, 384, 384, 256)
    dense_widths: tuple[Count, ...] = (1024, 1024)
    activation: str = 'relu'
    kernel_init: str = 'he_normal'
    dense_dropout: DropRate | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        layers.check_dense_dropout(self.dense_dropout, self.dense_widths)
        if len(self.widths) != 5:
            raise errors.UserError(
                f'config.model.widths must be the filters of five layers, not {self.widths!r}'
            )
        layers.check_images(self, x, smallest=15)
        conv = functools.partial(
            layers.conv, activation=self.activation, kernel_init=self.kernel_init
        )
        dense = functools.partial(layers.dense, kernel_init=self.kernel_init)
        pool = functools.partial(ops.max_pool, window=(3, 3), strides=(2, 2))
        first, second, third, fourth, fifth = self.widths
        x = pool(conv(x, first, 5))
        x = pool(conv(x, second, 5))
        x = conv(x, third, 3)
        x = conv(x, fourth, 3)
        x = pool(conv(x, fifth, 3))
        x = x.reshape(x.shape[0], -1)
        for width in self.dense_widths:
            x = dense(x, width, activation=self.activation)
            x = layers.dropout(self, x, self.dense_dropout, train)
        return dense(x, self.num_outputs)
