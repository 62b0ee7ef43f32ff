"""LeNet-5 as it is taught today (LeCun et al. 1998, with average pooling and a dense output)."""

import functools

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.values import Count


class LeNet(layers.DenseHead):
    """Convolutions of 6 and 16 filters 5x5, average pooling, dense layers of 120, 84 and outputs.

    On 28x28 images with 10 classes it has 61,706 parameters with one channel, 62,006 with three.
    The smallest image is 12x12: below that nothing is left after the second pooling.

    Attributes:
      widths: filters of the two convolutions.
      conv_activation: after both convolutions.
      dense_activation: after the hidden dense layers.
    """

    widths: tuple[Count, ...] = (6, 16)
    dense_widths: tuple[Count, ...] = (120, 84)
    conv_activation: str = 'relu'
    dense_activation: str = 'relu'
    kernel_init: str = 'pytorch'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if len(self.widths) != 2:
            raise errors.UserError(
                f'config.model.widths must be the filters of two layers, not {self.widths!r}'
            )
        self.check_images(x, smallest=12)
        conv = functools.partial(self.conv, activation=self.conv_activation)
        first, second = self.widths
        x = ops.avg_pool(conv(x, first, 5, padding=2))
        x = ops.avg_pool(conv(x, second, 5, padding='VALID'))
        return self.head(x, self.dense_activation, train)


MODELS = {'lenet': LeNet}
