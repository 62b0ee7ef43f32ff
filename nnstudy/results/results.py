"""The results of a study: tables of its runs and their histories, and the trained parameters.

`nnstudy.run` returns `Results`, and `nnstudy.load` reads them from a working directory, without the
config file, the data or a device.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from nnstudy import data as data_lib
from nnstudy import errors
from nnstudy.data import dataset
from nnstudy.results import checkpoints, files, predictions
from nnstudy.spec import claims
from nnstudy.spec import config as config_lib
from nnstudy.spec import sweep as spec
from nnstudy.spec.claims import Claim, Reference
from nnstudy.spec.fields import Config, Value
from nnstudy.training import histograms, metrics


@dataclasses.dataclass(frozen=True, eq=False)  # tables have no one answer to ==
class Results:
    """The outcome of a study.

    Attributes:
      name: of the study.
      config: resolved, without the sweep.
      points: values of the swept fields, one dict a point.
      runs: a row a run: `run`, `point`, `seed`, `group`, the swept fields, `status` ('finished',
        'diverged', 'stopped' or 'pruned'), `diverged_step`, `steps`, `num_params`, `seconds` (its
        share of the wall time), the final loss and metric of every split, the diagnostics, and
        `best_<metric>` on the test split at the best evaluation, that of `best_step`.
      history: a row a run and evaluation, step 0 included. A run that is over keeps its last
        metrics, without learning rate and gradient; the rows of a pruned run end where it did.
      steps: a row a run and logged step, or None without `config.log_every_steps`.
      claims, references: of the config file.
      keys: of the points, under which `chunks` knows them.
      stated: digests of the claims that stood before the first step, see `claims.digest`.
      directions: by name of the loss or metric, whether more of it is better.
      workdir: where it is kept, or None; then `chunks` has the parameters.
      data: the data set, where it was given in memory; if not, `data_dir` has its files.
    """

    name: str
    config: Config
    points: list[spec.Point]
    runs: pd.DataFrame
    history: pd.DataFrame
    steps: pd.DataFrame | None
    claims: list[Claim]
    references: list[Reference]
    keys: Sequence[str] = ()
    stated: frozenset[str] = frozenset()
    directions: Mapping[str, bool] = dataclasses.field(default_factory=metrics.directions)
    workdir: Path | None = None
    chunks: checkpoints.AnySeries | None = None
    data: data_lib.Dataset | None = None
    data_dir: str | os.PathLike | None = None

    @property
    def swept(self) -> list[str]:
        """The swept fields."""
        return spec.swept(self.points)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables by name, `'history'` last."""
        found = {'runs': self.runs, 'steps': self.steps, 'history': self.history}
        return {name: table for name, table in found.items() if table is not None}

    def higher_is_better(self, column: str) -> bool:
        """Whether more of a column is better, see `nnstudy.training.metrics`."""
        return metrics.higher_is_better(column, self.directions)

    def settings(self, point: int) -> dict[str, Value]:
        """Returns the values of all fields at a point, by dotted name."""
        if point not in range(len(self.points)):
            raise errors.UserError(f'no point {point!r}: there are {len(self.points)}, from 0 on')
        return config_lib.merge(self.config.flat, self.points[point])

    def points_with(self, fields: Mapping[str, Value]) -> list[int]:
        """Returns the points, of those that have runs, at which fields have these values.

        Raises:
          UserError: there is no such field or point.
        """
        for field in fields:
            errors.check_known('field (where)', field, {*self.config.flat, *self.swept})
        wanted = files.with_tuples(dict(fields))
        found = []
        for point in np.sort(self.runs['point'].unique()).tolist():
            settings = files.with_tuples(self.settings(point))
            if all(settings.get(field) == value for field, value in wanted.items()):
                found.append(point)
        if not found:
            raise errors.UserError(f'no point has {claims.written(fields)}')
        return found

    def settings_with(self, fields: Mapping[str, Value]) -> list[Mapping[str, Value]]:
        """Returns the settings of each of the `points_with` these fields."""
        return [self.settings(point) for point in self.points_with(fields)]

    def only(self, points: Iterable[int]) -> 'Results':
        """Returns the results with the runs of some points alone."""
        chosen = list(points)
        kept = {name: table[table['point'].isin(chosen)] for name, table in self.tables.items()}
        return dataclasses.replace(self, **kept)

    def params(self, run: int, which: str = 'best') -> Mapping[str, Any]:
        """Returns a run's parameters, NumPy arrays: those at `best_step`, or the `'final'` ones.

        Raises:
          UserError: there is no such run, or `which` is another word.
        """
        return self.variables(run, which)['params']

    def variables(self, run: int, which: str = 'best') -> Mapping[str, Any]:
        """Returns all variables of a run, such as `'batch_stats'` beside `'params'`; see there."""
        errors.check_known('kind of parameters', which, ('final', 'best'))
        return self._item(run, which)

    def histograms(self, run: int) -> dict[str, dict[str, np.ndarray]]:
        """Returns how the numbers of each layer of a run were spread, with `config.histograms`.

        `{'params': ..., 'grads': ...}`, each by the name of the array, such as `'Dense_0/kernel'`:
        counts in the bins of `nnstudy.training.histograms`, float32 [E, B], a row for each
        evaluation of the history; NaN where the run was over.

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

    # A cache of the method's own would keep the results themselves.
    @functools.cached_property
    def net(self) -> Callable[[int], predictions.Net]:
        """`net(point)` returns the model and the data of a point, prepared as for training.

        The last two are kept: reading the data and compiling happen once.
        """

        @functools.lru_cache(maxsize=2)
        def make(point: int) -> predictions.Net:
            return predictions.make_net(self.settings(point), self.data, self.data_dir)

        return make

    def predict(
        self, run: int, split: str = 'test', which: str = 'best', num: int | None = None
    ) -> predictions.Predictions:
        """Returns the predictions of a run, in evaluation mode.

        Args:
          run: the run's number.
          split: `'train'`, `'validation'` or `'test'`, of which the first `num` examples are taken.
          which: the parameters, see `params`.
          num: None for all.

        Raises:
          UserError: there is no such run, split or kind of parameters, or the data are not found.
        """
        variables = self.variables(run, which)
        (point,) = self.runs.loc[self.runs['run'] == run, 'point']
        return self.net(point).predict(variables, split, num)

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
        return self.chunks or checkpoints.Series(self.workdir / 'chunks')  # type: ignore[operator]

    @functools.cached_property
    def _load(self) -> Callable[..., checkpoints.Checkpoint]:
        """Reads an item of a chunk; two are kept, for a reader that goes from run to run."""
        return functools.lru_cache(maxsize=2)(self._series.load)

    @functools.cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """Number of the chunk and row in it, by run."""
        numbering = checkpoints.Numbering(self.keys, self.config.seed, self.config.num_seeds)
        return {
            run: (number, row)
            for number, about in self._series.abouts()
            for row, run in enumerate(numbering.numbers(about).tolist())
            if run >= 0
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
      data: for predictions, the data set of a study that has one of its own.
      data_dir: for predictions, where the files of named data sets are.

    Raises:
      UserError: there is no study, it is not finished, or `data` are no `Dataset`.
    """
    dataset.check_given(data)
    workdir = Path(workdir)
    identity = files.read_identity(workdir)
    if identity is None:
        raise errors.UserError(f'{str(workdir)!r} holds no study (no config.json of one)')
    if not files.is_finished(workdir):
        raise errors.UserError(
            f'the study in {str(workdir)!r} is not finished; the command that began it goes on'
        )
    runs, history = (pd.read_parquet(workdir / f'{t}.parquet') for t in ('runs', 'history'))
    steps = workdir / 'steps.parquet'
    points = list(identity['points'])
    return Results(
        name=identity['name'],
        config=Config().replace(config_lib.flatten(identity['config'])),
        points=points,
        runs=with_settings(runs, points),
        history=history,
        steps=pd.read_parquet(steps) if steps.is_file() else None,
        claims=list(map(claims.from_dict, identity['claims'])),
        references=list(map(claims.from_dict, identity['references'])),
        keys=identity['keys'],
        stated=frozenset(identity.get('stated', ())),
        directions=identity.get('directions') or metrics.directions(),
        workdir=workdir,
        data=data,
        data_dir=data_dir,
    )


def with_settings(runs: pd.DataFrame, points: Sequence[spec.Point]) -> pd.DataFrame:
    """Returns the table of runs with the swept fields as the points have them, after `group`.

    Parquet has no columns of tuples, or of values of several types.
    """
    settings = pd.DataFrame(index=runs.index)
    for field in spec.swept(points):
        values = [points[p][field] for p in runs['point']]
        kind = None if {*map(type, values)} <= {int, float} else object
        settings[field] = pd.Series(values, runs.index, kind)
    rest = runs.drop(columns=list(settings), errors='ignore')
    return pd.concat([rest.iloc[:, :4], settings, rest.iloc[:, 4:]], axis=1)


def write(results: Results, workdir: Path) -> None:
    """Writes the tables into a working directory, `history.parquet` last."""
    runs = results.runs
    mixed = [field for field in results.swept if runs[field].dtype == object]
    texts = {field: runs[field].map(lambda v: v if v is None else str(v)) for field in mixed}
    with files.whole(workdir / 'runs.csv') as path:
        runs.to_csv(path, index=False)
    for name, table in (results.tables | {'runs': runs.assign(**texts)}).items():
        with files.whole(workdir / f'{name}.parquet') as path:
            table.to_parquet(path, index=False)


def with_columns(results: Results, columns: Mapping[str, Any]) -> Results:
    """Returns results whose table of runs has further columns, also in the working directory.

    Raises:
      UserError: a column has not a number or text for each run, or the name of one of the study.
    """
    if not isinstance(columns, Mapping):
        raise errors.UserError(f'measure must return columns by name, not {columns!r}')
    own = {'group', 'status', 'diverged_step', 'steps', 'num_params', 'seconds', *results.swept}
    own |= {*results.history, *(f'best_{name}' for name in results.history)}
    runs = results.runs
    for name, values in columns.items():
        if name in own:
            raise errors.UserError(f'measure: the table of runs has its own column {name!r}')
        index = values.index if isinstance(values, pd.Series) else runs.index
        given = list(values) if np.iterable(values) else []
        is_right = len(given) == len(index) and {*index} == {*runs.index} and isinstance(name, str)
        if not is_right or pd.api.types.infer_dtype(pd.Series(given)) == 'mixed':
            raise errors.UserError(
                f'measure: column {name!r} must be a number or a text for each of the {len(runs)} '
                'runs; a Series has the index of results.runs'
            )
    results = dataclasses.replace(results, runs=runs.assign(**columns))
    if results.workdir is not None:
        write(results, results.workdir)
    return results


def with_claims(
    results: Results, stated: Sequence[Claim], references: Sequence[Reference]
) -> Results:
    """Returns results with other claims and references, also in the working directory.

    Raises:
      UserError: it cannot be written, or a claim has a value that JSON does not know.
    """
    if results.workdir is not None:
        about = claims.to_dict({'claims': stated, 'references': references})
        stored = files.read_identity(results.workdir) or {}
        with errors.writing(results.workdir):
            files.write_json(results.workdir / 'config.json', {**stored, **about})
    return dataclasses.replace(results, claims=list(stated), references=list(references))
