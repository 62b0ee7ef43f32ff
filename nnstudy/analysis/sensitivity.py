"""How much a result depends on one numeric field, such as the learning rate, seed by seed.

A setting is a value for each of the other swept fields; within it, the runs of one seed differ in
nothing but the field.
"""

import functools

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nnstudy.analysis import axes, comparison

RATE = 'optimizer.learning_rate'


def sensitivity(losses: ArrayLike, initial: ArrayLike) -> np.ndarray | float:
    """Returns the learning-rate sensitivity: how much is lost by not knowing the best rate.

    The mean over rates of min(loss, initial loss) - best loss: 0 if all rates are as good, and a
    rate that diverges costs no more than not to train at all (Wortsman et al. 2023, arXiv
    2309.14322, section 3.1). Compare only sensitivities over the same rates, evenly spaced in the
    logarithm.

    `losses` [..., R] are final ones, one a rate; one that is not finite counts as the initial one,
    from before training [...]. The result is in their unit, [...]; a float for one curve.
    """
    initial = np.asarray(initial, np.float64)[..., None]
    # fmin passes NaN over.
    losses = np.fmin(np.asarray(losses, np.float64), initial)
    return (losses - losses.min(axis=-1, keepdims=True)).mean(axis=-1)


def by_setting(runs: pd.DataFrame, history: pd.DataFrame, swept: list[str]) -> pd.DataFrame:
    """Returns, for every setting, how much depends on the learning rate, and where runs diverge.

    The boundary of a seed is between the largest rate up to which no run of it diverged and the
    next one: their geometric mean. Above it there may be rates at which runs did not diverge. All
    seeds count: it is 0 where a run diverged at the lowest rate, and infinite where none did.

    The learning rate is among the swept fields.

    Returns:
      One row per setting: the other swept fields; `values`, how many values the rate has;
      `sensitivity` by the loss on the split that selects, the median over seeds; `n`, the number of
      seeds; and `median`, `low` and `high` of the boundary: the lower of two medians, smallest and
      largest over seeds.
    """
    loss = f'{comparison.selection_split(runs)}_loss'
    first = history[history['step'] == 0].set_index('run')[loss]
    others = [field for field in swept if field != RATE]
    runs = runs.assign(**{field: runs[field].map(axes.plain) for field in others})
    rows = []
    for key, curve in runs.groupby([*others, 'seed'], sort=False, dropna=False):
        curve = curve.sort_values(RATE)
        # Equal for all values, unless the rate changes the initial loss.
        lost = sensitivity(curve[loss], first.reindex(curve['run']).mean())
        rates = [0.0, *curve[RATE].to_numpy(np.float64), np.inf]
        count = int(np.cumprod(curve['status'] != 'diverged').sum())
        rows.append([*key, len(curve), lost, np.sqrt(rates[count] * rates[count + 1])])
    table = pd.DataFrame(rows, columns=[*others, 'seed', 'values', 'sensitivity', 'boundary'])
    groups = table.groupby(others or (lambda _: 0), sort=False, dropna=False)
    return groups.agg(
        values=('values', 'max'),
        sensitivity=('sensitivity', 'median'),
        n=('seed', 'size'),
        median=('boundary', functools.partial(np.quantile, q=0.5, method='lower')),
        low=('boundary', 'min'),
        high=('boundary', 'max'),
    ).reset_index(drop=not others)
