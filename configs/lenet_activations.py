"""LeNet with ReLU against sigmoid and tanh (document D).

    python launch.py --config=configs/lenet_activations.py:mnist           # 12 seeds, 20 min
    python launch.py --config=configs/lenet_activations.py:cifar10         # 12 seeds, 25 min
    python launch.py --config=configs/lenet_activations.py:mnist,quick     # 2,000 images, 1 min
    nnstudy tensorboard WORKDIR                           # of either, a minute

Asked: which version learns faster, is more stable and ends with the higher accuracy?

Set: LeNet with average-pooling, 61,706 parameters at one channel, 62,006 at three, both on 28x28
pixels. Version `relu`: ReLU everywhere. Version `sigmoid_and_tanh`: sigmoid after the convolutions,
tanh after the dense layers. Batch 64, 20 epochs, rate 0.1, PyTorch's initialisation. MNIST's pixels
are divided by 255; CIFAR-10 is resized to 28x28, then (x - 0.5) / 0.5. The document prints the
figures of one run (`PRINTED`); an epoch of one net took about 7.9 s and 13.7 s on a graphics card.

Ours, because these lines of the document are lost: SGD without momentum, cross-entropy, and an end
when the test accuracy is strictly above 99%. Ours too: the number of seeds; that training figures
at the end of an epoch are of the first 10,000 images; what *stable* means in D2.
"""

from pictures import feature_maps

import nnstudy
from nnstudy import Claim, Quantity, Reference
from nnstudy.report import examples, histories, weights

PICTURE = 'train_and_test'
RECORDED = ('mnist', 'cifar10')
VARIANTS = {
    'mnist': {'dataset': 'mnist'},
    'cifar10': {'dataset': 'cifar10', 'image_size': 28, 'normalization': 'symmetric'},
    'quick': {
        'split.train': 'train[:2000]',
        'split.test': 'test[:1000]',
        'epochs': 4,
        'num_seeds': 3,
        'study.as_printed': False,
    },
}

RELU = {'model.dense_activation': 'relu'}
SIGMOID = {'model.dense_activation': 'tanh'}

# Test accuracies (%) in the document, by epoch from 1 on.
PRINTED = {
    ('mnist', 'tanh'): (
        *(10.28, 87.24, 92.26, 94.37, 95.70, 96.29, 95.99, 96.98, 97.23, 96.75),
        *(98.11, 97.95, 98.04, 97.86, 98.29, 97.85, 98.47, 98.36, 98.38, 97.46),
    ),
    ('mnist', 'relu'): (
        *(95.14, 97.47, 98.26, 98.72, 98.80, 99.00, 98.72, 98.72, 98.99, 98.63),
        *(98.94, 99.02),
    ),
    ('cifar10', 'tanh'): (
        *(25.12, 31.20, 35.83, 36.67, 41.99, 43.25, 46.19, 45.69, 49.80, 48.59),
        *(46.09, 49.37, 47.90, 49.72, 51.01, 51.69, 53.31, 49.37, 49.92, 52.52),
    ),
    ('cifar10', 'relu'): (
        *(40.89, 42.57, 50.37, 47.69, 55.20, 54.77, 56.90, 57.71, 57.82, 57.65),
        *(54.05, 59.88, 58.97, 61.14, 59.13, 56.48, 58.56, 57.87, 60.22, 59.26),
    ),
}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', epochs=20, seed=100, num_seeds=12, eval_train_examples=10_000)
    config.update(log_every_steps=1, histograms=True)
    config.split.update(train='train', validation=None)
    config.model.update(name='lenet', kernel_init='pytorch')
    config.stop.target = 0.99
    config.study.as_printed = True  # the document's numbers are of all images
    return config


def sweep():
    return nnstudy.zip_(
        nnstudy.choice('model.conv_activation', ['relu', 'sigmoid']),
        nnstudy.choice('model.dense_activation', ['relu', 'tanh']),
    )


def claims(config):
    is_mnist = config.dataset == 'mnist'
    relu, sigmoid = (Quantity('test_accuracy').where(version) for version in (RELU, SIGMOID))
    if is_mnist:
        relu_passes, sigmoid_passes = relu.reaches(0.98), sigmoid.reaches(0.98)
        yield Claim(
            'D1: ReLU passes 98% on MNIST in epoch 3, sigmoid and tanh in epoch 11, in the median '
            'of the seeds',
            (relu_passes > 2.5, relu_passes < 3.5, sigmoid_passes > 10.5, sigmoid_passes < 11.5),
            of='median',
        )
        what = 'ReLU passes 98% sooner than sigmoid and tanh (ours)'
        yield Claim(f'D1 sooner: {what}', relu_passes < sigmoid_passes)
    yield Claim(
        f'D2: ReLU is the more stable on {"MNIST" if is_mnist else "CIFAR-10"}: its test accuracy '
        'goes less back and forth from epoch to epoch',
        relu.at('jitter') < sigmoid.at('jitter'),
    )
    if not is_mnist:
        relu, sigmoid = relu.at('best'), sigmoid.at('best')
        yield Claim('D3: ReLU has the higher best accuracy on CIFAR-10', sigmoid < relu)
        yield Claim('D4: Neither reaches 62% on CIFAR-10 in 20 epochs', relu < 0.62, sigmoid < 0.62)


def measure(results):
    """Returns the seconds of an epoch, a run's share of the time of all runs, side by side."""
    started = results.history[results.history['step'] > 0]
    steps_per_epoch = (started['step'] / started['epoch']).iloc[0]
    return {'seconds_per_epoch': results.runs['seconds'] * steps_per_epoch / results.runs['steps']}


def references(config):
    if not config.study.as_printed:
        return
    num_params, seconds = {'mnist': (61_706, 7.9), 'cifar10': (62_006, 13.7)}[config.dataset]
    what = "seconds of an epoch, on the document's graphics card"
    yield Reference('parameters', num_params, Quantity('num_params').where(RELU))
    yield Reference(what, seconds, Quantity('seconds_per_epoch').where(RELU))
    for name, version in (('relu', RELU), ('sigmoid and tanh', SIGMOID)):
        accuracy = Quantity('test_accuracy').where(version)
        printed = PRINTED[config.dataset, version['model.dense_activation']]
        for epoch, value in enumerate(printed, start=1):
            what = f'{name}, test accuracy (%) of epoch {epoch}'
            yield Reference(what, value, 100 * accuracy.at(epoch), 2)
        best = 100 * accuracy.at('best')
        yield Reference(f'{name}, best test accuracy (%)', max(printed), best, 2)
        if config.dataset == 'mnist':
            epoch = next(e for e, value in enumerate(printed, start=1) if value > 98)
            yield Reference(f'{name}, epoch that passes 98%', epoch, accuracy.reaches(0.98))


def pictures(results):
    versions = {'ReLU': RELU, 'sigmoid and tanh': SIGMOID}
    drawn = {'train_and_test': histories.train_and_test(results, versions)}
    for point, setting in enumerate(results.points):
        version = 'relu' if setting['model.dense_activation'] == 'relu' else 'sigmoid_and_tanh'
        drawn[f'sample_{version}'] = feature_maps.sample(results, point)
        drawn[f'histograms_{version}'] = weights.histograms(results, point)
        drawn[f'filters_{version}'] = feature_maps.filters(results, point)
        drawn[f'feature_maps_{version}'] = feature_maps.feature_maps(results, point)
        drawn[f'misclassified_{version}'] = examples.misclassified(results, point, which='best')
    return drawn
