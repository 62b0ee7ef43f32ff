"""The runs axis: from a function of one run to a function of many runs, over all devices.

Only this module adds the axis. It does not know about models, losses or data.

On D devices, the arrays of R runs are [R, ...], with R a multiple of D and R/D rows on each device.
Run r is on device r mod D. So neighbours, such as the seeds of a point, are on different devices,
and when runs end early, all devices are left with about the same work. `put` and `fetch` reorder;
everywhere else arrays are in the order of the runs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nnstudy.machine import processes
from nnstudy.machine.devices import RUNS
from nnstudy.machine.target import Target


class Chosen(NamedTuple):
    """Which runs are advanced, in blocks of `lanes`; a row for each device."""

    rows: np.ndarray  # of the device, in the order of execution, int32 [D, blocks · lanes]
    num_blocks: np.ndarray  # that are used, int32 [D]


def lift(function: Callable, mesh: Mesh) -> jax.stages.Wrapped:
    """Returns a function of one run over the runs axis, jitted; runs come one after the other.

    From `function(*own, *shared) -> outputs` it makes `lifted(own, shared) -> outputs`, of two
    tuples. `own` and outputs are [R, ...]; `shared` is the same for all runs.
    """

    def lifted(own: tuple, shared: tuple) -> Any:
        return lax.map(lambda own: function(*own, *shared), own)

    return _jitted(lifted, mesh, num_mapped=1)


def advance(function: Callable, target: Target, lanes: int) -> jax.stages.Wrapped:
    """Returns a function of one run over the runs axis, jitted, for some of the runs.

    From `function(state, *own, *shared) -> (state, outputs)` it makes `advanced(state, chosen, own,
    shared)`, which uses the memory of `state` again. Runs that are not chosen keep their state, and
    their outputs are zeros. A device advances `lanes` runs together, vmapped where that is more
    than 1.
    """
    # It is called twice below, and should be traced once.
    function = jax.jit(function, inline=True)

    def advanced(state: Any, chosen: Chosen, own: tuple, shared: tuple) -> Any:
        def one_run(state: Any, own: tuple) -> Any:
            return function(state, *own, *shared)

        def block(number: jax.Array, carry: tuple) -> tuple:
            rows = lax.dynamic_slice_in_dim(chosen.rows[0], number * lanes, lanes)
            if lanes == 1:
                return _with_row(carry, rows[0], one_run(*_row((carry[0], own), rows[0])))
            if target.kind.gathers:
                blocks = jax.tree.map(lambda leaf: leaf[rows], (carry[0], own))
                new = jax.vmap(one_run)(*blocks)
                return jax.tree.map(lambda leaf, own: leaf.at[rows].set(own), carry, new)
            blocks = lax.map(lambda row: _row((carry[0], own), row), rows)
            new = jax.vmap(one_run)(*blocks)
            return lax.fori_loop(
                0, lanes, lambda i, carry: _with_row(carry, rows[i], _row(new, i)), carry
            )

        shapes = jax.eval_shape(lambda: one_run(*_row((state, own), 0)))[1]
        num_rows = len(jax.tree.leaves(state)[0])
        outputs = jax.tree.map(lambda s: jnp.zeros((num_rows, *s.shape), s.dtype), shapes)
        return lax.fori_loop(0, chosen.num_blocks[0], block, (state, outputs))

    return _jitted(advanced, target.mesh, num_mapped=3, donate_argnums=0)


def choose(runs: np.ndarray, num_runs: int, mesh: Mesh, lanes: int) -> Chosen:
    """Returns the choice of `runs`, int [K], among the `num_runs` that are on the devices."""
    most = -(-num_runs // mesh.size // lanes) * lanes
    rows = np.zeros([mesh.size, most], np.int32)
    num_blocks = np.zeros([mesh.size], np.int32)
    for device in range(mesh.size):
        own = runs[runs % mesh.size == device] // mesh.size
        num_blocks[device] = -(-len(own) // lanes)
        # The last block is filled up with its last run, which gets the same bits twice.
        rows[device, : num_blocks[device] * lanes] = np.pad(own, (0, -len(own) % lanes), 'edge')
    return Chosen(rows, num_blocks)


def put(tree: Any, mesh: Mesh, *, size: int | None = None) -> Any:
    """Moves arrays to the devices.

    Args:
      tree: of NumPy arrays: [R', ...] with the runs axis, or arrays that all runs share.
      mesh: of the devices, see `nnstudy.machine.target.Target`.
      size: R; the last run is repeated up to it. None for shared arrays, copied to each device.
    """
    if size is None:
        return _on_devices(tree, NamedSharding(mesh, PartitionSpec()))

    def placed(leaf: np.ndarray) -> np.ndarray:
        padded = np.concatenate([leaf, np.repeat(leaf[-1:], size - len(leaf), axis=0)])
        by_device = padded.reshape(size // mesh.size, mesh.size, *leaf.shape[1:]).swapaxes(0, 1)
        return by_device.reshape(padded.shape)

    return _on_devices(jax.tree.map(placed, tree), NamedSharding(mesh, PartitionSpec(RUNS)))


def fetch(tree: Any, mesh: Mesh, num_runs: int) -> Any:
    """Returns arrays on the devices as NumPy arrays, of the first `num_runs` runs."""

    def in_order(leaf: jax.Array) -> np.ndarray:
        by_device = processes.gathered(leaf).reshape(mesh.size, -1, *leaf.shape[1:])
        return by_device.swapaxes(0, 1).reshape(leaf.shape)[:num_runs]

    return jax.tree.map(in_order, tree)


def _on_devices(tree: Any, sharding: NamedSharding) -> Any:
    # Every process has the whole array and gives each of its devices that device's part.
    return jax.tree.map(
        lambda leaf: jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: np.asarray(leaf)[index]
        ),
        tree,
    )


def _row(tree: Any, row: jax.Array | int) -> Any:
    return jax.tree.map(lambda leaf: lax.dynamic_index_in_dim(leaf, row, keepdims=False), tree)


def _with_row(tree: Any, row: jax.Array, new: Any) -> Any:
    return jax.tree.map(
        lambda leaf, own: lax.dynamic_update_index_in_dim(leaf, own, row, 0), tree, new
    )


def _jitted(on_device: Callable, mesh: Mesh, num_mapped: int, **options: Any) -> jax.stages.Wrapped:
    """Returns a function over all devices; all arguments but the last have the runs axis."""
    specs = (*[PartitionSpec(RUNS)] * num_mapped, PartitionSpec())
    sharded = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=specs,
        out_specs=PartitionSpec(RUNS),
        check_vma=False,  # the loop carries of one run start from constants
    )
    return jax.jit(
        sharded, in_shardings=tuple(NamedSharding(mesh, spec) for spec in specs), **options
    )
