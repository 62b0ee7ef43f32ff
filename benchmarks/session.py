"""One session: the sides' processes, the check that they do the same, and interleaved timings."""

import contextlib
import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import workloads
from nnstudy import errors

SIDES = ('nnstudy', 'pytorch', 'keras', 'jax')
PEERS = SIDES[1:]

# A side's repeat is about so many seconds; nnstudy's takes as long as the sweep does.
REPEATS, REPEAT_SECONDS = 5, 1.0
QUICK_REPEATS, QUICK_REPEAT_SECONDS = 3, 0.2


class WorkerError(RuntimeError):
    """A worker has died or cannot do what it was asked; the message is the last line of its log."""


class Worker:
    """A side's process, see `benchmarks.worker`.

    Args:
      side: its name.
      python: its interpreter.
      cores: how many it may use; None for all.
      environment: variables that are added to this process's own.

    Attributes:
      missing: the package that is not installed; None if the side is ready.
      versions: of its packages.

    Raises:
      UserError: the interpreter cannot be started.
    """

    def __init__(
        self,
        side: str,
        python: str = sys.executable,
        cores: int | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        self.side = side
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        arguments = [side] if cores is None else [side, str(cores)]
        environment = {**os.environ, 'PYTHONPATH': str(workloads.ROOT), **(environment or {})}
        # Compilation is timed.
        environment.pop('JAX_COMPILATION_CACHE_DIR', None)
        try:
            self._process = subprocess.Popen(
                [python, '-m', 'benchmarks.worker', *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env=environment,
            )
        except OSError as error:
            self._log.close()
            raise errors.UserError(
                f'--python {side}={python}: cannot be started: {error.strerror}'
            ) from error
        try:
            hello = self._read()
        except WorkerError as error:
            self.close()
            if python == sys.executable:
                raise
            raise errors.UserError(f'--python {side}={python}: no Python, or {error}') from error
        self.missing: str | None = hello.get('missing')
        self.versions: dict[str, str] = hello.get('versions', {})

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Sends a request and waits for the answer.

        Raises:
          WorkerError: there is none.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the log says why
            self._process.stdin.write(json.dumps({'do': do, **request}) + '\n')
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors='replace').split('\n')
        last = next((text for text in reversed(said) if text.strip()), 'no message')
        raise WorkerError(f'{self.side}: {last.strip()}')

    def close(self) -> None:
        """Ends the process: without requests it is over."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


@dataclasses.dataclass
class Measured:
    """A side's timings of a workload.

    Attributes:
      seconds: per run-step, one for each repeat.
      core_seconds: per run-step, the time that the side's threads kept a core, likewise.
      run_steps: of a repeat.
      compile_seconds: of the first step; None where nothing is compiled.
      settings: how the side trains.
      losses: of the first steps.
      unfair: how its losses differ, in which case it was not timed; None if they do not.
      others: share of the machine's cores that other processes used during each repeat; empty
        where that is not known.
    """

    seconds: list[float]
    core_seconds: list[float]
    run_steps: int
    compile_seconds: float | None
    settings: dict[str, Any]
    losses: list[float]
    unfair: str | None = None
    others: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def ratios(peer: Measured, ours: Measured) -> list[float]:
    """Returns how many times as long the peer takes for a run-step, repeat by repeat.

    A repeat of one is compared with that of the other beside it, so that a machine that gets slower
    slows both.
    """
    return [theirs / mine for theirs, mine in zip(peer.seconds, ours.seconds, strict=True)]


class Session:
    """The processes of all sides that are there, for several workloads.

    Args:
      pythons: interpreters by side.
      data_dir: where the data sets are; None for random numbers.
      quick: fewer and shorter repeats.
    """

    def __init__(self, pythons: Mapping[str, str], data_dir: str | None, quick: bool):
        self.data_dir, self.quick, self._pythons = data_dir, quick, pythons
        self.missing: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.workers: dict[str, Worker] = {}

    def __enter__(self) -> 'Session':
        try:
            for side in SIDES:
                worker = Worker(side, self._pythons.get(side, sys.executable))
                if worker.missing:
                    self.missing[side] = worker.missing
                    worker.close()
                else:
                    self.workers[side] = worker
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        for worker in self.workers.values():
            worker.close()

    @property
    def repeats(self) -> int:
        return QUICK_REPEATS if self.quick else REPEATS

    @property
    def versions(self) -> dict[str, str]:
        return {name: v for w in self.workers.values() for name, v in w.versions.items()}

    def measure(self, workload: workloads.Workload) -> dict[str, Measured]:
        """Returns the timings of all sides, nnstudy first.

        A peer whose process dies is noted in `failed` and takes part no more.

        Raises:
          WorkerError: nnstudy's process has died.
        """
        ours = {'workload': workload.name, 'quick': self.quick, 'data_dir': self.data_dir}
        theirs = {'seconds': QUICK_REPEAT_SECONDS if self.quick else REPEAT_SECONDS}
        measured: dict[str, Measured] = {}
        with tempfile.TemporaryDirectory() as folder:
            for side in list(self.workers):
                if side == 'keras' and not workload.keras:
                    continue
                request = ours if side == 'nnstudy' else theirs
                answer = self._ask(side, 'prepare', folder=folder, **request)
                if answer:
                    measured[side] = Measured([], [], 0, **answer)
        for m in measured.values():
            m.unfair = difference(m.losses, measured['nnstudy'].losses, workload.tolerance)
        for repeat in range(1 + self.repeats):
            for side in list(measured):
                if measured[side].unfair:
                    continue
                busy = busy_seconds()
                timed = self._ask(side, 'time')
                if timed is None:
                    del measured[side]
                elif repeat:  # the first is for warming up
                    self._note(measured[side], timed, busy)
        return measured

    def _ask(self, side: str, do: str, **request: Any) -> dict[str, Any] | None:
        """Returns a side's answer; None of a peer that has died."""
        try:
            return self.workers[side].ask(do, **request)
        except WorkerError as error:
            if side == 'nnstudy':
                raise
            self.failed[side] = str(error)
            self.workers.pop(side).close()
            return None

    def _note(self, m: Measured, timed: Mapping[str, float], busy: float | None) -> None:
        run_steps, seconds = int(timed['run_steps']), timed['seconds']
        m.run_steps = run_steps
        m.seconds.append(seconds / run_steps)
        m.core_seconds.append(timed['process_seconds'] / run_steps)
        if busy is not None:
            others = (busy_seconds() or busy) - busy - timed['process_seconds']
            m.others.append(max(0.0, others / seconds / (os.cpu_count() or 1)))


def busy_seconds() -> float | None:
    """Returns the time that all cores together have been busy; None where Linux does not say."""
    path = Path('/proc/stat')
    if not path.is_file():
        return None
    user, nice, system, _, _, *interrupts = map(int, path.read_text().split('\n')[0].split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf('SC_CLK_TCK')


def num_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def difference(losses: Sequence[float], ours: Sequence[float], tolerance: float) -> str | None:
    """Says by how much losses differ from ours, if that is more than the tolerance, a share."""
    for step, (theirs, mine) in enumerate(zip(losses, ours, strict=True)):
        if not math.isclose(theirs, mine, rel_tol=tolerance):
            return f'loss {theirs:.6g} in step {step}, where nnstudy has {mine:.6g}'
    return None
