"""The runs axis: a function of one run becomes a function of many, over all devices.

This is the only place that adds the axis. It knows nothing of models, losses or data.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nnstudy.devices import RUNS


def lift(function: Callable, mesh: Mesh, lanes: int, num_mapped: int) -> Callable:
    """Returns `function` over a leading runs axis of its first `num_mapped` arguments.

    The runs axis is cut over the devices of the mesh; each device goes through its runs `lanes`
    at a time (vmapped; one after the other where `lanes` is 1). Runs do not meet: the program
    has no collectives. A run's bits depend on `lanes`, and neither on its place nor on the others.

    Args:
      function: `function(*mapped, *shared) -> outputs` of one run.
      mesh: see `nnstudy.devices.runs_mesh`.
      lanes: runs that a device advances together.
      num_mapped: how many of the arguments each run has of its own.

    Returns:
      The lifted function. Mapped arguments and outputs have R as leading axis, a multiple of
      devices × lanes (see `pad`); shared arguments are the same for all runs.
    """

    def on_device(mapped: tuple, shared: tuple) -> Any:
        def one_run(own: tuple) -> Any:
            return function(*own, *shared)

        return lax.map(one_run, mapped, batch_size=lanes if lanes > 1 else None)

    sharded = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(RUNS), PartitionSpec()),
        out_specs=PartitionSpec(RUNS),
        check_vma=False,  # the scan carries of one run start from constants
    )

    def lifted(*args: Any) -> Any:
        return sharded(args[:num_mapped], args[num_mapped:])

    return lifted


def pad(tree: Any, size: int) -> Any:
    """Returns arrays [R, ...] with the last run repeated up to [size, ...]; NumPy in and out."""

    def padded(leaf: np.ndarray) -> np.ndarray:
        return np.concatenate([leaf, np.repeat(leaf[-1:], size - len(leaf), axis=0)])

    return jax.tree.map(padded, tree)


def put(tree: Any, mesh: Mesh, *, mapped: bool) -> Any:
    """Moves arrays to the devices: cut along the runs axis if `mapped`, else a copy on each."""
    spec = PartitionSpec(RUNS) if mapped else PartitionSpec()
    return jax.device_put(tree, NamedSharding(mesh, spec))
