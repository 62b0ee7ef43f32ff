"""The numbers that quantities of claims and references name, of each run of a study."""

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
    points, choice = results.points_with(quantity.fields), quantity.choice
    columns = {point: _of_point(results, quantity, point) for point in points}
    table = pd.concat(columns, axis=1, join='inner')  # a row a seed that all points have
    if choice in ('selected', 'rerun'):
        of_seeds = dict(list(results.only(points).runs.groupby('seed')))
        found = {seed: table[comparison.ranking(of_seeds[seed])[0]] for seed in table.index}
        if choice == 'selected':
            return pd.Series({seed: column[seed] for seed, column in found.items()})
        others = {seed: _independent(results, seed, table.index) for seed in found}
        return pd.Series({seed: column[others[seed]].median() for seed, column in found.items()})
    if choice is not None:
        return table.agg(choice, axis=1)
    if len(points) > 1:
        raise errors.UserError(
            f'{len(points)} points have {written(quantity.fields) or "any value"}; choose one with '
            "more fields, or say what to take of them: over('min'), 'max', 'median', 'selected' or "
            "'rerun'"
        )
    return table[points[0]]


def _independent(results: Results, seed: int, seeds: pd.Index) -> pd.Index:
    """Returns those of the seeds that share nothing with one, see `config.data_seeds`."""
    orders = results.config.data_seeds
    if not orders:
        return seeds[seeds != seed]
    return seeds[(seeds // orders != seed // orders) & (seeds % orders != seed % orders)]


def _of_point(results: Results, quantity: Quantity, point: int) -> pd.Series:
    """Returns the number of each run of a point, by seed; NaN where a run has none.

    A pruned run has none but at an epoch that it reached: it had fewer steps than the others.
    """
    is_last = quantity.moment == 'end'
    table = results.runs if is_last else results.history
    table = table[table['point'] == point]
    table = table.assign(value=_number(results, table, quantity) * quantity.factor)
    if isinstance(quantity.moment, str):
        own = results.runs[results.runs['point'] == point]
        pruned = own.loc[own['status'] == 'pruned', 'seed']
        table.loc[table['seed'].isin(pruned), 'value'] = np.nan
    if is_last:
        return table.set_index('seed')['value']
    if quantity.moment in ('mean', 'rises', 'jitter'):
        # Rows that repeat the last evaluation of a run that was over.
        ends = table['run'].map(results.runs.set_index('run')['steps'])
        table.loc[table.groupby('run')['step'].shift() >= ends, 'value'] = np.nan
    # [S, E]; pruned runs have no values at the end.
    return _at_moment(results, table.pivot(index='seed', columns='epoch', values='value'), quantity)


def _number(results: Results, table: pd.DataFrame, quantity: Quantity) -> np.ndarray:
    """Returns the column of a quantity, or the difference of two; see `values`."""
    columns, numeric = [], table.select_dtypes(['number', 'bool']).columns
    for name in filter(None, (quantity.metric, quantity.minus)):
        errors.check_known('column of a quantity', name, numeric)
        column = table[name].to_numpy(np.float64, na_value=np.nan)
        worst = np.nan
        if name.startswith(_EVALUATED):
            worst = -np.inf if results.higher_is_better(name) else np.inf
        columns.append(np.where(np.isfinite(column), column, worst))
    with np.errstate(invalid='ignore'):
        return columns[0] - columns[1] if quantity.minus else columns[0]


def _at_moment(results: Results, curves: pd.DataFrame, quantity: Quantity) -> pd.Series:
    """Returns the number of each run [S] at the moment, from its evaluations [S, E]."""
    moment, epochs = quantity.moment, curves.columns
    if not isinstance(moment, str):
        place = np.flatnonzero(np.isclose(epochs, moment))
        if not place.size:
            raise errors.UserError(
                f'no evaluation after epoch {moment}: there are {len(epochs)}, from {epochs[0]:g} '
                f'to {epochs[-1]:g}'
            )
        return curves.iloc[:, place[0]]
    higher = results.higher_is_better(quantity.metric) and quantity.minus is None
    trained = curves.loc[:, epochs > 0]  # of NaN, the functions of its rows make nothing
    if not trained.shape[1]:
        raise errors.UserError(f'at({moment!r}) needs evaluations after the start: there are none')
    if moment in ('best', 'worst'):
        return trained.max(axis=1) if higher == (moment == 'best') else trained.min(axis=1)
    if moment == 'mean':
        return trained.mean(axis=1)
    if moment == 'reaches':
        level = float(np.float32(quantity.level))  # as metrics: 9,800 of 10,000 are not above 98%
        passed = trained > level if higher else trained < level
        return passed.idxmax(axis=1).where(passed.any(axis=1), np.inf)
    if trained.shape[1] == 1:
        return pd.Series(0.0, trained.index)
    with np.errstate(invalid='ignore'):
        changes = pd.DataFrame(np.diff(trained, axis=1), trained.index)
    if moment == 'rises':
        return (changes > 0).where(changes.notna()).mean(axis=1)
    jitter = changes.abs().mean(axis=1) - changes.mean(axis=1).abs()
    return jitter.where(~np.isinf(changes).any(axis=1), np.inf)
