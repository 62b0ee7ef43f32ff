"""Is the winner of a search luck of the seed? Found by one seed, run again with others (F6).

    python launch.py --config=configs/luck.py           # 64 points x 64 seeds, about 2 min
    python launch.py --config=configs/luck.py:quick     # 16 points x 16 seeds, 20 s

A random search over the learning rate and L2, as most are done: one seed, the highest validation
accuracy wins. Here it is done 64 times, once a seed, and the winner of each is looked at with the
49 seeds that share neither initial weights nor order of the data with it: seeds are 8
initialisations x 8 orders. Of a study of your own, `nnstudy.rerun(results)` runs the winner again.

What comes out: what each search reports against what its winner reaches, on the same images, with
other seeds; what a search of n points reports on average, by one seed and by the mean of all; and,
for the best points, whether the initial weights or the order of the data made the difference.

The picture: left, nearly all winners lie below the line: with other seeds they reach less than was
reported. In the middle, a search by one seed reports too much, the more the more points it has.
Right, for most points neither initial weights nor order alone makes most of the difference: which
order is good depends on the weights.

All of F is ours; here also: 1,000 images of MNIST to train on and 500 to choose by, an MLP with a
hidden layer of 64, momentum of 0.9, batch 32, 10 epochs. A search can also be unlucky, so the
claim is of medians. It takes the 64 searches for independent; as 8 of them share their initial
weights, and 8 their order, its p-value is smaller than it should be.
"""

from pictures import luck

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.analysis.quantities import values

PICTURE = 'luck'

SEARCHED = Quantity('validation_accuracy').over('selected')
RERUN = Quantity('validation_accuracy').over('rerun')
NUM_POINTS = 64  # quick: a quarter


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'mnist'
    config.split.train = 'train[:1000]'
    config.split.validation = 'train[50000:50500]'
    config.split.test = 'test[:2000]'
    config.model.widths = (64,)
    config.optimizer.momentum = 0.9
    config.batch_size = 32
    config.epochs = 10
    config.eval_every = 10
    config.num_seeds, config.data_seeds = (16, 4) if quick else (64, 8)
    return config


def sweep(config):
    num = NUM_POINTS if config.data_seeds == 8 else NUM_POINTS // 4
    return nnstudy.zip_(
        nnstudy.log_uniform('optimizer.learning_rate', 1e-3, 1.0, num),
        nnstudy.log_uniform('regularization.l2', 1e-6, 1e-2, num, seed=1),
    )


def claims(config):
    del config
    return [
        Claim(
            'F6',
            'The winner of a search by one seed is flattered: its validation accuracy in the '
            'search is higher than with other seeds, in the median of the searches (ours)',
            SEARCHED > RERUN,
            of='median',
        )
    ]


def pictures(results):
    reported, rerun = values(results, SEARCHED), values(results, RERUN)
    return {'luck': luck.searches(results, reported, rerun)}
