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

from pictures import rates

import nnstudy

PICTURE = 'loss'

NETS = ('linear', 'mlp', 'lenet', 'cnn', 'vgg', 'resnet', 'pooled_resnet', 'inception')
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
    return {'loss': rates.losses(results)}
