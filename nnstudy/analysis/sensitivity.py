"""How much a result depends on one numeric field, such as the learning rate, seed by seed.

A setting is a value for each of the other swept fields; within it, the runs of one seed differ in
nothing but the field.
"""

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

    Args:
      losses: final losses, one a rate `[..., R]`; one that is not finite counts as the initial.
      initial: losses before training `[...]`.

    Returns:
      `[...]`, in the unit of the loss; a float for one curve.
    """
    initial = np.asarray(initial, np.float64)[..., None]
    # fmin passes NaN over.
    losses = np.fmin(np.asarray(losses, np.float64), initial)
    return (losses - losses.min(axis=-1, keepdims=True)).mean(axis=-1)


def of_seeds(
    runs: pd.DataFrame, history: pd.DataFrame, swept: list[str], field: str = RATE
) -> pd.DataFrame:
    """Returns, for every setting and seed, how much depends on a field, and where runs diverge.

    Args:
      runs: one row per run.
      history: one row per run and evaluation.
      swept: dotted names of the swept fields.
      field: one of them, numeric.

    Returns:
      One row per setting and seed: the other swept fields; `seed`; `values`, the number of values;
      `sensitivity`, by the loss on the split that selects; `stable`, the largest value up to which
      no run diverged, NaN if already that of the smallest did; `diverged`, the next value, infinite
      if there is none; and `boundary`, the geometric mean of the two, NaN if there are not two.
      Above the boundary there may be values of which runs did not diverge.
    """
    loss = f'{comparison.selection_split(runs)}_loss'
    first = history[history['step'] == 0].set_index('run')[loss]
    keys = [*(other for other in swept if other != field), 'seed']
    runs = runs.assign(**{key: runs[key].map(axes.plain) for key in keys})
    rows = []
    for key, curve in runs.groupby(keys, sort=False, dropna=False):
        curve = curve.sort_values(field)
        # Equal for all values, unless the field changes the initial loss.
        lost = sensitivity(curve[loss], first.reindex(curve['run']).mean())
        values = [np.nan, *curve[field].to_numpy(np.float64), np.inf]
        count = int(np.cumprod(curve['status'] != 'diverged').sum())
        rows.append([*key, len(curve), lost, values[count], values[count + 1]])
    table = pd.DataFrame(rows, columns=[*keys, 'values', 'sensitivity', 'stable', 'diverged'])
    boundary = np.sqrt(table['stable'] * table['diverged'])
    return table.assign(boundary=boundary.where(np.isfinite(boundary)))


def by_setting(
    runs: pd.DataFrame, history: pd.DataFrame, swept: list[str], field: str = RATE
) -> pd.DataFrame:
    """Returns, for every setting, how much depends on a field, and how the boundary varies.

    The arguments are those of `of_seeds`.

    Returns:
      One row per setting: the other swept fields; `values`, how many values the field has;
      `sensitivity`, the median over seeds; `n`, the number of seeds that have a boundary within the
      values, and `outside`, of those that have not; `median`, `low` and `high` of the boundary
      (smallest and largest); and `decades`, the standard deviation of its log10, NaN of fewer than
      two seeds.
    """
    others = [other for other in swept if other != field]
    table = of_seeds(runs, history, swept, field)
    table = table.assign(decades=np.log10(table['boundary']))
    groups = table.groupby(others or (lambda _: 0), sort=False, dropna=False)
    found = groups.agg(
        values=('values', 'max'),
        sensitivity=('sensitivity', 'median'),
        n=('boundary', 'count'),
        outside=('seed', 'size'),
        median=('boundary', 'median'),
        low=('boundary', 'min'),
        high=('boundary', 'max'),
        decades=('decades', 'std'),
    ).reset_index(drop=not others)
    return found.assign(outside=found['outside'] - found['n'])
