"""How runs are laid out on the devices: lanes, chunks and segments, by fixed rules.

Lanes decide how a run's numbers round, so they follow from the model's cost and the backend alone,
never from the number of runs, free memory or a timing. Chunks and segments change nothing in what
is computed; they follow from memory and from how often a person wants to see progress.
"""

import dataclasses
import math

import jax

from nnstudy import devices, errors

SEGMENT_SECONDS = 2.0  # between two signs of progress

# Rough rates of one device in small steps, to cut training into segments. Being wrong by a factor
# of a few only makes progress move more or less often.
FLOPS_PER_SECOND = {'cpu': 3e10, 'gpu': 3e12, 'tpu': 3e12}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the runs of a group are executed.

    Attributes:
      lanes: runs that a device advances together.
      chunk_size: runs that are on the devices at once, a multiple of devices × lanes.
      segment_steps: most steps between two returns to the host.
    """

    lanes: int
    chunk_size: int
    segment_steps: int


def choose(
    *,
    flops_per_step: float,
    has_convolutions: bool,
    num_runs: int,
    state_bytes: int,
    lanes: int | None = None,
    memory_gib: float | None = None,
) -> Layout:
    """Returns the layout of a group of runs.

    Args:
      flops_per_step: floating-point operations of a step of one run.
      has_convolutions: whether the model has any.
      num_runs: number of runs in the group.
      state_bytes: size of a run's state.
      lanes: forced number of lanes, or None for the rule.
      memory_gib: memory for the states of a chunk, or None for half of what there is.

    Raises:
      UserError: not even the runs that are advanced together fit into memory.
    """
    backend, num_devices = jax.default_backend(), jax.device_count()
    lanes = lanes or _lanes(backend, flops_per_step, has_convolutions)
    unit = num_devices * lanes
    memory = _memory_bytes()
    if state_bytes * unit > memory:
        raise errors.UserError(
            f'{unit} runs at a time, {state_bytes / 2**30:.1f} GiB each, do not fit into '
            f'{memory / 2**30:.1f} GiB of memory: make the model smaller'
        )
    budget = memory / 2 if memory_gib is None else memory_gib * 2**30
    # The states of a chunk stand twice while a checkpoint of them is written.
    most = max(1, int(budget / (2 * state_bytes)) // unit) * unit
    num_chunks = math.ceil(num_runs / most)
    chunk_size = math.ceil(num_runs / num_chunks / unit) * unit
    rate = FLOPS_PER_SECOND.get(backend, 3e12)
    # Tiny steps cost their fixed overhead, whatever their arithmetic.
    seconds_per_step = max(flops_per_step / rate, 5e-6) * chunk_size / num_devices
    return Layout(lanes, chunk_size, max(1, round(SEGMENT_SECONDS / seconds_per_step)))


def _lanes(backend: str, flops_per_step: float, has_convolutions: bool) -> int:
    """The rule. Measured on two CPU cores; for accelerators a first guess."""
    if backend == 'cpu':
        # vmapped kernels make a grouped convolution, 10-40 times slower than one by one.
        if has_convolutions or flops_per_step > 2e7:
            return 1
        return 8 if flops_per_step > 1e6 else 32
    return 8 if has_convolutions else 32


def _memory_bytes() -> float:
    """Memory of all local devices together."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if all('bytes_limit' in s for s in stats):
        return sum(s['bytes_limit'] for s in stats)
    return devices.host_memory_bytes()
