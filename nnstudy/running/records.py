"""Where each run of a study stands: the newest checkpoint of it."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from nnstudy.machine import processes
from nnstudy.results.checkpoints import AnySeries, Checkpoint
from nnstudy.running import tables

# The items of a checkpoint from which a run goes on.
_RESUMED = ('state', 'history', 'log', 'outcome')


class Records:
    """The newest checkpoint of each run; older ones are deleted.

    With several processes the first one reads and writes, and all of them know.

    Attributes:
      step: the step that each run has reached, -1 if it has not begun: int [R].
    """

    def __init__(self, num_runs: int, series: AnySeries):
        """Reads what an earlier session has left.

        Args:
          num_runs: number of all runs of the study.
          series: the study's checkpoints; only the first process uses it.
        """
        self._series = series
        # Of each run: where it stands, and number of its newest checkpoint and row in it.
        self.step, self._number, self._row = np.full([3, num_runs], -1)
        for number, about in processes.from_first(lambda: [list(kept) for kept in series.abouts()]):
            self._note(number, about)

    def behind(self, runs: np.ndarray, step: int) -> np.ndarray:
        """Returns those of the runs that have not reached a step; the last ones saved come first.

        So a chunk that was interrupted is the first to go on.
        """
        left = runs[self.step[runs] < step]
        return left[np.argsort(-self._number[left], kind='stable')]

    def begun(self, runs: np.ndarray) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Yields what is kept of the runs: places among them, and the items of the runs there."""
        numbers = self._number[runs]
        for number in sorted(set(numbers.tolist()) - {-1}):
            places = np.flatnonzero(numbers == number)
            load = functools.partial(self._rows_of, number, self._row[runs[places]])
            yield places, processes.from_first(load)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint, and deletes those that are of no use any more.

        It is written while training goes on. Until the next one is saved, which waits for that,
        those that it takes the place of are still there.
        """

        def save() -> int:
            number = self._series.save(checkpoint)
            self._series.retain({*self._number.tolist(), number})
            return number

        self._note(processes.from_first(save), checkpoint.about)

    def close(self) -> None:
        """Waits until all is written, and deletes what is of no use any more."""
        if processes.is_first():
            self._series.retain(set(self._number.tolist()), wait=True)
            self._series.close()

    def tables(self) -> list[Checkpoint]:
        """Returns the checkpoints with what tables are made of, the newest first."""
        numbers = sorted(set(self._number.tolist()) - {-1}, reverse=True)
        loads = [functools.partial(self._table, number) for number in numbers]
        return [Checkpoint(*processes.from_first(load)) for load in loads]

    def _table(self, number: int) -> list[Any]:
        kept = self._series.load(number, *tables.ITEMS)
        return [kept.about, kept.items]

    def _rows_of(self, number: int, rows: np.ndarray) -> dict[str, Any]:
        items = self._series.load(number, *_RESUMED).items
        return jax.tree.map(lambda leaf: leaf[rows], items)

    def _note(self, number: int, about: dict[str, Any]) -> None:
        runs = about['runs']
        self.step[runs], self._number[runs] = about['steps'], number
        self._row[runs] = np.arange(len(runs))
