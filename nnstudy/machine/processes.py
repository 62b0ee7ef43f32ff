"""One study over the devices of several processes, by JAX's own multi-process runtime.

All processes run the same loop on the same plan and start the same programs, so their decisions
must agree. What only one of them can know, such as the files on disk, the time or a signal, is
exchanged through this module.
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

    JAX finds out by itself what is None on Slurm, Open MPI and Cloud TPU.

    Args:
      coordinator: `'host:port'` of the first process.
      num_processes: how many there are.
      process_id: the number of this one, from 0.

    Raises:
      UserError: JAX does not find the others.
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

    Args:
      make: returns plain data: numbers, text, arrays, and dicts and lists of them, but not None.

    Raises:
      UserError: on all processes, if `make` raises one. Any other exception is raised as it is on
        the first process, and as a UserError on the others.
    """
    if jax.process_count() == 1:
        return make()
    # As bytes, because the other processes know neither the structure nor the shapes.
    sent, raised = b'', None
    if is_first():
        try:
            sent = serialization.msgpack_serialize({'made': make()})
        except Exception as error:
            raised = error
            sent = serialization.msgpack_serialize({'error': str(error)})
    # The length as two numbers, because the devices have no 64-bit ones.
    high, low = multihost_utils.broadcast_one_to_all(np.array(divmod(len(sent), PIECE), np.int32))
    received = b''.join(
        _broadcast(sent[start : start + PIECE], min(PIECE, int(high) * PIECE + int(low) - start))
        for start in range(0, int(high) * PIECE + int(low), PIECE)
    )
    message = serialization.msgpack_restore(received)
    if raised is not None:
        raise raised
    if 'error' in message:
        raise errors.UserError(message['error'])
    return message['made']


def _broadcast(sent: bytes, size: int) -> bytes:
    buffer = np.zeros(size, np.uint8)
    if is_first():
        buffer[:] = np.frombuffer(sent, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer)).tobytes()


def anywhere(*flags: bool) -> list[bool]:
    """Returns for each flag whether it is true on any process."""
    if jax.process_count() == 1:
        return list(flags)
    return multihost_utils.process_allgather(np.array(flags)).any(axis=0).tolist()


def check_same(digest: str) -> None:
    """Raises UserError if not all processes have the same study, by its digest in hexadecimal."""
    own = np.frombuffer(bytes.fromhex(digest), np.uint8)
    if anywhere(bool((from_first(lambda: own) != own).any()))[0]:
        raise errors.UserError(
            '--distributed: the processes have different studies; start them with the same '
            'arguments, code and data'
        )


def gathered(array: jax.Array) -> np.ndarray:
    """Returns on each process the whole of an array that is sharded over all processes."""
    if array.is_fully_addressable:
        return np.asarray(array)
    return multihost_utils.process_allgather(array, tiled=True)
