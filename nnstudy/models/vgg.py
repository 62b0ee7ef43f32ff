"""VGG networks (Simonyan and Zisserman 2015): groups of 3x3 convolutions, halved in between."""

import functools

import jax
from flax import linen as nn

from nnstudy import ops
from nnstudy.models import layers
from nnstudy.spec.values import Count


class VGG(layers.DenseHead, layers.NormedNet):
    """Groups of 3x3 convolutions with max-pooling 2x2 after each, then dense layers.

    On 32x32 images with three channels and 10 classes the default net has 2,395,434 parameters,
    and 896 more with batch normalisation, which is of the convolutions only. The smallest image has
    2^groups pixels a side.

    Attributes:
      groups: filters of the convolutions, a tuple for each group.
      activation: after every layer but the last.
    """

    groups: tuple[tuple[Count, ...], ...] = ((32, 32), (64, 64), (128, 128))
    dense_widths: tuple[Count, ...] = (1024,)
    activation: str = 'relu'

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        self.check_images(x, smallest=2 ** len(self.groups))
        norm = self.norm(train, mask)
        for group in self.groups:
            for width in group:
                x = self.conv(x, width, 3, activation=self.activation, norm=norm)
            x = ops.max_pool(x)
        return self.head(x, self.activation, train)


# Configuration D of the paper with the batch normalisation and the single dense layer that its
# versions for CIFAR have: 14,728,266 parameters, as github.com/kuangliu/pytorch-cifar.
VGG16 = functools.partial(
    VGG,
    groups=((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    dense_widths=(),
    kernel_init='he_normal',
    batch_norm='before',
)

MODELS = {'vgg': VGG, 'vgg16': VGG16}
