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
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib
from nnstudy.running import study
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
) -> results_lib.Results:
    """Trains every point of a sweep times every seed, and returns what came out.

    Args:
      config: see `nnstudy.default_config`.
      points: of the sweep, such as `nnstudy.logspace('optimizer.learning_rate', 1e-4, 10, 13)`;
        None for the config's own values.
      workdir: directory to keep the study in; with one, an interrupted study goes on where it
        stood and a finished one is only read. None keeps everything in memory.
      data: a data set in memory, in place of `config.dataset`.
      claims: plain data, kept with the results.
      references: plain data, kept with the results.
      name: of the study, for titles.
      data_dir: where the files of named data sets are.
      shard: `(i, n)` trains part i of n of the runs, i from 0 to n - 1, under their numbers in the
        whole study; `nnstudy.running.merge` joins the parts.
      quiet: no progress display on stderr.

    Raises:
      UserError: something is wrong with the fields, the points, the data or the directory; then
        nothing was compiled and nothing written.
    """
    plan = plan_lib.make(config, points, data=data, data_dir=data_dir, shard=shard)
    if not plan.groups:
        raise errors.UserError(
            f'{plan_lib.shard_name(shard)} has no runs: there are more shards than runs'
        )
    said = claims, references
    if not plan.config.zoom.train:
        return study.carry_out(plan, workdir, *said, name=name, quiet=quiet)
    return run_stages(
        config, points, workdir, data, *said, name=name, data_dir=data_dir, quiet=quiet
    )


def run_stages(
    config: ConfigDict,
    points: Sequence[Mapping[str, Any]] | None = None,
    workdir: str | os.PathLike | None = None,
    data: Dataset | None = None,
    claims: Sequence[Any] = (),
    references: Sequence[Any] = (),
    *,
    name: str = 'study',
    data_dir: str | os.PathLike | None = None,
    quiet: bool = False,
) -> results_lib.Results:
    """Trains the stages of `config.zoom.train`, and returns the results of the last one.

    The first stage has the points given; from its best point, chosen as `comparison.best` does,
    come those of the next one, see `nnstudy.spec.zoom`.

    Args:
      See `nnstudy.run`.

    Raises:
      UserError: as `nnstudy.run`, or no run of a stage has a finite value to choose by.
    """
    points = [{}] if points is None else list(points)
    stages = checked(config, points, data, data_dir)
    folder = None if workdir is None else Path(workdir)
    if folder is not None and (folder / 'config.json').is_file():
        raise errors.UserError(f'--workdir {str(folder)!r} holds a study; name another directory')

    for number, stage in enumerate(stages, start=1):
        plan = plan_lib.make(stage, points, data=data, data_dir=data_dir)
        if not quiet and processes.is_first():
            print(
                f'stage {number} of {len(stages)}: {labels.count(len(points), "point")}, '
                f'{labels.count(plan.num_runs, "run")} on {stage.split.train!r}',
                file=sys.stderr,
            )
        where = None if folder is None else folder / f'stage-{number}'
        results = study.carry_out(plan, where, claims, references, name=name, quiet=quiet)
        if number < len(stages):
            best = comparison.best(results.runs)
            if best is None:
                raise errors.UserError(
                    f'stage {number} of config.zoom.train: no run has a finite value to choose the '
                    'best point by'
                )
            winner = results.points[best.point]
            ranges = {field: resolve.range_of(plan.config, field) for field in winner}
            points = zoom.zoom(results.points, winner, ranges, seed=number)
    return results


def checked(
    config: ConfigDict,
    points: Sequence[Mapping[str, Any]],
    data: Dataset | None = None,
    data_dir: str | os.PathLike | None = None,
) -> list[ConfigDict]:
    """Returns the config of every stage; what is wrong with the data of a later one is said now.

    Args:
      See `nnstudy.run`.

    Raises:
      UserError: as `nnstudy.run`.
    """
    config = config_lib.complete(config)
    stages = [_stage(config, split) for split in config.zoom.train]
    for stage in stages:
        plan_lib.make(stage, points, data=data, data_dir=data_dir)
    return stages


def _stage(config: ConfigDict, split: str) -> ConfigDict:
    """Returns the config of the stage that trains on a split."""
    stage = config_lib.complete(config)
    config_lib.override(stage, {'zoom.train': None, 'split.train': split})
    return stage
