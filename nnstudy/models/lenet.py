"""LeNet-5 as it is taught today (LeCun et al. 1998, with average pooling and a dense output)."""

import functools

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.ranges import Count


class LeNet(nn.Module):
    """Convolutions of 6 and 16 filters 5x5, average pooling, dense layers of 120, 84 and outputs.

    On 28x28 images with 10 classes it has 61,706 parameters with one channel, 62,006 with three.
    The smallest image is 12x12: below that nothing is left after the second pooling.

    Attributes:
      num_outputs: width of the last layer.
      widths: filters of the two convolutions.
      dense_widths: widths of the hidden dense layers.
      conv_activation: after both convolutions.
      dense_activation: after the hidden dense layers.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
    """

    num_outputs: int
    widths: tuple[Count, ...] = (6, 16)
    dense_widths: tuple[Count, ...] = (120, 84)
    conv_activation: str = 'relu'
    dense_activation: str = 'relu'
    kernel_init: str = 'pytorch'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if len(self.widths) != 2:
            raise errors.UserError(
                f'config.model.widths must be the filters of two layers, not {self.widths!r}'
            )
        layers.check_images(self, x, smallest=12)
        conv = functools.partial(
            layers.conv, activation=self.conv_activation, kernel_init=self.kernel_init
        )
        dense = functools.partial(layers.dense, kernel_init=self.kernel_init)
        first, second = self.widths
        x = ops.avg_pool(conv(x, first, 5, padding=2))
        x = ops.avg_pool(conv(x, second, 5, padding='VALID'))
        x = x.reshape(x.shape[0], -1)
        for width in self.dense_widths:
            x = dense(x, width, activation=self.dense_activation)
        return dense(x, self.num_outputs)
