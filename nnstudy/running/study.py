"""The host loop of a study, and the only owner of side effects while it trains.

For each group of the plan it compiles one program, and for each chunk of the group's runs it goes
from segment to segment: dispatch the next one, fetch what the one before has measured while the
devices work, show progress, checkpoint. With `config.halving` it does so once for every rung, with
the runs of the points that are left.

An interrupted study goes on where its last checkpoint stands and ends with the same bits as one
that was not interrupted:

1. `chunks/` has every chunk as it was when it reached a rung or its end.
2. `checkpoints/` has the chunk that was being trained, some of its runs a segment ahead of others.
   Nothing but each run's state and step is needed to go on.
3. The tables are written when all is done, `history.parquet` last: where it is, the study is
   finished.
"""

import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.machine import devices, processes, progress
from nnstudy.machine.signals import Interrupts
from nnstudy.results import checkpoints
from nnstudy.results import results as results_lib
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import halving, layout, tables
from nnstudy.running import plan as plan_lib
from nnstudy.running import program as program_lib
from nnstudy.running import workdir as workdir_lib
from nnstudy.running.records import Records


def carry_out(
    plan: plan_lib.Plan,
    workdir: str | os.PathLike | None = None,
    claims: Sequence[Any] = (),
    references: Sequence[Any] = (),
    *,
    name: str = 'study',
    quiet: bool = False,
) -> results_lib.Results:
    """Trains the runs of a plan, and returns what came out.

    Args:
      plan: see `nnstudy.running.plan`.
      workdir: directory to keep the study in; with one, an interrupted study goes on where it
        stood and a finished one is only read. None keeps everything in memory.
      claims: plain data, kept with the results.
      references: plain data, kept with the results.
      name: of the study, for titles.
      quiet: no progress display on stderr.

    Raises:
      UserError: something is wrong with the directory, or memory does not suffice.
    """
    processes.check_same(plan.identity['digest'])
    quiet = quiet or not processes.is_first()
    chunks: checkpoints.AnySeries = checkpoints.Memory()
    unfinished: checkpoints.Series | None = None
    workdir = None if workdir is None else Path(workdir)
    if workdir is not None:
        directory = workdir

        def opened() -> str:
            status = workdir_lib.check(plan, directory)
            about = {**plan.identity, 'name': name, 'claims': claims, 'references': references}
            if status != 'finished':
                workdir_lib.open_session(directory, about, workdir_lib.environment(plan))
            return status

        if processes.from_first(opened) == 'finished':
            if not quiet:
                print(f'{workdir} is finished already; nothing to train', file=sys.stderr)
            return results_lib.load(workdir, data=plan.data, data_dir=plan.data_dir)
        if processes.is_first():
            chunks = checkpoints.Series(workdir / 'chunks')
            unfinished = checkpoints.Series(workdir / 'checkpoints', max_to_keep=2)

    records = Records(len(plan.points) * plan.config.num_seeds, chunks, unfinished)
    seconds = plan.config.execution.checkpoint_seconds
    before = sum(records.steps_done(group.runs) * group.step_cost for group in plan.groups)
    points = list(range(len(plan.points)))
    sizes: dict[int, int] = {}
    try:
        with (
            progress.Display(plan.cost, before, quiet) as display,
            Interrupts() as interrupts,
        ):
            for epochs in plan.rungs:
                for group in plan.groups:
                    keeper = _Keeper(seconds, workdir is not None, unfinished, interrupts)
                    _train_group(plan, group, points, epochs, records, keeper, display, sizes)
                if epochs != plan.rungs[-1]:
                    kept = _survivors(plan, points, epochs, records.tables())
                    display.say(f'after epoch {epochs}: {len(kept)} of {len(points)} points go on')
                    points = kept
        results = _concluded(plan, records, workdir, claims, references, name)
        if unfinished is not None:
            unfinished.clear()
        return results
    finally:
        for series in (chunks, unfinished):
            if series is not None:
                series.close()


def _survivors(
    plan: plan_lib.Plan, points: Sequence[int], epochs: int, chunks: Sequence[Checkpoint]
) -> list[int]:
    """Returns the points that go on after a rung, ranked as the table ranks them."""
    groups = {group.index: group for group in plan.groups}
    then = [tables.as_of(chunk, groups[chunk.about['group']].step_of(epochs)) for chunk in chunks]
    runs = tables.build(plan.groups, plan.points, then)[0]
    runs = runs[runs['point'].isin(points)]
    # Nobody is pruned yet.
    runs = runs.assign(status=runs['status'].replace('pruned', 'finished'))
    factor = plan.config.halving.factor
    assert factor is not None  # or there would be no rung before the last
    return halving.survivors(comparison.ranking(runs), factor)


def _concluded(
    plan: plan_lib.Plan,
    records: Records,
    workdir: Path | None,
    claims: Sequence[Any],
    references: Sequence[Any],
    name: str,
) -> results_lib.Results:
    """Returns the results of a study whose chunks are all done, and writes its tables."""
    runs, history, steps = tables.build(plan.groups, plan.points, records.tables())
    chunks = records.chunks
    results = results_lib.Results(
        name=name,
        config=plan.config.to_dict(),
        points=plan.points,
        runs=runs,
        history=history,
        steps=steps,
        claims=list(claims),
        references=list(references),
        workdir=workdir,
        chunks=chunks if isinstance(chunks, checkpoints.Memory) else None,
        data=plan.data,
        data_dir=plan.data_dir,
    )
    if workdir is not None and processes.is_first():
        results_lib.write(results, workdir)
    return results


def _train_group(
    plan: plan_lib.Plan,
    group: plan_lib.Group,
    points: Sequence[int],
    epochs: int,
    records: Records,
    keeper: '_Keeper',
    display: progress.Display,
    sizes: dict[int, int],
) -> None:
    """Trains the runs of a group that belong to the points, chunk by chunk, up to a rung.

    Where memory did not suffice, `sizes` keeps the size of a group's chunks, for later rungs too.
    """
    until = group.step_of(epochs)
    left = records.behind(group.runs[np.isin(group.points, points)], until)
    if not left.size:
        return
    mesh = devices.runs_mesh()
    if epochs == plan.rungs[0]:  # later it is there
        display.say('compiling')
    unit = mesh.size * group.layout.lanes
    program: program_lib.Program | None = None
    number = 0
    while left.size:
        size = sizes.get(group.index, group.layout.chunk_size)
        try:
            if program is None:
                program = _compiled(group, mesh, display, sizes.get(group.index))
            size = program.layout.chunk_size
            count = number + math.ceil(left.size / size)
            place, groups = [g.index for g in plan.groups].index(group.index) + 1, len(plan.groups)
            parts = [f'group {place}/{groups}' if groups > 1 else '']
            parts += [f'chunk {number + 1}/{count}' if count > 1 else '']
            where = ', '.join(filter(None, parts)) or 'training'
            chunk = _train_chunk(program, left[:size], until, records, keeper, display, where)
        except jax.errors.JaxRuntimeError as error:
            # Other processes would not know of it, and wait for this one.
            if 'RESOURCE_EXHAUSTED' not in str(error) or jax.process_count() > 1:
                raise
            half = size // unit // 2 * unit
            if group.index in sizes or not half:
                raise errors.UserError(
                    f'out of memory with {size} runs at a time; set config.execution.memory_gib '
                    'to what there is, or make the model smaller'
                ) from error
            sizes[group.index] = half
        else:
            records.keep(chunk)
            keeper.obey()
            left, number = left[size:], number + 1
            continue
        # Only here is what the failed chunk held let go of, with the error.
        program = None
        records.read_unfinished()
        half = sizes[group.index]
        display.say(f'out of memory with {size} runs at a time; going on with {half}')


def _compiled(
    group: plan_lib.Group, mesh: Mesh, display: progress.Display, most: int | None = None
) -> program_lib.Program:
    began = time.monotonic()
    program = program_lib.make(group, mesh, most)
    display.compiled(time.monotonic() - began)
    if program.excess_bytes > 0:
        display.say(
            f'{program.layout.chunk_size} runs at a time, the least there is, take '
            f'{program.excess_bytes / 2**30:.2g} GiB more than they may'
        )
    return program


def _train_chunk(
    program: program_lib.Program,
    runs: np.ndarray,
    until: int,
    records: Records,
    keeper: '_Keeper',
    display: progress.Display,
    where: str,
) -> Checkpoint:
    """Trains the runs of a chunk to a step, from where each of them stands."""
    group = program.group
    evaluation_steps = group.evaluation_steps
    began = time.monotonic()
    state, own = program.init(np.searchsorted(group.runs, runs))
    at = np.full(len(runs), -1)
    seconds = np.zeros(len(runs))
    history, log = program.tables(len(runs))
    is_new = True
    for places, saved in records.begun(runs):
        is_new = False
        restored = checkpoints.restore_leaves(saved['state'], state)
        state = program.replaced(state, places, restored)
        at[places], seconds[places] = saved['outcome']['at'], saved['outcome']['seconds']
        for table, kept in ((history, saved['history']), (log, saved['log'])):
            for name, values in kept.items():
                table[name][places] = values
    display.say(f'{where}: starting' if is_new else f'{where}: resuming')
    frozen_at = program.fetch(state.frozen_at, len(runs))
    # One that is over is evaluated once more, and then left alone.
    stopped = program.fetch(state.stopped, len(runs))
    ends = np.searchsorted(evaluation_steps, frozen_at)
    # It is stopped by an evaluation; a loss that is not finite comes after the one of its step.
    ends = evaluation_steps[
        np.where(stopped, ends, np.searchsorted(evaluation_steps, frozen_at, 'right'))
    ]
    alive = (frozen_at < 0) | (at < ends)

    def outcome() -> dict[str, np.ndarray]:
        share = (time.monotonic() - began) / len(runs)
        return {'at': at.astype(np.int32), 'seconds': seconds + share}

    def collect(segment: layout.Segment, outputs: Any) -> None:
        """Waits for a segment and fetches what it has measured."""
        chosen = segment.runs
        measured = program.fetch(outputs, len(runs))
        if segment.evaluate:
            column = np.searchsorted(evaluation_steps, segment.stop)
            for name, values in measured['metrics'].items():
                history[name][chosen, column] = values[chosen]
            alive[chosen] &= ~measured['is_over'][chosen]
        first, count = group.logged(segment.start, segment.stop)
        for name, rows in measured['log'].items():
            log[name][chosen, first : first + count] = rows[chosen, :count]
        done = (segment.stop - segment.start) * len(chosen)
        epochs = group.config.epochs
        epoch = segment.stop * epochs // group.num_steps
        display.advance(done * group.step_cost, f'{where}: epoch {epoch}/{epochs}')

    def next_segment() -> layout.Segment | None:
        return layout.next_segment(
            program.layout, at, alive, evaluation_steps, until, program.mesh.size
        )

    pending = None
    while segment := next_segment():
        state, outputs = program.advance(state, own, segment)
        at[segment.runs] = segment.stop
        if pending is not None:
            collect(*pending)
        pending = segment, outputs
        if next_segment() is not None and keeper.is_due():
            collect(*pending)
            pending = None
            items = {
                'state': checkpoints.leaves(program.fetch(state, len(runs))),
                # They are written in the background, while the next segments add to the tables.
                'history': jax.tree.map(np.copy, history),
                'log': jax.tree.map(np.copy, log),
                'outcome': outcome(),
            }
            keeper.save(Checkpoint({'group': group.index, 'runs': runs.tolist()}, items))
    if pending is not None:
        collect(*pending)
    display.skip(int((until - at).sum()) * group.step_cost)
    at[:] = until
    final = program.fetch(state, len(runs))
    items = {
        'final': final.variables,
        'best': final.best.variables,
        'outcome': {
            **outcome(),
            'best_step': final.best.step,
            'frozen_at': final.frozen_at,
            'stopped': final.stopped,
        },
        'history': history,
        'log': log,
    }
    if until < group.num_steps:  # its points may go on after this rung
        items['state'] = checkpoints.leaves(final)
    about = {'group': group.index, 'runs': runs.tolist(), 'step': until}
    return Checkpoint(about, items)


class _Keeper:
    """Decides when a checkpoint is due, and saves it."""

    def __init__(
        self,
        seconds: float,
        is_kept: bool,
        series: checkpoints.Series | None,
        interrupts: Interrupts,
    ) -> None:
        self._seconds, self._is_kept, self._series = seconds, is_kept, series
        self._interrupts = interrupts
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
        if self._series is not None:
            self._series.save(checkpoint)
        self._stop()
        self._last = time.monotonic()

    def obey(self) -> None:
        """Ends the study if there was a signal on any process."""
        (self._must_stop,) = processes.anywhere(self._interrupts.requested)
        self._stop()

    def _stop(self) -> None:
        if self._must_stop:
            raise KeyboardInterrupt('interrupted; the same command goes on from what was saved')
