"""Numbers of lanes side by side, and what the rule of `running.layout` loses to the best."""

import functools
from collections.abc import Iterator

from benchmarks import measuring, session, workloads
from benchmarks.measuring import Row
from benchmarks.session import Worker

# The lanes that are tried, as parts of those of the rule; one lane always is.
AROUND = (1 / 4, 1 / 2, 1, 2, 4)
# Lanes that take this many times as long as the best are timed once, and no more lanes are tried:
# vmapped convolutions can take minutes.
FAR = 1.5


def measure(data_dir: str | None, quick: bool) -> Iterator[Row]:
    """Yields a row for each workload and number of lanes, and one for what the rule loses."""
    for name in workloads.WORKLOADS:
        yield from _of(name, data_dir, quick)
    yield from _convolutions(session.QUICK_REPEATS if quick else session.REPEATS)


def _of(name: str, data_dir: str | None, quick: bool) -> list[Row]:
    request = {'workload': name, 'quick': quick, 'data_dir': data_dir}
    worker = Worker('nnstudy')
    try:
        # A program for each, one after the other in one process: the one asked for last is timed.
        chosen = worker.ask('prepare', **request)['settings']['lanes']
        lanes = sorted({1, *(int(chosen * part) for part in AROUND)} - {0})
        once: dict[int, float] = {}
        for k in lanes:
            once[k] = _per_step(worker, request, k)
            if k > chosen and once[k] > FAR * min(once.values()):
                break
        near = [k for k in once if k == chosen or once[k] <= FAR * min(once.values())]
        times = {str(k): [seconds] for k, seconds in once.items()} | measuring.interleaved(
            {str(k): functools.partial(_per_step, worker, request, k) for k in near},
            session.QUICK_REPEATS if quick else session.REPEATS,
        )
    finally:
        worker.close()
    rows = {
        k: Row(
            f'{name}: {k} lanes' + (' (the rule)' if k == chosen else ''),
            'µs',
            [1e6 * seconds for seconds in times[str(k)]],
        )
        for k in once
    }
    best = min((rows[k] for k in near), key=lambda row: row.median)
    pairs = zip(rows[chosen].samples, best.samples, strict=True)
    lost = [100 * (a / b - 1) for a, b in pairs]
    return [*rows.values(), Row(f'{name}: what the rule loses to the best', '%', lost, best.name)]


def _convolutions(repeats: int) -> Iterator[Row]:
    """Yields what a layer with kernels of each run costs, taken one by one or vmapped."""
    worker = Worker('nnstudy')
    try:
        samples = [worker.ask('convolutions') for _ in range(repeats)]
    finally:
        worker.close()
    for way in samples[0]:
        values = [1e3 * sample[way] for sample in samples]
        yield Row(f'3x3x64x64 on 14x14 pixels, batch 32, runs {way}', 'ms', values)


def _per_step(worker: Worker, request: dict, lanes: int) -> float:
    worker.ask('prepare', lanes=lanes, **request)
    timed = worker.ask('time')
    return timed['seconds'] / timed['run_steps']
