"""What nnstudy costs beside itself: many runs or one, two cores or one, the start, the ceiling."""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import measuring, session, workloads
from benchmarks.measuring import Row
from benchmarks.session import Worker

SWEEPS = ('W2', 'W4')  # a sweep against a single run
CORES = ('W2', 'W4', 'W5', 'W8')  # two cores against one
CEILING = 'W5'  # against the rate of matrix multiplication
STARTS = 3


def measure(data_dir: str | None, quick: bool) -> Iterator[Row]:
    """Yields the rows, each when it is measured."""
    common = {'data_dir': data_dir, 'quick': quick}
    repeats = session.QUICK_REPEATS if quick else session.REPEATS
    num_cores = session.num_cores()
    for name in SWEEPS:
        title = f'{name}: a run of a sweep on one core, against the cheapest single run'
        requests = {
            'sweep': (1, {}),
            'one run': (1, {'num_runs': 1}),
            'one run, one lane': (1, {'num_runs': 1, 'lanes': 1}),
        }
        times = _times(name, requests, common, repeats)
        cheapest = [min(pair) for pair in zip(*list(times.values())[1:], strict=True)]
        yield Row(title, '×', _divided(times['sweep'], cheapest))
    for name in CORES if num_cores > 1 else ():
        requests = {'one': (1, {}), 'all': (num_cores, {})}
        times = _times(name, requests, common, repeats)
        title = f'{name}: {num_cores} cores against one'
        yield Row(title, '×', _divided(times['one'], times['all']))
    yield from _ceiling(common, repeats)
    yield from _starts()


def _times(
    name: str,
    requests: Mapping[str, tuple[int, dict[str, Any]]],
    common: Mapping[str, Any],
    repeats: int,
) -> dict[str, list[float]]:
    """Returns the seconds of a run-step, of workers that differ in cores and requests."""
    workers = {}
    try:
        for key, (cores, request) in requests.items():
            workers[key] = Worker('nnstudy', cores=cores)
            workers[key].ask('prepare', workload=name, **request, **common)
        return measuring.interleaved(
            {key: functools.partial(_per_step, worker) for key, worker in workers.items()},
            repeats,
        )
    finally:
        for worker in workers.values():
            worker.close()


def _per_step(worker: Worker) -> float:
    timed = worker.ask('time')
    return timed['seconds'] / timed['run_steps']


def _divided(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _ceiling(common: Mapping[str, Any], repeats: int) -> list[Row]:
    """Compares the arithmetic of a convolutional net with that of matrix multiplication."""
    workload = workloads.WORKLOADS[CEILING]
    batch_size = workload.study().config.batch_size
    flops = batch_size * workloads.flops(workload.net, workload.shape)
    worker = Worker('nnstudy')
    try:
        worker.ask('prepare', workload=CEILING, **common)
        rates = measuring.interleaved(
            {
                'net': lambda: flops / _per_step(worker) / 1e9,
                'matmul': lambda: worker.ask('matmul')['flops_per_second'] / 1e9,
            },
            repeats,
        )
    finally:
        worker.close()
    about = f'{flops / 1e9:.2f} GFLOP a step: convolutions and dense layers'
    return [
        Row('matrix multiplication, all cores at once', 'GFLOP/s', rates['matmul']),
        Row(f'{CEILING}: its rate', 'GFLOP/s', rates['net'], about),
        Row(
            f'{CEILING}: its rate, of that of matrix multiplication',
            '%',
            [100 * share for share in _divided(rates['net'], rates['matmul'])],
        ),
    ]


def _starts() -> list[Row]:
    """Times `launch.py --config=configs/lr_sweep.py` from its start to its first trained step."""
    samples: dict[str, list[float]] = {'cold': [], 'with a warm compilation cache': []}
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory() as folder:
            # The first fills the cache that the second finds.
            for key in samples:
                samples[key].append(_start(folder))
    return [Row(f'lr_sweep: start to first step, {key}', 's', s) for key, s in samples.items()]


def _start(cache: str) -> float:
    environment = {
        **os.environ,
        'PYTHONPATH': str(workloads.ROOT),
        'JAX_COMPILATION_CACHE_DIR': cache,
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as workdir:
        done = subprocess.run(
            [sys.executable, '-m', 'benchmarks.first_step', f'--workdir={workdir}/study'],
            cwd=workloads.ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
    if done.returncode:
        raise session.WorkerError(f'launch.py: {done.stderr.strip()[-300:]}')
    return seconds
