"""Is the winner of a search luck of the seed? Found by one seed, run again with others (F6).

    python launch.py --config=configs/luck.py           # 64 points x 64 seeds, about 2 min
    python launch.py --config=configs/luck.py:quick     # 16 points x 16 seeds, 20 s

A random search over the learning rate and L2, as most are done: one seed, the highest validation
accuracy wins. Here it is done 64 times, once a seed, and the winner of each is looked at with the
49 seeds that share neither initial weights nor order of the data with it: seeds are 8
initialisations x 8 orders. Of a study of your own, `nnstudy.rerun(results)` runs the winner again.

What comes out: what each search reports against what its winner reaches, on the same images, with
other seeds; what a search of n points reports on average, by one seed and by the mean of all; and,
for the best points, whether the initial weights or the order of the data made the difference.

The picture: left, nearly all winners lie below the line: with other seeds they reach less than was
reported. In the middle, a search by one seed reports too much, the more the more points it has.
Right, for most points neither initial weights nor order alone makes most of the difference: which
order is good depends on the weights.

All of F is ours; here also: 1,000 images of MNIST to train on and 500 to choose by, an MLP with a
hidden layer of 64, momentum of 0.9, batch 32, 10 epochs. A search can also be unlucky, so the
claim is of medians. It takes the 64 searches for independent; as 8 of them share their initial
weights, and 8 their order, its p-value is smaller than it should be.
"""

import numpy as np
from matplotlib import figure, ticker

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.analysis import best_of, comparison, intervals, variance
from nnstudy.analysis.quantities import values
from nnstudy.report import style

PICTURE = 'luck'

SEARCHED = Quantity('validation_accuracy').over('selected')
RERUN = Quantity('validation_accuracy').over('rerun')
NUM_POINTS = 64  # quick: a quarter
NUM_SPLIT = 10  # points whose variance is split
MEAN = 'interquartile mean of all seeds'
SMALLEST = 4  # a search of fewer points is none


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'mnist'
    config.split.train = 'train[:1000]'
    config.split.validation = 'train[50000:50500]'
    config.split.test = 'test[:2000]'
    config.model.widths = (64,)
    config.optimizer.momentum = 0.9
    config.batch_size = 32
    config.epochs = 10
    config.eval_every = 10
    config.num_seeds, config.data_seeds = (16, 4) if quick else (64, 8)
    return config


def sweep(config):
    num = NUM_POINTS if config.data_seeds == 8 else NUM_POINTS // 4
    return nnstudy.zip_(
        nnstudy.log_uniform('optimizer.learning_rate', 1e-3, 1.0, num),
        nnstudy.log_uniform('regularization.l2', 1e-6, 1e-2, num, seed=1),
    )


def claims(config):
    del config
    return [
        Claim(
            'F6',
            'The winner of a search by one seed is flattered: its validation accuracy in the '
            'search is higher than with other seeds, in the median of the searches (ours)',
            SEARCHED > RERUN,
            of='median',
        )
    ]


def pictures(results):
    seeds, orders = results.config['num_seeds'], results.config['data_seeds']
    drawn = [_draw_winners, _draw_best_of]
    notes = [
        f'{seeds} seeds; random search over {len(results.points)} points; accuracy on 500 '
        'validation images.'
    ]
    if orders is not None and seeds >= 2 * orders and seeds % orders == 0:
        drawn.append(_draw_variance)
        made_of = f'{seeds // orders} initialisations x {orders} orders'
        notes.append(f'Variance: of {made_of}, on 2,000 test images.')
    picture = figure.Figure(figsize=(10.4, 3.7), layout='constrained')
    for draw, panel in zip(drawn, picture.subplots(1, len(drawn)), strict=True):
        draw(style.dress(panel), results)
    style.caption(picture, 'What of a search is luck of the seed', notes)
    return {'luck': picture}


def _draw_winners(panel, results):
    reported, rerun = 100 * values(results, SEARCHED), 100 * values(results, RERUN)
    ends = [min(rerun.min(), reported.min()) - 0.3, max(rerun.max(), reported.max()) + 0.3]
    panel.plot(ends, ends, color=style.GREY, linewidth=1)
    panel.annotate('as reported', ends[:1] * 2, (8, 2), textcoords='offset points', fontsize=8)
    panel.plot(reported, rerun, 'o', color=style.BLUE, markersize=4, alpha=0.5, markeredgewidth=0)
    panel.set_title('the winner of each search', fontsize=9)
    panel.set_xlabel('in the search (%)')
    panel.set_ylabel('with the other seeds, median (%)')


def _draw_best_of(panel, results):
    scores = results.runs.pivot(index='seed', columns='point', values='validation_accuracy')
    scores = 100 * scores.fillna(0.0).to_numpy()  # [seeds, points]
    sizes = np.arange(SMALLEST, scores.shape[1] + 1)
    searches = np.stack([best_of.expected_best(seed, sizes) for seed in scores])
    low, high = np.quantile(searches, (0.1, 0.9), axis=0)
    panel.fill_between(sizes, low, high, color=style.BLUE, alpha=0.15, lw=0)
    middle = np.median(searches, axis=0)
    panel.plot(sizes, middle, color=style.BLUE, label='one seed (80% of searches)')
    points = [intervals.interquartile_mean(point) for point in scores.T]
    look = {'color': style.RED, 'linestyle': style.DASHES[1]}
    panel.plot(sizes, best_of.expected_best(points, sizes), label=MEAN, **look)
    panel.legend(fontsize=8, frameon=False, labelcolor=style.INK, loc='lower right')
    panel.set_title('best of n points, expected', fontsize=9)
    panel.set_xscale('log', base=2)
    panel.xaxis.set_major_formatter(ticker.ScalarFormatter())
    panel.set_xlabel('points n')
    panel.set_ylabel('best validation accuracy (%)')


def _draw_variance(panel, results):
    best = comparison.ranking(results.runs)[:NUM_SPLIT]
    shares = []
    for point in best:
        runs = results.runs[results.runs['point'] == point]
        crossed = variance.crossed(runs, 'test_accuracy', results.config['data_seeds'])
        shares.append(variance.split(crossed).shares)
    places, start = np.arange(1, len(best) + 1), np.zeros(len(best))
    names = ('initial weights', 'order of the data', 'both together')
    for i, (name, share) in enumerate(zip(names, 100 * np.transpose(shares), strict=True)):
        panel.bar(places, share, bottom=start, color=style.VIRIDIS(0.45 * i), label=name)
        start = start + share
    panel.set_ylim(0, 135)
    panel.set_yticks(range(0, 101, 25))
    panel.legend(fontsize=8, frameon=False, labelcolor=style.INK, loc='upper left')
    panel.set_title('where the variance comes from', fontsize=9)
    panel.set_xticks(places)
    panel.set_xlabel('point, best first')
    panel.set_ylabel('share of the variance (%)')
