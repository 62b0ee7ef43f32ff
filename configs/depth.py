"""Residual connections against none, over depth (exercise B6).

    python launch.py --config=configs/depth.py           # 8 seeds, about 15 min
    python launch.py --config=configs/depth.py:quick     # 500 images, depth 4 and 16, a minute

Nets of 3x3 convolutions with 16 channels, depth 4 to 32, on 2,000 images: with residual
connections, and plain, in the manner of VGG.

What comes out: the training loss against the depth for both. A plain net gets worse with its depth,
on the images that it is trained on; with residual connections it does not.

Ours: all but the claim, so 3x3 convolutions of 16 channels, the depths, 2,000 images of
Fashion-MNIST, reduced to 14x14 pixels, batch normalisation before each activation and He's
initialisation (both as in the paper of residual networks, He et al. 2016), SGD with momentum 0.9 at
the better of two rates, which each seed chooses on 500 other images, batch 64, 8 epochs. *Lets
train* is about the loss on the training images: what a net does to other images is another matter.
"""

import nnstudy
from nnstudy.analysis.claims import claim, greater, less
from nnstudy.analysis.quantities import quantity
from nnstudy.report import plots

PICTURE = 'loss_vs_depth'


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'fashion_mnist'
    config.split.train = 'train[:500]' if quick else 'train[:2000]'
    config.split.validation = 'train[2000:2500]'
    config.split.test = 'test[:500]' if quick else 'test[:2000]'
    config.image_size = 7 if quick else 14
    config.model.name = 'resnet'
    with config.unlocked():
        config.model.widths = (16,)
        config.model.batch_norm = 'before'
        config.model.kernel_init = 'he_normal'
    config.optimizer.momentum = 0.9
    config.batch_size = 64
    config.epochs = 8
    config.eval_every = 4
    config.num_seeds = 8
    return config


def depths(config):
    return (4, 8, 16, 32) if config.split.train == 'train[:2000]' else (4, 16)


def sweep(config):
    return nnstudy.grid(
        nnstudy.choice('model.depth', depths(config)),
        nnstudy.choice('model.skips', [True, False]),
        nnstudy.choice('optimizer.learning_rate', [0.02, 0.1]),
    )


def claims(config):
    deepest = max(depths(config))

    def train_loss(depth, skips):
        where = {'model.depth': depth, 'model.skips': skips}
        return quantity('train_loss', where, over='selected')

    return [
        claim(
            'B6',
            'Residual connections let deeper nets train than plain ones: the deepest plain net '
            'ends with a higher training loss than one of depth 4, the deepest residual net with a '
            'lower one than both',
            greater(train_loss(deepest, False), train_loss(4, False)),
            less(train_loss(deepest, True), train_loss(4, False)),
            less(train_loss(deepest, True), train_loss(deepest, False)),
        ),
    ]


def pictures(results):
    return {
        'loss_vs_depth': plots.metric_vs(
            results.runs, 'model.depth', results.swept, metric='train_loss'
        )
    }
