"""Hidden units, learning rate and how often the weights are updated (document A).

    python launch.py --config=configs/mlp_grid.py             # 27 cells x 3 seeds, 3 hours
    python launch.py --config=configs/mlp_grid.py:reduced     # 10,000 images, 8 seeds, an hour
    python launch.py --config=configs/mlp_grid.py:quick       # 300 images, about a minute

Asked: which rates and how frequent updates give good results at h = 25, 50 and 100 hidden units?

Set: 784 -> Dense(784, sigmoid) -> Dense(h, sigmoid) -> Dense(10, softmax), cross-entropy, plain SGD
at a constant rate of 10, 1 or 0.01, times the regime: gradient descent (one update an epoch, of the
whole set), mini-batches, or stochastic (batch 1). Batches are taken in the order of the file, as
the document's loop does.

Ours, where the document leaves it open: MNIST, batch 128 in mini-batches; 100, 20 and 3 epochs,
Glorot initialisation, three seeds, the points within the first epoch, and what its words mean,
which is said in each claim. A7 adds Adam at its defaults, at h = 100 in mini-batches. `:reduced`
has eight other seeds and a sixth of the images, so that twice as many errors are allowed.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import cells

PICTURE = 'cells'
RECORDED = ('', 'reduced')
VARIANTS = {
    'reduced': {
        'split.train': 'train[:10000]',
        'eval_in_first_epoch': 20,
        'seed': 100,  # claims were worded anew after others were seen
        'num_seeds': 8,
        'study.whole': 10_000,
        'study.levels': (0.80, 0.90, 0.94),
    },
    'quick': {
        'split.train': 'train[:300]',
        'split.test': 'test[:300]',
        'eval_in_first_epoch': 10,
        'num_seeds': 2,
        'study.whole': 300,
        'study.levels': (0.80, 0.90, 0.94),
        'study.epochs': (20, 10, 1),
    },
}

SGD, ADAM = nnstudy.choice('optimizer.name', ['sgd', 'adam'])
H25, H50, H100 = WIDTHS = nnstudy.choice('model.widths', [(784, h) for h in (25, 50, 100)])
HIGH, MIDDLE, LOW = RATES = nnstudy.choice('optimizer.learning_rate', [10.0, 1.0, 0.01])


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', shuffle=False, eval_in_first_epoch=100, num_seeds=3)
    config.split.update(train='train', validation=None)
    config.model.update(widths=(784, 25), activation='sigmoid', kernel_init='glorot_uniform')
    config.study.whole = 60_000  # the batch size of gradient descent
    config.study.epochs = (100, 20, 3)  # of gradient descent, mini-batches and batch 1
    config.study.levels = (0.90, 0.95, 0.97)  # of a poor, good and excellent test accuracy
    return config


def regimes(config):
    """Returns gradient descent, mini-batches and batch 1."""
    return nnstudy.choice('batch_size', [config.study.whole, 128, 1])


def sweep(config):
    epochs = nnstudy.choice('epochs', config.study.epochs)
    cells = nnstudy.grid([SGD], WIDTHS, RATES, nnstudy.zip_(regimes(config), epochs))
    default = {**ADAM, 'optimizer.learning_rate': 1e-3, 'optimizer.eps': 1e-7}
    return [*cells, {**default, **H100, 'batch_size': 128, **epochs[1]}]


def claims(config):
    whole, mini, single = sizes = regimes(config)
    poor, good, excellent = config.study.levels
    test, adam = (Quantity('test_accuracy').where(optimizer) for optimizer in (SGD, ADAM))
    loss = Quantity('train_loss').where(SGD)
    high = test.where(H25).over('max') < poor
    uncertain = [loss.where(H25, rate).at('rises').over('max') > 1 / 3 for rate in RATES]
    of_one_update = test.where(H50, whole).over('max')
    one_update = of_one_update < poor, of_one_update < test.where(H50, LOW, single)
    lower_is_better = [
        test.where(H50, rate, size) < test.where(H50, LOW, size)
        for rate in (HIGH, MIDDLE)
        for size in (mini, single)
    ]
    h100 = loss.where(H100)
    downward = [h100.where(cell) < h100.where(cell).at(0) for cell in nnstudy.grid(RATES, sizes)]
    others = [test.where(H100, size).over('max') for size in (whole, mini)]
    others += [test.where(H100, rate, single) for rate in (HIGH, MIDDLE)]
    yield Claim(
        'A1: At h = 25 and rate 10 the result is uncertain in every regime: the training loss goes '
        'up at more than a third of the evaluations',
        [loss.where(H25, HIGH, size).at('rises') > 1 / 3 for size in sizes],
    )
    yield Claim(
        'A2: With gradient descent, h = 25 and rate 10 the error goes up instead of down',
        loss.where(H25, HIGH, whole) > loss.where(H25, HIGH, whole).at(0),
    )
    yield Claim(
        'A3: At h = 25 the error is high and uncertain whatever the rate: test accuracy is below '
        f'{poor:.0%} in every regime, and in one at least the training loss goes up at more than a '
        'third of the evaluations',
        [high, *uncertain],
    )
    yield Claim(
        'A3 high: At h = 25 the error is high whatever the rate and regime (ours, a part of A3)',
        high,
    )
    yield Claim(
        'A4: At h = 50 one update an epoch is poor at every rate (test accuracy below '
        f'{poor:.0%}); lower rates with more frequent updates are better: the lowest rate with an '
        'update an example than that, and than higher rates in both regimes of frequent updates',
        [*one_update, *lower_is_better],
    )
    yield Claim(
        'A4 one update: At h = 50 one update an epoch is poor at every rate, and worse than the '
        'lowest rate with an update an example (ours, a part of A4)',
        one_update,
    )
    yield Claim(
        'A5: At h = 100 the tendency is downward: the training loss ends below its start in every '
        'cell; but only a low rate with frequent updates is satisfactory (test accuracy above '
        f'{good:.0%}): rate 0.01 with batch 1, and no other cell',
        [*downward, test.where(H100, LOW, single) > good, *(cell < good for cell in others)],
    )
    yield Claim(
        'A6: Frequent updates and a low rate give very good results (test accuracy above '
        f'{good:.0%}) at every h',
        [test.where(h, LOW, single) > good for h in WIDTHS],
    )
    yield Claim(
        'A6 frequent: At the low rate more frequent updates give better results at every h: a '
        'higher test accuracy with batch 1 than with mini-batches, and with these than with one '
        'update an epoch (ours, a part of A6)',
        [
            test.where(h, LOW, more) > test.where(h, LOW, fewer)
            for h in WIDTHS
            for more, fewer in ((single, mini), (mini, whole))
        ],
    )
    yield Claim(
        f'A7: Adam at its defaults gives excellent results (test accuracy above {excellent:.0%}), '
        'the best of all (ours)',
        [adam > excellent, adam > test.over('max')],
    )


def pictures(results):
    whole = max(point['batch_size'] for point in results.points)
    kinds = {whole: 'gradient descent', 1: 'stochastic'}
    names = {
        'model.widths': lambda widths: f'{widths[-1]} hidden units',
        'optimizer.learning_rate': lambda rate: f'rate {rate:g}',
        'batch_size': lambda size: f'{kinds.get(size, "mini-batch")} (batch {size})',
    }
    rows, columns = ('model.widths', 'optimizer.learning_rate'), ('batch_size',)
    adam = cells.each(results, where=ADAM, names=names)
    return {
        'cells': cells.overview(results, rows, columns, where=SGD, names=names),
        **cells.each(results, where=SGD, names=names),
        **{f'adam_{name}': picture for name, picture in adam.items()},
    }
