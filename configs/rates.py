"""The loss against the learning rate, for every kind of net (F2).

    python launch.py --config=configs/rates.py           # 8 nets x 9 rates x 5 seeds, 20 min
    python launch.py --config=configs/rates.py:quick     # 3 nets, 3 seeds, a minute

Each net as it is by default, plain SGD, on the first 500 training images of MNIST, batch 32, for
5 epochs, at rates over four decades.

What comes out: the loss on 500 other images against the rate; of each net how much hangs on the
rate, and of each seed the rate from which on it diverges.

The picture: the linear net learns over three decades of rates, and diverges at none of the nine.
The MLP and the CNN get as far as it does, at rates about 0.3, and diverge from six to twenty times
that on. In these 80 steps LeNet and VGG learn at one rate of nine, and not with every seed; the
ResNets and Inception hardly leave the 2.3 of a guess. Single runs of VGG, the pooled ResNet and
Inception diverge at rates that others stand: where it begins depends on the seed.

All of F is ours. Left out are AlexNet, VGG-16, GoogLeNet and ResNets of 18 and 20 layers, for which
two cores take too long, and the nets for texts.
"""

import numpy as np
from matplotlib import figure

import nnstudy
from nnstudy.analysis import sensitivity
from nnstudy.report import style

PICTURE = 'loss'

NETS = ('linear', 'mlp', 'lenet', 'cnn', 'vgg', 'resnet', 'pooled_resnet', 'inception')
TOP = 4.0  # of the picture's axis; a guess has a loss of 2.3
QUICK, QUICK_IMAGES = ('linear', 'mlp', 'lenet'), 'train[:250]'


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'mnist'
    config.split.train = QUICK_IMAGES if quick else 'train[:500]'
    config.split.validation, config.split.test = 'train[500:1000]', 'test[:100]'
    config.eval_train_examples = 100
    config.optimizer.momentum = None
    config.batch_size = 32
    config.epochs = config.eval_every = 5
    config.num_seeds = 3 if quick else 5
    return config


def sweep(config):
    nets = QUICK if config.split.train == QUICK_IMAGES else NETS
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-3, 10.0, 9)
    return nnstudy.grid(nnstudy.choice('model.name', nets), rates)


def pictures(results):
    return {'loss': _panels(results)}


def _panels(results):
    """Draws the loss of each net against the rate, and where its runs begin to diverge."""
    runs = results.runs
    runs = runs.assign(
        loss=runs['validation_loss'].where(np.isfinite(runs['validation_loss']), TOP)
    )
    runs['loss'] = runs['loss'].clip(upper=TOP)
    limits = sensitivity.by_setting(runs, results.history, results.swept)
    limits = limits.set_index('model.name')['median']
    names = runs['model.name'].unique()
    rows = -(-len(names) // 4)
    picture = figure.Figure(figsize=(9.6, 0.6 + 2.3 * rows), layout='constrained')
    panels = picture.subplots(rows, min(4, len(names)), sharex=True, sharey=True, squeeze=False)
    for panel, name in zip(panels.flat, names, strict=False):
        style.dress(panel)
        of_net = runs[runs['model.name'] == name]
        losses = of_net.pivot(index='seed', columns=sensitivity.RATE, values='loss')  # [S, rates]
        band = style.band(panel, losses.columns, losses, 0, 1, color=style.BLUE, marker='o', ms=4)
        diverged = of_net[of_net['status'] == 'diverged']
        look = {'color': style.RED, 'marker': 'x', 's': 18, 'linewidth': 1, 'zorder': 3}
        crosses = panel.scatter(diverged[sensitivity.RATE], diverged['loss'], **look)
        limit = panel.axvline(limits.get(name, np.nan), color=style.GREY, linestyle=':')
        panel.set_title(name, fontsize=10)
        panel.set_xscale('log')
        panel.set_xticks([1e-3, 0.1, 10.0], ['0.001', '0.1', '10'])
        panel.minorticks_off()
    for panel in panels[-1]:
        panel.set_xlabel('learning rate')
    for panel in panels[:, 0]:
        panel.set_ylabel('validation loss')
    told = {
        'median and\ninterquartile range': band,
        'diverged run': crosses,
        'runs diverge above\n(median of seeds)': limit,
    }
    for name, shown in told.items():
        shown.set_label(name)
    seeds = results.config['num_seeds']
    notes = [f'{seeds} seeds a point; losses above {TOP:g}, and not finite ones, are drawn there.']
    style.caption(picture, 'Loss against the learning rate', notes)
    style.legend(picture, list(told.values()), None)
    return picture
