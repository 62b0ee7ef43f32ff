"""Residual networks (He et al. 2016): pairs of convolutions that add to what they were given."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.values import Count


def residual_block(
    x: jax.Array,
    width: int,
    conv: Callable[..., jax.Array],
    *,
    activation: str,
    stride: int = 1,
    skip: bool = True,
    shortcut_activation: str = 'identity',
) -> jax.Array:
    """Returns activation(conv(activation(conv(x))) + shortcut(x)), with 3x3 convolutions.

    The shortcut is x itself, or a 1x1 convolution of x where channels or pixels change (option B
    of the paper). `[B, H, W, C]` -> `[B, ceil(H / stride), ceil(W / stride), width]`.

    Args:
      width: filters of each convolution.
      conv: `Net.conv`, perhaps with normalisation, of the shortcut's convolution too.
      activation: after the first convolution and after the sum.
      stride: of the first convolution.
      skip: whether there is a shortcut.
      shortcut_activation: after the 1x1 convolution.
    """
    y = conv(x, width, 3, activation=activation, stride=stride, padding=1)
    y = conv(y, width, 3, activation='identity', padding=1)
    if skip and y.shape == x.shape:
        y = y + x
    elif skip:
        y = y + conv(x, width, 1, activation=shortcut_activation, stride=stride)
    return layers.activation(activation)(y)


class ResNet(layers.NormedNet):
    """A 3x3 convolution, stages of residual blocks, global pooling, and a dense layer.

    From one stage to the next the image, of any size, is halved. Convolutions that are normalised
    before the activation have no bias, the norm having a shift of its own. On 32x32 images with
    three channels and 10 classes, ResNet-20 has 272,474 parameters and ResNet-18 11,173,962.
    """

    # Number of layers, 2 + 2 * blocks, where each stage has the same number of blocks.
    depth: int = 8
    widths: tuple[Count, ...] = (16,)  # filters of the convolutions of each stage
    # Whether blocks have shortcuts; without them it is the plain net of the paper.
    skips: bool = True
    # Over the whole image before the last layer, 'mean' or 'max'.
    pooling: Literal['mean', 'max'] = 'mean'
    activation: str = 'relu'  # see `residual_block`; also after the first convolution
    kernel_init: str = 'he_normal'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, mask: layers.Mask = None) -> jax.Array:
        if not self.widths:
            raise errors.UserError('config.model.widths must have a width for each stage, not ()')
        two_a_stage = 2 * len(self.widths)
        blocks, rest = divmod(self.depth - 2, two_a_stage)
        if rest or blocks < 1:
            raise errors.UserError(
                f'config.model.depth must be 2 more than a multiple of {two_a_stage} (first and '
                f'last layer, and two for each block of a stage), not {self.depth}'
            )
        self.check_images(x)
        norm = self.norm(train, mask)
        conv = functools.partial(self.conv, norm=norm, use_bias=self.batch_norm != 'before')
        x = conv(x, self.widths[0], 3, activation=self.activation)
        block = functools.partial(
            residual_block, conv=conv, activation=self.activation, skip=self.skips
        )
        for stage, width in enumerate(self.widths):
            x = block(x, width, stride=1 if stage == 0 else 2)
            for _ in range(blocks - 1):
                x = block(x, width)
        return self.dense(layers.global_pool(x, self.pooling), self.num_outputs)


# The nets of the paper for CIFAR-10, with shortcuts of option B, and for ImageNet, with the first
# layer that its versions for CIFAR have, as github.com/kuangliu/pytorch-cifar.
ResNet20 = functools.partial(ResNet, depth=20, widths=(16, 32, 64), batch_norm='before')
ResNet18 = functools.partial(ResNet, depth=18, widths=(64, 128, 256, 512), batch_norm='before')


class PooledResNet(layers.Net):
    """Residual blocks with max-pooling 2x2 after each, global pooling, and a dense layer.

    On 28x28 images (any size will do) with one channel and 10 classes it has 186,058 parameters.
    """

    widths: tuple[Count, ...] = (64, 64, 64)  # filters of the convolutions of each block
    # Over the whole image before the last layer, 'mean' or 'max'.
    pooling: Literal['mean', 'max'] = 'mean'
    activation: str = 'relu'  # see `residual_block`
    shortcut_activation: str = 'relu'  # after the 1x1 convolution of a shortcut, where there is one

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        self.check_images(x)
        block = functools.partial(
            residual_block,
            conv=self.conv,
            activation=self.activation,
            shortcut_activation=self.shortcut_activation,
        )
        for width in self.widths:
            x = ops.max_pool(block(x, width), padding='SAME')
        return self.dense(layers.global_pool(x, self.pooling), self.num_outputs)


MODELS = {
    'resnet': ResNet,
    'resnet20': ResNet20,
    'resnet18': ResNet18,
    'pooled_resnet': PooledResNet,
}
