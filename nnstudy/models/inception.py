"""Inception networks (Szegedy et al. 2015): filters of several sizes side by side."""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from nnstudy import errors, ops
from nnstudy.models import layers
from nnstudy.spec.values import Count

POOL: Literal['pool'] = 'pool'


class Inception(layers.NormedNet):
    """Inception modules and max-pooling, global pooling, and a dense layer.

    A module is written as its six numbers of filters, in the order of the paper's table 1:
    (1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pooling projection). On 28x28 images with one
    channel and 10 classes the default net has 196,154 parameters. Takes images of any size.
    """

    stem: tuple[Count, ...] = ()  # filters of the 3x3 convolutions before the modules
    # A tuple of six for each module, and 'pool' where the image is halved.
    modules: tuple[tuple[Count, ...] | Literal['pool'], ...] = (
        (32, 32, 32, 32, 32, 16),
        POOL,
        (32, 64, 64, 64, 64, 16),
        POOL,
    )
    pool_size: Count = 2  # height and width of the windows of 'pool', in pixels
    # Over the whole image before the last layer, 'mean' or 'max'.
    pooling: Literal['mean', 'max'] = 'mean'
    activation: str = 'relu'  # after every convolution

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False, mask: layers.Mask = None) -> jax.Array:
        self.check_images(x)
        norm = self.norm(train, mask)
        conv = functools.partial(self.conv, activation=self.activation, norm=norm)
        for width in self.stem:
            x = conv(x, width, 3)
        # Branches are pooled one by one, and brought together where they are smallest.
        branches = [x]
        for module in self.modules:
            if module == POOL:
                window, strides = (self.pool_size,) * 2, (2, 2)
                branches = [ops.max_pool(x, window, strides, padding='SAME') for x in branches]
                continue
            if len(module) != 6:
                raise errors.UserError(
                    'config.model.modules takes six numbers of filters for each module, or '
                    f"'pool', not {module!r}"
                )
            one, reduce_three, three, reduce_five, five, projection = module
            x = jnp.concatenate(branches, axis=-1)
            branches = [
                conv(x, one, 1),
                conv(conv(x, reduce_three, 1), three, 3),
                conv(conv(x, reduce_five, 1), five, 5),
                conv(ops.max_pool(x, (3, 3), (1, 1), padding='SAME'), projection, 1),
            ]
        pooled = [layers.global_pool(x, self.pooling) for x in branches]
        return self.dense(jnp.concatenate(pooled, axis=-1), self.num_outputs)


# The nine modules of the paper for 32x32 images, where a single convolution takes the place of the
# first layers and the image is halved twice; batch normalisation takes the place of the auxiliary
# classifiers: 5,879,066 parameters. With two 3x3 in the place of each 5x5 convolution it would be
# the 6,166,250 of github.com/kuangliu/pytorch-cifar.
GoogLeNet = functools.partial(
    Inception,
    stem=(192,),
    modules=(
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        POOL,
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        POOL,
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ),
    pool_size=3,
    kernel_init='he_normal',
    batch_norm='before',
)

MODELS = {'inception': Inception, 'googlenet': GoogLeNet}
