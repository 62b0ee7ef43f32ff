"""No loss is right for every problem (exercise B2).

    python launch.py --config=configs/loss_choice.py:classes           # 20 seeds, half a minute
    python launch.py --config=configs/loss_choice.py:numbers           # 20 seeds, half a minute
    python launch.py --config=configs/loss_choice.py:numbers,quick     # also :classes,quick

Asked: is no loss right for every problem? That is so if each fails at one: the absolute error at
classes, the squared error at outliers, cross-entropy and hinge where there are no classes. Huber's
loss lies between the first two, so it decides (claim `B2 Huber`).

Ours: the setting. `classes`: the 8x8 digits, by the losses for numbers, too, which compare the
outputs with one-hot labels. `numbers`: the prices of Boston housing, as they are and with outliers:
a tenth of the training prices are ten times too high, as if the decimal point had slipped. Each
seed chooses its best of seven rates on validation data (of `numbers` by the loss itself, outliers
among them); what it reaches is measured on test data without outliers.
"""

import numpy as np

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import plots

PICTURE = 'against_rate'
RECORDED = ('classes', 'numbers')
VARIANTS = {
    'classes': {'dataset': 'digits'},
    'numbers': {
        'dataset': 'boston_outliers',
        'normalization': 'standard',
        'model.widths': (32, 16),
        'metrics': ('mse',),
        'epochs': 60,
        'eval_every': 15,
    },
    'quick': {'num_seeds': 10},
}
FOR_NUMBERS = ('squared_error', 'absolute_error', 'huber')
FOR_CLASSES = ('softmax_cross_entropy', 'hinge')


def load(data_dir=None):
    """Returns Boston housing, and its training rows with outliers as a further split."""
    splits = nnstudy.data.load('boston_housing', data_dir).splits
    inputs, prices = splits['train']
    slipped = np.random.default_rng(0).random(prices.shape) < 0.1
    outliers = np.where(slipped, 10 * prices, prices)
    return nnstudy.Dataset('boston_outliers', {**splits, 'outliers': (inputs, outliers)})


nnstudy.data.DATASETS['boston_outliers'] = load


def get_config():
    config = nnstudy.default_config()
    config.update(batch_size=32, epochs=20, eval_every=5, num_seeds=20)
    config.model.widths = (32,)
    config.optimizer.update(name='adam', learning_rate=1e-3)
    return config


def sweep(config):
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-4, 0.1, 7)
    if config.dataset == 'digits':
        return nnstudy.grid(nnstudy.choice('loss.name', [*FOR_CLASSES, *FOR_NUMBERS]), rates)
    losses = [{'loss.name': name} for name in ('squared_error', 'absolute_error')]
    losses.append({'loss.name': 'huber', 'loss.delta': 5.0})
    splits = [
        {'split.train': f'{split}[:80%]', 'split.validation': f'{split}[80%:]'}
        for split in ('train', 'outliers')
    ]
    return nnstudy.grid(splits, losses, rates)


def claims(config):
    def best(metric, split='train'):
        """Returns the metric at the best rate of each of the losses."""
        best_rate, train = Quantity(metric).over('selected'), {'split.train': f'{split}[:80%]'}
        losses = nnstudy.choice('loss.name', [*FOR_NUMBERS, *FOR_CLASSES])
        return [best_rate.where(loss, train) for loss in losses]

    if config.dataset == 'digits':
        squared, absolute, huber, cross_entropy, hinge = best('test_accuracy')
        yield Claim(
            'B2: No loss is right for every problem: what is right for numbers with outliers '
            "(claim B2 squared), absolute error and Huber's, is not for classes: a lower test "
            'accuracy than cross-entropy',
            (absolute < cross_entropy, huber < cross_entropy),
        )
        yield Claim(
            'B2 absolute: Absolute error, which is right for numbers with outliers, is not for '
            'classes: a lower test accuracy than cross-entropy and hinge (ours, a part of B2)',
            (absolute < cross_entropy, absolute < hinge),
        )
        what = 'is not right for classes: a lower test accuracy than cross-entropy'
        part = '(ours, a part of B2)'
        yield Claim(f'B2 squared, classes: Squared error {what} {part}', squared < cross_entropy)
        yield Claim(f"B2 Huber: Huber's loss {what} {part}", huber < cross_entropy)
        return
    squared, absolute, huber, *_ = best('test_mse', 'outliers')
    plain_squared, plain_absolute, *_ = best('test_mse')
    errors = [best('test_mae', split) for split in ('train', 'outliers')]
    yield Claim(
        'B2 squared: Squared error is not right for numbers with outliers: a higher test MSE, '
        'which it aims at, than absolute error and Huber (ours, a part of B2)',
        (squared > absolute, squared > huber),
    )
    yield Claim(
        'B2a: Squared error is right for numbers without outliers: a lower test MSE than absolute '
        'error (ours)',
        plain_squared < plain_absolute,
    )
    yield Claim(
        'B2b: Absolute error is right for numbers with outliers and without: a lower test MAE, '
        'which it aims at, than squared error (ours)',
        [absolute < squared for squared, absolute, *_ in errors],
    )


def pictures(results):
    """Draws a metric that is the same for all losses against the rate."""
    metric = 'test_mae' if 'test_mae' in results.runs else 'test_accuracy'
    fields = [f for f in results.swept if f not in ('split.validation', 'loss.delta')]
    return {'against_rate': plots.metric_vs(results, 'optimizer.learning_rate', metric, fields)}
