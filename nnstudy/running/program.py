"""The compiled program of a group, for chunks that fit into memory."""

import functools
from concurrent import futures
from typing import Any

import jax
import numpy as np

from nnstudy.data.device import Data
from nnstudy.machine.target import Target
from nnstudy.results import checkpoints
from nnstudy.running import execute
from nnstudy.running.layout import Segment
from nnstudy.running.plan import Group
from nnstudy.training import steps
from nnstudy.training.run import Run, Static, TrainState


class Program:
    """A group's compiled program for chunks of `size` runs, with its data on the devices."""

    def __init__(self, group: Group, size: int) -> None:
        self.group, self.mesh, self.size = group, group.target.mesh, size
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), group.data)
        self._init, self._advance = compiled(
            Static(group.config), shapes, group.target, group.layout.lanes, size, group.log_size
        )
        taken = self.mesh.size * max(map(device_bytes, (self._init, self._advance)))
        # What a chunk takes by XLA, beside the states of its runs.
        self.fixed_bytes = max(0, taken - size * group.layout.state_bytes)

    @property
    def excess_bytes(self) -> float:
        """What a chunk takes beyond its budget, with two copies of the states."""
        return self.fixed_bytes + 2 * self.size * self.group.layout.state_bytes - self.group.budget

    def __str__(self) -> str:
        """Returns what XLA made of it."""
        return self._advance.as_text()

    @functools.cached_property
    def _data(self) -> Data:
        return execute.put(self.group.data, self.mesh)

    def init(self, rows: np.ndarray) -> tuple[TrainState, Any]:
        """Returns the states of some runs of the group, rows int [K], before the first step, and
        their own inputs of `advance`."""
        seeds = self.group.seeds[rows].astype(np.uint32)
        hparams = {name: values[rows] for name, values in self.group.hparams.items()}
        own = execute.put((seeds, hparams), self.mesh, size=self.size)
        return self._init(own, (self._data,)), own

    def advance(self, state: TrainState, own: Any, segment: Segment) -> tuple[TrainState, Any]:
        """Takes the states through a segment; returns them and the outputs of `steps.segment`."""
        mesh = self.mesh
        chosen = execute.choose(segment.runs, self.size, mesh, self.group.layout.lanes)
        chosen = execute.put(chosen, mesh, size=mesh.size)
        bounds = np.int32(segment.start), np.int32(segment.stop), np.bool_(segment.evaluate)
        return self._advance(state, chosen, own, (self._data, *execute.put(bounds, mesh)))

    def replaced(self, state: TrainState, rows: np.ndarray, saved: dict[str, Any]) -> TrainState:
        """Returns the states with some rows replaced by what was saved, or raises UserError if
        that is not of this program."""
        fetched = execute.fetch(state, self.mesh, self.size)
        restored = checkpoints.restored(fetched, saved)

        def put_rows(leaf: np.ndarray, own: np.ndarray) -> np.ndarray:
            leaf = np.array(leaf)  # what is fetched may be read-only
            leaf[rows] = own
            return leaf

        return execute.put(jax.tree.map(put_rows, fetched, restored), self.mesh, size=self.size)


def for_group(group: Group, most: int | None = None) -> Program:
    """Returns the program of a group, for chunks of at most so many runs.

    If XLA needs more for a chunk than its budget, chunks are made smaller and the program is
    compiled once more.
    """
    size = group.chunk_size()
    program = Program(group, min(size, most or size))
    smaller = group.chunk_size(program.fixed_bytes)
    is_too_large = program.excess_bytes > 0 and smaller < program.size
    return Program(group, smaller) if is_too_large else program


class Compiler:
    """Compiles programs, also while something else goes on.

    What is set by a context manager of JAX, such as `jax.debug_nans`, does not hold in its thread.
    """

    def __init__(self) -> None:
        # Tracing holds Python's lock, so a second thread would not be faster.
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix='compiler')
        self._ahead: dict[int, futures.Future[Program]] = {}  # by group

    def start(self, group: Group) -> None:
        """Starts to compile the program that `get` is soon asked for."""
        if group.index not in self._ahead:
            self._ahead[group.index] = self._thread.submit(for_group, group)

    def get(self, group: Group, most: int | None = None) -> Program:
        """Returns the program of a group, see `for_group`."""
        ahead = self._ahead.pop(group.index, None)
        if ahead is not None:
            program = ahead.result()
            if most is None or program.size <= most:
                return program
        return for_group(group, most)

    def close(self) -> None:
        """Lets go of what was not asked for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@functools.lru_cache(maxsize=32)
def compiled(
    static: Static, data: Data, target: Target, lanes: int, size: int, log_size: int
) -> tuple[Any, Any]:
    """Returns `init` and `segment` of `nnstudy.training.steps` over the runs axis, compiled.

    They are kept, so that another study in the same process that differs only in its dynamic fields
    does not compile anything. Of the data, only the shapes count.
    """
    config, mesh = static.config, target.mesh

    # Each run makes its keys from its seed.
    def init(seed, hparams, data):
        with steps.exact(config):
            return steps.init(Run.of_seed(config, seed, hparams, data))

    def segment(state, seed, hparams, data, start, stop, evaluate):
        run = Run.of_seed(config, seed, hparams, data)
        with steps.exact(config):
            return steps.segment(run, state, start, stop, evaluate, log_size, target.kind)

    own = (
        jax.ShapeDtypeStruct((size,), np.uint32),
        {name: jax.ShapeDtypeStruct((size,), np.float32) for name in config.hparams},
    )
    lowered_init = execute.lift(init, mesh).lower(own, (data,))
    # As shapes, since several processes cannot take it as NumPy arrays.
    chosen = jax.eval_shape(lambda: execute.choose(np.arange(size), size, mesh, lanes))
    shared = data, np.int32(0), np.int32(0), np.bool_(False)
    lowered = execute.advance(segment, target, lanes).lower(
        lowered_init.out_info, chosen, own, shared
    )
    # The first program runs once, so it should compile fast: without lanes, and on the CPU without
    # the optimisations of LLVM (ResNet-20: 8.5 s with them, 2 s without).
    fast: dict[str, str | bool] = {}
    if target.kind.is_host:
        fast['xla_backend_optimization_level'] = '0'
    # With products of patches, as in ResNet-20, XLA of jaxlib 0.10.2 ends the process: "Check
    # failed: subdim_size_accumulator == dim_size" in its own matrix products for GPUs. It has those
    # of cuBLAS, too.
    sound: dict[str, str | bool] = {}
    if target.kind.platform == 'cuda':
        sound['xla_gpu_enable_triton_gemm'] = False
    return lowered_init.compile(fast), lowered.compile(sound)


def device_bytes(function: Any) -> int:
    """Returns the memory of a compiled function on each device by XLA; 0 if it is not known."""
    stats = function.memory_analysis()
    if stats is None:
        return 0
    sizes = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
    return sizes - stats.alias_size_in_bytes
