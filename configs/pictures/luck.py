"""What of a search is luck of the seed: its winner, what it reports, where the variance is from."""

import numpy as np
from matplotlib import axes, figure, ticker

from nnstudy import Results
from nnstudy.analysis import best_of, comparison, intervals, variance
from nnstudy.report import style

NUM_SPLIT = 10  # points whose variance is split
SMALLEST = 4  # a search of fewer points is none


def searches(results: Results, reported: np.ndarray, rerun: np.ndarray) -> figure.Figure:
    """Draws the searches of all seeds.

    Args:
      results: of a study whose seeds are initialisations x orders of the data.
      reported: what the winner of each search reached in it, a share [S].
      rerun: what it reached with the other seeds, their median [S].
    """
    seeds, orders = results.config.num_seeds, results.config.data_seeds
    is_crossed = orders is not None and seeds >= 2 * orders and seeds % orders == 0
    picture, (panels,) = style.panels(10.4, 3.7, 1, 3 if is_crossed else 2)
    _winners(panels[0], 100 * reported, 100 * rerun)
    _best_of(panels[1], results)
    notes = [
        f'{seeds} seeds; random search over {len(results.points)} points; accuracy on 500 '
        'validation images.'
    ]
    if is_crossed:
        _variance(panels[2], results)
        made_of = f'{seeds // orders} initialisations x {orders} orders'
        notes.append(f'Variance: of {made_of}, on 2,000 test images.')
    style.finish(picture, 'What of a search is luck of the seed', notes)
    return picture


def _winners(panel: axes.Axes, reported: np.ndarray, rerun: np.ndarray) -> None:
    ends = [min(rerun.min(), reported.min()) - 0.3, max(rerun.max(), reported.max()) + 0.3]
    panel.plot(ends, ends, color=style.GREY, linewidth=1)
    panel.annotate('as reported', ends[:1] * 2, (8, 2), textcoords='offset points', fontsize=8)
    panel.plot(reported, rerun, color=style.BLUE, linestyle='', **style.RUN)
    panel.set_title('the winner of each search', fontsize=9)
    panel.set_xlabel('in the search (%)')
    panel.set_ylabel('with the other seeds, median (%)')


def _best_of(panel: axes.Axes, results: Results) -> None:
    scores = results.runs.pivot(index='seed', columns='point', values='validation_accuracy')
    scores = 100 * scores.fillna(0.0).to_numpy()  # [seeds, points]
    sizes = np.arange(SMALLEST, scores.shape[1] + 1)
    searches = np.stack([best_of.expected_best(seed, sizes) for seed in scores])
    low, high = np.quantile(searches, (0.1, 0.9), axis=0)
    panel.fill_between(sizes, low, high, color=style.BLUE, alpha=0.15, lw=0)
    middle = np.median(searches, axis=0)
    panel.plot(sizes, middle, color=style.BLUE, label='one seed (80% of searches)')
    expected = best_of.expected_best([intervals.interquartile_mean(p) for p in scores.T], sizes)
    look = {'color': style.RED, 'linestyle': style.DASHES[1]}
    panel.plot(sizes, expected, label='interquartile mean of all seeds', **look)
    panel.legend(fontsize=8, frameon=False, labelcolor=style.INK, loc='lower right')
    panel.set_title('best of n points, expected', fontsize=9)
    panel.set_xscale('log', base=2)
    panel.xaxis.set_major_formatter(ticker.ScalarFormatter())
    panel.set_xlabel('points n')
    panel.set_ylabel('best validation accuracy (%)')


def _variance(panel: axes.Axes, results: Results) -> None:
    best = comparison.ranking(results.runs)[:NUM_SPLIT]
    shares = []
    for point in best:
        runs = results.runs[results.runs['point'] == point]
        crossed = variance.crossed(runs, 'test_accuracy', results.config.data_seeds)
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
