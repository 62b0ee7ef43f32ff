"""Networks that are a row of convolutions and pooling, then dense layers."""

import functools

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.values import Count


class LeNet(layers.DenseHead):
    """LeNet-5 as it is taught today (LeCun et al. 1998, with average pooling and a dense output).

    On 28x28 images with 10 classes it has 61,706 parameters with one channel, 62,006 with three.
    The smallest image is 12x12: below that nothing is left after the second pooling.
    """

    widths: tuple[Count, ...] = (6, 16)  # filters of the two convolutions
    dense_widths: tuple[Count, ...] = (120, 84)
    conv_activation: str = 'relu'  # after both convolutions
    dense_activation: str = 'relu'  # after the hidden dense layers
    kernel_init: str = 'pytorch'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        first, second = _check_number(self.widths, 2)
        self.check_images(x, smallest=12)
        conv = functools.partial(self.conv, activation=self.conv_activation)
        x = ops.avg_pool(conv(x, first, 5, padding=2))
        x = ops.avg_pool(conv(x, second, 5, padding='VALID'))
        return self.head(x, self.dense_activation, train)


class AlexNet(layers.DenseHead):
    """AlexNet (Krizhevsky, Sutskever and Hinton 2012), sized for images of 32x32.

    Overlapping max-pooling after the first, second and last convolution. In the paper, for 224x224
    images, the first filters are 11x11 with stride 4, features and hidden dense layers are four
    times as many, filters see the channels on their own device only, responses are normalised
    locally, and `dense_dropout` is 0.5. On 32x32 images with three channels and 10 classes it has
    7,139,722 parameters. The smallest image is 15x15.
    """

    widths: tuple[Count, ...] = (96, 256, 384, 384, 256)  # filters of the five convolutions
    dense_widths: tuple[Count, ...] = (1024, 1024)
    activation: str = 'relu'  # after every layer but the last
    kernel_init: str = 'he_normal'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        first, second, third, fourth, fifth = _check_number(self.widths, 5)
        self.check_images(x, smallest=15)
        conv = functools.partial(self.conv, activation=self.activation)
        pool = functools.partial(ops.max_pool, window=(3, 3), strides=(2, 2))
        x = pool(conv(x, first, 5))
        x = pool(conv(x, second, 5))
        x = conv(conv(x, third, 3), fourth, 3)
        x = pool(conv(x, fifth, 3))
        return self.head(x, self.activation, train)


class CNN(layers.DenseHead):
    """Convolutions 3x3 of stride 2 without padding, where others pool, then dense layers.

    On 28x28 images with one channel and 10 classes it has 360,458 parameters. The smallest image
    has 15 pixels a side, and 2^(n+1) - 1 with n convolutions.
    """

    widths: tuple[Count, ...] = (32, 64, 128)  # filters of the convolutions
    dense_widths: tuple[Count, ...] = (512,)
    activation: str = 'relu'  # after every layer but the last

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        self.check_images(x, smallest=2 ** (len(self.widths) + 1) - 1)
        for width in self.widths:
            x = self.conv(x, width, 3, activation=self.activation, stride=2, padding='VALID')
        return self.head(x, self.activation, train)


class VGG(layers.DenseHead, layers.NormedNet):
    """Groups of 3x3 convolutions (Simonyan and Zisserman 2015), max-pooling 2x2 after each; dense.

    On 32x32 images with three channels and 10 classes the default net has 2,395,434 parameters,
    and 896 more with batch normalisation, which is of the convolutions only. The smallest image has
    2^groups pixels a side.
    """

    # Filters of the convolutions, a tuple for each group.
    groups: tuple[tuple[Count, ...], ...] = ((32, 32), (64, 64), (128, 128))
    dense_widths: tuple[Count, ...] = (1024,)
    activation: str = 'relu'  # after every layer but the last

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, mask: layers.Mask = None) -> jax.Array:
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


def _check_number(widths: tuple[int, ...], number: int) -> tuple[int, ...]:
    if len(widths) != number:
        raise errors.UserError(
            f'config.model.widths must be the filters of {number} layers, not {widths!r}'
        )
    return widths


MODELS = {'lenet': LeNet, 'alexnet': AlexNet, 'cnn': CNN, 'vgg': VGG, 'vgg16': VGG16}
