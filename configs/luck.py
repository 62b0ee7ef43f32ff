"""Is the winner of a search luck of the seed? Found by one seed, run again with others (F6).

    python launch.py --config=configs/luck.py           # 64 points x 64 seeds, about 2 min
    python launch.py --config=configs/luck.py:quick     # 16 points x 16 seeds, 20 s

Asked: does the winner of a random search reach with other seeds what the search reported? Most
searches are done with one seed, and the highest validation accuracy wins. Here one is done 64
times, once for each seed, and each winner is compared with the 49 seeds that share neither initial
weights nor order of the data with it: seeds are 8 initialisations x 8 orders.

Ours: the setting: rates and L2 at random, 1,000 images of MNIST to train on and 500 to choose by. A
search can also be unlucky, so the claim is about medians.
"""

from pictures import luck

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.analysis.quantities import values

PICTURE = 'luck'
VARIANTS = {'quick': {'num_seeds': 16, 'data_seeds': 4, 'study.num_points': 16}}

SEARCHED = Quantity('validation_accuracy').over('selected')
RERUN = Quantity('validation_accuracy').over('rerun')


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, eval_every=10, num_seeds=64, data_seeds=8)
    config.split.update(train='train[:1000]', validation='train[50000:50500]', test='test[:2000]')
    config.model.widths = (64,)
    config.optimizer.momentum = 0.9
    config.study.num_points = 64
    return config


def sweep(config):
    num = config.study.num_points
    return nnstudy.zip_(
        nnstudy.log_uniform('optimizer.learning_rate', 1e-3, 1.0, num),
        nnstudy.log_uniform('regularization.l2', 1e-6, 1e-2, num, seed=1),
    )


def claims():
    yield Claim(
        'F6: The winner of a search by one seed is flattered: its validation accuracy in the '
        'search is higher than with other seeds, in the median of the searches (ours)',
        SEARCHED > RERUN,
        of='median',
    )


def pictures(results):
    reported, rerun = values(results, SEARCHED), values(results, RERUN)
    return {'luck': luck.searches(results, reported, rerun)}
