"""What a study leaves: tables of its runs and their histories, and the trained parameters.

`Results` comes from `nnstudy.run`, and from `nnstudy.load` for a working directory, which needs
no config file, no data and no device.
"""

import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from nnstudy import checkpoints, errors, histograms, metrics
from nnstudy import data as data_lib
from nnstudy.data import dataset
from nnstudy.sweep import plan as plan_lib
from nnstudy.sweep import spec

WHICH = ('final', 'best')
TABLE_ITEMS = ('history', 'log', 'outcome')  # what the tables need of a chunk's checkpoint


@dataclasses.dataclass(frozen=True, eq=False)  # tables have no one answer to ==
class Results:
    """The outcome of a study.

    Attributes:
      name: of the study.
      config: the resolved config as nested plain data.
      points: values of the swept fields, one dict a point.
      runs: one row a run: `run`, `point`, `seed`, `group`, the swept fields, `status`
        ('finished', 'diverged', 'stopped' or 'pruned'), `diverged_step`, `steps`, `num_params`,
        `seconds` (the run's share of the wall time), the final loss and metric of every split,
        the diagnostics, `best_<metric>` on the test split at the best evaluation, and `best_step`.
      history: one row a run and evaluation, step 0 included. A run that is over keeps the metrics
        of its last evaluation, and has neither learning rate nor gradient; the rows of a pruned
        run end where it did.
      steps: one row a run and logged step, or None without `config.log_every_steps`.
      claims: as the config file has them.
      references: as the config file has them.
      workdir: where it is kept, or None.
      chunks: the parameters by chunk, where there is no working directory to read them from.
      data: the data set, where it was given in memory.
      data_dir: where the files of named data sets are, see `nnstudy.data.load`.
    """

    name: str
    config: dict[str, Any]
    points: list[dict[str, Any]]
    runs: pd.DataFrame
    history: pd.DataFrame
    steps: pd.DataFrame | None
    claims: list[Any]
    references: list[Any]
    workdir: Path | None = None
    chunks: checkpoints.Memory | None = None
    data: data_lib.Dataset | None = None
    data_dir: str | os.PathLike | None = None

    @property
    def swept(self) -> list[str]:
        """The swept fields."""
        return spec.swept(self.points)

    def params(self, run: int, which: str = 'best') -> Mapping[str, Any]:
        """Returns the parameters of a run, as a nested dict of NumPy arrays.

        Args:
          run: the run's number.
          which: `'best'`, at the evaluation of `best_step`, or `'final'`.

        Raises:
          UserError: there is no such run, or `which` is something else.
        """
        return self.variables(run, which)['params']

    def variables(self, run: int, which: str = 'best') -> Mapping[str, Any]:
        """Returns all variables of a run, such as `'batch_stats'` beside `'params'`."""
        if which not in WHICH:
            raise errors.unknown('kind of parameters', which, WHICH)
        return self._item(run, which)

    def histograms(self, run: int) -> dict[str, dict[str, np.ndarray]]:
        """Returns how the numbers of each layer of a run were spread, with `config.histograms`.

        Returns:
          `{'params': ..., 'grads': ...}`, each by the name of the array, such as
          `'Dense_0/kernel'`: counts in the bins of `nnstudy.histograms`, float32 [E, B], a row an
          evaluation in the order of the history; NaN where the run was over.

        Raises:
          UserError: there is no such run, or the study has no histograms.
        """
        measured, names = self._item(run, 'history'), histograms.names(self.params(run))
        if 'params_histogram' not in measured:
            raise errors.UserError('the study has no histograms: set config.histograms=True')
        return {
            kind: dict(zip(names, np.swapaxes(measured[f'{kind}_histogram'], 0, 1), strict=True))
            for kind in ('params', 'grads')
        }

    def _item(self, run: int, name: str) -> Mapping[str, Any]:
        """Returns what is kept of a run as an item of `checkpoints.ITEMS`."""
        if run not in self._places:
            first, last = self.runs['run'].min(), self.runs['run'].max()
            raise errors.UserError(
                f'no run {run!r}: there are {len(self.runs)} runs, from {first} to {last}'
            )
        number, row = self._places[run]
        tree = self._load(number, name).items[name]
        return jax.tree.map(lambda leaf: np.array(leaf[row]), tree)

    @functools.cached_property
    def _series(self) -> checkpoints.AnySeries:
        if self.chunks is not None:
            return self.chunks
        assert self.workdir is not None
        return checkpoints.Series(self.workdir / 'chunks')

    @functools.cached_property
    def _load(self) -> Callable[..., checkpoints.Checkpoint]:
        """Reads an item of a chunk; two are kept, for a reader that goes from run to run."""
        return functools.lru_cache(maxsize=2)(self._series.load)

    @functools.cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """Number of the chunk and row in it, by run."""
        return {
            run: (number, row)
            for number, about in self._series.abouts()
            for row, run in enumerate(about['runs'])
        }


def load(
    workdir: str | os.PathLike,
    *,
    data: data_lib.Dataset | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Results:
    """Reads the results of a study from its working directory.

    Args:
      workdir: of the study.
      data: the data set, if the study has one of its own and its examples are asked for.
      data_dir: where the files of named data sets are, if examples are asked for.

    Raises:
      UserError: there is no study, it is not finished, or `data` are no `Dataset`.
    """
    dataset.check_given(data)
    workdir = Path(workdir)
    identity = read_identity(workdir)
    if identity is None:
        raise errors.UserError(f'{str(workdir)!r} holds no study (no config.json of one)')
    if not all((workdir / f'{name}.parquet').is_file() for name in ('runs', 'history')):
        raise errors.UserError(
            f'the study in {str(workdir)!r} is not finished; the command that began it goes on'
        )
    steps = workdir / 'steps.parquet'
    points = [_with_tuples(point) for point in identity['points']]
    runs = pd.read_parquet(workdir / 'runs.parquet')
    return Results(
        name=identity['name'],
        config=_with_tuples(identity['config']),
        points=points,
        runs=with_settings(runs, points),  # Parquet has no column of mixed or tuple values
        history=pd.read_parquet(workdir / 'history.parquet'),
        steps=pd.read_parquet(steps) if steps.is_file() else None,
        claims=[_with_tuples(claim) for claim in identity['claims']],
        references=[_with_tuples(reference) for reference in identity['references']],
        workdir=workdir,
        data=data,
        data_dir=data_dir,
    )


def with_settings(runs: pd.DataFrame, points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns the table of runs with the swept fields as the points have them."""
    fields = {
        field: _column([points[p][field] for p in runs['point']])
        for field in spec.swept([dict(point) for point in points])
    }
    return runs.assign(**fields)


def read_identity(workdir: Path) -> dict[str, Any] | None:
    """Returns what `config.json` of a working directory says, or None if it is not of a study."""
    path = workdir / 'config.json'
    if not path.is_file():
        return None
    try:
        identity = json.loads(path.read_text())
    except ValueError as error:
        raise errors.UserError(f'{str(path)!r} is not readable: {error}') from error
    is_study = isinstance(identity, dict) and {'digest', 'config'} <= identity.keys()
    return identity if is_study else None


def tables(
    groups: Sequence[plan_lib.Group],
    points: Sequence[dict[str, Any]],
    chunks: Sequence[checkpoints.Checkpoint],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Returns runs, history and steps as tables, sorted by run.

    Args:
      groups: of the plan.
      points: of the plan.
      chunks: the checkpoints of all chunks, the newest first: a run that went on after a rung is in
        several, and the newest one counts.
    """
    by_index = {group.index: group for group in groups}
    runs, history, steps = [], [], []
    seen: set[int] = set()
    for chunk in chunks:
        group = by_index[chunk.about['group']]
        kept = [row for row, run in enumerate(chunk.about['runs']) if run not in seen]
        seen.update(chunk.about['runs'])
        items = jax.tree.map(lambda leaf, kept=kept: leaf[kept], chunk.items)
        outcome = items['outcome']
        rows = np.searchsorted(group.runs, np.array(chunk.about['runs'], int)[kept])
        numbers = pd.DataFrame(
            {'run': group.runs[rows], 'point': group.points[rows], 'seed': group.seeds[rows]}
        )
        evaluations = group.evaluation_steps
        epochs = evaluations / max(group.num_steps, 1) * group.config['epochs']
        times = pd.DataFrame({'step': evaluations, 'epoch': epochs})
        measured = {name: items['history'][name] for name in measures(group)}
        measured = _columns(_held(measured, evaluations, outcome['frozen_at']))
        of_training = {
            name: items['history'][name] for name in ('batch_loss', 'learning_rate', 'l2_grads')
        }
        history.append(_long(numbers, times, {**measured, **of_training}, outcome['at']))
        if items['log']:
            every = group.config['log_every_steps']
            logged = pd.DataFrame({'step': np.arange(0, group.num_steps, every)})
            steps.append(_long(numbers, logged, items['log'], outcome['at']))
        runs.append(_runs(numbers, group, measured, outcome))
    runs = pd.concat(runs, ignore_index=True).sort_values('run', ignore_index=True)
    for place, field in enumerate(spec.swept(points)):
        runs.insert(4 + place, field, _column([points[p][field] for p in runs['point']]))
    return runs, _sorted(history), _sorted(steps) if steps else None


def as_of(chunk: checkpoints.Checkpoint, step: int) -> checkpoints.Checkpoint:
    """Returns a chunk with the outcomes that its runs had at an evaluation step, for `tables`.

    A study that goes on after an interruption decides again what it has decided before, and must
    not know more than it did then.
    """
    outcome = chunk.items['outcome']
    is_later = outcome['frozen_at'] > step
    outcome = {
        **outcome,
        'at': np.minimum(outcome['at'], step),
        'frozen_at': np.where(is_later, -1, outcome['frozen_at']),
        'stopped': outcome['stopped'] & ~is_later,
    }
    return dataclasses.replace(chunk, items={**chunk.items, 'outcome': outcome})


def _runs(
    numbers: pd.DataFrame,
    group: plan_lib.Group,
    measured: Mapping[str, np.ndarray],
    outcome: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    metric = metrics.metric_name(group.data.is_classification)
    evaluations, each = group.evaluation_steps, np.arange(len(numbers))
    last, best = (np.searchsorted(evaluations, outcome[key]) for key in ('at', 'best_step'))
    frozen_at, stopped = outcome['frozen_at'], outcome['stopped']
    not_finite_at = np.where(stopped, -1, frozen_at)
    train_loss = measured['train_loss']
    reached = np.where(
        evaluations <= outcome['at'][:, None], train_loss, train_loss[each, last, None]
    )
    diverged_step = _diverged_steps(reached, evaluations, not_finite_at)
    status = np.where(outcome['at'] < group.num_steps, 'pruned', 'finished')
    status = np.where(stopped, 'stopped', status)
    columns = {
        'group': group.index,
        'status': np.where(diverged_step >= 0, 'diverged', status),
        'diverged_step': pd.array(np.where(diverged_step >= 0, diverged_step, 0), 'Int64'),
        'steps': np.where(frozen_at >= 0, frozen_at, outcome['at']),
        'num_params': group.num_params,
        'seconds': np.round(outcome['seconds'], 4),
        **{name: column[each, last] for name, column in measured.items()},
        f'best_test_{metric}': measured[f'test_{metric}'][each, best],
        'best_step': outcome['best_step'],
    }
    columns['diverged_step'][diverged_step < 0] = pd.NA
    return pd.concat([numbers, pd.DataFrame(columns)], axis=1)


def _held(
    measured: Mapping[str, np.ndarray], evaluation_steps: np.ndarray, frozen_at: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns histories in which runs that were over keep what they were last evaluated at.

    They leave the devices at different times, which must not show.

    Args:
      measured: [R, E, ...] each.
      evaluation_steps: int [E].
      frozen_at: the step from which on nothing changed, or -1: int [R].
    """
    ends = np.searchsorted(evaluation_steps, frozen_at)
    ends = np.where(frozen_at < 0, len(evaluation_steps), ends)
    columns = np.minimum(np.arange(len(evaluation_steps)), ends[:, None])
    rows = np.arange(len(frozen_at))[:, None]
    return {name: values[rows, columns] for name, values in measured.items()}


def measures(group: plan_lib.Group) -> list[str]:
    """Returns the names of loss and metrics of every split and of the diagnostics, in the order of
    the tables."""
    measured = ['loss', *metrics.select(group.config['metrics'], group.data)]
    of_splits = [f'{split}_{what}' for split, _ in group.data.sizes for what in measured]
    return [*of_splits, *group.config['diagnostics']]


def _columns(measured: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns one array [R, E] a number: a metric [R, E, K] becomes K columns, `<name>_0` on."""
    columns = {}
    for name, values in measured.items():
        for index in np.ndindex(values.shape[2:]):
            columns['_'.join([name, *map(str, index)])] = values[:, :, *index]
    return columns


def _diverged_steps(
    train_loss: np.ndarray, evaluation_steps: np.ndarray, not_finite_at: np.ndarray
) -> np.ndarray:
    """Returns the step at which each run diverged, or -1.

    A run has diverged if its loss became non-finite (the first such step), or if it ended with a
    train loss above that of step 0 (the first evaluation from which it stays above).

    Args:
      train_loss: [R, E].
      evaluation_steps: int [E].
      not_finite_at: int [R], the first step with a non-finite loss, or -1.
    """
    above = ~(train_loss <= train_loss[:, :1])  # NaN is above
    # Evaluations after the last one that is not above.
    stays = np.cumprod(above[:, ::-1], axis=1)[:, ::-1].astype(bool)
    first = np.where(stays.any(axis=1), evaluation_steps[stays.argmax(axis=1)], -1)
    return np.where(not_finite_at >= 0, not_finite_at, first)


def _long(
    numbers: pd.DataFrame,
    times: pd.DataFrame,
    columns: Mapping[str, np.ndarray],
    at: np.ndarray,
) -> pd.DataFrame:
    """Returns a row for every run and time, up to step `at` of each run, from columns [R, T]."""
    table = numbers.merge(times, how='cross')
    flat = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
    reached = np.ravel(times['step'].to_numpy() <= at[:, None])
    return pd.concat([table, flat], axis=1)[reached]


def _sorted(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True).sort_values(['run', 'step'], ignore_index=True)


def _column(values: list[Any]) -> pd.Series:
    """Returns a column that keeps None and tuples as they are beside numbers."""
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return pd.Series(values, dtype=None if numeric else object)


def _with_tuples(value: Any) -> Any:
    """Returns plain data with tuples for its lists: JSON has no tuples, configs no lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def write(results: Results, workdir: Path) -> None:
    """Writes the tables into a working directory, `history.parquet` last, each whole or absent."""
    runs = results.runs.copy()
    runs.to_csv(_temporary(workdir / 'runs.csv'), index=False)
    _commit(workdir / 'runs.csv')
    for field in results.swept:
        if runs[field].dtype == object:
            runs[field] = runs[field].map(lambda v: v if v is None else str(v))
    tables = {'runs': runs, 'steps': results.steps, 'history': results.history}
    for name, table in tables.items():
        if table is not None:
            table.to_parquet(_temporary(workdir / f'{name}.parquet'), index=False)
            _commit(workdir / f'{name}.parquet')


def with_columns(results: Results, columns: Mapping[str, Any]) -> Results:
    """Returns results whose table of runs has further columns, also in the working directory.

    Args:
      results: of a finished study.
      columns: a value for each run, in the order of `results.runs`, by name.

    Raises:
      UserError: a column has another number of values.
    """
    for name, values in columns.items():
        if len(values) != len(results.runs):
            raise errors.UserError(
                f'measure: {len(values)} values of {name!r} for {len(results.runs)} runs'
            )
    runs = results.runs.assign(**columns)
    results = dataclasses.replace(results, runs=runs)
    if results.workdir is not None:
        write(results, results.workdir)
    return results


def to_json(data: Any) -> str:
    """Returns data as JSON text; floats that JSON lacks become text.

    Raises:
      TypeError: something in it is not plain data.
    """
    return json.dumps(plain(data), indent=2) + '\n'


def write_text(path: Path, text: str) -> None:
    """Writes a file, whole or not at all."""
    _temporary(path).write_text(text)
    _commit(path)


def _temporary(path: Path) -> Path:
    return path.with_name('.' + path.name)


def _commit(path: Path) -> None:
    _temporary(path).replace(path)


def plain(data: Any) -> Any:
    """Returns data as JSON has it: text for non-finite floats, lists for tuples."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    return data
