"""Residual connections against none, over depth (exercise B6).

    python launch.py --config=configs/depth.py           # 8 seeds, about 20 min
    python launch.py --config=configs/depth.py:quick     # 500 images, depth 4 and 8, 4 seeds, 40 s

Asked: do residual connections let deeper nets train? A plain net of 32 layers, in the manner of
VGG, is said to be worse than one of 4, on the images that it is trained on, and one with residual
connections better than both.

Ours: the setting: 3x3 convolutions of 16 channels, depths 4 to 32, 2,000 images of Fashion-MNIST,
reduced to 14x14 pixels; batch normalisation before each activation and He's initialisation, both as
in the paper on residual networks (He et al. 2016); SGD with momentum 0.9 at the better of two rates
for each seed. *Better* is about the loss on the training images: what a net does on other images is
another question.
"""

import numpy as np
from matplotlib import figure

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.analysis.quantities import values
from nnstudy.report import style

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
    return [
        Claim(
            'B6',
            'Residual connections let deeper nets train than plain ones: the deepest plain net '
            'ends with a higher training loss than one of depth 4, the deepest residual net with a '
            'lower one than both',
            (plain > shallow, residual < shallow, residual < plain),
        ),
        Claim(
            'B6 deepest',
            'The deepest residual net ends with a lower training loss than the deepest plain one '
            '(ours)',
            residual < plain,
        ),
    ]


def pictures(results):
    """Draws the training loss against the depth, at the better rate of each seed."""
    picture = figure.Figure(figsize=(6.4, 4), layout='constrained')
    panel = style.dress(picture.subplots())
    depths = sorted({point['model.depth'] for point in results.points})
    handles = []
    for i, (skips, name) in enumerate(((True, 'residual connections'), (False, 'plain'))):
        # [seeds, depths]
        losses = np.stack([values(results, train_loss(d, skips)) for d in depths], axis=1)
        line = style.band(panel, depths, losses, i, 2, label=name, marker=style.MARKERS[i])
        handles.append(line)
        aside = np.array(depths) * (0.97, 1.03)[i]  # so that both are seen
        for seed in losses:
            panel.plot(aside, seed, '.', color=line.get_color(), markersize=4, alpha=0.6)
    panel.set_xscale('log', base=2)
    panel.set_xticks(depths, labels=map(str, depths))
    style.log_y(panel, *panel.dataLim.intervaly)
    panel.set_xlabel('depth (layers)')
    panel.set_ylabel('training loss')
    note = f'Median, interquartile range and each of {len(losses)} seeds.'
    style.caption(picture, 'Training loss after 8 epochs, at the better of two rates', [note])
    style.legend(picture, handles, None)
    return {'loss_vs_depth': picture}
