"""How much a result hangs on one numeric field, such as the learning rate, seed by seed.

A setting is a value for each of the other swept fields; within it, the runs of one seed differ in
nothing but the field.
"""

from collections.abc import Hashable, Iterator

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
    """Returns the sensitivity of every setting and seed to a field, by loss on selection.

    Args:
      runs: a row a run.
      history: a row a run and evaluation.
      swept: dotted names of the swept fields.
      field: one of them, numeric.

    Returns:
      A row a setting and seed: the other swept fields, `seed`, `n` (number of values of the field)
      and `sensitivity`.
    """
    loss = f'{comparison.selection_split(runs)}_loss'
    first = history[history['step'] == 0].set_index('run')[loss]
    rows = []
    for setting, curve in _curves(runs, swept, field):
        # Equal, but for what the field does to it.
        initial = first.reindex(curve['run']).mean()
        rows.append({**setting, 'n': len(curve), 'sensitivity': sensitivity(curve[loss], initial)})
    return pd.DataFrame(rows)


def boundaries(runs: pd.DataFrame, swept: list[str], field: str = RATE) -> pd.DataFrame:
    """Returns, for every setting and seed, the value of a field from which on runs diverge.

    Returns:
      A row a setting and seed: the other swept fields, `seed`; `stable`, the largest value up to
      which no run diverged, NaN if already that of the smallest did; `diverged`, the next value,
      infinite if there is none; and `boundary`, the geometric mean of the two, NaN if there are not
      two. Above the boundary there may be values of which runs did not diverge.
    """
    rows = []
    for setting, curve in _curves(runs, swept, field):
        values = curve[field].to_numpy(np.float64)
        count = int(np.cumprod(curve['status'] != 'diverged').sum())
        stable = values[count - 1] if count else np.nan
        diverged = values[count] if count < len(values) else np.inf
        boundary = np.sqrt(stable * diverged) if np.isfinite(diverged) else np.nan
        rows.append({**setting, 'stable': stable, 'diverged': diverged, 'boundary': boundary})
    return pd.DataFrame(rows)


def boundary_spread(runs: pd.DataFrame, swept: list[str], field: str = RATE) -> pd.DataFrame:
    """Returns, for every setting, how much the boundary of divergence differs between seeds.

    Returns:
      A row a setting: the other swept fields; `n`, the number of seeds that have a boundary within
      the values, and `outside`, of those that have not; `median`, `low` and `high` (smallest and
      largest); and `decades`, the standard deviation of log10, NaN of fewer than two seeds.
    """
    table = boundaries(runs, swept, field)
    others = [other for other in swept if other != field]
    rows = []
    for key, seeds in _grouped(table, others):
        known = seeds['boundary'].dropna()
        rows.append(
            {
                **dict(zip(others, key, strict=True)),
                'n': len(known),
                'outside': len(seeds) - len(known),
                'median': known.median(),
                'low': known.min(),
                'high': known.max(),
                'decades': np.log10(known).std(),
            }
        )
    return pd.DataFrame(rows)


def by_setting(
    runs: pd.DataFrame, history: pd.DataFrame, swept: list[str], field: str = RATE
) -> pd.DataFrame:
    """Returns, for every setting, how much hangs on a field.

    Returns:
      The table of `boundary_spread`, with `values`, the number of values of the field, and
      `sensitivity`, the median over seeds.
    """
    table = of_seeds(runs, history, swept, field)
    others = [other for other in swept if other != field]
    groups = [seeds for _, seeds in _grouped(table, others)]
    return boundary_spread(runs, swept, field).assign(
        values=[seeds['n'].max() for seeds in groups],
        sensitivity=[seeds['sensitivity'].median() for seeds in groups],
    )


def _curves(
    runs: pd.DataFrame, swept: list[str], field: str
) -> Iterator[tuple[dict[str, Hashable], pd.DataFrame]]:
    """Yields the runs of every setting and seed, along the field, with the setting and seed."""
    others = [other for other in swept if other != field]
    plain = runs.assign(**{other: runs[other].map(axes.plain) for other in others})
    for key, curve in _grouped(plain, [*others, 'seed']):
        yield dict(zip([*others, 'seed'], key, strict=True)), curve.sort_values(field)


def _grouped(table: pd.DataFrame, fields: list[str]):
    """Groups in the order of the table, with a tuple of values each; without fields, one group."""
    if not fields:
        return [((), table)]
    return table.groupby(fields, sort=False, dropna=False)
