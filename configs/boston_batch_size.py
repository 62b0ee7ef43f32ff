"""Boston housing, batch sizes from 2 to 256 (exercise B8).

    python launch.py --config=configs/boston_batch_size.py           # 1,000 seeds, about a minute
    python launch.py --config=configs/boston_batch_size.py:quick     # 20 seeds, about 40 s

Asked: which batch sizes are best and worst, and whether that is more than the luck of one seed.

Set: the net and data of `boston_lr_decay.py`; Adam from a rate of 0.02, from epoch 6 on multiplied
by exp(-0.1) each epoch and rounded to four decimals; batch sizes 2, 4, ... 256, each for
floor(log2(512 x batch size)) epochs: 10 to 17. The document prints test errors of one seed.

Ours: the number of seeds, claims B8c and B8d, that B8a and B8b are about medians, Glorot
initialisation and an epsilon of 1e-7 (Keras's).
"""

import boston_lr_decay

import nnstudy
from nnstudy import Claim, Quantity, Reference
from nnstudy.report import cells, plots

PICTURE = 'test_loss'
VARIANTS = boston_lr_decay.VARIANTS

# Test MSE in the document, by batch size.
PRINTED = {2: 22.47, 4: 19.14, 8: 23.93, 16: 21.63, 32: 25.31, 64: 23.75, 128: 30.69, 256: 129.76}


def get_config():
    config = boston_lr_decay.get_config()
    config.optimizer.learning_rate = 0.02
    config.schedule.update(name='rounded', constant_epochs=6, decay=0.1, decimals=4)
    return config


def sweep():
    epochs = [(512 * size).bit_length() - 1 for size in PRINTED]  # floor(log2)
    return nnstudy.zip_(nnstudy.choice('batch_size', PRINTED), nnstudy.choice('epochs', epochs))


def claims():
    test_loss = Quantity('test_loss')
    yield Claim(
        'B8a: The two worst batch sizes are 128 and 256, in the median of the seeds',
        test_loss.highest_at({'batch_size': 128}, {'batch_size': 256}),
        of='median',
    )
    yield Claim(
        'B8b: The two best batch sizes are 4 and 16, in the median of the seeds',
        test_loss.lowest_at({'batch_size': 4}, {'batch_size': 16}),
        of='median',
    )
    yield Claim(
        'B8c: Very large batches hurt: 256 ends above 32 (ours, from a rejected answer)',
        test_loss.where(batch_size=256) > test_loss.where(batch_size=32),
    )
    yield Claim(
        'B8d: The ReLU of the output can die here, too: of a seed one batch size at least never '
        'leaves a test MSE near 616 (ours)',
        test_loss.at('best').over('max') > 550.0,
        of='some',
    )


def references():
    for size, value in PRINTED.items():
        loss = Quantity('test_loss').where(batch_size=size)
        yield Reference(f'test MSE at batch size {size}', value, loss)


def pictures(results):
    return {
        # The epochs go with the batch size, so that is all there is to tell points apart.
        'test_loss': plots.metric_vs(results, 'batch_size', 'test_loss', ['batch_size']),
        'test_loss_by_batch_size': cells.overview(results, (), ('batch_size',), 'test_loss'),
    }
