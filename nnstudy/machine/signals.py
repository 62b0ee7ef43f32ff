"""Ctrl-C and SIGTERM, noted so that a loop can stop where nothing is lost."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """A context in which the first signal sets an event, and a second one acts as usual.

    Signals reach the main thread only; in another thread, this does nothing.
    """
    requested, handlers = threading.Event(), dict[int, Any]()

    def restore() -> None:
        while handlers:
            signal.signal(*handlers.popitem())

    def note(*_: Any) -> None:
        requested.set()
        restore()
        # A second signal interrupts a checkpoint that is being written, and orbax would log it.
        logging.getLogger('absl').setLevel(logging.CRITICAL)
        print('stopping after this segment; interrupt again to stop at once', file=sys.stderr)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.signal(number, note)
    try:
        yield requested
    finally:
        restore()
