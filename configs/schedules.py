"""Schedules of the learning rate, and rates from too low to too high (course slides, C2).

    python launch.py --config=configs/schedules.py           # 20 seeds, about a minute
    python launch.py --config=configs/schedules.py:quick     # 5 seeds, about 45 s

Asked: constant rates that are too low stall, and those that are too high oscillate. Does a decay
that begins with such a rate end lower than either?

Set: the schedules of the slides: step, exponential, and linear, where a constant is subtracted
every so many epochs.

Ours: the setting, because the slides show no experiment: the 8x8 digits (a fifth of the training
images are the validation set, for reduction on a plateau), plain SGD, rates from 0.001 to 10; and
modern schedules beside them (cosine, with and without a warm-up, one cycle, inverse square root,
reduced on a plateau).
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import plots

PICTURE = 'loss_of_slides'
VARIANTS = {'quick': {'num_seeds': 5, 'study.num_rates': 9}}

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
CONSTANT = {'schedule.name': 'constant'}
RATE = 'optimizer.learning_rate'
TOO_LOW, LOW, HIGH, TOO_HIGH = nnstudy.choice(RATE, [0.001, 0.01, 1.0, 10.0])


def get_config():
    config = nnstudy.default_config()
    config.update(batch_size=32, epochs=20, num_seeds=20)
    config.model.widths = (16,)
    config.study.num_rates = 17
    return config


def sweep(config):
    rates = nnstudy.logspace(RATE, 1e-3, 10.0, config.study.num_rates)
    schedules = [
        {'schedule.name': name, **{f'schedule.{field}': value for field, value in fields.items()}}
        for name, fields in DECAYS.items()
    ]
    warmed = {'schedule.name': 'cosine', 'schedule.warmup_epochs': 2.0}
    return nnstudy.grid([CONSTANT, *schedules, warmed], rates)


def claims():
    train_loss, test_loss = Quantity('train_loss'), Quantity('test_loss')
    slow, fast = (train_loss.where(CONSTANT, rate) for rate in (TOO_LOW, TOO_HIGH))
    either = [test_loss.where(CONSTANT, rate) for rate in (HIGH, LOW)]
    begun_high = test_loss.where(CONSTANT, HIGH, {'schedule.warmup_epochs': None})

    def lower(names):
        decayed = [begun_high.where({'schedule.name': name}) for name in names]
        return [loss < constant for loss in decayed for constant in either]

    yield Claim(
        'C2a: A rate too high oscillates: at a constant 10 the training loss rises in at least a '
        'third of the epochs; one too low stalls: at 0.001 it ends above half of what it was',
        (fast.at('rises') > 1 / 3, slow > 0.5 * slow.at(0)),
    )
    yield Claim(
        'C2b: Decay ends lower than either constant: each schedule of the slides, begun at 1, has '
        'a lower test loss than the constants 1 and 0.01 (ours)',
        lower(SLIDES),
    )
    yield Claim(
        'C2c: Cosine, one cycle, inverse square root and reduction on a plateau, begun at 1, end '
        'lower than either constant, too (ours)',
        lower(MODERN),
    )


def pictures(results):
    runs = results.runs

    def picture(names, *fields):
        chosen = results.only(runs.loc[runs['schedule.name'].isin(('constant', *names)), 'point'])
        return plots.metric_vs(chosen, RATE, 'test_loss', ['schedule.name', *fields, RATE])

    return {
        'loss_of_slides': picture(SLIDES),
        'loss_of_modern': picture(MODERN, 'schedule.warmup_epochs'),
    }
