"""A VGG-like net with batch normalisation and augmentation on CIFAR-10 (report, E4).

    python launch.py --config=configs/cifar10_vgg.py             # 50 epochs, 6 seeds, about 6 hours
    python launch.py --config=configs/cifar10_vgg.py:reduced     # 10,000 images, 20 epochs, an hour
    python launch.py --config=configs/cifar10_vgg.py:quick       # 500 images, a minute

Asked: does it reach higher accuracies than the plain CNN of `cifar10_cnn.py`, with a smaller gap
between training and test?

Set: three groups of two convolutions, batch normalisation, max-pooling, a dense layer, dropout;
training images are rotated, shifted and flipped; batch 32, 50 epochs. The plain CNN gets the same
images.

Ours: the strength of augmentation, the place of dropout and of batch normalisation (after each
activation), Adam, 50 epochs for both nets, the number of seeds; training accuracy is that of 5,000
images as they are, without augmentation and dropout.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import histories

PICTURE = 'train_and_test'
RECORDED = ('reduced',)
VARIANTS = {
    'reduced': {'split.train': 'train[:10000]', 'epochs': 20},
    'quick': {
        'split.train': 'train[:500]',
        'split.test': 'test[:500]',
        'epochs': 2,
        'num_seeds': 2,
    },
}

VGG, CNN = {'model.name': 'vgg'}, {'model.name': 'cnn'}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='cifar10', batch_size=32, epochs=50, num_seeds=6)
    config.eval_train_examples = 5_000
    config.split.update(train='train', validation=None, test='test')
    config.optimizer.update(name='adam', learning_rate=1e-3, eps=1e-7)
    return config


def sweep():
    vgg = {
        **VGG,
        'model.groups': ((32, 32), (64, 64), (128, 128)),
        'model.dense_widths': (1024,),
        'model.batch_norm': 'after',
        'model.batch_norm_momentum': 0.99,
        'model.batch_norm_epsilon': 1e-3,
        'model.flatten_dropout': 0.2,
        'model.dense_dropout': 0.5,
        'augmentation.rotation': 15.0,
        'augmentation.shift': 0.1,
        'augmentation.horizontal_flip': 0.5,
    }
    cnn = {
        **CNN,
        'model.widths': (32, 64, 128),
        'model.dense_widths': (512,),
        'model.flatten_dropout': 0.2,
        'model.dense_dropout': 0.2,
    }
    return [vgg, cnn]


def claims():
    train, test = Quantity('train_accuracy'), Quantity('test_accuracy')
    trains_better, tests_better = (of.where(VGG) > of.where(CNN) for of in (train, test))
    gap, gap_of_cnn = ((train - test).where(net) for net in (VGG, CNN))
    rest = tests_better, gap < gap_of_cnn, gap > 0
    yield Claim(
        'E4a: The VGG-like net with augmentation and batch normalisation reaches a higher training '
        'and test accuracy than the plain CNN, with a smaller gap between them; the test accuracy '
        'is still the lower of the two',
        trains_better,
        *rest,
    )
    yield Claim(
        'E4a, train: It reaches a higher training accuracy than the plain CNN (ours, a part of '
        'E4a)',
        trains_better,
    )
    yield Claim(
        'E4a, rest: It reaches a higher test accuracy than the plain CNN, with a smaller gap, and '
        'its test accuracy is still below its training accuracy (ours, a part of E4a)',
        rest,
    )


def pictures(results):
    return {
        'train_and_test': histories.train_and_test(results, {'VGG-like': VGG, 'plain CNN': CNN})
    }
