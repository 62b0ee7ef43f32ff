"""One study over the devices of several processes, by JAX's own multi-process runtime.

All processes run the same loop on the same plan and start the same programs, so their decisions
must agree. What only one of them can know (files on disk, the time, a signal) goes through here.
"""

import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import serialization
from jax.experimental import multihost_utils

from nnstudy import errors

PIECE = 2**28  # bytes that are sent at once
PATIENCE = 300  # seconds to wait for the other processes, JAX's own default


def start(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins the other processes; call it after `nnstudy.setup` and before anything else.

    `coordinator` is `'host:port'` of the first process, `process_id` the number of this one, from
    0. On Slurm, Open MPI and Cloud TPU, JAX finds out by itself what is None. It raises UserError
    if JAX does not find the others.
    """
    try:
        print(f'waiting for the other processes, {PATIENCE} s at most', file=sys.stderr)
        jax.distributed.initialize(
            coordinator, num_processes, process_id, initialization_timeout=PATIENCE
        )
    except (ValueError, RuntimeError) as error:
        message = ' '.join(str(error).split())[:200]
        raise errors.UserError(
            f'--distributed: the other processes were not found ({message}); where there is no '
            'Slurm, Open MPI or Cloud TPU to tell, give --coordinator=HOST:PORT, --num_processes=N '
            'and --process_id=I, from 0'
        ) from error


def is_first() -> bool:
    """Whether this is the process that writes files and prints."""
    return jax.process_index() == 0


def leave() -> None:
    """Waits for the other processes and disconnects from them."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()


def from_first(make: Callable[[], Any]) -> Any:
    """Returns on all processes what `make()` returns on the first, which alone calls it.

    That may be numbers, text, arrays, or dicts and lists of them, but not None. A UserError of
    `make` is raised on all processes, and any other exception as a UserError on the others.
    """
    if jax.process_count() == 1:
        return make()
    # As bytes, because the other processes know neither the structure nor the shapes.
    broadcast = multihost_utils.broadcast_one_to_all
    sent, raised = b'', None
    if is_first():
        try:
            sent = serialization.msgpack_serialize({'made': make()})
        except Exception as error:
            raised = error
            sent = serialization.msgpack_serialize({'error': str(error)})
    # The length as two numbers, because the devices have no 64-bit ones.
    pieces, rest = broadcast(np.array(divmod(len(sent), PIECE), np.int32)).tolist()
    received = np.zeros(pieces * PIECE + rest, np.uint8)
    received[: len(sent)] = np.frombuffer(sent, np.uint8)
    for start in range(0, len(received), PIECE):
        received[start : start + PIECE] = broadcast(received[start : start + PIECE])
    message = serialization.msgpack_restore(received.tobytes())
    if raised is not None:
        raise raised
    if 'error' in message:
        raise errors.UserError(message['error'])
    return message['made']


def anywhere(flag: bool) -> bool:
    """Whether a flag is true on any process."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def check_same(digest: str) -> None:
    """Raises UserError if not all processes have the same study, by its digest."""
    if anywhere(from_first(lambda: digest) != digest):
        raise errors.UserError(
            '--distributed: the processes have different studies; start them with the same '
            'arguments, code and data'
        )


def gathered(array: jax.Array) -> np.ndarray:
    """Returns on each process the whole of an array that is sharded over all processes."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)
