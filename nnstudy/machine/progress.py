"""The live display of a study that is training."""

import datetime
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 10.0


class Display:
    """A progress bar on a terminal; elsewhere, as in a log file or a notebook, a line at times.

    Args:
      total: the cost of the whole study, in any unit.
      done: the cost of what was done before the study was interrupted.
      quiet: whether to show nothing.
    """

    def __init__(self, total: float, done: float = 0.0, quiet: bool = False):
        self._total, self._done, self._first = total, done, done
        self._began = self._last_line = time.monotonic()
        self._compiling = 0.0  # seconds
        # In a notebook, rich would need widgets that may not be installed.
        self._console = Console(file=sys.stderr, quiet=quiet, force_jupyter=False, highlight=False)
        self._bar = Progress(
            TextColumn('{task.description}'),
            BarColumn(bar_width=24),
            TextColumn('{task.fields[stand]}'),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task('', total=1.0, stand='')

    def __enter__(self) -> 'Display':
        self._bar.start()
        return self

    def __exit__(self, error: type | None, *_: Any) -> None:
        self._bar.stop()
        if error is None:
            seconds = time.monotonic() - self._began
            compiling = f'{self._compiling:.1f} s of it compiling'
            self._console.out(f'trained in {seconds:.1f} s, {compiling}')

    def say(self, text: str) -> None:
        """Shows what is being done."""
        self._bar.update(self._task, description=text)
        if not self._console.is_terminal:
            self._console.out(text)

    def advance(self, cost: float, text: str) -> None:
        """Adds to what is done, and shows how far training is, after a text such as `'epoch 3'`."""
        now = time.monotonic()
        self._done += cost
        # With halving the total is an estimate, and more may be done.
        share = min(1.0, self._done / self._total)
        stand = f'{share:.0%}'
        if self._done > self._first:
            taken = now - self._began - self._compiling
            seconds = taken * max(0.0, self._total - self._done) / (self._done - self._first)
            stand += f', about {datetime.timedelta(seconds=round(seconds))} left'
        self._bar.update(self._task, completed=share, description=text, stand=stand)
        if not self._console.is_terminal and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._console.out(f'{text}: {stand}')

    def compiled(self, seconds: float) -> None:
        """Leaves time that was spent on compiling out of the estimate of the time that is left."""
        self._compiling += seconds

    def skip(self, cost: float) -> None:
        """Takes away from the total what need not be done, of runs that ended early."""
        self._total -= cost
