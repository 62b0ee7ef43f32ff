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

WIDTHS = (25, 50, 100)
RATES = (10.0, 1.0, 0.01)


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', shuffle=False, eval_in_first_epoch=100, num_seeds=3)
    config.split.update(train='train', validation=None)
    config.model.update(widths=(784, 25), activation='sigmoid', kernel_init='glorot_uniform')
    config.study.whole = 60_000  # the batch size of gradient descent
    config.study.epochs = (100, 20, 3)  # of gradient descent, mini-batches and batch 1
    config.study.levels = (0.90, 0.95, 0.97)  # of a poor, good and excellent test accuracy
    return config


def sweep(config):
    sizes, epochs = (config.study.whole, 128, 1), config.study.epochs
    cells = nnstudy.grid(
        [{'optimizer.name': 'sgd'}],
        nnstudy.choice('model.widths', [(784, h) for h in WIDTHS]),
        nnstudy.choice('optimizer.learning_rate', RATES),
        nnstudy.zip_(nnstudy.choice('batch_size', sizes), nnstudy.choice('epochs', epochs)),
    )
    adam = {
        'model.widths': (784, 100),
        'optimizer.name': 'adam',
        'optimizer.learning_rate': 1e-3,
        'optimizer.eps': 1e-7,
        'batch_size': 128,
        'epochs': epochs[1],
    }
    return [*cells, adam]


def claims(config):
    whole = config.study.whole
    test, loss = Quantity('test_accuracy'), Quantity('train_loss')

    def cell(h, rate=None, size=None):
        where = {'optimizer.name': 'sgd', 'model.widths': (784, h)}
        where |= {} if rate is None else {'optimizer.learning_rate': rate}
        return where | ({} if size is None else {'batch_size': size})

    def accuracy(*which):
        return test.where(cell(*which))

    def rises(*which):
        return loss.where(cell(*which)).at('rises')

    def best_of(h, size=None):
        return accuracy(h, None, size).over('max')

    poor, good, excellent = config.study.levels
    high = best_of(25) < poor
    adam = test.where({'optimizer.name': 'adam'})
    one_update = best_of(50, whole) < poor, best_of(50, whole) < accuracy(50, 0.01, 1)
    return [
        Claim(
            'A1',
            'At h = 25 and rate 10 the result is uncertain in every regime: the training loss goes '
            'up at more than a third of the evaluations',
            [rises(25, 10.0, size) > 1 / 3 for size in (whole, 128, 1)],
        ),
        Claim(
            'A2',
            'With gradient descent, h = 25 and rate 10 the error goes up instead of down',
            loss.where(cell(25, 10.0, whole)) > loss.where(cell(25, 10.0, whole)).at(0),
        ),
        Claim(
            'A3',
            'At h = 25 the error is high and uncertain whatever the rate: test accuracy is below '
            f'{poor:.0%} in every regime, and in one at least the training loss goes up at more '
            'than a third of the evaluations',
            (high, *(rises(25, rate).over('max') > 1 / 3 for rate in RATES)),
        ),
        Claim(
            'A3 high',
            'At h = 25 the error is high whatever the rate and regime (ours, a part of A3)',
            high,
        ),
        Claim(
            'A4',
            'At h = 50 one update an epoch is poor at every rate (test accuracy below '
            f'{poor:.0%}); lower rates with more frequent updates are better: the lowest rate '
            'with an update an example than that, and than higher rates in both regimes of '
            'frequent updates',
            (
                *one_update,
                *(
                    accuracy(50, rate, size) < accuracy(50, 0.01, size)
                    for rate in (10.0, 1.0)
                    for size in (128, 1)
                ),
            ),
        ),
        Claim(
            'A4 one update',
            'At h = 50 one update an epoch is poor at every rate, and worse than the lowest rate '
            'with an update an example (ours, a part of A4)',
            one_update,
        ),
        Claim(
            'A5',
            'At h = 100 the tendency is downward: the training loss ends below its start in every '
            'cell; but only a low rate with frequent updates is satisfactory (test accuracy above '
            f'{good:.0%}): rate 0.01 with batch 1, and no other cell',
            (
                *(
                    loss.where(cell(100, rate, size)) < loss.where(cell(100, rate, size)).at(0)
                    for rate in RATES
                    for size in (whole, 128, 1)
                ),
                accuracy(100, 0.01, 1) > good,
                best_of(100, whole) < good,
                best_of(100, 128) < good,
                accuracy(100, 10.0, 1) < good,
                accuracy(100, 1.0, 1) < good,
            ),
        ),
        Claim(
            'A6',
            'Frequent updates and a low rate give very good results (test accuracy above '
            f'{good:.0%}) at every h',
            [accuracy(h, 0.01, 1) > good for h in WIDTHS],
        ),
        Claim(
            'A6 frequent',
            'At the low rate more frequent updates give better results at every h: a higher test '
            'accuracy with batch 1 than with mini-batches, and with these than with one update an '
            'epoch (ours, a part of A6)',
            [
                accuracy(h, 0.01, more) > accuracy(h, 0.01, fewer)
                for h in WIDTHS
                for more, fewer in ((1, 128), (128, whole))
            ],
        ),
        Claim(
            'A7',
            'Adam at its defaults gives excellent results (test accuracy above '
            f'{excellent:.0%}), the best of all (ours)',
            (adam > excellent, adam > test.where({'optimizer.name': 'sgd'}).over('max')),
        ),
    ]


def pictures(results):
    whole = max(point['batch_size'] for point in results.points)
    regimes = {whole: 'gradient descent', 1: 'stochastic'}
    names = {
        'model.widths': lambda widths: f'{widths[-1]} hidden units',
        'optimizer.learning_rate': lambda rate: f'rate {rate:g}',
        'batch_size': lambda size: f'{regimes.get(size, "mini-batch")} (batch {size})',
    }
    sgd = {'optimizer.name': 'sgd'}
    rows, columns = ('model.widths', 'optimizer.learning_rate'), ('batch_size',)
    overview = cells.overview(results, rows, columns, where=sgd, names=names)
    adam = cells.each(results, where={'optimizer.name': 'adam'}, names=names)
    return {
        'cells': overview,
        **cells.each(results, where=sgd, names=names),
        **{f'adam_{name}': picture for name, picture in adam.items()},
    }
