"""No loss is right for every problem (exercise B2).

    python launch.py --config=configs/loss_choice.py:classes           # 20 seeds, half a minute
    python launch.py --config=configs/loss_choice.py:numbers           # 20 seeds, half a minute
    python launch.py --config=configs/loss_choice.py:numbers,quick     # also :classes,quick

`classes`: the 8x8 digits by cross-entropy and hinge, and by the losses for numbers, which compare
the outputs with one-hot labels: squared and absolute error, Huber's. `numbers`: the prices of
Boston housing by those three, as they are and with outliers: of a tenth of the training prices the
decimal point has slipped, so that they are ten times as high.

What comes out: what each loss reaches at the best of its rates, which every seed chooses on
validation data (of `numbers` by the loss itself, outliers among them), on test data without
outliers. No loss is right for every problem if each fails at one: absolute error at classes,
squared error at outliers, cross-entropy and hinge where there are no classes. Huber's lies between
the first two and is what B2 hangs on, as claim `B2 Huber` says.

The picture: for `classes` all losses but the absolute error meet near 90% at rates from 0.001 to
0.01; the absolute error stays near a guess; at higher rates the losses for numbers fail first,
cross-entropy last. For `numbers` the squared error with outliers lies far above all others from a
rate of 0.0003 on, and these lie on one another; at 0.0001 no loss gets anywhere.

Ours: all of it, since the exercise only states it. MLPs of 32 units and of 32 and 16, Adam, batch
32, seven rates; Huber's delta is 1 for the one-hot labels, and 5 (thousand dollars) for prices. The
outliers are drawn once, so all seeds have the same.
"""

import numpy as np

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import plots

RECORDED = ('classes', 'numbers')
PICTURE = 'against_rate'
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


def get_config(arg=''):
    task, quick = nnstudy.options(arg, ('classes', 'numbers'), ('', 'quick'))
    config = nnstudy.default_config()
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.batch_size = 32
    config.epochs = 20
    config.num_seeds = 10 if quick else 20
    config.model.widths = (32,)
    if task == 'numbers':
        config.dataset = 'boston_outliers'
        config.normalization = 'standard'
        config.model.widths = (32, 16)
        config.metrics = ('mse',)
        config.epochs = 60
    config.eval_every = config.epochs // 4
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
    def best(metric, loss, split='train'):
        where = {'loss.name': loss, 'split.train': f'{split}[:80%]'}
        return Quantity(metric).where(where).over('selected')

    if config.dataset == 'digits':
        below = {
            (loss, other): best('test_accuracy', loss) < best('test_accuracy', other)
            for loss in FOR_NUMBERS
            for other in FOR_CLASSES
        }
        return [
            Claim(
                'B2',
                'No loss is right for every problem: what is right for numbers with outliers '
                "(claim B2 squared), absolute error and Huber's, is not for classes: a lower test "
                'accuracy than cross-entropy',
                [below[loss, 'softmax_cross_entropy'] for loss in ('absolute_error', 'huber')],
            ),
            Claim(
                'B2 absolute',
                'Absolute error, which is right for numbers with outliers, is not for classes: a '
                'lower test accuracy than cross-entropy and hinge (ours, a part of B2)',
                [below['absolute_error', other] for other in FOR_CLASSES],
            ),
            *(
                Claim(
                    name,
                    f'{words} is not right for classes: a lower test accuracy than cross-entropy '
                    '(ours, a part of B2)',
                    below[loss, 'softmax_cross_entropy'],
                )
                for name, words, loss in (
                    ('B2 squared, classes', 'Squared error', 'squared_error'),
                    ('B2 Huber', "Huber's loss", 'huber'),
                )
            ),
        ]
    squared, absolute, huber = FOR_NUMBERS
    return [
        Claim(
            'B2 squared',
            'Squared error is not right for numbers with outliers: a higher test MSE, which it '
            'aims at, than absolute error and Huber (ours, a part of B2)',
            [
                best('test_mse', squared, 'outliers') > best('test_mse', loss, 'outliers')
                for loss in (absolute, huber)
            ],
        ),
        Claim(
            'B2a',
            'Squared error is right for numbers without outliers: a lower test MSE than absolute '
            'error (ours)',
            best('test_mse', squared) < best('test_mse', absolute),
        ),
        Claim(
            'B2b',
            'Absolute error is right for numbers with outliers and without: a lower test MAE, '
            'which it aims at, than squared error (ours)',
            [
                best('test_mae', absolute, split) < best('test_mae', squared, split)
                for split in ('train', 'outliers')
            ],
        ),
    ]


def pictures(results):
    """Draws a metric that is the same for all losses against the rate."""
    runs = results.runs
    metric = 'test_mae' if 'test_mae' in runs else 'test_accuracy'
    fields = [f for f in results.swept if f not in ('split.validation', 'loss.delta')]
    return {'against_rate': plots.metric_vs(runs, 'optimizer.learning_rate', fields, metric)}
