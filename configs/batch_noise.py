"""The gradient noise scale along training, for several batch sizes (F5).

    python launch.py --config=configs/batch_noise.py           # 3 sizes x 8 seeds, 4 min
    python launch.py --config=configs/batch_noise.py:quick     # 2,000 images, 30 s

Asked: the noise scale is the batch size at which the noise of a mini-batch's gradient is about as
large as the gradient; larger batches gain little. Does it rise as the loss falls, so that small
batches are enough at first and large ones pay late? After McCandlish et al. (2018), "An Empirical
Model of Large-Batch Training", arXiv 1812.06162.

Ours: the setting and the bounds in the claims, which are about means over the evaluations.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import histories

PICTURE = 'noise_scale_vs_epoch'
VARIANTS = {'quick': {'split.train': 'train[:2000]', 'epochs': 6, 'study.sizes': (16, 128)}}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', normalization='standard', epochs=20, num_seeds=8)
    config.update(diagnostics=('noise_scale',), eval_in_first_epoch=4)
    config.split.update(train='train[:10000]', validation=None, test='test[:2000]')
    config.model.update(widths=(64,), kernel_init='he_normal')
    config.optimizer.learning_rate = 0.02
    config.study.sizes = (8, 32, 128)
    return config


def sweep(config):
    return nnstudy.choice('batch_size', config.study.sizes)


def claims(config):
    scales = [Quantity('noise_scale').where(batch_size=size) for size in config.study.sizes]
    yield Claim(
        'F5a: The noise scale rises along training at every batch size: its mean over the '
        'evaluations is above five times what it was at the start, and above that after the first '
        'epoch (ours)',
        *(noise.at('mean') > 5 * noise.at(0) for noise in scales),
        *(noise.at('mean') > noise.at(1) for noise in scales),
    )
    yield Claim(
        'F5b: Small batches are enough at first, large ones pay late: the noise scale is below 64 '
        'examples at the start and above 256 in the mean over the evaluations (ours)',
        *(noise.at(0) < 64 for noise in scales),
        *(noise.at('mean') > 256 for noise in scales),
    )


def pictures(results):
    drawn = {}
    for x in ('epoch', 'train_loss'):
        picture = histories.traces(results, ['noise_scale'], x)
        (panel,) = picture.axes
        panel.set_yscale('log')
        panel.set_ylabel('noise scale (examples)')
        if x == 'train_loss':
            panel.set_xscale('log')
            panel.invert_xaxis()  # time goes to the right, as there
        drawn[f'noise_scale_vs_{x}'] = picture
    return drawn
