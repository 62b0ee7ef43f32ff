"""Where the luck of the seed comes from: the initial weights, or the order of the data.

A study with `config.data_seeds` has runs of every initialisation with every order.
"""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from nnstudy import errors


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
