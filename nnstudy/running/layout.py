"""How runs are laid out on the devices: lanes, chunks and segments, by fixed rules.

The number of lanes changes how a run's numbers round. So it depends only on the model's cost and
the backend, never on the number of runs, free memory or a timing. Chunks and segments do not change
the numbers. Their sizes follow from the memory, and from how often progress is shown.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import numpy as np

from nnstudy import errors
from nnstudy.machine import devices
from nnstudy.running.cost import Cost

SEGMENT_SECONDS = 2.0  # of work between two updates of the progress display

CACHE_BYTES = 2**20  # of a CPU core

# Rough speed of one device in small steps, to cut training into segments. If it is wrong by some
# factor, progress is shown more or less often, and nothing else changes.
FLOPS_PER_SECOND = {'cpu': 8e10, 'gpu': 3e12, 'tpu': 3e12}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the runs of a group are executed.

    Attributes:
      lanes: number of runs that a device advances together; they are a block.
      chunk_size: number of runs that are on the devices at once, a multiple of devices × lanes.
      step_seconds: estimated time of a step of a block.
      evaluation_seconds: estimated time of an evaluation of a block.
    """

    lanes: int
    chunk_size: int
    step_seconds: float
    evaluation_seconds: float

    @property
    def segment_steps(self) -> int:
        """The most steps of a segment."""
        return max(1, round(SEGMENT_SECONDS / self.step_seconds))

    def segment_blocks(self, num_steps: int, evaluate: bool) -> int:
        """Returns the most blocks of a segment on each device."""
        seconds = num_steps * self.step_seconds + evaluate * self.evaluation_seconds
        return max(1, math.floor(SEGMENT_SECONDS / max(seconds, 1e-9)))


class Segment(NamedTuple):
    """What the devices do before the host sees their results again.

    Attributes:
      runs: which runs of the chunk, int [K].
      start: the first step.
      stop: the step after the last one.
      evaluate: whether an evaluation follows.
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
      lanes: the number of lanes; None for that of the rule.
      memory_gib: memory for a chunk; None for half of the memory.

    Raises:
      UserError: the smallest chunk does not fit into memory.
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
    # Small steps take a fixed time, however few operations they have.
    rate = FLOPS_PER_SECOND.get(backend, 3e12)
    step_seconds = lanes * max(cost.flops_per_step / rate, 5e-6)
    layout = Layout(lanes, unit, step_seconds, cost.steps_per_evaluation * step_seconds)
    # While a checkpoint is written, there are two copies of the states.
    return fit(layout, num_runs, memory_budget(memory_gib), 2 * cost.state_bytes)


def memory_budget(memory_gib: float | None) -> float:
    """Returns the bytes that a chunk may take: `config.execution.memory_gib`, or half of them."""
    return devices.memory_bytes() / 2 if memory_gib is None else memory_gib * 2**30


def fit(layout: Layout, num_runs: int, budget: float, run_bytes: float, fixed: float = 0) -> Layout:
    """Returns the layout with chunks of about equal size, as large as memory allows.

    Args:
      layout: of the group.
      num_runs: number of runs in the group.
      budget: bytes for a chunk.
      run_bytes: bytes for each run of it.
      fixed: bytes that do not depend on the number of runs.
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
    """Returns the next segment, of the runs that are furthest behind.

    Args:
      layout: of the group.
      at: the step that each run of the chunk has reached, its evaluation included; -1 before the
        first one. int [R].
      alive: which runs go on, bool [R].
      evaluation_steps: int [E], increasing.
      until: the evaluation step where all runs wait.
      num_devices: run r of the chunk is on device r mod `num_devices`.

    Returns:
      A segment of about SEGMENT_SECONDS; None if all runs are at `until` or over.
    """
    waiting = np.unique(at[alive & (at < until)])
    if not waiting.size:
        return None
    start, *ahead = waiting.tolist()
    evaluation = int(evaluation_steps[np.searchsorted(evaluation_steps, start, side='right')])
    # Not past runs that are ahead, as after a checkpoint between two segments, so that all runs go
    # on together.
    stop = min(evaluation, max(start, 0) + layout.segment_steps, *ahead[:1])
    evaluate = stop == evaluation
    runs = np.flatnonzero(alive & (at == start))
    most = layout.lanes * layout.segment_blocks(stop - max(start, 0), evaluate)
    runs = np.sort(
        np.concatenate([runs[runs % num_devices == d][:most] for d in range(num_devices)])
    )
    return Segment(runs, max(start, 0), stop, evaluate)


def _lanes(backend: str, cost: Cost) -> int:
    """The rule for lanes. Measured on two CPU cores, see docs/performance.md; else a guess."""
    if backend != 'cpu':
        return 8 if cost.has_convolutions else 32
    # vmap over kernels gives a grouped convolution, which takes at least twice as long.
    if not cost.has_convolutions:
        for lanes, most_flops in ((32, 1e6), (8, 2e7)):
            # Every step reads the parameters of a block, which should stay in the core's cache.
            fits = lanes * cost.num_params * 4 <= CACHE_BYTES
            if cost.flops_per_step <= most_flops and fits:
                return lanes
    return 1
