"""How much a result depends on one numeric field, such as the learning rate, seed by seed.

A setting is a value for each of the other swept fields; within it, the runs of one seed differ in
nothing but the field.
"""

from collections.abc import Hashable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from nnstudy.analysis import axes, comparison

RATE = 'optimizer.learning_rate'


def sensitivity(losses: ArrayLike, initial: ArrayLike) -> np.ndarray | float:
    """Returns the learning-rate sensitivity: how much is lost by not knowing the best rate.

    The mean over rates of min(loss, initial loss) - best loss (Wortsman et al. 2023, arXiv
    2309.14322, section 3.1): 0 if all rates are as good, and a rate that diverges costs no more
    than not to train at all. It is that of the rates given: those that are compared must have the
    same, evenly spaced in the logarithm.

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
    others = [other for other in swept if other != field]
    runs = runs.assign(**{other: runs[other].map(axes.plain) for other in others})
    rows = []
    for key, curve in _grouped(runs, [*others, 'seed']):
        curve = curve.sort_values(field)
        # Equal for all values, unless the field changes the initial loss.
        initial = first.reindex(curve['run']).mean()
        values = curve[field].to_numpy(np.float64)
        count = int(np.cumprod(curve['status'] != 'diverged').sum())
        stable = values[count - 1] if count else np.nan
        diverged = values[count] if count < len(values) else np.inf
        rows.append(
            {
                **dict(zip([*others, 'seed'], key, strict=True)),
                'values': len(values),
                'sensitivity': sensitivity(curve[loss], initial),
                'stable': stable,
                'diverged': diverged,
                'boundary': np.sqrt(stable * diverged) if np.isfinite(diverged) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def by_setting(
    runs: pd.DataFrame, history: pd.DataFrame, swept: list[str], field: str = RATE
) -> pd.DataFrame:
    """Returns, for every setting, how much depends on a field, and how the boundary varies.

    Args:
      runs: one row per run; for these and the other arguments see `of_seeds`.

    Returns:
      One row per setting: the other swept fields; `values`, how many values the field has;
      `sensitivity`, the median over seeds; `n`, the number of seeds that have a boundary within the
      values, and `outside`, of those that have not; `median`, `low` and `high` of the boundary
      (smallest and largest); and `decades`, the standard deviation of its log10, NaN of fewer than
      two seeds.
    """
    others = [other for other in swept if other != field]
    rows = []
    for key, seeds in _grouped(of_seeds(runs, history, swept, field), others):
        known = seeds['boundary'].dropna()
        rows.append(
            {
                **dict(zip(others, key, strict=True)),
                'values': seeds['values'].max(),
                'sensitivity': seeds['sensitivity'].median(),
                'n': len(known),
                'outside': len(seeds) - len(known),
                'median': known.median(),
                'low': known.min(),
                'high': known.max(),
                'decades': np.log10(known).std(),
            }
        )
    return pd.DataFrame(rows)


def _grouped(
    table: pd.DataFrame, fields: list[str]
) -> Iterable[tuple[tuple[Hashable, ...], pd.DataFrame]]:
    """Groups in the order of the table, with a tuple of values each; without fields, one group."""
    return table.groupby(fields, sort=False, dropna=False) if fields else [((), table)]
