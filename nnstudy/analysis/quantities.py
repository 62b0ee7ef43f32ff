"""The numbers that quantities of claims and references name, of each run of a study."""

import operator
from collections.abc import Sequence

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.results import Results
from nnstudy.spec.claims import Quantity, written

_EVALUATED = ('train_', 'validation_', 'test_', 'batch_', 'best_')  # columns of metrics


def values(results: Results, quantity: Quantity) -> pd.Series:
    """Returns the number of each run, by seed: float64 [S].

    Losses that are not finite are infinite, accuracies minus infinite, so that a run that diverged
    is worse than any other. A difference of two of them is NaN. So is any other column, such as a
    diagnostic, where it is not finite: it has no worse side.

    Raises:
      UserError: the fields choose no point, or several without `over`; or the tables have no such
        column or epoch.
    """
    points = results.points_with(quantity.fields)
    table, choice = per_point(results, quantity, points), quantity.choice
    if choice in ('selected', 'rerun'):
        runs = results.runs[results.runs['point'].isin(points)]
        of_seeds = dict(list(runs.groupby('seed')))
        winners = {seed: table[comparison.ranking(of_seeds[seed])[0]] for seed in table.index}
        if choice == 'selected':
            return pd.Series({seed: column[seed] for seed, column in winners.items()})
        others = _independent(table.index, results.config.data_seeds)
        return pd.Series({seed: column[others[seed]].median() for seed, column in winners.items()})
    if choice is not None:
        return table.agg(choice, axis=1)
    if len(points) > 1:
        raise errors.UserError(
            f'{len(points)} points have {written(quantity.fields) or "any value"}; choose one with '
            "more fields, or say what to take of them: over('min'), 'max', 'median', 'selected' or "
            "'rerun'"
        )
    return table[points[0]]


def per_point(results: Results, quantity: Quantity, points: Sequence[int]) -> pd.DataFrame:
    """Returns the number of each run of some points, see `values`: float64 [S, P].

    Rows are the seeds that all points have, columns the points; NaN where a run has no number.
    """
    is_last = quantity.moment == 'end'
    table = results.runs if is_last else results.history
    table = table[table['point'].isin(points)]
    table = table.assign(value=_number(results, table, quantity) * quantity.factor)
    if quantity.moment in ('mean', 'rises', 'jitter'):
        # Rows that repeat the last evaluation of a run that was over.
        ends = table['run'].map(results.runs.set_index('run')['steps'])
        table.loc[table.groupby('run')['step'].shift() >= ends, 'value'] = np.nan
    columns = {}
    for point in points:
        rows = table[table['point'] == point]
        if is_last:
            columns[point] = rows.set_index('seed')['value']
        else:
            # [S, E]; pruned runs have no values at the end
            curves = rows.pivot(index='seed', columns='epoch', values='value')
            columns[point] = pd.Series(_at_moment(results, curves, quantity), curves.index)
    return pd.concat(columns, axis=1, join='inner')


def _independent(seeds: pd.Index, data_seeds: int | None) -> dict[int, list[int]]:
    """Returns, of each seed, those that share nothing with it, see `config.data_seeds`."""
    parts = {seed: divmod(seed, data_seeds) if data_seeds else (seed,) for seed in seeds}
    return {
        seed: [other for other in seeds if all(map(operator.ne, parts[seed], parts[other]))]
        for seed in seeds
    }


def _number(results: Results, table: pd.DataFrame, quantity: Quantity) -> np.ndarray:
    """Returns the column of a quantity, or the difference of two; see `values`."""
    columns = []
    for name in filter(None, (quantity.metric, quantity.minus)):
        if name not in table:
            numeric = table.select_dtypes('number').columns
            raise errors.unknown('column of a quantity', name, numeric)
        column = table[name].to_numpy(np.float64, na_value=np.nan)
        worst = np.nan
        if name.startswith(_EVALUATED):
            worst = -np.inf if results.higher_is_better(name) else np.inf
        columns.append(np.where(np.isfinite(column), column, worst))
    if len(columns) == 1:
        return columns[0]
    with np.errstate(invalid='ignore'):
        return columns[0] - columns[1]


def _at_moment(results: Results, curves: pd.DataFrame, quantity: Quantity) -> np.ndarray:
    """Returns the number of each run [S] at the moment, from its evaluations [S, E]."""
    moment = quantity.moment
    epochs = curves.columns.to_numpy(np.float64)
    if not isinstance(moment, str):
        place = np.flatnonzero(np.isclose(epochs, moment))
        if not place.size:
            raise errors.UserError(
                f'no evaluation after epoch {moment}: there are {len(epochs)}, from {epochs[0]:g} '
                f'to {epochs[-1]:g}'
            )
        return curves.to_numpy()[:, place[0]]
    higher = results.higher_is_better(quantity.metric) and quantity.minus is None
    is_after = epochs > 0
    trained = curves.loc[:, is_after]  # of NaN, the functions of its rows make nothing
    if not trained.shape[1]:
        raise errors.UserError(f'at({moment!r}) needs evaluations after the start: there are none')
    if moment in ('best', 'worst'):
        is_max = higher == (moment == 'best')
        return (trained.max if is_max else trained.min)(axis=1).to_numpy()
    if moment == 'mean':
        return trained.mean(axis=1).to_numpy()
    if moment == 'reaches':
        level = float(np.float32(quantity.level))  # as metrics: 9,800 of 10,000 are not above 98%
        passed = (trained > level if higher else trained < level).to_numpy()
        return np.where(passed.any(axis=1), epochs[is_after][passed.argmax(axis=1)], np.inf)
    if trained.shape[1] == 1:
        return np.zeros(len(trained))
    with np.errstate(invalid='ignore'):
        changes = pd.DataFrame(np.diff(trained, axis=1))
    if moment == 'rises':
        return (changes > 0).where(changes.notna()).mean(axis=1).to_numpy()
    has_diverged = np.isinf(changes).any(axis=1)
    jitter = changes.abs().mean(axis=1) - changes.mean(axis=1).abs()
    return jitter.where(~has_diverged, np.inf).to_numpy()
