"""What of a search is luck of the seed: its winner, what it reports, where the variance is from."""

import dataclasses

import numpy as np
import pandas as pd
from matplotlib import axes, figure, ticker
from numpy.typing import ArrayLike
from scipy import special, stats

from nnstudy import Results, errors
from nnstudy.analysis import comparison
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
    searches = np.stack([expected_best(seed, sizes) for seed in scores])
    low, high = np.quantile(searches, (0.1, 0.9), axis=0)
    panel.fill_between(sizes, low, high, color=style.BLUE, alpha=0.15, lw=0)
    middle = np.median(searches, axis=0)
    panel.plot(sizes, middle, color=style.BLUE, label='one seed (80% of searches)')
    of_all = stats.trim_mean(scores, 0.25)
    for replace, dash in ((True, 1), (False, 2)):
        expected = expected_best(of_all, sizes, replace=replace)
        label = f'interquartile mean of all seeds{"" if replace else ", unbiased"}'
        look = {'color': style.RED, 'linestyle': style.DASHES[dash]}
        panel.plot(sizes, expected, label=label, **look)
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
        table = crossed(runs, 'test_accuracy', results.config.data_seeds)
        shares.append(split(table).shares)
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


def expected_best(
    scores: ArrayLike, n: ArrayLike, *, higher_is_better: bool = True, replace: bool = True
) -> np.ndarray | float:
    """Returns the expected best of n draws from observed scores.

    A curve over n says what a search of each size would have reported, so that methods are compared
    at equal budget. Sorted from worst to best, score i of N is the best of n draws

    - with replacement with probability (i/N)^n - ((i-1)/N)^n (Dodge et al. 2019, arXiv 1909.03004,
      equation 5). This is too low for a new search, above all where n is close to N, because no
      draw is better than the best that was seen, and some are drawn twice;
    - without replacement with probability C(i-1, n-1) / C(N, n). This is unbiased, with a larger
      variance (Tang et al. 2020, "Showing Your Work Doesn't Always Work"; Dodge et al. 2021,
      "Expected validation performance and estimation of a random variable's maximum").

    Args:
      scores: of the trials of a random search, on validation `[N]`.
      n: numbers of draws, `[]` or `[...]`.
      higher_is_better: whether the best is the highest.
      replace: whether a score may be drawn twice.

    Returns:
      `[...]`, or a float for one n; NaN if there is no score, one is not finite, or there are fewer
      than n to be drawn without replacement.

    Raises:
      UserError: a number of draws is below 1.
    """
    scores, draws = np.sort(np.asarray(scores, np.float64)), np.asarray(n)
    if (draws < 1).any():
        raise errors.UserError(f'n must be at least 1 draw, not {draws.min()}')
    if not scores.size or not np.isfinite(scores).all():
        return np.full(draws.shape, np.nan)[()]
    if not higher_is_better:
        scores = scores[::-1]
    if replace:
        shares = np.arange(len(scores) + 1) / len(scores)
        return np.diff(shares ** draws[..., None]) @ scores
    total, place = len(scores), np.arange(1, len(scores) + 1)
    possible = np.minimum(draws, total)[..., None]
    chances = special.comb(place - 1, possible - 1) / special.comb(total, possible)
    return np.where(draws <= total, chances @ scores, np.nan)[()]


@dataclasses.dataclass(frozen=True)
class Split:
    """Components of a variance.

    Attributes:
      init: between initialisations, whatever the order.
      order: between orders of the data, whatever the initialisation.
      rest: of the two together, beyond the sum of both.
      p_init: of the F test that there is none between initialisations.
      p_order: of the F test that there is none between orders.
    """

    init: float
    order: float
    rest: float
    p_init: float
    p_order: float

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of `init`, `order` and `rest`; NaN if there is no variance."""
        parts = np.array([self.init, self.order, self.rest])
        return tuple((parts / parts.sum() if parts.sum() else np.full(3, np.nan)).tolist())


def split(values: ArrayLike) -> Split:
    """Splits the variance of a crossed table: two-way random effects, without replication.

    value[i, j] = mean + init[i] + order[j] + rest[i, j], all independent. With mean squares MS of
    rows, columns and residuals, rest = MS_rest, init = (MS_init - MS_rest) / J and order =
    (MS_order - MS_rest) / I, none below 0; F = MS_init / MS_rest has I - 1 and (I - 1)(J - 1)
    degrees of freedom (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4).

    Args:
      values: a row an initialisation, a column an order `[I, J]`, all finite.

    Raises:
      UserError: there are fewer than two of either, or a value is missing.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise errors.UserError(
            f'a variance is split over at least 2 initialisations and 2 orders, not {values.shape}'
        )
    if not np.isfinite(values).all():
        missing = np.count_nonzero(~np.isfinite(values))
        raise errors.UserError(f'{missing} of {values.size} values of the table are not finite')
    rows, columns = values.shape
    centred = values - values.mean()
    of_init, of_order = centred.mean(axis=1), centred.mean(axis=0)
    residuals = centred - of_init[:, None] - of_order
    freedom = (rows - 1) * (columns - 1)
    rest = (residuals**2).sum() / freedom
    found = {}
    for name, means, repeats in (('init', of_init, columns), ('order', of_order, rows)):
        mean_square = repeats * (means**2).sum() / (len(means) - 1)
        found[name] = max(0.0, float(mean_square - rest) / repeats)
        with np.errstate(divide='ignore', invalid='ignore'):
            ratio = np.divide(mean_square, rest)
        found[f'p_{name}'] = float(stats.f.sf(ratio, len(means) - 1, freedom))
    return Split(rest=float(rest), **found)


def crossed(runs: pd.DataFrame, metric: str, data_seeds: int) -> pd.DataFrame:
    """Returns a metric of one point's runs as the table that `split` takes `[I, J]`.

    Args:
      runs: those of the point, of a study with `config.data_seeds`.
      metric: a column, such as `'test_loss'`.
      data_seeds: `config.data_seeds`.
    """
    seeds = runs['seed'].to_numpy()
    table = runs.assign(init=seeds // data_seeds, order=seeds % data_seeds)
    return table.pivot(index='init', columns='order', values=metric)
