"""Regularisers against none, on few examples (course slides, C3).

    python launch.py --config=configs/regularization.py           # 20 seeds, about 2 min
    python launch.py --config=configs/regularization.py:quick     # 1,000 images, 5 seeds, a minute

Asked: what does each regulariser do to the gap between test and training loss, and to the weights?

Set: 784-128-64-10 with ReLU; Adam, 10 epochs; L2 of 0.01 on the two hidden kernels. Beside it none,
L1 by its subgradient and by the proximal step, dropout of 0.2, batch normalisation before and after
the activation with several momenta and another epsilon, and augmentation by rotation, zoom, flips
and shifts. Scales of the normalisation start at 1, shifts at 0.

Ours: the first 2,000 training images of MNIST, so that overfitting shows; the strengths of L1 and
of augmentation; higher rates for C3d, and for C3e a rate of 1e-9, at which the weights stay as they
are and only statistics change. Keras's defaults: Adam at 0.001 with epsilon 1e-7, Glorot
initialisation, batch 32, and 1e-3 as epsilon of the normalisation; its momentum is 0.9 if nothing
else is said. *Gap* is the test loss less the training loss.
"""

import numpy as np

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import histories

PICTURE = 'train_and_test'
VARIANTS = {'quick': {'split.train': 'train[:1000]', 'split.test': 'test[:1000]', 'num_seeds': 5}}
HIDDEN = 'Dense_[01]/kernel'
NORM = {
    'model.batch_norm': 'before',
    'model.batch_norm_momentum': 0.9,
    'model.batch_norm_epsilon': 1e-3,
}
STRONG = 0.3  # L1 by the proximal step; for C3b also by the subgradient
REGULARIZERS = {
    'none': {},
    'l2': {'regularization.l2': 0.01},
    'l1': {'regularization.l1': 0.001},
    'proximal l1': {'regularization.proximal_l1': STRONG},
    'dropout': {'model.dropout': 0.2},
    'batch norm before': NORM,
    'batch norm after': {**NORM, 'model.batch_norm': 'after'},
    'augmentation': {
        'augmentation.rotation': 15.0,
        'augmentation.zoom': 0.1,
        'augmentation.horizontal_flip': 0.5,
        'augmentation.shift': 0.1,
    },
}
MOMENTA = (0.5, 0.99)  # beside 0.9
EPSILON = 0.1  # beside 1e-3
HIGHER_RATES = (0.01, 0.1)
AT_REST = 1e-9


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, num_seeds=20)
    config.split.update(train='train[:2000]', validation=None)
    config.model.update(widths=(128, 64), kernel_init='glorot_uniform')
    config.optimizer.update(name='adam', learning_rate=1e-3, eps=1e-7)
    return config


def point(regularizer, rate=1e-3, **changes):
    """Returns all fields that the sweep sets, as a point has them."""
    every = dict.fromkeys(field for fields in REGULARIZERS.values() for field in fields)
    fields = {**every, **REGULARIZERS[regularizer], 'optimizer.learning_rate': rate}
    penalised = any(fields[f'regularization.{name}'] is not None for name in ('l1', 'l2'))
    penalised |= fields['regularization.proximal_l1'] is not None
    fields['regularization.include'] = HIDDEN if penalised else None
    return {**fields, **{f'model.batch_norm_{name}': value for name, value in changes.items()}}


def sweep():
    return [
        *map(point, REGULARIZERS),
        {**point('l1'), 'regularization.l1': STRONG},
        *(point('batch norm before', momentum=momentum) for momentum in MOMENTA),
        point('batch norm before', epsilon=EPSILON),
        *(point('batch norm before', AT_REST, momentum=m) for m in (0.0, 0.5, 0.9)),
        *(point(name, rate) for name in ('none', 'batch norm before') for rate in HIGHER_RATES),
    ]


def measure(results):
    """Returns of each run the share of exact zeros in the hidden kernels, and their norm."""
    zeros, norms = [], []
    for run in results.runs['run']:
        params = results.params(run, 'final')
        weights = np.concatenate([np.ravel(params[f'Dense_{i}']['kernel']) for i in (0, 1)])
        zeros.append(np.mean(weights == 0))
        norms.append(np.linalg.norm(weights))
    return {'zero_share': zeros, 'kernel_norm': norms}


def claims():
    def of(metric, regularizer, rate=1e-3, **changes):
        return Quantity(metric).where(point(regularizer, rate, **changes))

    def gap(name):
        return (Quantity('test_loss') - Quantity('train_loss')).where(point(name))

    def at_rest(momentum):
        return of('test_loss', norm, AT_REST, momentum=momentum).at('jitter')

    norm = 'batch norm before'
    high = HIGHER_RATES[-1]
    strong_l1 = of('zero_share', 'l1').where({'regularization.l1': STRONG})
    lowers = {name: gap(name) < gap('none') for name in REGULARIZERS if name != 'none'}
    return [
        Claim(
            'C3a',
            'Every regulariser lowers the gap between test and training loss against none',
            tuple(lowers.values()),
        ),
        *(
            Claim(f'C3a {name}', f'{name} alone lowers the gap (ours, a part of C3a)', condition)
            for name, condition in lowers.items()
        ),
        Claim(
            'C3b',
            f'L1 makes many weights exactly zero: with the proximal step (at {STRONG}) more than '
            f'half, with the plain subgradient (at 0.001 and at {STRONG}) less than one in a '
            'thousand',
            (
                of('zero_share', 'proximal l1') > 0.5,
                of('zero_share', 'l1') < 0.001,
                strong_l1 < 0.001,
            ),
        ),
        Claim(
            'C3c',
            'L2 shrinks weights without zeroing them: the norm of the hidden kernels is below half '
            'of that of none, and less than one weight in a thousand is exactly zero',
            (
                of('kernel_norm', 'l2') < 0.5 * of('kernel_norm', 'none'),
                of('zero_share', 'l2') < 0.001,
            ),
        ),
        Claim(
            'C3d',
            'Batch normalisation reaches a training loss of 0.05 in fewer epochs than none',
            of('train_loss', norm).reaches(0.05) < of('train_loss', 'none').reaches(0.05),
        ),
        Claim(
            'C3d rate',
            f'Batch normalisation tolerates higher rates: at {high}, a hundred times the default, '
            'its training loss is lower than that of none, and its test accuracy above 80% (ours)',
            (
                of('train_loss', norm, high) < of('train_loss', 'none', high),
                of('test_accuracy', norm, high) > 0.8,
            ),
        ),
        Claim(
            'C3e',
            'Higher momentum of the normalisation gives smoother but slower-adapting statistics: '
            'with weights at rest the test loss goes less and less back and forth from epoch to '
            'epoch from momentum 0 over 0.5 to 0.9, and in training the test loss after the first '
            'epoch is higher with 0.99 than with 0.9',
            (
                at_rest(0.0) > at_rest(0.5),
                at_rest(0.5) > at_rest(0.9),
                of('test_loss', norm, momentum=0.99).at(1) > of('test_loss', norm).at(1),
            ),
        ),
    ]


def pictures(results):
    names = ('none', 'l2', 'proximal l1', 'dropout', 'batch norm before', 'augmentation')
    settings = {name: point(name) for name in names}
    return {'train_and_test': histories.train_and_test(results, settings)}
