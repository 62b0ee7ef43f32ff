"""The host loop of a study. While a study trains, all side effects are here.

It compiles a program for each group of the plan. It takes each chunk of the group's runs from
segment to segment: start the next segment, fetch what the last one measured while the devices work,
show progress, save a checkpoint. With `config.halving` it does so once for every rung, with the
points that are left.

A study that was interrupted resumes from its checkpoints, and ends with the same bits:

1. `chunks/` has the newest checkpoint of each run. Its chunk was in training then, where some of
   the runs may be one segment ahead of others, or it had reached a rung or its end. The state and
   the step of each run are all that is needed to go on.
2. The tables are written at the end, `history.parquet` last: where it is, the study is finished.

`config.zoom.train` names training splits for a search from coarse to fine. There is one study for
each split, one after the other, in the folders `stage-1`, `stage-2`, ... of the working directory.
"""

import dataclasses
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.data import Dataset
from nnstudy.machine import devices, processes, progress
from nnstudy.machine.signals import Interrupts
from nnstudy.report import labels
from nnstudy.results import Results, checkpoints
from nnstudy.results import results as results_lib
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import halving, tables
from nnstudy.running import plan as plan_lib
from nnstudy.running import program as program_lib
from nnstudy.running import workdir as workdir_lib
from nnstudy.running.chunk import Chunk
from nnstudy.running.layout import Segment
from nnstudy.running.plan import Group, Plan
from nnstudy.running.records import Records
from nnstudy.spec import zoom
from nnstudy.spec.claims import Claim, Reference
from nnstudy.spec.fields import Value
from nnstudy.training import resolve


def run(
    config: ConfigDict,
    points: Sequence[Mapping[str, Value]] | None = None,
    workdir: str | os.PathLike | None = None,
    data: Dataset | None = None,
    claims: Sequence[Claim] = (),
    references: Sequence[Reference] = (),
    *,
    name: str = 'study',
    data_dir: str | os.PathLike | None = None,
    part: plan_lib.Part | None = None,
    quiet: bool = False,
) -> Results:
    """Trains every point of a sweep times every seed, and returns the results.

    Args:
      config: see `nnstudy.default_config`.
      points: of the sweep, such as `nnstudy.logspace('optimizer.learning_rate', 1e-4, 10, 13)`;
        None for the config's own values.
      workdir: directory to keep the study in. With one, an interrupted study is resumed, and a
        finished one is only read. None keeps everything in memory.
      data: a data set in memory, in place of `config.dataset`.
      claims: kept with the results.
      references: kept with the results.
      name: of the study, for titles.
      data_dir: where the files of named data sets are.
      part: `(i, n)` trains part i of n of the runs, i from 0 to n - 1, under their numbers in the
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
        part=part,
        about=plan_lib.About(name, claims, references),
    )
    if not plan.groups:
        raise errors.UserError(f'{plan.part} has no runs: there are more parts than runs')
    return carry_out(plan, workdir, quiet=quiet)


def carry_out(
    plan: Plan, workdir: str | os.PathLike | None = None, *, quiet: bool = False
) -> Results:
    """Trains the runs of a plan, and returns the results; with `config.zoom`, of the last stage.

    Args:
      plan: see `nnstudy.running.plan`.
      workdir: directory to keep the study in. With one, an interrupted study is resumed, and a
        finished one is only read. None keeps everything in memory.
      quiet: no progress display on stderr.

    Raises:
      UserError: something is wrong with the directory, or there is not enough memory.
    """
    workdir = None if workdir is None else Path(workdir)
    if plan.config.zoom.train:
        return _carry_out_stages(plan, workdir, quiet=quiet)
    processes.check_same(plan.identity['digest'])
    quiet = quiet or not processes.is_first()
    series: checkpoints.AnySeries = checkpoints.Memory()
    if workdir is not None:
        if workdir_lib.open_session(plan, workdir) == 'finished':
            if not quiet:
                print(f'{workdir} is finished already; nothing to train', file=sys.stderr)
            return results_lib.load(workdir, data=plan.data, data_dir=plan.data_dir)
        if processes.is_first():
            series = checkpoints.Series(workdir / 'chunks')

    records = Records(len(plan.points) * plan.config.num_seeds, series)
    done = sum(records.step[g.runs].clip(0).sum() * g.step_cost for g in plan.groups)
    points = list(range(len(plan.points)))
    try:
        with progress.Display(plan.cost, done, quiet) as display, Interrupts() as interrupts:
            keeper = _Keeper(plan, records, workdir is not None, interrupts)
            loop = _Loop(plan, records, keeper, display)
            for epochs in plan.rungs:
                for group in plan.groups:
                    loop.train_group(group, points, epochs)
                if epochs != plan.rungs[-1]:
                    kept = _survivors(plan, points, epochs, records.tables())
                    display.say(f'after epoch {epochs}: {len(kept)} of {len(points)} points go on')
                    points = kept
        results = tables.results(plan, records.tables(), workdir)
        if workdir is None:
            return dataclasses.replace(results, chunks=series)
        if processes.is_first():
            results_lib.write(results, workdir)
        return results
    finally:
        records.close()


def _carry_out_stages(plan: Plan, workdir: Path | None, *, quiet: bool) -> Results:
    """Trains the stages of `config.zoom`: each is a study of its own, in a folder of its own.

    The first stage has the points of the plan. The points of each later one are around the best
    point of the stage before it, see `nnstudy.spec.zoom`.

    Raises:
      UserError: no run of a stage has a finite value to choose the best point by.
    """
    splits, points = plan.config.zoom.train or (), plan.points
    check_stages(plan)
    if workdir is not None and (workdir / 'config.json').is_file():
        raise errors.UserError(f'--workdir {str(workdir)!r} holds a study; name another directory')
    for number, split in enumerate(splits, start=1):
        stage = _stage(plan, split, points)
        if not quiet and processes.is_first():
            print(
                f'stage {number} of {len(splits)}: {labels.count(len(points), "point")}, '
                f'{labels.count(stage.num_runs, "run")} on {split!r}',
                file=sys.stderr,
            )
        where = None if workdir is None else workdir / f'stage-{number}'
        results = carry_out(stage, where, quiet=quiet)
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


def check_stages(plan: Plan) -> None:
    """Raises UserError if something is wrong with the data of any stage."""
    for split in plan.config.zoom.train or ():
        _stage(plan, split, plan.points)


def _stage(plan: Plan, split: str, points: Sequence[Mapping[str, Value]]) -> Plan:
    """Returns the plan of the stage that trains on a split."""
    config = {**plan.config.flat, 'zoom.train': None, 'split.train': split}
    return plan_lib.make(config, points, data=plan.data, data_dir=plan.data_dir, about=plan.about)


def _survivors(
    plan: Plan, points: Sequence[int], epochs: int, chunks: Sequence[Checkpoint]
) -> list[int]:
    """Returns the points that go on after a rung, by the ranking of the table."""
    groups = {group.index: group for group in plan.groups}
    then = [tables.as_of(chunk, groups[chunk.about['group']].step_of(epochs)) for chunk in chunks]
    runs = tables.results(plan, then).runs
    runs = runs[runs['point'].isin(points)]
    # At this rung, none of these points was pruned yet.
    runs = runs.assign(status=runs['status'].replace('pruned', 'finished'))
    factor = plan.config.halving.factor
    assert factor is not None  # or there would be no rung before the last
    return halving.survivors(comparison.ranking(runs), factor)


class _Loop:
    """Goes through the chunks of a group, and through the segments of each chunk."""

    def __init__(
        self, plan: Plan, records: Records, keeper: '_Keeper', display: progress.Display
    ) -> None:
        self._plan, self._records, self._keeper = plan, records, keeper
        self._display = display
        # By group, where memory was not enough: the size of its chunks, also for later rungs.
        self._sizes: dict[int, int] = {}

    def train_group(self, group: Group, points: Sequence[int], epochs: int) -> None:
        """Trains those runs of a group that belong to the points, chunk by chunk, up to a rung."""
        runs, until = group.runs[np.isin(group.points, points)], group.step_of(epochs)
        program: program_lib.Program | None = None
        number = 1
        while (left := self._records.behind(runs, until)).size:
            try:
                if program is None:
                    program = self._compiled(group, is_new=epochs == self._plan.rungs[0])
                size = program.layout.chunk_size
                count = number - 1 + math.ceil(left.size / size)
                chunk = self._train_chunk(
                    program, left[:size], until, self._place(group, number, count)
                )
            except jax.errors.JaxRuntimeError as error:
                self._halve(group, program, error)
                program = None
            else:
                self._records.keep(chunk)
                self._keeper.obey()
                number += 1

    def _train_chunk(
        self, program: program_lib.Program, runs: np.ndarray, until: int, where: str
    ) -> Checkpoint:
        """Trains the runs of a chunk up to a step, each from the step that it has reached."""
        chunk = Chunk(program, runs, self._records.begun(runs))
        self._display.say(f'{where}: starting' if chunk.is_new else f'{where}: resuming')
        while segment := chunk.next_segment(until):
            self._show(program.group, chunk.advance(segment), where)
            if chunk.next_segment(until) and self._keeper.is_due():
                self._show(program.group, chunk.collect(), where)
                self._keeper.save(chunk.moment(until))
        self._show(program.group, chunk.collect(), where)
        self._display.skip(chunk.left(until) * program.group.step_cost)
        return chunk.finished(until)

    def _show(self, group: Group, done: Segment | None, where: str) -> None:
        if done is not None:
            steps, epochs = (done.stop - done.start) * len(done.runs), group.config.epochs
            epoch = done.stop * epochs // group.num_steps
            self._display.advance(steps * group.step_cost, f'{where}: epoch {epoch}/{epochs}')

    def _compiled(self, group: Group, is_new: bool) -> program_lib.Program:
        if is_new:
            self._display.say('compiling')
        began = time.monotonic()
        program = program_lib.for_group(group, devices.runs_mesh(), self._sizes.get(group.index))
        self._display.compiled(time.monotonic() - began)
        if program.excess_bytes > 0:
            self._display.say(
                f'the smallest chunk, {program.layout.chunk_size} runs, takes '
                f'{program.excess_bytes / 2**30:.2g} GiB more memory than it may'
            )
        return program

    def _halve(
        self,
        group: Group,
        program: program_lib.Program | None,
        error: jax.errors.JaxRuntimeError,
    ) -> None:
        """After an out-of-memory error, makes the chunks of a group smaller, once."""
        # Other processes would not know of it, and would wait for this one.
        if 'RESOURCE_EXHAUSTED' not in str(error) or jax.process_count() > 1:
            raise error
        size = (program or group).layout.chunk_size
        unit = devices.runs_mesh().size * group.layout.lanes
        half = size // unit // 2 * unit
        if group.index in self._sizes or not half:
            raise errors.UserError(
                f'out of memory with {size} runs at a time; set config.execution.memory_gib to the '
                'memory that there is, or make the model smaller'
            ) from error
        self._sizes[group.index] = half
        self._display.say(f'out of memory with {size} runs at a time; going on with {half}')

    def _place(self, group: Group, number: int, count: int) -> str:
        """Returns what is being trained: `'group 1/2, chunk 3/4'`."""
        groups = [each.index for each in self._plan.groups]
        parts = []
        if len(groups) > 1:
            parts.append(f'group {groups.index(group.index) + 1}/{len(groups)}')
        if count > 1:
            parts.append(f'chunk {number}/{count}')
        return ', '.join(parts) or 'training'


class _Keeper:
    """Decides when to save a checkpoint, and ends the study after a signal."""

    def __init__(
        self,
        plan: Plan,
        records: Records,
        is_kept: bool,
        interrupts: Interrupts,
    ) -> None:
        self._seconds = plan.config.execution.checkpoint_seconds
        self._records, self._is_kept, self._interrupts = records, is_kept, interrupts
        self._must_stop = False  # on all processes
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether to save now; the same on all processes."""
        is_time = processes.is_first() and time.monotonic() - self._last >= self._seconds
        is_time, self._must_stop = processes.anywhere(is_time, self._interrupts.requested)
        if not self._is_kept:
            self._stop()
            return False
        return is_time or self._must_stop

    def save(self, checkpoint: Checkpoint) -> None:
        self._records.keep(checkpoint)
        self._stop()
        self._last = time.monotonic()

    def obey(self) -> None:
        """Ends the study if there was a signal on any process."""
        (self._must_stop,) = processes.anywhere(self._interrupts.requested)
        self._stop()

    def _stop(self) -> None:
        if self._must_stop:
            raise KeyboardInterrupt('interrupted; the same command resumes it')
