"""`nnstudy.run`: a study; or, coarse to fine, one after the other, each of a closer look.

`config.zoom.train` names the training split of every stage. A stage is a study like any other, in
the folder `stage-1`, `stage-2`, ... of the working directory, so an interrupted search goes on
where it stood.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.data import Dataset
from nnstudy.machine import processes
from nnstudy.report import labels
from nnstudy.results import Results
from nnstudy.running import plan as plan_lib
from nnstudy.running import study
from nnstudy.running.plan import Plan
from nnstudy.spec import config as config_lib
from nnstudy.spec import zoom
from nnstudy.training import resolve


def run(
    config: ConfigDict,
    points: Sequence[Mapping[str, Any]] | None = None,
    workdir: str | os.PathLike | None = None,
    data: Dataset | None = None,
    claims: Sequence[Any] = (),
    references: Sequence[Any] = (),
    *,
    name: str = 'study',
    data_dir: str | os.PathLike | None = None,
    shard: plan_lib.Shard | None = None,
    quiet: bool = False,
) -> Results:
    """Trains every point of a sweep times every seed, and returns what came out.

    Args:
      config: see `nnstudy.default_config`.
      points: of the sweep, such as `nnstudy.logspace('optimizer.learning_rate', 1e-4, 10, 13)`;
        None for the config's own values.
      workdir: directory to keep the study in; with one, an interrupted study goes on where it
        stood and a finished one is only read. None keeps everything in memory.
      data: a data set in memory, in place of `config.dataset`.
      claims: kept with the results.
      references: kept with the results.
      name: of the study, for titles.
      data_dir: where the files of named data sets are.
      shard: `(i, n)` trains part i of n of the runs, i from 0 to n - 1, under their numbers in the
        whole study; `nnstudy.running.merge` joins the parts.
      quiet: no progress display on stderr.

    Raises:
      UserError: something is wrong with the fields, the points, the data or the directory; then
        nothing was compiled and nothing written.
    """
    plan = plan_lib.make(
        config,
        points,
        data=data,
        data_dir=data_dir,
        shard=shard,
        about=plan_lib.About(name, claims, references),
    )
    if not plan.groups:
        raise errors.UserError(
            f'{plan_lib.shard_name(shard)} has no runs: there are more shards than runs'
        )
    return carry_out(plan, workdir, quiet=quiet)


def carry_out(
    plan: Plan, workdir: str | os.PathLike | None = None, *, quiet: bool = False
) -> Results:
    """Trains a study, or the stages of `config.zoom.train`, and returns the results of the last.

    The first stage has the points of the plan; from its best point, chosen as `comparison.best`
    does, come those of the next one, see `nnstudy.spec.zoom`.

    Raises:
      UserError: as `nnstudy.run`, or no run of a stage has a finite value to choose by.
    """
    splits, points = plan.config.zoom.train, plan.points
    if not splits:
        return study.carry_out(plan, workdir, quiet=quiet)
    check(plan)
    folder = None if workdir is None else Path(workdir)
    if folder is not None and (folder / 'config.json').is_file():
        raise errors.UserError(f'--workdir {str(folder)!r} holds a study; name another directory')
    for number, split in enumerate(splits, start=1):
        stage = _stage(plan, split, points)
        if not quiet and processes.is_first():
            print(
                f'stage {number} of {len(splits)}: {labels.count(len(points), "point")}, '
                f'{labels.count(stage.num_runs, "run")} on {split!r}',
                file=sys.stderr,
            )
        where = None if folder is None else folder / f'stage-{number}'
        results = study.carry_out(stage, where, quiet=quiet)
        if number == len(splits):
            break
        best = comparison.best(results.runs)
        if best is None:
            raise errors.UserError(
                f'stage {number} of config.zoom.train: no run has a finite value to choose the '
                'best point by'
            )
        winner = results.points[best.point]
        ranges = {field: resolve.range_of(stage.config, field) for field in winner}
        points = zoom.zoom(results.points, winner, ranges, seed=number)
    return results


def check(plan: Plan) -> None:
    """Raises UserError now if something is wrong with the data of a later stage."""
    for split in plan.config.zoom.train or ():
        _stage(plan, split, plan.points)


def _stage(plan: Plan, split: str, points: Sequence[Mapping[str, Any]]) -> Plan:
    """Returns the plan of the stage that trains on a split."""
    config = config_lib.complete(plan.config.to_dict())
    config_lib.override(config, {'zoom.train': None, 'split.train': split})
    return plan_lib.make(config, points, data=plan.data, data_dir=plan.data_dir, about=plan.about)
