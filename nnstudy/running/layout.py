"""How runs are laid out on the devices: lanes, chunks and segments, by fixed rules.

Lanes decide how a run's numbers round, so they follow from the model's cost and the backend alone,
never from the number of runs, free memory or a timing. Chunks and segments change nothing in what
is computed; they follow from memory and from how often a person wants to see progress.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import numpy as np

from nnstudy import errors
from nnstudy.machine import devices
from nnstudy.running.cost import Cost

SEGMENT_SECONDS = 2.0  # of work between two signs of progress

CACHE_BYTES = 2**20  # of a CPU core

# Rough rates of one device in small steps, to cut training into segments. Being wrong by a factor
# of a few only makes progress move more or less often.
FLOPS_PER_SECOND = {'cpu': 8e10, 'gpu': 3e12, 'tpu': 3e12}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the runs of a group are executed.

    Attributes:
      lanes: runs that a device advances together, which makes a block.
      chunk_size: runs that are on the devices at once, a multiple of devices × lanes.
      step_seconds: about what a step of a block costs.
      evaluation_seconds: about what an evaluation of a block costs.
    """

    lanes: int
    chunk_size: int
    step_seconds: float
    evaluation_seconds: float

    @property
    def segment_steps(self) -> int:
        """Most steps of a segment."""
        return max(1, round(SEGMENT_SECONDS / self.step_seconds))

    def segment_blocks(self, num_steps: int, evaluate: bool) -> int:
        """Returns the most blocks of a segment on each device."""
        seconds = num_steps * self.step_seconds + evaluate * self.evaluation_seconds
        return max(1, math.floor(SEGMENT_SECONDS / max(seconds, 1e-9)))


class Segment(NamedTuple):
    """What the devices do between two returns to the host.

    Attributes:
      runs: which runs of the chunk, int [K].
      start: the step at which they are.
      stop: the step before which they are left.
      evaluate: whether they are evaluated there.
    """

    runs: np.ndarray
    start: int
    stop: int
    evaluate: bool


def choose(
    cost: Cost, num_runs: int, lanes: int | None = None, memory_gib: float | None = None
) -> Layout:
    """Returns the layout of a group of runs.

    Args:
      cost: of one run.
      num_runs: number of runs in the group.
      lanes: forced number of lanes, or None for the rule.
      memory_gib: memory for a chunk, or None for half of what there is.

    Raises:
      UserError: not even the runs that are advanced together fit into memory.
    """
    backend, num_devices = jax.default_backend(), jax.device_count()
    lanes = lanes or _lanes(backend, cost)
    unit = num_devices * lanes
    memory = devices.memory_bytes()
    if cost.state_bytes * unit > memory:
        raise errors.UserError(
            f'{unit} runs at a time, {cost.state_bytes / 2**30:.1f} GiB each, do not fit into '
            f'{memory / 2**30:.1f} GiB of memory: make the model smaller'
        )
    # Tiny steps cost their fixed overhead, whatever their arithmetic.
    rate = FLOPS_PER_SECOND.get(backend, 3e12)
    step_seconds = lanes * max(cost.flops_per_step / rate, 5e-6)
    layout = Layout(lanes, unit, step_seconds, cost.steps_per_evaluation * step_seconds)
    # The states of a chunk stand twice while a checkpoint of them is written.
    return fit(layout, num_runs, memory_budget(memory_gib), 2 * cost.state_bytes)


def memory_budget(memory_gib: float | None) -> float:
    """Returns the bytes that a chunk may take: `config.execution.memory_gib`, or half of all."""
    return devices.memory_bytes() / 2 if memory_gib is None else memory_gib * 2**30


def fit(layout: Layout, num_runs: int, budget: float, run_bytes: float, fixed: float = 0) -> Layout:
    """Returns the layout with chunks as large as memory allows, and about equal.

    Args:
      layout: of the group.
      num_runs: number of runs in the group.
      budget: bytes that there are.
      run_bytes: what each run of a chunk takes of them.
      fixed: what a chunk takes however many runs it has.
    """
    unit = jax.device_count() * layout.lanes
    most = max(1, int(max(budget - fixed, 0) / run_bytes) // unit) * unit
    num_chunks = math.ceil(num_runs / most)
    chunk_size = math.ceil(num_runs / num_chunks / unit) * unit
    return dataclasses.replace(layout, chunk_size=chunk_size)


def next_segment(
    layout: Layout,
    at: np.ndarray,
    alive: np.ndarray,
    evaluation_steps: np.ndarray,
    until: int,
    num_devices: int,
) -> Segment | None:
    """Returns what to do next: the runs that are behind come first.

    Args:
      layout: of the group.
      at: the step at which each run of the chunk is, evaluated there if it is such a step; -1 at
        the beginning. int [R].
      alive: which of them go on, bool [R].
      evaluation_steps: int [E], increasing.
      until: the evaluation step at which they wait.
      num_devices: run r of the chunk is on device r mod `num_devices`.

    Returns:
      A segment that takes about SEGMENT_SECONDS, or None when no run has anything to do.
    """
    waiting = np.unique(at[alive & (at < until)])
    if not waiting.size:
        return None
    start, *ahead = waiting.tolist()
    evaluation = int(evaluation_steps[np.searchsorted(evaluation_steps, start, side='right')])
    # Not past runs that are ahead, as after a checkpoint between two segments: all go on together.
    stop = min(evaluation, max(start, 0) + layout.segment_steps, *ahead[:1])
    evaluate = stop == evaluation
    runs = np.flatnonzero(alive & (at == start))
    most = layout.lanes * layout.segment_blocks(stop - max(start, 0), evaluate)
    runs = np.sort(
        np.concatenate([runs[runs % num_devices == d][:most] for d in range(num_devices)])
    )
    return Segment(runs, max(start, 0), stop, evaluate)


def _lanes(backend: str, cost: Cost) -> int:
    """The rule. Measured on two CPU cores, see docs/performance.md; elsewhere a first guess."""
    if backend != 'cpu':
        return 8 if cost.has_convolutions else 32
    # vmapped kernels make a grouped convolution, twice and more as slow as one by one.
    if not cost.has_convolutions:
        for lanes, most_flops in ((32, 1e6), (8, 2e7)):
            # The parameters of a block are read in every step, and should stay in a core's cache.
            fits = lanes * cost.num_params * 4 <= CACHE_BYTES
            if cost.flops_per_step <= most_flops and fits:
                return lanes
    return 1
