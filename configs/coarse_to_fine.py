"""Coarse to fine: optimizer, rate, momentum and batch size, first on few examples (exercise B5).

    python launch.py --config=configs/coarse_to_fine.py           # 6 seeds, about 2 min
    python launch.py --config=configs/coarse_to_fine.py:quick     # 3 seeds, about a minute

Asked: to search hyperparameters from coarse to fine; the exercise only names the steps. It makes no
claim, so none is tested.

Ours: the setting. Stage 1 tries a coarse grid on 1,000 images of Fashion-MNIST. Stages 2 and 3 look
closer about the best point, on 4,000 and 12,000 images. The best point of each stage is the one
with the highest median accuracy on the same 2,000 validation images.
"""

from pictures import search

import nnstudy

PICTURE = 'search'
VARIANTS = {
    'quick': {
        'zoom.train': ('train[:500]', 'train[:1000]'),
        'split.test': 'test[:2000]',
        'epochs': 5,
        'num_seeds': 3,
        'study.momenta': (0.0, 0.9),
        'study.adaptive': ('adam',),
        'study.num_rates': 4,
    }
}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='fashion_mnist', epochs=10, eval_every=5, num_seeds=6)
    config.eval_train_examples = 1_000
    config.zoom.train = ('train[:1000]', 'train[:4000]', 'train[:12000]')
    config.split.validation = 'train[50000:52000]'
    config.model.widths = (64, 64)
    config.study.update(momenta=(0.0, 0.5, 0.9), adaptive=('adam', 'rmsprop'), num_rates=7)
    return config


def sweep(config):
    study = config.study
    sizes = nnstudy.choice('batch_size', [16, 64])
    momenta = nnstudy.choice('optimizer.momentum', study.momenta)
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-3, 1.0, study.num_rates)
    lower = nnstudy.logspace('optimizer.learning_rate', 1e-4, 0.1, study.num_rates)
    return nnstudy.chain(
        nnstudy.grid([{'optimizer.name': 'sgd'}], sizes, momenta, rates),
        nnstudy.grid(nnstudy.choice('optimizer.name', study.adaptive), sizes, lower),
    )


def pictures(results):
    return {'search': search.stages(results)}
