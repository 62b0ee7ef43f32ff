"""The compiled program of a group, for chunks that fit into memory."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nnstudy.data.device import Data
from nnstudy.machine import devices
from nnstudy.results import checkpoints
from nnstudy.running import execute
from nnstudy.running import layout as layout_lib
from nnstudy.running import plan as plan_lib
from nnstudy.training import steps
from nnstudy.training.run import Run, Static
from nnstudy.training.state import TrainState


@dataclasses.dataclass
class Program:
    """A group's program for chunks of `layout.chunk_size` runs, with its data on the devices.

    Attributes:
      group: of the plan.
      layout: with a size of the chunks that fits.
      mesh: see `nnstudy.machine.devices.runs_mesh`.
      excess_bytes: what the chunks take beyond their budget; not positive if they fit.
    """

    group: plan_lib.Group
    layout: layout_lib.Layout
    mesh: Mesh
    _init: Any
    _advance: Any
    _outputs: Any
    _data: Data
    excess_bytes: float

    def init(self, rows: np.ndarray) -> tuple[TrainState, Any]:
        """Returns the states of runs before the first step, and their own inputs of `advance`.

        Args:
          rows: of the group, int [K]; at most as many as a chunk has.
        """
        seeds = self.group.seeds[rows].astype(np.uint32)
        hparams = {name: values[rows] for name, values in self.group.hparams.items()}
        own = execute.put((seeds, hparams), self.mesh, size=self.layout.chunk_size)
        return self._init(*own, self._data), own

    def advance(
        self, state: TrainState, own: Any, segment: layout_lib.Segment
    ) -> tuple[TrainState, Any]:
        """Takes the states through a segment; returns them and the outputs of `steps.segment`."""
        chosen = execute.choose(segment.runs, self.layout.chunk_size, self.mesh, self.layout.lanes)
        chosen = execute.put_chosen(chosen, self.mesh)
        bounds = np.int32(segment.start), np.int32(segment.stop), np.bool_(segment.evaluate)
        bounds = execute.put(bounds, self.mesh)
        return self._advance(chosen, state, *own, self._data, *bounds)

    def fetch(self, tree: Any, num_runs: int) -> Any:
        """Returns states or outputs of the first runs as NumPy arrays."""
        return execute.fetch(tree, self.mesh, num_runs)

    def tables(self, num_runs: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Returns empty tables for evaluations, [K, E, ...] each, and for single steps, [K, T]."""
        num_evaluations = len(self.group.evaluation_steps)
        num_logged = self.group.logged(0, self.group.num_steps)[1]
        history = {
            name: np.full((num_runs, num_evaluations, *leaf.shape[1:]), np.nan, np.float32)
            for name, leaf in self._outputs['metrics'].items()
        }
        log = {
            name: np.full((num_runs, num_logged), np.nan, np.float32)
            for name in self._outputs['log']
        }
        return history, log

    def replaced(self, state: TrainState, rows: np.ndarray, saved: dict[str, Any]) -> TrainState:
        """Returns the states with those of some rows of the chunk replaced by saved ones.

        Raises:
          UserError: what was saved is not of this program.
        """
        size = self.layout.chunk_size
        fetched = self.fetch(state, size)
        restored = checkpoints.restored(fetched, saved)

        def put_rows(leaf: np.ndarray, own: np.ndarray) -> np.ndarray:
            leaf = np.array(leaf)  # what is fetched may be read-only
            leaf[rows] = own
            return leaf

        return execute.put(jax.tree.map(put_rows, fetched, restored), self.mesh, size=size)


def for_group(group: plan_lib.Group, mesh: Mesh, most: int | None = None) -> Program:
    """Returns the compiled program of a group.

    XLA tells the memory of a compiled program. If a chunk takes more than its budget, chunks are
    made smaller and the program is compiled once more.

    Args:
      group: of the plan.
      mesh: see `nnstudy.machine.devices.runs_mesh`.
      most: the most runs of a chunk.
    """
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), group.data)
    budget = layout_lib.memory_budget(group.config.execution.memory_gib)
    chosen = group.layout
    if most is not None:
        chosen = dataclasses.replace(chosen, chunk_size=min(most, chosen.chunk_size))

    def at(chosen: layout_lib.Layout) -> tuple[Any, Any, Any]:
        lanes, size = chosen.lanes, chosen.chunk_size
        return compiled(Static(group.config), shapes, mesh, lanes, size, group.log_size)

    functions = at(chosen)
    states = chosen.chunk_size * group.state_bytes
    taken = mesh.size * max(map(device_bytes, functions[:2]))
    unit = mesh.size * chosen.lanes
    if taken + states > budget and chosen.chunk_size > unit:
        # While a checkpoint is written, there are two copies of the states.
        fixed = max(0, taken - states)
        smaller = layout_lib.fit(chosen, len(group.runs), budget, 2 * group.state_bytes, fixed)
        if smaller.chunk_size < chosen.chunk_size:
            chosen = smaller
            functions = at(chosen)
            taken = mesh.size * max(map(device_bytes, functions[:2]))
    excess = taken + chosen.chunk_size * group.state_bytes - budget
    return Program(group, chosen, mesh, *functions, execute.put(group.data, mesh), excess)


@functools.lru_cache(maxsize=32)
def compiled(
    static: Static,
    data: Data,
    mesh: Mesh,
    lanes: int,
    size: int,
    log_size: int,
) -> tuple[Any, Any, Any]:
    """Returns `init` and `segment` of `nnstudy.training.steps` over the runs axis, compiled, and
    the shapes of what a segment measures.

    They are kept, so that another study in the same process that differs only in its dynamic fields
    does not compile anything.

    Args:
      static: the config of the runs, but for their dynamic fields.
      data: shapes.
      mesh: see `nnstudy.machine.devices.runs_mesh`.
      lanes: see `nnstudy.running.execute.advance`.
      size: runs of a chunk.
      log_size: see `steps.segment`.
    """

    config = static.config

    # Each run makes its keys from its seed.
    def init(seed, hparams, data):
        return steps.init(Run.of_seed(config, seed, hparams, data))

    def segment(state, seed, hparams, data, start, stop, evaluate):
        run = Run.of_seed(config, seed, hparams, data)
        return steps.segment(run, state, start, stop, evaluate, log_size)

    def shapes(tree: Any, spec: PartitionSpec) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    runs, shared = PartitionSpec(devices.RUNS), PartitionSpec()
    own: tuple[Any, Mapping[str, Any]] = (
        jax.ShapeDtypeStruct((size,), np.uint32),
        {name: jax.ShapeDtypeStruct((size,), np.float32) for name in config.hparams},
    )
    own = shapes(own, runs)
    on_devices = shapes(data, shared)
    # This program runs once, so it should compile fast: without lanes, and on the CPU without the
    # optimisations of LLVM (ResNet-20: 8.5 s with them, 2 s without).
    is_cpu = jax.default_backend() == 'cpu'
    lifted_init = jax.jit(execute.lift(init, mesh, num_mapped=2))
    options: dict[str, str | bool] = {'xla_backend_optimization_level': '0'} if is_cpu else {}
    lowered_init = lifted_init.lower(*own, on_devices)

    state = shapes(jax.eval_shape(lifted_init, *own, on_devices), runs)
    chosen = shapes(execute.choose(np.arange(size), size, mesh, lanes), runs)
    bounds = shapes((np.int32(0), np.int32(0), np.bool_(False)), shared)
    advance = jax.jit(execute.advance(segment, mesh, lanes, num_mapped=3), donate_argnums=1)
    lowered_advance = advance.lower(chosen, state, *own, on_devices, *bounds)
    return lowered_init.compile(options), lowered_advance.compile(), lowered_advance.out_info[1]


def device_bytes(function: Any) -> int:
    """Returns the memory of a compiled function on each device by XLA; 0 if it is not known."""
    stats = function.memory_analysis()
    if stats is None:
        return 0
    sizes = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
    return sizes - stats.alias_size_in_bytes
