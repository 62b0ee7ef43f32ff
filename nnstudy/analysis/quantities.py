"""What claims and references speak of: a number of each run, named by plain data.

quantity('test_loss', {'batch_size': 4})                       # at the end of the run
quantity('test_accuracy', {'dataset': 'mnist'}, at=3)          # after epoch 3
quantity('test_loss', minus='train_loss')                      # their gap
quantity('test_accuracy', at='reaches', level=0.98)            # the epoch that passes 98%
"""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.results import Results
from nnstudy.spec import config as config_lib

Quantity = dict[str, Any]

WHEN = ('end', 'best', 'worst', 'mean', 'reaches', 'rises', 'jitter')
_EVALUATED = ('train_', 'validation_', 'test_', 'batch_', 'best_')  # columns of metrics
OVER = ('min', 'max', 'median', 'selected', 'rerun')
_CHOSEN = {
    'selected': 'at the point that each seed selects',
    'rerun': 'at the point that each seed selects, with other seeds',
}


def quantity(
    metric: str,
    where: Mapping[str, Any] | None = None,
    *,
    minus: str | None = None,
    at: str | float = 'end',
    level: float | None = None,
    over: str | None = None,
    times: float = 1.0,
) -> Quantity:
    """Returns, as plain data, which number of a run is meant.

    Args:
      metric: a column of the tables, such as `'test_loss'`.
      where: values of fields, which choose the points; the fields may be swept or not.
      minus: another column, that is subtracted.
      at: `'end'`, the last evaluation; the number of an epoch; or over all evaluations after the
        start: `'best'` and `'worst'`; `'mean'`, of those that are numbers; `'reaches'`, the epoch
        of the first one that is better than `level`, infinite if there is none; `'rises'`, the
        share of them at which the metric is higher than at the one before; `'jitter'`, how far it
        goes back and forth: the mean absolute change from one to the next, less the absolute mean
        change, so 0 if it only falls or only climbs. A run that was over before its end has no
        evaluations after that one; at a later epoch its number is that of its end. Of a difference
        (`minus`), less is better.
      level: see `at`.
      over: what to take of several points, for each seed: `'min'`, `'max'`, `'median'`, or the
        `'selected'` one, which is the best of the seed's runs on the validation split (without one,
        on test), as `comparison.ranking` has it; `'rerun'`, the median over that point's runs with
        all other seeds, which had no say in the choice; with `config.data_seeds`, those of other
        initial weights and of another order. None: one point is meant.
      times: a factor.

    Raises:
      UserError: a word is unknown, or a level is missing or not needed.
    """
    if isinstance(at, str) and at not in WHEN:
        raise errors.unknown('moment of a quantity (at)', at, WHEN)
    if over is not None and over not in OVER:
        raise errors.unknown('reduction of a quantity (over)', over, OVER)
    if (level is None) == (at == 'reaches'):
        raise errors.UserError(f"a quantity has a level if at='reaches', and only then; at={at!r}")
    return {
        'metric': metric,
        'where': dict(where or {}),
        'minus': minus,
        'at': at,
        'level': level,
        'over': over,
        'times': times,
    }


def values(results: Results, what: Quantity) -> pd.Series:
    """Returns the number of each run that is meant, by seed: float64 [S].

    Losses that are not finite are infinite, accuracies minus infinite, so that a run that blew up
    is worse than any other. A difference of two of them is NaN, and so is any other column, such as
    a diagnostic, where it is not finite: it has no worse side.

    Raises:
      UserError: no point or several are meant, or the tables have no such column or epoch.
    """
    points = chosen(results, what['where'])
    table = per_point(results, what, points)
    if what['over'] in ('selected', 'rerun'):
        winners = {seed: table[_selected(results, points, seed)] for seed in table.index}
        if what['over'] == 'selected':
            return pd.Series({seed: runs[seed] for seed, runs in winners.items()})
        others = _independent(table.index, results.config['data_seeds'])
        return pd.Series({seed: runs[others[seed]].median() for seed, runs in winners.items()})
    if what['over'] is not None:
        return table.agg(what['over'], axis=1)
    if len(points) > 1:
        raise errors.UserError(
            f'{len(points)} points have {_written(what["where"])}; name more fields, or what to '
            f"take of them: over='min', 'max', 'median', 'selected' or 'rerun'"
        )
    return table[points[0]]


def chosen(results: Results, where: Mapping[str, Any]) -> list[int]:
    """Returns the points whose fields, swept or not, have the values.

    Raises:
      UserError: there is no such field or point.
    """
    base = config_lib.flatten(results.config)
    known = {*base, *results.swept}
    for field in where:
        if field not in known:
            raise errors.unknown('field of a quantity (where)', field, known)
    merged = [config_lib.merge(base, point) for point in results.points]
    found = [
        number
        for number, fields in enumerate(merged)
        if all(_plain(fields.get(field)) == _plain(value) for field, value in where.items())
    ]
    trained = set(results.runs['point'])
    found = [point for point in found if point in trained]
    if not found:
        raise errors.UserError(f'no point has {_written(where)}')
    return found


def per_point(results: Results, what: Quantity, points: list[int]) -> pd.DataFrame:
    """Returns the number of each run of some points, see `values`: float64 [S, P].

    Rows are the seeds that all points have, columns the points; NaN where a run has no number.
    """
    is_last = what['at'] == 'end'
    table = results.runs if is_last else results.history
    table = table[table['point'].isin(points)]
    table = table.assign(value=_number(table, what) * what['times'])
    if what['at'] in ('mean', 'rises', 'jitter'):
        table.loc[_is_held(table, results.runs), 'value'] = np.nan
    columns = {}
    for point in points:
        rows = table[table['point'] == point]
        if is_last:
            columns[point] = rows.set_index('seed')['value']
        else:
            # [S, E]; runs that were given up have no values at the end
            curves = rows.pivot(index='seed', columns='epoch', values='value')
            columns[point] = pd.Series(_taken(curves, what), curves.index)
    return pd.concat(columns, axis=1, join='inner')


def places(results: Results, points: Sequence[int], field: str) -> dict[int, float]:
    """Returns the numeric value of a field at each of some points.

    Raises:
      UserError: a value is no number.
    """
    base = config_lib.flatten(results.config)
    found = {}
    for point in points:
        value = config_lib.merge(base, results.points[point]).get(field)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise errors.UserError(f'there is no trend along {field}: {value!r} is no number')
        found[point] = value
    return found


def label(what: Quantity) -> str:
    """Writes which number is meant: `test_loss - train_loss, batch_size = 4, epoch 3`."""
    name = what['metric'] if what['minus'] is None else f'{what["metric"]} - {what["minus"]}'
    at = what['at']
    if at == 'reaches':
        name = f'epoch of {name} {what["level"]:g}'
    elif at != 'end':
        name = f'{at} of {name}' if isinstance(at, str) else f'{name} after epoch {at:g}'
    if what['times'] != 1:
        name = f'{what["times"]:g} × ' + (f'({name})' if ' ' in name else name)
    parts = [name, _written(what['where']) if what['where'] else '']
    over = what['over']
    parts += [_CHOSEN.get(over, f'{over} over points') if over else '']
    return ', '.join(filter(None, parts))


def _selected(results: Results, points: Sequence[int], seed: int) -> int:
    """Returns the point that a search with this seed alone would choose."""
    runs = results.runs
    return comparison.ranking(runs[runs['point'].isin(points) & (runs['seed'] == seed)])[0]


def _independent(seeds: pd.Index, data_seeds: int | None) -> dict[int, list[int]]:
    """Returns, of each seed, those that share nothing with it, see `config.data_seeds`."""
    parts = {seed: divmod(seed, data_seeds) if data_seeds else (seed,) for seed in seeds}
    return {
        seed: [other for other in seeds if all(map(operator.ne, parts[seed], parts[other]))]
        for seed in seeds
    }


def _is_held(history: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Whether a row repeats the last evaluation of a run that was over."""
    ends = history['run'].map(runs.set_index('run')['steps'])
    return history.groupby('run')['step'].shift() >= ends


def _number(table: pd.DataFrame, what: Quantity) -> np.ndarray:
    """Returns the column that is meant, or the difference of two; see `values`."""
    columns = []
    for name in filter(None, (what['metric'], what['minus'])):
        if name not in table:
            numeric = table.select_dtypes('number').columns
            raise errors.unknown('column of a quantity', name, numeric)
        column = table[name].to_numpy(np.float64, na_value=np.nan)
        worst = np.nan
        if name.startswith(_EVALUATED):
            worst = -np.inf if comparison.higher_is_better(name) else np.inf
        columns.append(np.where(np.isfinite(column), column, worst))
    if len(columns) == 1:
        return columns[0]
    with np.errstate(invalid='ignore'):
        return columns[0] - columns[1]


def _taken(curves: pd.DataFrame, what: Quantity) -> np.ndarray:
    """Returns the number of each run that `at` says, from its evaluations [S, E]."""
    at, level = what['at'], what['level']
    epochs = curves.columns.to_numpy(np.float64)
    if not isinstance(at, str):
        place = np.flatnonzero(np.isclose(epochs, at))
        if not place.size:
            raise errors.UserError(
                f'no evaluation after epoch {at}: there are {len(epochs)}, from {epochs[0]:g} to '
                f'{epochs[-1]:g}'
            )
        return curves.to_numpy()[:, place[0]]
    higher = comparison.higher_is_better(what['metric']) and what['minus'] is None
    is_after = epochs > 0
    trained = curves.to_numpy()[:, is_after]
    if not trained.shape[1]:
        raise errors.UserError(f'at={at!r} needs evaluations after the start: there are none')
    with np.errstate(invalid='ignore'):
        changes = np.diff(trained, axis=1)
    if at in ('best', 'worst'):
        table = pd.DataFrame(trained)  # whose functions pass NaN over, and are NaN of NaN alone
        return (table.max if higher == (at == 'best') else table.min)(axis=1).to_numpy()
    if at == 'reaches':
        level = float(np.float32(level))  # as metrics are: 9,800 of 10,000 are not above 98%
        passed = trained > level if higher else trained < level
        return np.where(passed.any(axis=1), epochs[is_after][passed.argmax(axis=1)], np.inf)
    if at == 'mean':
        return pd.DataFrame(trained).mean(axis=1).to_numpy()
    if not changes.shape[1]:
        return np.zeros(len(trained))
    changes = pd.DataFrame(changes)  # whose means pass NaN over
    if at == 'rises':
        return (changes > 0).where(changes.notna()).mean(axis=1).to_numpy()
    blew_up = np.isinf(changes).any(axis=1)
    jitter = changes.abs().mean(axis=1) - changes.mean(axis=1).abs()
    return jitter.where(~blew_up, np.inf).to_numpy()


def _plain(value: Any) -> Any:
    """Returns a value as it is after a way through JSON, which knows no tuples."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _written(where: Mapping[str, Any]) -> str:
    return ', '.join(f'{field} = {value}' for field, value in where.items()) or 'any value'
