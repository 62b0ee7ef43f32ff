"""The loss against the learning rate, for every kind of net (F2).

    python launch.py --config=configs/rates.py           # 8 nets x 9 rates x 5 seeds, 20 min
    python launch.py --config=configs/rates.py:quick     # 3 nets, 3 seeds, a minute

Asked: how much depends on the rate for each net, and from which rate on does each seed diverge?

Ours: the setting: each net as it is by default, plain SGD, rates over four decades. AlexNet,
VGG-16, GoogLeNet and ResNets of 18 and 20 layers, for which two cores take too long, and the nets
for texts are left out.
"""

from pictures import rates

import nnstudy

PICTURE = 'loss'
VARIANTS = {
    'quick': {
        'split.train': 'train[:250]',
        'num_seeds': 3,
        'study.nets': ('linear', 'mlp', 'lenet'),
    }
}
NETS = ('linear', 'mlp', 'lenet', 'cnn', 'vgg', 'resnet', 'pooled_resnet', 'inception')


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, epochs=5, eval_every=5, num_seeds=5)
    config.eval_train_examples = 100
    config.split.update(train='train[:500]', validation='train[500:1000]', test='test[:100]')
    config.study.nets = NETS
    return config


def sweep(config):
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-3, 10.0, 9)
    return nnstudy.grid(nnstudy.choice('model.name', config.study.nets), rates)


def pictures(results):
    return {'loss': rates.losses(results)}
