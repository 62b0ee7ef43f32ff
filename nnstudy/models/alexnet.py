"""AlexNet (Krizhevsky, Sutskever and Hinton 2012), sized for images of 32x32."""

import functools

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.values import Count


class AlexNet(layers.DenseHead):
    """Five convolutions with overlapping max-pooling after the first, second and last; three dense.

    Against the paper's net, for 224x224 images: the first filters are 5x5 with stride 1 instead of
    11x11 with stride 4; the flattened features are a quarter, 2,304, and so are the hidden dense
    layers, 1,024 each; every filter sees all channels, the net being on one device; and there is no
    local response normalisation. `dense_dropout` is 0.5 in the paper. On 32x32 images with three
    channels and 10 classes it has 7,139,722 parameters. The smallest image is 15x15.

    Attributes:
      widths: filters of the five convolutions.
      activation: after every layer but the last.
    """

    widths: tuple[Count, ...] = (96, 256, 384, 384, 256)
    dense_widths: tuple[Count, ...] = (1024, 1024)
    activation: str = 'relu'
    kernel_init: str = 'he_normal'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if len(self.widths) != 5:
            raise errors.UserError(
                f'config.model.widths must be the filters of five layers, not {self.widths!r}'
            )
        self.check_images(x, smallest=15)
        conv = functools.partial(self.conv, activation=self.activation)
        pool = functools.partial(ops.max_pool, window=(3, 3), strides=(2, 2))
        first, second, third, fourth, fifth = self.widths
        x = pool(conv(x, first, 5))
        x = pool(conv(x, second, 5))
        x = conv(x, third, 3)
        x = conv(x, fourth, 3)
        x = pool(conv(x, fifth, 3))
        return self.head(x, self.activation, train)


MODELS = {'alexnet': AlexNet}
