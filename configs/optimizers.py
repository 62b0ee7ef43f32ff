"""Optimizers and schedules over their rates, on several nets (exercises B4, B9; report, E5).

    python launch.py --config=configs/optimizers.py           # 17 seeds, about 20 min
    python launch.py --config=configs/optimizers.py:quick     # no LeNet, three optimizers, a minute

Asked: is one of momentum and Adam always the better one, and are the defaults as good as what a
search finds?

Set: gradient descent (one update an epoch, of the whole set), SGD, SGD with momentum, adaptive
decay, RMSprop and Adam; and SGD with momentum under step, exponential and linear decay; for LeNet
and for MLPs of three sigmoid and of two ReLU layers.

Ours, because no document states a setting: its numbers, six rates of each optimizer, and Adagrad
for *adaptive decay*. *Best rate*: each seed chooses its own, on validation images, and is compared
on test images. *Defaults* are Keras's: SGD at 0.01 without momentum, Adam at 0.001, epsilon 1e-7.
"""

import numpy as np
import pandas as pd

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.analysis import quantities
from nnstudy.report import plots

PICTURE = 'relu_mlp'
VARIANTS = {
    'quick': {'split.test': 'test[:2000]', 'epochs': 5, 'num_seeds': 6, 'study.with_lenet': False}
}
WHOLE = 2_000
SIGMOID = {'model.name': 'mlp', 'model.widths': (64,) * 3, 'model.activation': 'sigmoid'}
RELU = {'model.name': 'mlp', 'model.widths': (64,) * 2, 'model.activation': 'relu'}
LENET = {'model.name': 'lenet'}
SGD = {'optimizer.name': 'sgd', 'optimizer.momentum': None}
MOMENTUM = {'optimizer.name': 'sgd', 'optimizer.momentum': 0.9}
ADAM = {'optimizer.name': 'adam', 'optimizer.eps': 1e-7}
WHOLE_SET = {**SGD, 'batch_size': WHOLE}
PLAIN = {'batch_size': 32, 'schedule.name': 'constant'}
RATE = 'optimizer.learning_rate'


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, epochs=10, eval_every=5, num_seeds=17)
    config.seed = 1000  # none of those that the claims were worded on
    config.split.update(train=f'train[:{WHOLE}]', validation='train[2000:2500]')
    config.study.with_lenet = True
    return config


def nets(config):
    return (SIGMOID, RELU, LENET) if config.study['with_lenet'] else (SIGMOID, RELU)


def sweep(config):
    def way(fields, *rates):
        return nnstudy.grid([{**PLAIN, **fields}], nnstudy.choice(RATE, rates))

    fast, slow = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03)
    ways = [*way(MOMENTUM, *fast), *way(ADAM, *slow), *way(SGD, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)]
    if config.study.with_lenet:
        ways += [
            # Ten updates in all need larger rates.
            *way(WHOLE_SET, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
            *way({'optimizer.name': 'adagrad'}, *fast),
            *way({'optimizer.name': 'rmsprop'}, *slow),
            *way({**MOMENTUM, 'schedule.name': 'step', 'schedule.boundaries': (5, 8)}, *fast),
            *way({**MOMENTUM, 'schedule.name': 'exponential', 'schedule.factor': 0.8}, *fast),
            *way({**MOMENTUM, 'schedule.name': 'linear'}, *fast),
        ]
    return nnstudy.grid(nets(config), ways)


def best(net, way):
    return Quantity('test_accuracy').where(net, way, PLAIN).over('selected')


def measure(results):
    """Returns of each run how far Adam is ahead of momentum, on its net and with its seed."""
    lead = pd.Series(np.nan, index=results.runs.index)
    for net in nets(results.config):
        adam, momentum = (quantities.values(results, best(net, way)) for way in (ADAM, MOMENTUM))
        of_net = results.runs['point'].isin(results.points_with(net))
        lead[of_net] = results.runs['seed'][of_net].map(adam - momentum)
    return {'adam_lead': lead}


def claims(config):
    test, lead = Quantity('test_accuracy'), Quantity('adam_lead')

    def pays(way, rate):
        default = {**way, **PLAIN, RATE: rate}
        return [best(net, way) > test.where(net, default) for net in nets(config)]

    yield Claim(
        'B4: No optimizer is always better: each at its best rate, Adam has the higher test '
        'accuracy on one net, SGD with momentum on another',
        (lead.over('max') > 0, lead.over('min') < 0),
    )
    yield Claim(
        'B4 nets: Adam is the better one on the sigmoid MLP, momentum on the ReLU one (ours)',
        best(SIGMOID, ADAM) > best(SIGMOID, MOMENTUM),
        best(RELU, MOMENTUM) > best(RELU, ADAM),
    )
    yield Claim(
        "B9: Defaults can be suboptimal, a search pays: SGD's best rate has a higher test accuracy "
        'than its default of 0.01, on every net (on one would do; ours)',
        pays(SGD, 0.01),
    )
    yield Claim(
        "B9a: Adam's best rate has a higher test accuracy than its default of 0.001, on every net "
        '(ours)',
        pays(ADAM, 0.001),
    )
    if not config.study.with_lenet:
        return
    momentum = test.where(LENET, MOMENTUM, batch_size=32)
    for name in ('step', 'exponential', 'linear'):
        yield Claim(
            f'E5 {name}: On LeNet momentum with {name} decay has a higher test accuracy than at a '
            'constant rate, each from its best rate (ours)',
            momentum.where({'schedule.name': name}).over('selected') > best(LENET, MOMENTUM),
        )
    yield Claim(
        'E5 whole set: One update an epoch is too few: gradient descent at its best rate has a '
        'lower test accuracy than SGD at its own, on every net (ours)',
        [test.where(net, WHOLE_SET).over('selected') < best(net, SGD) for net in nets(config)],
    )


def pictures(results):
    fields = ['optimizer.name', 'optimizer.momentum', 'batch_size', RATE]
    drawn = {}
    for name, net in (('sigmoid_mlp', SIGMOID), ('relu_mlp', RELU), ('lenet', LENET)):
        if net in nets(results.config):
            points = results.points_with({**net, 'schedule.name': 'constant'})
            drawn[name] = plots.metric_vs(results.only(points), RATE, swept=fields)
    return drawn
