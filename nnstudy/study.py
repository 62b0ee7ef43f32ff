"""The host loop of a study, and the only owner of side effects while it trains.

For each group of the plan it compiles one program, and for each chunk of the group's runs it goes
from segment to segment: dispatch the next one, fetch the metrics of the one before while the
devices work, show progress, checkpoint. An interrupted study goes on where its last checkpoint
stands and ends with the same bits as one that was not interrupted:

1. A chunk that is done is in `chunks/`; its runs are not trained again.
2. The chunk that was being trained is in `checkpoints/` and goes on first, from the end of the
   segment at which it was saved. Nothing but the state and the step is needed.
3. The tables are written when all chunks are done, `history.parquet` last: where it is, the study
   is finished.
"""

import dataclasses
import functools
import importlib.metadata
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from nnstudy import checkpoints, devices, errors, progress, train
from nnstudy import config as config_lib
from nnstudy import results as results_lib
from nnstudy.checkpoints import Checkpoint
from nnstudy.data import Dataset
from nnstudy.sweep import execute
from nnstudy.sweep import plan as plan_lib


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
        whole study; `nnstudy.merge` joins the parts.
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
    if plan.config.zoom.train:
        from nnstudy import zoom  # made of studies itself

        return zoom.run(
            config,
            points,
            workdir,
            data,
            claims,
            references,
            name=name,
            data_dir=data_dir,
            quiet=quiet,
        )
    return carry_out(plan, workdir, claims, references, name=name, quiet=quiet)


def carry_out(
    plan: plan_lib.Plan,
    workdir: str | os.PathLike | None = None,
    claims: Sequence[Any] = (),
    references: Sequence[Any] = (),
    *,
    name: str = 'study',
    quiet: bool = False,
) -> results_lib.Results:
    """Does what `run` says for a plan that is already made."""
    chunks: checkpoints.AnySeries = checkpoints.Memory()
    unfinished: checkpoints.Series | None = None
    workdir = None if workdir is None else Path(workdir)
    if workdir is not None:
        if check_workdir(plan, workdir) == 'finished':
            if not quiet:
                print(f'{workdir} is finished already; nothing to train', file=sys.stderr)
            return results_lib.load(workdir)
        identity = {**plan.identity, 'name': name, 'claims': claims, 'references': references}
        _open_workdir(workdir, identity, _environment(plan))
        chunks = checkpoints.Series(workdir / 'chunks')
        unfinished = checkpoints.Series(workdir / 'checkpoints', max_to_keep=2)

    mesh = devices.runs_mesh()
    done = {group.index: set[int]() for group in plan.groups}
    for _, about in chunks.abouts():
        done[about['group']].update(about['runs'])
    saved = unfinished.latest('state', 'history', 'log') if unfinished else None
    if saved and saved.about['runs'][0] in done[saved.about['group']]:
        saved = None  # of a chunk that was done before the next checkpoint

    total = plan.num_run_steps
    before = sum(len(done[group.index]) * group.num_steps for group in plan.groups)
    if saved:
        before += len(saved.about['runs']) * saved.about['step']
    seconds = plan.config.execution.checkpoint_seconds
    try:
        with progress.Display(total, before, quiet) as display, _Interrupts() as interrupts:
            for group in plan.groups:
                begun = saved if saved and saved.about['group'] == group.index else None
                chunk_runs = list(_chunks(group, done[group.index], begun))
                if not chunk_runs:
                    continue
                program = _Program(group, mesh)
                for number, runs in enumerate(chunk_runs):
                    where = _place(group, plan, number, len(chunk_runs))
                    keep = _Keeper(seconds, unfinished, interrupts)
                    begin, begun, saved = begun, None, None  # a chunk's state: let go of it
                    chunks.save(_train_chunk(program, runs, begin, keep, display, where))
                    interrupts.obey()
        results = _concluded(plan, chunks, workdir, claims, references, name)
        if unfinished is not None:
            unfinished.clear()
        return results
    finally:
        chunks.close()
        if unfinished is not None:
            unfinished.close()


def _concluded(
    plan: plan_lib.Plan,
    chunks: checkpoints.AnySeries,
    workdir: Path | None,
    claims: Sequence[Any],
    references: Sequence[Any],
    name: str,
) -> results_lib.Results:
    """Returns the results of a study whose chunks are all done, and writes its tables."""
    finished = [chunks.load(number, *results_lib.TABLE_ITEMS) for number, _ in chunks.abouts()]
    runs, history, steps = results_lib.tables(plan.groups, plan.points, finished)
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
    )
    if workdir is not None:
        results_lib.write(results, workdir)
    return results


def check_workdir(plan: plan_lib.Plan, workdir: Path) -> str:
    """Returns `'new'`, `'begun'` or `'finished'`.

    Raises:
      UserError: the directory holds another study, or other files.
    """
    try:
        stored = results_lib.read_identity(workdir)
        is_in_use = stored is None and _is_in_use(workdir)
    except OSError as error:
        raise errors.UserError(f'cannot read --workdir {str(workdir)!r}: {error}') from error
    if stored is None:
        if is_in_use:
            shards = '; python -m nnstudy.merge joins its shards' if _has_shards(workdir) else ''
            raise errors.UserError(
                f'--workdir {str(workdir)!r} exists and holds no study; name an empty or new one'
                + shards
            )
        return 'new'
    mine = plan.identity
    if stored.get('digest') != mine['digest']:
        differing = differences(stored, json.loads(json.dumps(results_lib.plain(mine))))
        raise errors.UserError(
            f'--workdir {str(workdir)!r} holds another study, {stored.get("name")!r}: '
            f'it differs in {differing}; name another directory'
        )
    theirs, own = stored.get('shard'), mine.get('shard')
    if theirs != (own and list(own)):
        held, wanted = map(plan_lib.shard_name, (theirs, own))
        raise errors.UserError(
            f'--workdir {str(workdir)!r} holds {held}, not {wanted}; name another directory'
        )
    return 'finished' if (workdir / 'history.parquet').is_file() else 'begun'


def _is_in_use(workdir: Path) -> bool:
    """Whether something else is there, or on the way there."""
    existing = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
    return not existing.is_dir() or (existing == workdir and any(workdir.iterdir()))


def _has_shards(workdir: Path) -> bool:
    return any(workdir.glob('shard-*-of-*/config.json'))


def _open_workdir(workdir: Path, identity: dict[str, Any], environment: dict[str, Any]) -> None:
    """Creates the directory, or adds a session to it.

    Raises:
      UserError: it cannot be written, or claims or references are not plain data.
    """
    path = workdir / 'environment.json'
    try:
        text = results_lib.to_json(identity)
    except TypeError as error:
        raise errors.UserError(f'claims() and references() must be plain data: {error}') from error
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        sessions = json.loads(path.read_text())['sessions'] if path.is_file() else []
        results_lib.write_text(workdir / 'config.json', text)
        results_lib.write_text(path, results_lib.to_json({'sessions': [*sessions, environment]}))
    except OSError as error:
        raise errors.UserError(f'cannot write to --workdir {str(workdir)!r}: {error}') from error
    changed = [k for k in _ROUNDING if sessions and sessions[-1].get(k) != environment[k]]
    if changed:
        print(
            f'warning: this study was begun with other {", ".join(changed)}; the runs that are '
            'left may round differently',
            file=sys.stderr,
        )


# What of an environment may change the bits of a run.
_ROUNDING = ('versions', 'backend', 'devices', 'lanes')


def default_workdir(plan: plan_lib.Plan, name: str) -> Path:
    """Returns `runs/<name>-<hash>`: the same config and points find the same directory again.

    Of a shard, it is the folder `shard-<i>-of-<n>` in there.
    """
    whole = Path('runs') / f'{name}-{plan.identity["digest"][:8]}'
    return whole if plan.shard is None else whole / 'shard-{}-of-{}'.format(*plan.shard)


@functools.lru_cache(maxsize=32)
def compiled(training: train.Training, mesh: Mesh, lanes: int, log_size: int) -> tuple[Any, Any]:
    """Returns `init` and `segment` of a `Training` over the runs axis, jitted.

    They are kept: another study that differs in its dynamic fields alone, in the same process,
    compiles nothing.
    """
    segment = functools.partial(training.segment, log_size=log_size)
    is_cpu = jax.default_backend() == 'cpu'
    return (
        # Lanes would only make the initialisers slower to compile, and on the CPU so would LLVM's
        # optimisations, for a program that runs once (ResNet-20: 8.5 s with them, 2 s without).
        jax.jit(
            execute.lift(training.init, mesh, lanes=1, num_mapped=2),
            compiler_options={'xla_backend_optimization_level': 0} if is_cpu else None,
        ),
        jax.jit(execute.lift(segment, mesh, lanes, num_mapped=3), donate_argnums=0),
    )


class _Program:
    """A group's compiled functions, and its data on the devices."""

    def __init__(self, group: plan_lib.Group, mesh: Mesh):
        self.group, self.mesh = group, mesh
        training = train.make_training(group.config)
        # A user's component may read a global that changes between two studies; programs made
        # with one are not kept.
        make = compiled if training.is_library_code else compiled.__wrapped__
        self.init, self.segment = make(training, mesh, group.layout.lanes, group.log_size)
        self.data = execute.put(group.data, mesh, mapped=False)

    def inputs(self, rows: np.ndarray) -> tuple[train.Keys, dict[str, jax.Array]]:
        """Returns keys and hparams of the rows of the group, padded, on the devices."""
        unit = self.mesh.size * self.group.layout.lanes
        size = max(self.group.layout.chunk_size, -(-len(rows) // unit) * unit)
        seeds = execute.pad(self.group.seeds[rows], size)
        own = execute.pad({k: v[rows] for k, v in self.group.hparams.items()}, size)
        keys = jax.vmap(train.make_keys)(jnp.asarray(seeds, jnp.uint32))
        return execute.put((keys, own), self.mesh, mapped=True)


def _train_chunk(
    program: _Program,
    runs: np.ndarray,
    begin: Checkpoint | None,
    keep: '_Keeper',
    display: progress.Display,
    where: str,
) -> Checkpoint:
    """Trains the runs of a chunk to their end, from a checkpoint if there is one."""
    group = program.group
    rows = np.searchsorted(group.runs, runs)
    keys, hparams = program.inputs(rows)
    began = time.monotonic()
    display.say(f'{where}: starting' if begin is None else f'{where}: resuming')
    if begin is None:
        state = program.init(keys, hparams, program.data)
        step, seconds, history, log = -1, 0.0, [], []
    else:
        shapes = jax.eval_shape(program.init, keys, hparams, program.data)
        leaves = execute.pad(begin.items['state'], len(jax.tree.leaves(keys)[0]))
        state = checkpoints.restore_leaves(leaves, shapes)
        state = execute.put(state, program.mesh, mapped=True)
        step, seconds = begin.about['step'], begin.about['seconds']
        history, log = [begin.items['history']], [begin.items['log']]

    def about(step: int) -> dict[str, Any]:
        elapsed = seconds + time.monotonic() - began
        return {'group': group.index, 'runs': runs.tolist(), 'step': step, 'seconds': elapsed}

    def real(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(runs)], tree)

    def collect(segment: Segment, outputs: Any) -> None:
        """Waits for a segment and fetches what it has measured; padding is cut off here."""
        jax.block_until_ready(outputs)  # one without evaluation has nothing to fetch
        if segment.evaluate:
            history.append(
                {name: column[:, None] for name, column in real(outputs['metrics']).items()}
            )
        count = group.logged_steps(segment.start, segment.stop)
        log.append({name: rows[:, :count] for name, rows in real(outputs['log']).items()})
        epochs = group.config['epochs']
        epoch = segment.stop * epochs // group.num_steps
        done = (segment.stop - segment.start) * len(runs)
        display.advance(done, f'{where}: epoch {epoch}/{epochs}')

    before, is_first = None, True
    for segment in segments(group, after=step):
        state, outputs = program.segment(
            state,
            keys,
            hparams,
            program.data,
            jnp.int32(segment.start),
            jnp.int32(segment.stop),
            jnp.asarray(segment.evaluate),
        )
        if is_first:  # compiling is over; it is no part of a run's share of the time
            is_first, began = False, time.monotonic()
        if before is not None:
            collect(*before)
        before = segment, outputs
        if keep.is_due() and segment.stop < group.num_steps:
            collect(*before)
            before = None
            items = {
                'state': real(checkpoints.leaves(state)),
                'history': _joined(history),
                'log': _joined(log),
            }
            keep.save(Checkpoint(about(segment.stop), items))
    if before is not None:
        collect(*before)
    final = real(state)
    return Checkpoint(
        about(group.num_steps),
        {
            'final': final.variables,
            'best': final.best.variables,
            'outcome': {
                'best_step': final.best.step,
                'frozen_at': final.frozen_at,
                'stopped': final.stopped,
            },
            'history': _joined(history),
            'log': _joined(log),
        },
    )


@dataclasses.dataclass(frozen=True)
class Segment:
    """Steps `start` to before `stop`, and an evaluation there or not."""

    start: int
    stop: int
    evaluate: bool


def segments(group: plan_lib.Group, after: int) -> Iterator[Segment]:
    """Yields the segments of a run, from step `after` on; -1 for all, that of step 0 included."""
    start = max(after, 0)
    for evaluation in group.evaluation_steps:
        if evaluation <= after:
            continue
        steps = group.layout.segment_steps
        for stop in range(start + steps, evaluation, steps):
            yield Segment(start, stop, False)
            start = stop
        yield Segment(start, int(evaluation), True)
        start = int(evaluation)


class _Interrupts:
    """Turns Ctrl-C and SIGTERM into a wish that the loop grants between two segments.

    Stopped there, nothing that was computed is lost. A second Ctrl-C acts at once. Signals reach
    the main thread only; in another one, this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> '_Interrupts':
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _note(self, *_: Any) -> None:
        self.requested = True
        self.__exit__()
        # Stopped at once, a checkpoint that is being written is given up, which orbax logs.
        logging.getLogger('absl').setLevel(logging.CRITICAL)
        print('stopping after this segment; once more to stop at once', file=sys.stderr)

    def obey(self) -> None:
        """Raises KeyboardInterrupt if there was a signal."""
        if self.requested:
            raise KeyboardInterrupt


class _Keeper:
    """Decides when a checkpoint is due, and saves it."""

    def __init__(
        self, seconds: float, series: checkpoints.Series | None, interrupts: _Interrupts
    ) -> None:
        self._seconds, self._series, self._interrupts = seconds, series, interrupts
        self._last = time.monotonic()

    def is_due(self) -> bool:
        if self._series is None:
            self._interrupts.obey()
            return False
        is_time = time.monotonic() - self._last >= self._seconds
        return is_time or self._interrupts.requested

    def save(self, checkpoint: Checkpoint) -> None:
        assert self._series is not None
        self._series.save(checkpoint)
        self._interrupts.obey()
        self._last = time.monotonic()


def _chunks(
    group: plan_lib.Group, done: set[int], begun: Checkpoint | None
) -> Iterator[np.ndarray]:
    """Yields the run numbers of the chunks that are left, the one that was begun first."""
    if begun is not None:
        yield np.array(begun.about['runs'])
        done = done | set(begun.about['runs'])
    left = np.array([number for number in group.runs if number not in done])
    size = group.layout.chunk_size
    for low in range(0, len(left), size):
        yield left[low : low + size]


def _place(group: plan_lib.Group, plan: plan_lib.Plan, number: int, count: int) -> str:
    groups = [g.index for g in plan.groups]
    parts = [f'group {groups.index(group.index) + 1}/{len(groups)}' if len(groups) > 1 else '']
    parts += [f'chunk {number + 1}/{count}' if count > 1 else '']
    return ', '.join(filter(None, parts)) or 'training'


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Joins columns [R, T1], [R, T2], ... along time; none at all where there is no row."""
    parts = [part for part in parts if any(column.size for column in part.values())]
    names = parts[0] if parts else {}
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in names}


def differences(stored: Mapping[str, Any], mine: Mapping[str, Any]) -> str:
    """Names the fields in which two identities differ."""
    both = [config_lib.flatten(identity['config']) for identity in (stored, mine)]
    fields = [
        f'config.{field}'
        for field in sorted(both[0].keys() | both[1].keys())
        if not field.startswith('execution.') and both[0].get(field) != both[1].get(field)
    ]
    rest = {'points': 'points', 'data': 'data', 'sources': 'the code of its components'}
    fields += [text for name, text in rest.items() if stored.get(name) != mine[name]]
    return ', '.join(fields) or 'what is stored of it'


def _environment(plan: plan_lib.Plan) -> dict[str, Any]:
    """Returns where and with what a study is executed."""
    packages = ('nnstudy', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')
    return {
        'versions': {
            'python': platform.python_version(),
            **{name: _version(name) for name in packages},
        },
        'platform': platform.platform(),
        'backend': jax.default_backend(),
        'devices': [device.device_kind for device in jax.devices()],
        'lanes': [group.layout.lanes for group in plan.groups],
        'chunk_size': [group.layout.chunk_size for group in plan.groups],
        'git_commit': _git_commit(),
        'command': sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Returns the commit that nnstudy's code is at, if it lies in a git checkout."""
    try:
        done = subprocess.run(
            ['git', '-C', str(Path(__file__).parent), 'rev-parse', 'HEAD'],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
