"""The gradient noise scale along training, for several batch sizes (F5).

    python launch.py --config=configs/batch_noise.py           # 3 sizes x 8 seeds, 4 min
    python launch.py --config=configs/batch_noise.py:quick     # 2,000 images, 30 s

After McCandlish et al. (2018), "An Empirical Model of Large-Batch Training", arXiv 1812.06162: the
noise scale is the batch size about which the noise of a mini-batch's gradient is as large as the
gradient; larger batches gain little. It rises as the loss falls, so small batches are enough at
first and large ones pay late.

What comes out: the noise scale against the epoch and against the training loss, a line for each
batch size, and the claims.

The picture: the noise scale leaps from about 45 examples to several hundred within the first epoch
and then climbs to some thousands; the lines of the three batch sizes lie on one another, seeds lie
a factor of ten apart.

All of F is ours: the first 10,000 images of MNIST, standardised, an MLP with a hidden layer of 64,
ReLU, plain SGD at 0.02 whatever the batch size, 20 epochs. The noise scale of one moment goes up
and down with the length of the gradient, so the claims are of means over the evaluations; their
bounds are ours too. Where the estimate is infinite, as the gradient cannot be told from 0, it is
left out of the mean, which can only lower it.
"""

import nnstudy
from nnstudy.analysis.claims import claim, greater, less
from nnstudy.analysis.quantities import quantity
from nnstudy.report import traces

PICTURE = 'noise_scale_vs_epoch'

SIZES = (8, 32, 128)
QUICK = (16, 128)


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'mnist'
    config.split.train = 'train[:2000]' if quick else 'train[:10000]'
    config.split.validation = None
    config.split.test = 'test[:2000]'
    config.normalization = 'standard'
    config.model.widths = (64,)
    config.model.kernel_init = 'he_normal'
    config.optimizer.learning_rate = 0.02
    config.epochs = 6 if quick else 20
    config.diagnostics = ('noise_scale',)
    config.eval_in_first_epoch = 4
    config.num_seeds = 8
    return config


def _sizes(config):
    return SIZES if config.epochs == 20 else QUICK


def sweep(config):
    return nnstudy.choice('batch_size', _sizes(config))


def claims(config):
    def noise(size, **more):
        return quantity('noise_scale', {'batch_size': size}, **more)

    sizes = _sizes(config)
    return [
        claim(
            'F5a',
            'The noise scale rises along training at every batch size: its mean over the '
            'evaluations is above five times what it was at the start, and above that after the '
            'first epoch (ours)',
            *(greater(noise(size, at='mean'), noise(size, at=0, times=5.0)) for size in sizes),
            *(greater(noise(size, at='mean'), noise(size, at=1)) for size in sizes),
        ),
        claim(
            'F5b',
            'Small batches are enough at first, large ones pay late: the noise scale is below 64 '
            'examples at the start and above 256 in the mean over the evaluations (ours)',
            *(less(noise(size, at=0), 64) for size in sizes),
            *(greater(noise(size, at='mean'), 256) for size in sizes),
        ),
    ]


def pictures(results):
    drawn = {}
    for x in ('epoch', 'train_loss'):
        picture = traces.traces(results.history, results.runs, results.swept, ['noise_scale'], x)
        (panel,) = picture.axes
        panel.set_yscale('log')
        panel.set_ylabel('noise scale (examples)')
        if x == 'train_loss':
            panel.set_xscale('log')
            panel.invert_xaxis()  # time goes to the right, as there
        drawn[f'noise_scale_vs_{x}'] = picture
    return drawn
