"""Ctrl-C and SIGTERM, noted so that a loop can stop where nothing is lost."""

import logging
import signal
import sys
import threading
from typing import Any


class Interrupts:
    """A context in which the first signal is noted, and a second one acts as usual.

    Signals reach the main thread only; in another thread, this does nothing.

    Attributes:
      requested: whether there was a signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> 'Interrupts':
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _note(self, *_: Any) -> None:
        self.requested = True
        self.__exit__()
        # A second signal interrupts a checkpoint that is being written, and orbax would log it.
        logging.getLogger('absl').setLevel(logging.CRITICAL)
        print('stopping after this segment; interrupt again to stop at once', file=sys.stderr)
