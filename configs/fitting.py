"""Too small, too large, too few examples, too long: under- and overfitting (course slides, C4).

    python launch.py --config=configs/fitting.py           # 12 seeds, about 3 min
    python launch.py --config=configs/fitting.py:quick     # 10 seeds, fewer cells, about 40 s

One hidden layer of 1 to 256 units, trained on 100 to 4,000 images for 60 epochs.

What comes out: training and test loss over width x number of examples, and over the epochs. The gap
between them shrinks with the examples. With few examples it grows with the width; with many it is
widest in between. A net too small has a high loss on both.

The picture: one unit hardly learns even the training images, be they 100 or 4,000 (a quarter and a
third of them after 60 epochs). 256 units learn them all; the test loss stays far above, with 4,000
examples less so than with 100, and rises slowly.

Ours: all of it, since the slides show no experiment: MNIST, Adam at Keras's defaults (rate 0.001,
epsilon 1e-7), Glorot initialisation, batch 32. *Gap* is the test loss less the training loss; what
the other words mean stands in the claims. *Smaller* is 16 units instead of 256: both learn the
training images, which one unit does not. The claims were worded on seeds 0 to 11, these are others.
"""

import nnstudy
from nnstudy.analysis.claims import claim, greater, less
from nnstudy.analysis.quantities import quantity
from nnstudy.report import generalization, labels, maps

PICTURE = 'train_and_test'
SPLITS = ('train', 'test')


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'mnist'
    config.split.train, config.split.validation = 'train[:500]', None
    config.split.test = 'test[:1000]' if quick else 'test[:5000]'
    config.model.widths = (32,)
    config.model.kernel_init = 'glorot_uniform'
    config.optimizer.eps = 1e-7
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 1e-3
    config.batch_size = 32
    config.epochs = 20 if quick else 60
    config.eval_every = 5
    config.seed = 100
    config.num_seeds = 10 if quick else 12
    return config


def axes(epochs):
    """Returns widths and numbers of examples, rising."""
    if epochs < 60:
        return (2, 64), (100, 1000)
    return (1, 4, 16, 64, 256), (100, 400, 1000, 4000)


def sweep(config):
    widths, sizes = axes(config.epochs)
    return nnstudy.grid(
        nnstudy.choice('model.widths', [(width,) for width in widths]),
        nnstudy.choice('split.train', [f'train[:{size}]' for size in sizes]),
    )


def claims(config):
    widths, sizes = axes(config.epochs)

    def cell(metric, width, size, **more):
        where = {'model.widths': (width,), 'split.train': f'train[:{size}]'}
        return quantity(metric, where, **more)

    def gap(width, size, **more):
        return cell('test_loss', width, size, minus='train_loss', **more)

    small, large = widths[0], widths[-1]
    smaller = widths[-3] if len(widths) > 2 else small
    few, many = sizes[0], sizes[-1]
    more_data = less(gap(large, many), gap(large, few))
    smaller_of = {size: less(gap(smaller, size), gap(large, size)) for size in (few, many)}
    underfits = [
        greater(cell(metric, small, many), cell(metric, large, many))
        for metric in ('train_loss', 'test_loss')
    ]
    return [
        claim(
            'C4a',
            f'More data and a smaller model lower the gap: with a width of {large} it is smaller '
            f'with {many:,} examples than with {few}, and with {few} as with {many:,} examples it '
            f'is smaller with a width of {smaller} than of {large}; a model too small underfits: '
            f'with {many:,} examples a width of {small} has higher losses on training and on test '
            f'images than {large}',
            more_data,
            *smaller_of.values(),
            *underfits,
        ),
        claim('C4a data', 'More data lower the gap (ours, a part of C4a)', more_data),
        *(
            claim(
                f'C4a {size:,}',
                f'A smaller model lowers the gap with {size:,} examples (ours, a part of C4a)',
                condition,
            )
            for size, condition in smaller_of.items()
        ),
        claim('C4a small', 'A model too small underfits (ours, a part of C4a)', *underfits),
        claim(
            'C4b',
            f'At every width, {many:,} examples have a smaller gap than {few} (ours)',
            *(less(gap(width, many), gap(width, few)) for width in widths),
        ),
        claim(
            'C4c',
            f'Training longer widens the gap: with width {large} and {few} examples it is larger '
            'at the end than after 5 epochs (ours)',
            greater(gap(large, few), gap(large, few, at=5)),
        ),
    ]


def pictures(results):
    widths, sizes = axes(results.config['epochs'])
    corners = {
        f'{labels.count(width, "unit")}, {size:,} examples': {
            'model.widths': (width,),
            'split.train': f'train[:{size}]',
        }
        for width in (widths[0], widths[-1])
        for size in (sizes[0], sizes[-1])
    }
    # Loss over width x number of examples.
    along = results.runs, results.swept, 'split.train', 'model.widths'
    return {
        'train_and_test': generalization.curves(results, corners),
        **{f'{split}_loss_map': maps.heat_map(*along, f'{split}_loss') for split in SPLITS},
    }
