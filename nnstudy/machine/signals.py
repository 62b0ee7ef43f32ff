"""Ctrl-C and SIGTERM as wishes that a loop grants where nothing is lost."""

import logging
import signal
import sys
import threading
from typing import Any


class Interrupts:
    """Notes a signal while it is entered; a second one acts at once.

    Signals reach the main thread only; in another one, this does nothing.

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
        # Stopped at once, a checkpoint that is being written is given up, which orbax logs.
        logging.getLogger('absl').setLevel(logging.CRITICAL)
        print('stopping after this segment; once more to stop at once', file=sys.stderr)
