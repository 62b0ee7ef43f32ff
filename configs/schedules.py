"""Schedules of the learning rate, and rates from too low to too high (course slides, C2).

    python launch.py --config=configs/schedules.py           # 20 seeds, about a minute
    python launch.py --config=configs/schedules.py:quick     # 5 seeds, about 45 s

The schedules of the slides (step, exponential, linear: a constant is subtracted every so many
epochs) and modern ones (cosine, with and without a warm-up, one cycle, inverse square root, reduced
on a plateau), each at rates from 0.001 to 10, for a small MLP by plain SGD.

What comes out: the loss against the rate for each schedule. Of constant rates, those that are too
low stall and those that are too high oscillate; a decay may begin with one of these.

The picture: rates too low end near the loss of a guess, 2.3; then comes a wide valley, and above a
rate of 1 the loss of a guess again, and runs that diverge. Schedules move the valley to higher
rates; its floor is as low for all.

Ours: all of it, since the slides show no experiment: the 8x8 digits (a fifth of the training images
are the validation set, for reduction on a plateau), one hidden layer of 16, batch 32, 20 epochs,
and the fields of the schedules. What the words of the claims mean stands in them.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import plots

PICTURE = 'loss_of_slides'
SLIDES = ('step', 'exponential', 'linear_staircase')
MODERN = ('cosine', 'one_cycle', 'inverse_sqrt', 'reduce_on_plateau')
DECAYS = {
    'step': {'boundaries': (10, 15), 'factor': 0.1},
    'exponential': {'factor': 0.5, 'every_epochs': 2, 'staircase': True},
    'linear_staircase': {'every_epochs': 2},  # a tenth of the first rate
    'cosine': {},
    'one_cycle': {},
    'inverse_sqrt': {},
    'reduce_on_plateau': {'factor': 0.5, 'patience': 2},
}
TOO_LOW, LOW, HIGH, TOO_HIGH = 0.001, 0.01, 1.0, 10.0


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.model.widths = (16,)
    config.batch_size = 32
    config.epochs = 20
    config.num_seeds = 5 if quick else 20
    return config


def sweep(config):
    num = 9 if config.num_seeds < 20 else 17
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-3, 10.0, num)
    schedules = [
        {'schedule.name': name, **{f'schedule.{field}': value for field, value in fields.items()}}
        for name, fields in DECAYS.items()
    ]
    warmed = {'schedule.name': 'cosine', 'schedule.warmup_epochs': 2.0}
    return nnstudy.grid([{'schedule.name': 'constant'}, *schedules, warmed], rates)


def claims():
    def constant(metric, rate):
        where = {'schedule.name': 'constant', 'optimizer.learning_rate': rate}
        return Quantity(metric).where(where)

    def decayed(name):
        where = {'schedule.name': name, 'optimizer.learning_rate': HIGH}
        return Quantity('test_loss').where(where, {'schedule.warmup_epochs': None})

    either = [constant('test_loss', rate) for rate in (HIGH, LOW)]
    slow = constant('train_loss', TOO_LOW)
    return [
        Claim(
            'C2a',
            'A rate too high oscillates: at a constant 10 the training loss rises in at least a '
            'third of the epochs; one too low stalls: at 0.001 it ends above half of what it was',
            (constant('train_loss', TOO_HIGH).at('rises') > 1 / 3, slow > 0.5 * slow.at(0)),
        ),
        Claim(
            'C2b',
            'Decay ends lower than either constant: each schedule of the slides, begun at 1, has a '
            'lower test loss than the constants 1 and 0.01 (ours)',
            [decayed(name) < rate for name in SLIDES for rate in either],
        ),
        Claim(
            'C2c',
            'Cosine, one cycle, inverse square root and reduction on a plateau, begun at 1, end '
            'lower than either constant, too (ours)',
            [decayed(name) < rate for name in MODERN for rate in either],
        ),
    ]


def pictures(results):
    runs = results.runs

    def picture(names, *fields):
        chosen = runs[runs['schedule.name'].isin(('constant', *names))]
        fields = ['schedule.name', *fields, 'optimizer.learning_rate']
        return plots.metric_vs(chosen, 'optimizer.learning_rate', fields, 'test_loss')

    return {
        'loss_of_slides': picture(SLIDES),
        'loss_of_modern': picture(MODERN, 'schedule.warmup_epochs'),
    }
