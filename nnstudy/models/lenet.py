"""LeNet-5 as it is taught today (LeCun et al. 1998, with average pooling and a dense output)."""

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import initializers

SMALLEST = 12  # pixels; below that nothing is left after the second pooling


class LeNet(nn.Module):
    """Convolutions of 6 and 16 filters 5x5, average pooling, dense layers of 120, 84 and outputs.

    On 28x28 images with 10 classes it has 61,706 parameters with one channel, 62,006 with three.

    Attributes:
      num_outputs: width of the last layer.
      conv_activation: after both convolutions.
      dense_activation: after both hidden dense layers.
      kernel_init: name of the initialiser, see nnstudy.models.initializers.
    """

    num_outputs: int
    conv_activation: str = 'relu'
    dense_activation: str = 'relu'
    kernel_init: str = 'pytorch'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if x.ndim != 4 or min(x.shape[1:3]) < SMALLEST:
            raise errors.UserError(
                f"model 'lenet' takes images of at least {SMALLEST}x{SMALLEST} pixels, "
                f'not inputs of shape {x.shape[1:]}'
            )
        for features, padding in ((6, ((2, 2), (2, 2))), (16, 'VALID')):
            init = initializers.layer(self.kernel_init, fan_in=25 * x.shape[-1])
            x = ops.Conv(features, (5, 5), padding=padding, **init)(x)
            x = initializers.activation(self.conv_activation)(x)
            x = ops.avg_pool(x)
        x = x.reshape(x.shape[0], -1)
        for width in (120, 84):
            x = nn.Dense(width, **initializers.layer(self.kernel_init, x.shape[-1]))(x)
            x = initializers.activation(self.dense_activation)(x)
        return nn.Dense(self.num_outputs, **initializers.layer(self.kernel_init, x.shape[-1]))(x)
