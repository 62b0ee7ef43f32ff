"""Boston housing, constant rate against decay (exercise B7).

    python launch.py --config=configs/boston_lr_decay.py             # 1,000 seeds, about 15 s
    python launch.py --config=configs/boston_lr_decay.py:quick       # 20 seeds, about 8 s

Asked: does a rate that decays (B) reach lower errors than a constant one (A), and which of the two
generalises better?

Set: everything in `get_config` but the number of seeds: dense layers of 16, 8 and 1, all with ReLU,
the output too, 369 parameters; 404 districts to train on, 102 to test; Adam with Keras's epsilon.
A: rate 1e-3. B: 0.02 for ten epochs, then multiplied by exp(-0.05) each epoch and rounded to four
decimals. The document prints figures of one seed in the last epoch.

Ours: that the document's epochs count from 0, claim B7c, and that the gap in B7b is that of the
squared error. The data have a column B that is ethically charged, see the warning.
"""

import nnstudy
from nnstudy import Claim, Quantity, Reference
from nnstudy.report import histories

PICTURE = 'train_and_test'
VARIANTS = {'quick': {'num_seeds': 20}}

A = {'schedule.name': 'constant'}
B = {'schedule.name': 'rounded'}
AT_END = ' (ours: after it, no running mean)'


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='boston_housing', normalization='standard')
    config.update(batch_size=32, epochs=50, num_seeds=1_000)
    config.split.update(train='train', validation=None)
    config.model.update(widths=(16, 8), output_activation='relu', kernel_init='glorot_uniform')
    config.loss.name = 'squared_error'
    config.optimizer.update(name='adam', learning_rate=1e-3, eps=1e-7)
    return config


def sweep():
    decay = {'schedule.constant_epochs': 10, 'schedule.decay': 0.05, 'schedule.decimals': 4}
    return [A, {**B, 'optimizer.learning_rate': 0.02, **decay}]


def claims():
    errors = map(Quantity, ('train_loss', 'test_loss', 'train_mae', 'test_mae'))
    gap = Quantity('test_loss') - Quantity('train_loss')
    lowest = Quantity('test_loss').at('best')
    yield Claim(
        'B7a: With decay (B) train and validation MSE and MAE end lower than without (A)',
        *(error.where(B) < error.where(A) for error in errors),
    )
    yield Claim(
        'B7b: A generalises better than B: a smaller gap between train and validation MSE',
        gap.where(A) < gap.where(B),
    )
    for name, point in (('A', A), ('B', B)):
        yield Claim(
            f'B7c {name}: The ReLU of the output can die: a seed of {name} never leaves a test MSE '
            'near 616 (ours)',
            lowest.where(point) > 550.0,
            of='some',
        )


def references():
    # Epochs count from 0 in the document: its epoch 49 is the 50th. Its summary cuts off what comes
    # after the point, as 28 of the 28.62 of that epoch shows. As in Keras its train errors are
    # running means over an epoch, such as our `batch_loss`.
    mse, mae = Quantity('test_loss'), Quantity('test_mae')
    train_mse, train_mae = Quantity('batch_loss').at(50), Quantity('train_mae')
    yield Reference('parameters', 369, Quantity('num_params').where(A))
    yield Reference('A, train MSE at the end', 21, train_mse.where(A), 0, is_cut=True)
    yield Reference(f'A, train MAE at the end{AT_END}', 3, train_mae.where(A), 0, is_cut=True)
    yield Reference('A, validation MSE at the end', 28, mse.where(A), 0, is_cut=True)
    yield Reference('A, validation MAE at the end', 4, mae.where(A), 0, is_cut=True)
    yield Reference('B, train MSE at the end', 7, train_mse.where(B), 0, is_cut=True)
    yield Reference(f'B, train MAE at the end{AT_END}', 2, train_mae.where(B), 0, is_cut=True)
    yield Reference('B, validation MSE at the end', 23, mse.where(B), 0, is_cut=True)
    yield Reference('B, validation MAE at the end', 3, mae.where(B), 0, is_cut=True)
    yield Reference(f'A, train MAE of epoch 49{AT_END}', 3.43, train_mae.where(A).at(50))
    yield Reference('A, validation MSE of epoch 49', 28.62, mse.where(A).at(50))
    yield Reference('A, validation MAE of epoch 49', 4.17, mae.where(A).at(50))
    yield Reference('B, validation MSE of epoch 47', 23.48, mse.where(B).at(48))
    yield Reference('B, validation MAE of epoch 47', 3.07, mae.where(B).at(48))


def pictures(results):
    rates = {'A: 0.001, constant': A, 'B: 0.02, decay': B}
    return {'train_and_test': histories.train_and_test(results, rates)}
