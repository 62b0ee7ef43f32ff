"""A plain convolutional network that strides where others pool."""

import jax
from flax import linen as nn

from nnstudy.models import layers
from nnstudy.spec.values import Count


class CNN(layers.DenseHead):
    """Convolutions 3x3 of stride 2 without padding, then dense layers.

    On 28x28 images with one channel and 10 classes it has 360,458 parameters. The smallest image
    has 15 pixels a side, and 2^(n+1) - 1 with n convolutions.

    Attributes:
      widths: filters of the convolutions.
      activation: after every layer but the last.
    """

    widths: tuple[Count, ...] = (32, 64, 128)
    dense_widths: tuple[Count, ...] = (512,)
    activation: str = 'relu'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        self.check_images(x, smallest=2 ** (len(self.widths) + 1) - 1)
        for width in self.widths:
            x = self.conv(x, width, 3, activation=self.activation, stride=2, padding='VALID')
        return self.head(x, self.activation, train)


MODELS = {'cnn': CNN}
