"""Coarse to fine: optimizer, rate, momentum and batch size, first on few examples (exercise B5).

    python launch.py --config=configs/coarse_to_fine.py           # 6 seeds, about 5 min
    python launch.py --config=configs/coarse_to_fine.py:quick     # 3 seeds, about a minute

Stage 1 looks at a coarse grid on 1,000 images: SGD with three momenta, Adam and RMSprop, each at
rates over four or three decades and with two batch sizes. Stage 2 looks closer about the best
point, on 4,000 images; stage 3 closer still, on 12,000. The best point of each stage is the one
with the highest median accuracy on the same 2,000 validation images.

What comes out: a table for each stage, in `stage-1`, `stage-2` and `stage-3` of the working
directory, and the test accuracy of the last winner.

Ours: all of it, since the exercise only names the steps: Fashion-MNIST, an MLP of 64 and 64 units,
10 epochs in each stage. There is no claim to test: the exercise makes none.
"""

import nnstudy


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'fashion_mnist'
    stages = (500, 1_000) if quick else (1_000, 4_000, 12_000)
    config.zoom.train = tuple(f'train[:{size}]' for size in stages)
    config.split.validation = 'train[50000:52000]'
    config.split.test = 'test[:2000]' if quick else 'test'
    with config.unlocked():
        config.model.widths = (64, 64)
    config.epochs = 5 if quick else 10
    config.eval_every = 5
    config.eval_train_examples = 1_000
    config.num_seeds = 3 if quick else 6
    return config


def sweep(config):
    quick = config.epochs == 5
    sizes = nnstudy.choice('batch_size', [16, 64])
    momenta = nnstudy.choice('optimizer.momentum', [0.0, 0.9] if quick else [0.0, 0.5, 0.9])
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-3, 1.0, 4 if quick else 7)
    lower = nnstudy.logspace('optimizer.learning_rate', 1e-4, 0.1, 4 if quick else 7)
    adaptive = nnstudy.choice('optimizer.name', ['adam'] if quick else ['adam', 'rmsprop'])
    return nnstudy.chain(
        nnstudy.grid([{'optimizer.name': 'sgd'}], sizes, momenta, rates),
        nnstudy.grid(adaptive, sizes, lower),
    )
