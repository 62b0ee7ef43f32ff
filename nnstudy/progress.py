"""The live display of a study that is training."""

import datetime
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Display:
    """A bar on a terminal; elsewhere, as in a log file or a notebook, a line now and then.

    Args:
      total: examples that all runs are trained on, so that groups of unequal length and batch size
        share one scale.
      done: those of them that an interrupted study was trained on before.
      quiet: shows nothing.
    """

    def __init__(self, total: float, done: float = 0.0, quiet: bool = False):
        self._total, self._done, self._first = total, done, done
        self._began = self._last_line = time.monotonic()
        self._compiling = 0.0  # seconds
        # In a notebook, rich needs widgets that may not be installed.
        console = Console(file=sys.stderr, quiet=quiet, force_jupyter=False)
        self._quiet, self._is_live = quiet, console.is_terminal
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(bar_width=24),
            TextColumn('{task.percentage:>3.0f}%'),
            TextColumn('{task.fields[rate]}'),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=quiet or not self._is_live,
        )
        self._task = self._progress.add_task('', total=total, completed=int(done), rate='')

    def __enter__(self) -> 'Display':
        self._progress.start()
        return self

    def __exit__(self, error: type | None, *_: Any) -> None:
        self._progress.stop()
        if error is None and not self._quiet:
            seconds = time.monotonic() - self._began
            trained = f'on {self._done - self._first:,.0f} examples in {seconds:.1f} s'
            rest = f'; {self._written_rate()} in the rest' if self._rate() else ''
            print(
                f'trained {trained}, {self._compiling:.1f} s of it compiling{rest}', file=sys.stderr
            )

    def say(self, text: str) -> None:
        """Shows what is being done."""
        self._progress.update(self._task, description=text)
        if not self._quiet and not self._is_live:
            print(text, file=sys.stderr, flush=True)

    def advance(self, examples: float, text: str) -> None:
        """Counts examples that runs were trained on, and shows where training stands.

        Args:
          examples: since the last call.
          text: such as `'group 1/2, epoch 3/10'`.
        """
        now = time.monotonic()
        self._done += examples
        self._progress.update(
            self._task, completed=self._done, description=text, rate=self._written_rate()
        )
        is_line_due = now - self._last_line >= SECONDS_BETWEEN_LINES
        if is_line_due and not self._quiet and not self._is_live:
            self._last_line = now
            said = [f'{min(1.0, self._done / self._total):.0%}']
            if rate := self._rate():
                # With halving the total is an estimate, which may be passed.
                left = datetime.timedelta(seconds=max(0, round((self._total - self._done) / rate)))
                said += [self._written_rate(), f'{left} left']
            print(f'{text}: {", ".join(said)}', file=sys.stderr, flush=True)

    def compiled(self, seconds: float) -> None:
        """Takes time that was spent on compiling out of the rate."""
        self._compiling += seconds

    def skip(self, examples: float) -> None:
        """Counts examples that are left out, of runs that were over before their end."""
        self._total -= examples
        self._progress.update(self._task, total=self._total)

    def _rate(self) -> float:
        """Examples a second, since this process began to train."""
        seconds = time.monotonic() - self._began - self._compiling
        return (self._done - self._first) / max(seconds, 1e-9)

    def _written_rate(self) -> str:
        return f'{self._rate():,.0f} examples/s'
