"""Measures nnstudy and the usual loops on a GPU or TPU, the most telling figures first.

    python -m benchmarks accelerator --minutes 10

It stops when the minutes are over, and goes on where it stopped when it is called again: each
figure is in the file as soon as it is there, with the name of the device.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import report, session, workloads
from benchmarks.session import Worker
from nnstudy import commands, errors
from nnstudy.spec import fields

Figure = dict[str, Any]

REPEATS = 3
PEERS = {'PyTorch': 'pytorch', 'torch.compile': 'pytorch', 'JAX loop': 'jax'}
LANES = (8, 32, 128, 512, 2048)
RUNS = (1, 8, 64, 512)
# XLA keeps a whole loop on the device, or starts each operation by itself.
COMMAND_BUFFERS = {
    'on': '--xla_gpu_enable_command_buffer=+WHILE,+CONDITIONAL',
    'off': '--xla_gpu_enable_command_buffer=',
}


def main(argv: Sequence[str]) -> None:
    """Runs the command."""
    parser = commands.Parser('python -m benchmarks accelerator', __doc__)
    parser.add_argument('--minutes', type=float, default=10.0, help='default: %(default)s')
    parser.add_argument('--out', type=Path, default=Path('build/benchmarks/accelerator.json'))
    told = 'of the data sets; default: $NNSTUDY_DATA_DIR, else random numbers'
    parser.add_argument('--data_dir', metavar='DIR', help=told)
    parser.add_argument(
        '--torch', metavar='PYTHON', default=sys.executable, help='that has PyTorch'
    )
    parser.add_argument('--only', metavar='NAME[,NAME]', help='of the workloads; default: all')
    parser.add_argument(
        '--quick', action='store_true', help='shorter runs, and few figures of each'
    )
    args = parser.parse_args(argv)
    names = list(workloads.WORKLOADS) if args.only is None else args.only.split(',')
    for name in names:
        errors.check_known('name in --only', name, workloads.WORKLOADS)
    if shutil.which(args.torch) is None:
        raise errors.UserError(f'--torch={args.torch}: there is no such program')
    end = time.monotonic() + 60 * args.minutes
    data_dir = workloads.data_dir(args.data_dir)
    bench = Bench(args.out.parent, data_dir, args.torch, names, quick=args.quick)
    kept: dict[str, Any] = json.loads(args.out.read_text()) if args.out.is_file() else {}
    with contextlib.closing(bench):
        about = {'device': bench.device, 'quick': args.quick}
        for key, value in about.items():
            if kept.setdefault(key, value) != value:
                raise errors.UserError(
                    f'--out={args.out} has figures of {key} {kept[key]!r}, not {value!r}; name '
                    'another file'
                )
        figures = kept.setdefault('figures', {})
        for name, figure in bench.figures():
            if {'µs', 'code'} & figures.get(name, {}).keys():  # others may work now
                continue
            if time.monotonic() > end:
                print('the minutes are over; the same command goes on from here')
                return
            began = time.monotonic()
            try:
                measured = figure()
            except session.WorkerError as error:  # such as out of memory, with too many lanes
                measured = {'failed': str(error)}
                bench.close()
            kept |= report.environment()
            figures[name] = {**measured, 'took': round(time.monotonic() - began, 1)}
            report.save(kept, args.out.parent, args.out.name)
            print(f'{name}: {json.dumps(measured)}', flush=True)
    print(f'all figures are in {args.out}')


class Bench:
    """The figures, and the processes that measure them, started when they are needed.

    Args:
      folder: for the problems that the peers read.
      data_dir: where the data sets are; None for random numbers.
      torch: an interpreter that has PyTorch.
      names: of the workloads.
      quick: shorter runs, and few figures of each kind.
    """

    def __init__(
        self, folder: Path, data_dir: str | None, torch: str, names: Sequence[str], *, quick: bool
    ):
        self.folder, self.data_dir, self.torch, self.names = folder, data_dir, torch, names
        self.quick = quick
        self._workers: dict[str, Worker] = {}

    @property
    def device(self) -> str:
        """The name of the device."""
        return self._worker('nnstudy').versions['device']

    def figures(self) -> Iterator[tuple[str, Callable[[], Figure]]]:
        """Yields names of figures and what measures them."""
        if not self.quick:
            yield 'tests', self._tests
        for name in self.names:
            yield f'{name} nnstudy', partial(self._ours, name, folder=self._problem(name))
        for name in self.names:
            for title, side in PEERS.items():
                yield f'{name} {title}', partial(self._peer, name, title, side)
        for name in self.names:
            for lanes in self._few(name, LANES):
                figure = partial(self._ours, name, lanes=lanes, num_runs=lanes)
                yield f'{name} {lanes} lanes', figure
        for name in self.names:
            for num in self._few(name, RUNS):
                yield f'{name} {num} runs', partial(self._ours, name, num_runs=num)
        for name in self.names:
            for kind in typing.get_args(fields.Precision):
                yield f'{name} {kind}', partial(self._ours, name, precision=kind)
        for name in self.names:
            for state, flags in COMMAND_BUFFERS.items():
                yield f'{name} command buffers {state}', partial(self._ours, name, flags=flags)

    def _few(self, name: str, numbers: Sequence[int]) -> Sequence[int]:
        """Returns the numbers of runs that a workload is measured with."""
        if self.quick:
            return numbers[:1]
        is_large = any(layer['op'] != 'dense' for layer in workloads.WORKLOADS[name].net)
        return numbers[:3] if is_large else numbers

    def _problem(self, name: str) -> str:
        folder = self.folder / 'problems' / name
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    def _tests(self) -> Figure:
        command = [sys.executable, '-m', 'pytest', '-m', 'gpu', '--numprocesses=0', '-rfE']
        done = subprocess.run(command, cwd=workloads.ROOT, capture_output=True, text=True)
        return {'code': done.returncode, 'said': done.stdout[-1500:]}

    def _ours(self, name: str, flags: str | None = None, **options: Any) -> Figure:
        """Returns the timings of a workload, as many runs as it has or `num_runs`."""
        worker = self._worker('nnstudy', flags)
        # A repeat of few runs is short, and one of many runs long, whatever the workload.
        quick = self.quick or 'num_runs' in options
        about = worker.ask('prepare', workload=name, quick=quick, data_dir=self.data_dir, **options)
        return {
            **_timed(worker),
            **{key: about[key] for key in ('settings', 'compile_seconds', 'losses')},
        }

    def _peer(self, name: str, title: str, side: str) -> Figure:
        worker = self._worker(side)
        if worker.missing:
            return {'missing': worker.missing}
        if not list(Path(self._problem(name)).iterdir()):
            return {'missing': 'the problem of nnstudy'}
        options = {'compiled': title == 'torch.compile'} if side == 'pytorch' else {}
        about = worker.ask('prepare', folder=self._problem(name), seconds=0.5, **options)
        return {**_timed(worker), 'settings': about['settings'], 'losses': about['losses']}

    def _worker(self, side: str, flags: str | None = None) -> Worker:
        key = f'{side} {flags}'
        if key not in self._workers:
            # Those that are there share the memory of the device.
            added = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
            if flags is not None:
                added['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'
            python = self.torch if side == 'pytorch' else sys.executable
            self._workers[key] = Worker(side, python, environment=added)
        return self._workers[key]

    def close(self) -> None:
        """Ends the processes. They are started again when they are needed."""
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


def _timed(worker: Worker) -> Figure:
    """Returns µs of a run-step, one for each repeat after a first one that does not count."""
    samples = []
    for _ in range(1 + REPEATS):
        timed = worker.ask('time')
        samples.append(round(1e6 * timed['seconds'] / timed['run_steps'], 3))
    return {'µs': samples[1:]}
