"""The host loop of a study. While a study trains, all side effects are here.

It compiles a program for each group of the plan, and takes each chunk of the group's runs from
segment to segment. With `config.halving` it does so once for every rung, with the points that are
left. A study that was interrupted resumes from its checkpoints, and ends with the same bits. The
tables are written at the end.
"""

import contextlib
import dataclasses
import math
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.data import Dataset
from nnstudy.machine import processes, progress, signals
from nnstudy.report import labels
from nnstudy.results import Results, checkpoints
from nnstudy.results import results as results_lib
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import plan as plan_lib
from nnstudy.running import tables
from nnstudy.running import workdir as workdir_lib
from nnstudy.running.chunk import Chunk
from nnstudy.running.layout import Segment
from nnstudy.running.plan import Group, Plan
from nnstudy.running.program import Compiler, Program
from nnstudy.running.records import Records
from nnstudy.spec import fields, zoom
from nnstudy.spec.claims import Claim, Reference
from nnstudy.spec.config import Written
from nnstudy.spec.fields import Value
from nnstudy.training import resolve


def run(
    config: Written,
    points: Sequence[Mapping[str, Value]] | None = None,
    workdir: str | os.PathLike | None = None,
    data: Dataset | None = None,
    claims: Sequence[Claim] = (),
    references: Sequence[Reference] = (),
    *,
    name: str = 'study',
    data_dir: str | os.PathLike | None = None,
    part: tuple[int, int] | None = None,
    quiet: bool = False,
) -> Results:
    """Trains every point of a sweep times every seed, and returns the results.

    Args:
      config: see `nnstudy.default_config`, or fields by dotted name.
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
    about: dict[str, Any] = {'name': name, 'claims': claims, 'references': references}
    plan = plan_lib.make(config, points, data=data, data_dir=data_dir, part=part, **about)
    if not plan.groups:
        raise errors.UserError(f'{plan.part} has no runs: there are more parts than runs')
    return carry_out(plan, workdir, quiet=quiet)


def rerun(
    results: Results,
    num_seeds: int | None = None,
    workdir: str | os.PathLike | None = None,
    *,
    point: int | None = None,
    quiet: bool = False,
) -> Results:
    """Trains a point with new seeds: those that follow the seeds of the study.

    The best of many points is so partly by luck, and a result should come from other seeds. The
    AlgoPerf benchmark sets its targets in this way (Dahl et al. 2023, arXiv 2306.07179).

    Args:
      results: of the study.
      num_seeds: number of seeds; None for that of the study.
      workdir, quiet: see `run`.
      point: its number; None for the best one by the table of the study.

    Returns:
      The results of a study of this one point.

    Raises:
      UserError: there is no such point, or no run has a finite value to choose the best by.
    """
    point = best_point(results) if point is None else point
    results.settings(point)  # is there such a point?
    config = dataclasses.replace(
        results.config,
        seed=results.config.seed + results.config.num_seeds,
        num_seeds=results.config.num_seeds if num_seeds is None else num_seeds,
        data_seeds=None,  # it would give the same orders again
        halving=fields.Halving(),  # one point cannot be pruned
    )
    return run(
        config.flat,
        [results.points[point]],
        workdir,
        results.data,
        name=f'{results.name}-rerun',
        data_dir=results.data_dir,
        quiet=quiet,
    )


def carry_out(
    plan: Plan, workdir: str | os.PathLike | None = None, *, quiet: bool = False
) -> Results:
    """Trains the runs of a plan, and returns the results; with `config.zoom`, of the last stage.

    For the arguments see `run`. It raises UserError if something is wrong with the directory, or
    memory is too small.
    """
    workdir = None if workdir is None else Path(workdir)
    quiet = quiet or not processes.is_first()
    if plan.config.zoom.train:
        return _carry_out_stages(plan, workdir, quiet=quiet)
    processes.check_same(plan.identity['digest'])
    series: checkpoints.AnySeries = checkpoints.Memory()
    if workdir is not None:
        folder = workdir
        if processes.from_first(lambda: workdir_lib.open_session(plan, folder)) == 'finished':
            if not quiet:
                print(f'{workdir} is finished already; nothing to train', file=sys.stderr)
            return results_lib.load(workdir, data=plan.data, data_dir=plan.data_dir)
        if processes.is_first():
            series = checkpoints.Series(workdir / 'chunks')

    records = Records(plan.numbering, series)
    cost = plan.total(lambda group: group.step_seconds)
    done = sum(records.step[g.runs].clip(0).sum() * g.step_seconds for g in plan.groups)
    points = list(range(len(plan.points)))
    try:
        with (
            progress.Display(cost, done, quiet) as display,
            signals.interrupts() as stops,
            contextlib.closing(Compiler()) as compiler,
        ):
            seconds = math.inf if workdir is None else plan.config.execution.checkpoint_seconds
            loop = _Loop(plan, records, display, stops, compiler, seconds)
            for epochs in plan.rungs:
                for group in plan.groups:
                    loop.train_group(group, points, epochs)
                if epochs != plan.rungs[-1]:
                    kept = _survivors(plan, points, records, epochs)
                    display.say(f'after epoch {epochs}: {len(kept)} of {len(points)} points go on')
                    points = kept
        results = tables.results(plan, records, workdir)
        if workdir is None:
            return dataclasses.replace(results, chunks=series)
        if processes.is_first():
            results_lib.write(results, workdir)
        return results
    finally:
        records.close()


def _carry_out_stages(plan: Plan, workdir: Path | None, *, quiet: bool) -> Results:
    """Trains the stages of `config.zoom`, each a study in a folder of its own.

    From the second on, the points are around the best one of the stage before.
    """
    if workdir is not None and (workdir / 'config.json').is_file():
        raise errors.UserError(f'--workdir {str(workdir)!r} holds a study; name another directory')
    splits, points, results = plan.config.zoom.train or (), plan.points, None
    for number, split in enumerate(splits, start=1):
        if results is not None:
            best = results.points[best_point(results)]
            ranges = {field: resolve.range_of(results.config, field) for field in best}
            points = zoom.zoom(results.points, best, ranges, seed=number - 1)
        stage = plan.stage(split, points)
        if not quiet:
            print(
                f'stage {number} of {len(splits)}: {labels.count(len(points), "point")}, '
                f'{labels.count(stage.num_runs, "run")} on {split!r}',
                file=sys.stderr,
            )
        where = None if workdir is None else workdir / f'stage-{number}'
        results = carry_out(stage, where, quiet=quiet)
    assert results is not None
    return results


def best_point(results: Results) -> int:
    """Returns the best point of a table, or raises UserError if no run has a finite value."""
    best = comparison.best(results.runs)
    if best is None:
        split = results.config.split.train
        raise errors.UserError(
            f'no run on {split!r} has a finite value to choose the best point by'
        )
    return best.point


def _survivors(plan: Plan, points: Sequence[int], records: Records, epochs: int) -> list[int]:
    """Returns the points that go on after a rung, by the ranking of the table.

    Successive halving: Karnin, Koren & Somekh 2013, "Almost Optimal Exploration in Multi-Armed
    Bandits"; for networks Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and
    Hyperparameter Optimization".
    """
    runs = tables.results(plan, records, epochs=epochs).runs
    runs = runs[runs['point'].isin(points)]
    # At this rung, none of these points was pruned yet.
    runs = runs.assign(status=runs['status'].replace('pruned', 'finished'))
    return sorted(comparison.ranking(runs)[: plan.survivors(len(points))])


@dataclasses.dataclass
class _Loop:
    """Goes through the chunks of a group, and through the segments of each chunk."""

    plan: Plan
    records: Records
    display: progress.Display
    stops: threading.Event
    compiler: Compiler
    checkpoint_seconds: float
    last_kept: float = dataclasses.field(default_factory=time.monotonic)
    # By group, where memory was not enough: the size of its chunks, also for later rungs.
    sizes: dict[int, int] = dataclasses.field(default_factory=dict)

    def train_group(self, group: Group, points: Sequence[int], epochs: int) -> None:
        """Trains those runs of a group that belong to the points, chunk by chunk, up to a rung."""
        until, program, number = group.step_of(epochs), None, 1
        while (left := self._left(group, points, epochs)).size:
            try:
                if program is None:
                    program = self._compiled(group, is_new=epochs == self.plan.rungs[0])
                    self._compile_next(group, points, epochs)
                groups, count = self.plan.groups, number - 1 + math.ceil(left.size / program.size)
                where = [f'group {groups.index(group) + 1}/{len(groups)}'] if groups[1:] else []
                where += [f'chunk {number}/{count}'] if count > 1 else []
                told = ', '.join(where) or 'training'
                self._train_chunk(program, left[: program.size], until, told)
                number += 1
            except jax.errors.JaxRuntimeError as error:
                self._halve(group, program.size if program else group.chunk_size(), error)
                program = None

    def _train_chunk(self, program: Program, runs: np.ndarray, until: int, where: str) -> None:
        """Trains the runs of a chunk up to a step, each from the step that it has reached."""
        group, epochs = program.group, program.group.config.epochs

        def show(done: Segment) -> None:
            cost = (done.stop - done.start) * len(done.runs) * group.step_seconds
            epoch = done.stop * epochs // group.num_steps
            self.display.advance(cost, f'{where}: epoch {epoch}/{epochs}')

        chunk, is_new = Chunk(program, runs, self.records, show), self.records.step[runs].max() < 0
        self.display.say(f'{where}: {"starting" if is_new else "resuming"}')
        while segment := chunk.next_segment(until):
            chunk.advance(segment)
            if self._is_due():
                chunk.collect()
                if chunk.next_segment(until):
                    self._keep(chunk.checkpoint(until))
        chunk.collect()
        self.display.skip(chunk.left(until) * group.step_seconds)
        self._keep(chunk.checkpoint(until))

    def _is_due(self) -> bool:
        """Whether to save a checkpoint now; the same on all processes."""
        is_time = time.monotonic() - self.last_kept >= self.checkpoint_seconds
        return processes.anywhere(self.stops.is_set() or (processes.is_first() and is_time))

    def _keep(self, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint, and ends the study if there was a signal on any process."""
        self.records.keep(checkpoint)
        self.last_kept = time.monotonic()
        if processes.anywhere(self.stops.is_set()):
            raise KeyboardInterrupt('interrupted; the same command resumes it')

    def _compiled(self, group: Group, is_new: bool) -> Program:
        if is_new:
            self.display.say('compiling')
        began = time.monotonic()
        program = self.compiler.get(group, self.sizes.get(group.index))
        self.display.compiled(time.monotonic() - began)
        if program.excess_bytes > 0:
            self.display.say(
                f'the smallest chunk, {program.size} runs, takes '
                f'{program.excess_bytes / 2**30:.2g} GiB more memory than it may'
            )
        return program

    def _compile_next(self, group: Group, points: Sequence[int], epochs: int) -> None:
        """Compiles for the next group while this one trains, where that leaves the host idle."""
        # Compilers of several processes may speak with each other, in the order of the programs.
        if self.plan.target.kind.is_host or jax.process_count() > 1:
            return
        for other in self.plan.groups[self.plan.groups.index(group) + 1 :]:
            if self._left(other, points, epochs).size:
                return self.compiler.start(other)

    def _left(self, group: Group, points: Sequence[int], epochs: int) -> np.ndarray:
        """Returns the runs of a group that belong to the points and are not yet at a rung."""
        runs = group.runs[np.isin(group.points, points)]
        return self.records.behind(runs, group.step_of(epochs))

    def _halve(self, group: Group, size: int, error: jax.errors.JaxRuntimeError) -> None:
        """After an out-of-memory error, makes the chunks of a group smaller, once."""
        # Other processes would not know of it, and would wait for this one.
        if 'RESOURCE_EXHAUSTED' not in str(error) or jax.process_count() > 1:
            raise error
        half = size // group.layout.unit // 2 * group.layout.unit
        if group.index in self.sizes or not half:
            raise errors.UserError(
                f'out of memory with {size} runs at a time; set config.execution.memory_gib to the '
                'memory that there is, or config.execution.lanes to less than '
                f'{group.layout.lanes}, or make the model smaller'
            ) from error
        self.sizes[group.index] = half
        self.display.say(f'out of memory with {size} runs at a time; going on with {half}')
