"""The strided convolutional net on CIFAR-10, for 15 and for 30 epochs (report, E3).

    python launch.py --config=configs/cifar10_cnn.py             # 6 seeds, about 25 min
    python launch.py --config=configs/cifar10_cnn.py:quick       # 1,000 images, about 45 s

Asked: does the plain CNN overfit CIFAR-10, and between which epochs?

Set: Adam at Keras's defaults, batch 32, 30 epochs; the state after 15 of them is in the history.

Ours: that the net is that of `fashion_cnn.py`; the number of seeds; that training figures are those
of the first 10,000 images; what *overfits* means in E3a.
"""

import fashion_cnn

from nnstudy import Claim, Quantity
from nnstudy.report import histories

PICTURE = 'train_and_test'
VARIANTS = {'quick': {'split.train': 'train[:1000]', 'split.test': 'test[:2000]', 'num_seeds': 2}}


def get_config():
    config = fashion_cnn.get_config()
    config.update(dataset='cifar10', epochs=30, metrics=())
    config.seed = 100  # the claim was worded on runs of other seeds
    return config


def claims():
    train, test, test_loss = map(Quantity, ('train_accuracy', 'test_accuracy', 'test_loss'))
    yield Claim(
        'E3a: The plain CNN overfits CIFAR-10: from epoch 15 to 30 the training accuracy climbs, '
        'the test accuracy does by less than a fiftieth, and the test loss ends a quarter above '
        'its lowest value or more',
        train.at(30) > train.at(15),
        test.at(30) < 1.02 * test.at(15),
        test_loss > 1.25 * test_loss.at('best'),
    )


def pictures(results):
    return {'train_and_test': histories.train_and_test(results)}
