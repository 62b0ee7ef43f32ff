"""Residual connections against none, over depth (exercise B6).

    python launch.py --config=configs/depth.py           # 8 seeds, about 20 min
    python launch.py --config=configs/depth.py:quick     # 500 images, depth 4 and 8, 4 seeds, 40 s

Asked: do residual connections let deeper nets train? A plain net of 32 layers, in the manner of
VGG, is said to be worse than one of 4, on the images that it is trained on, and one with residual
connections better than both.

Ours: the setting. Batch normalisation before each activation and He's initialisation are as in the
paper on residual networks (He et al. 2016); each seed has the better of two rates. *Better* is
about the loss on the training images: what a net does on other images is another question.
"""

import numpy as np
from pictures import depth

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.analysis.quantities import values

PICTURE = 'loss_vs_depth'
VARIANTS = {
    'quick': {
        'split.train': 'train[:500]',
        'split.test': 'test[:500]',
        'image_size': 7,
        'num_seeds': 4,
        'study.depths': (4, 8),
    }
}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='fashion_mnist', image_size=14, epochs=8, eval_every=4, num_seeds=8)
    config.split.update(train='train[:2000]', validation='train[2000:2500]', test='test[:2000]')
    config.model.update(name='resnet', widths=(16,), batch_norm='before', kernel_init='he_normal')
    config.optimizer.momentum = 0.9
    config.study.depths = (4, 8, 16, 32)
    return config


def sweep(config):
    return nnstudy.grid(
        nnstudy.choice('model.depth', config.study.depths),
        nnstudy.choice('model.skips', [True, False]),
        nnstudy.choice('optimizer.learning_rate', [0.02, 0.1]),
    )


def train_loss(depth, skips):
    where = {'model.depth': depth, 'model.skips': skips}
    return Quantity('train_loss').where(where).over('min')


def claims(config):
    deepest = max(config.study.depths)
    shallow, plain = train_loss(4, False), train_loss(deepest, False)
    residual = train_loss(deepest, True)
    yield Claim(
        'B6: Residual connections let deeper nets train than plain ones: the deepest plain net '
        'ends with a higher training loss than one of depth 4, the deepest residual net with a '
        'lower one than both',
        (plain > shallow, residual < shallow, residual < plain),
    )
    yield Claim(
        'B6 deepest: The deepest residual net ends with a lower training loss than the deepest '
        'plain one (ours)',
        residual < plain,
    )


def pictures(results):
    depths = sorted({point['model.depth'] for point in results.points})
    losses = {
        # [seeds, depths], at the better rate of each seed
        name: np.stack([values(results, train_loss(d, skips)) for d in depths], axis=1)
        for skips, name in ((True, 'residual connections'), (False, 'plain'))
    }
    return {'loss_vs_depth': depth.losses(depths, losses)}
