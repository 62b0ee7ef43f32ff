"""Regularisers against none, on few examples (course slides, C3).

    python launch.py --config=configs/regularization.py           # 20 seeds, about 2 min
    python launch.py --config=configs/regularization.py:quick     # 1,000 images, 5 seeds, a minute

Asked: what does each regulariser do to the gap between test and training loss, and to the weights?

Set: 784-128-64-10 with ReLU; Adam, 10 epochs; the regularisers below, L1 and L2 on the two hidden
kernels, L1 by its subgradient and by the proximal step; several momenta and another epsilon of the
normalisation, the scales of which start at 1, the shifts at 0.

Ours: the first 2,000 training images of MNIST, so that overfitting shows; the strengths of L1 and
of augmentation; higher rates for C3d, and for C3e a rate of 1e-9, at which the weights stay as they
are and only statistics change. Everything else is Keras's default, except that the momentum of the
normalisation is 0.9 where nothing else is said. *Gap* is the test loss less the training loss.
"""

import numpy as np

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import histories

PICTURE = 'train_and_test'
VARIANTS = {'quick': {'split.train': 'train[:1000]', 'split.test': 'test[:1000]', 'num_seeds': 5}}
HIDDEN = 'Dense_[01]/kernel'
RATE, MOMENTUM = 'optimizer.learning_rate', 'model.batch_norm_momentum'
HIGHER_RATES = nnstudy.choice(RATE, [0.01, 0.1])
AT_REST = {RATE: 1e-9}
NORM = {'model.batch_norm': 'before', MOMENTUM: 0.9, 'model.batch_norm_epsilon': 1e-3}
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


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, num_seeds=20)
    config.split.update(train='train[:2000]', validation=None)
    config.model.update(widths=(128, 64), kernel_init='glorot_uniform')
    config.optimizer.update(name='adam', learning_rate=1e-3, eps=1e-7)
    return config


def point(regularizer):
    """Returns all fields that the sweep sets, as a point has them."""
    own = REGULARIZERS[regularizer]
    every = dict.fromkeys(field for fields in REGULARIZERS.values() for field in fields)
    is_penalised = any(field.startswith('regularization') for field in own)
    include = HIDDEN if is_penalised else None
    return {**every, **own, RATE: 1e-3, 'regularization.include': include}


def sweep():
    none, norm = point('none'), point('batch norm before')
    return [
        *map(point, REGULARIZERS),
        {**point('l1'), 'regularization.l1': STRONG},
        *({**norm, MOMENTUM: momentum} for momentum in (0.5, 0.99)),
        {**norm, 'model.batch_norm_epsilon': 0.1},
        *({**norm, **AT_REST, MOMENTUM: momentum} for momentum in (0.0, 0.5, 0.9)),
        *({**other, **rate} for other in (none, norm) for rate in HIGHER_RATES),
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
    train_loss, test_loss = Quantity('train_loss'), Quantity('test_loss')
    zeros, lengths = Quantity('zero_share'), Quantity('kernel_norm')
    none, norm, l1, l2 = map(point, ('none', 'batch norm before', 'l1', 'l2'))
    gap = test_loss - train_loss
    lowers = {name: gap.where(point(name)) < gap.where(none) for name in [*REGULARIZERS][1:]}
    high = HIGHER_RATES[-1]
    at_rest = test_loss.where(norm, AT_REST).at('jitter')
    jitter = [at_rest.where({MOMENTUM: momentum}) for momentum in (0.0, 0.5, 0.9)]
    first, of_slow = test_loss.where(norm).at(1), test_loss.where(norm, {MOMENTUM: 0.99}).at(1)
    yield Claim(
        'C3a: Every regulariser lowers the gap between test and training loss against none',
        *lowers.values(),
    )
    for name, lower in lowers.items():
        yield Claim(f'C3a {name}: {name} alone lowers the gap (ours, a part of C3a)', lower)
    yield Claim(
        f'C3b: L1 makes many weights exactly zero: with the proximal step (at {STRONG}) more than '
        f'half, with the plain subgradient (at 0.001 and at {STRONG}) less than one in a thousand',
        zeros.where(point('proximal l1')) > 0.5,
        zeros.where(l1) < 0.001,
        zeros.where(l1, {'regularization.l1': STRONG}) < 0.001,
    )
    yield Claim(
        'C3c: L2 shrinks weights without zeroing them: the norm of the hidden kernels is below '
        'half of that of none, and less than one weight in a thousand is exactly zero',
        (lengths.where(l2) < 0.5 * lengths.where(none), zeros.where(l2) < 0.001),
    )
    yield Claim(
        'C3d: Batch normalisation reaches a training loss of 0.05 in fewer epochs than none',
        train_loss.where(norm).reaches(0.05) < train_loss.where(none).reaches(0.05),
    )
    yield Claim(
        f'C3d rate: Batch normalisation tolerates higher rates: at {high[RATE]}, a hundred times '
        'the default, its training loss is lower than that of none, and its test accuracy above '
        '80% (ours)',
        train_loss.where(norm, high) < train_loss.where(none, high),
        Quantity('test_accuracy').where(norm, high) > 0.8,
    )
    yield Claim(
        'C3e: Higher momentum of the normalisation gives smoother but slower-adapting statistics: '
        'with weights at rest the test loss goes less and less back and forth from epoch to epoch '
        'from momentum 0 over 0.5 to 0.9, and in training the test loss after the first epoch is '
        'higher with 0.99 than with 0.9',
        (jitter[0] > jitter[1], jitter[1] > jitter[2], of_slow > first),
    )


def pictures(results):
    names = ('none', 'l2', 'proximal l1', 'dropout', 'batch norm before', 'augmentation')
    settings = {name: point(name) for name in names}
    return {'train_and_test': histories.train_and_test(results, settings)}
