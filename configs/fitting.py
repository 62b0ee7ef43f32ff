"""Too small, too large, too few examples, too long: under- and overfitting (course slides, C4).

    python launch.py --config=configs/fitting.py           # 12 seeds, about 3 min
    python launch.py --config=configs/fitting.py:quick     # 10 seeds, fewer cells, about 40 s

Asked: do more data and a smaller model lower the gap between training and test loss, does training
for longer widen it, and does a model that is too small underfit?

Ours: the setting, because the slides show no experiment; optimizer and initialisation are Keras's
defaults. *Gap* is the test loss less the training loss; what the other words mean is said in the
claims.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import histories, labels, maps

PICTURE = 'train_and_test'
VARIANTS = {
    'quick': {
        'split.test': 'test[:1000]',
        'epochs': 20,
        'num_seeds': 10,
        'study.widths': (2, 64),
        'study.sizes': (100, 1000),
    }
}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, epochs=60, eval_every=5, seed=100, num_seeds=12)
    config.split.update(train='train[:500]', validation=None, test='test[:5000]')
    config.model.update(widths=(32,), kernel_init='glorot_uniform')
    config.optimizer.update(name='adam', learning_rate=1e-3, eps=1e-7)
    config.study.update(widths=(1, 4, 16, 64, 256), sizes=(100, 400, 1000, 4000))  # rising
    return config


def cell(width, size):
    return {'model.widths': (width,), 'split.train': f'train[:{size}]'}


def sweep(config):
    return [cell(width, size) for width in config.study.widths for size in config.study.sizes]


def claims(config):
    widths, sizes = config.study.widths, config.study.sizes
    losses = train_loss, test_loss = Quantity('train_loss'), Quantity('test_loss')

    def gap(*of):
        return (test_loss - train_loss).where(cell(*of))

    small, large, few, many = widths[0], widths[-1], sizes[0], sizes[-1]
    smaller = widths[-3] if len(widths) > 2 else small
    more_data = gap(large, many) < gap(large, few)
    smaller_of = {size: gap(smaller, size) < gap(large, size) for size in (few, many)}
    underfits = [loss.where(cell(small, many)) > loss.where(cell(large, many)) for loss in losses]
    yield Claim(
        f'C4a: More data and a smaller model lower the gap: with a width of {large} it is smaller '
        f'with {many:,} examples than with {few}, and with {few} as with {many:,} examples it is '
        f'smaller with a width of {smaller} than of {large}; a model too small underfits: with '
        f'{many:,} examples a width of {small} has higher losses on training and on test images '
        f'than {large}',
        more_data,
        *smaller_of.values(),
        *underfits,
    )
    yield Claim('C4a data: More data lower the gap (ours, a part of C4a)', more_data)
    for size, condition in smaller_of.items():
        what = f'A smaller model lowers the gap with {size:,} examples (ours, a part of C4a)'
        yield Claim(f'C4a {size:,}: {what}', condition)
    yield Claim('C4a small: A model too small underfits (ours, a part of C4a)', *underfits)
    yield Claim(
        f'C4b: At every width, {many:,} examples have a smaller gap than {few} (ours)',
        *(gap(width, many) < gap(width, few) for width in widths),
    )
    yield Claim(
        f'C4c: Training longer widens the gap: with width {large} and {few} examples it is larger '
        'at the end than after 5 epochs (ours)',
        gap(large, few) > gap(large, few).at(5),
    )


def pictures(results):
    widths, sizes = results.config.study['widths'], results.config.study['sizes']
    corners = {
        f'{labels.count(width, "unit")}, {size:,} examples': cell(width, size)
        for width in (widths[0], widths[-1])
        for size in (sizes[0], sizes[-1])
    }
    # Loss over width x number of examples.
    along = results, 'split.train', 'model.widths'
    return {
        'train_and_test': histories.train_and_test(results, corners),
        **{f'{loss}_map': maps.heat_map(*along, loss) for loss in ('train_loss', 'test_loss')},
    }
