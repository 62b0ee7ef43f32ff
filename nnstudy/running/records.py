"""Where each run of a study stands, and the checkpoint that knows more of it."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from nnstudy.machine import processes
from nnstudy.results import checkpoints
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import tables

# The items of a checkpoint from which a run goes on.
_RESUMED = ('state', 'history', 'log', 'outcome')


class Records:
    """The newest of what is kept of each run.

    With several processes the first one reads and writes, and all of them know.

    Attributes:
      chunks: on the first process, the chunks that have reached a rung or their end.
      step: the step that each run has reached there, -1 if it has not been there: int [R].
    """

    def __init__(
        self,
        num_runs: int,
        chunks: checkpoints.AnySeries,
        unfinished: checkpoints.Series | None,
    ):
        """Reads what an earlier session has left.

        Args:
          num_runs: number of all runs of the study.
          chunks: see above.
          unfinished: moments of a chunk on its way; the last one may be ahead of `chunks`.
        """
        self.chunks, self._unfinished = chunks, unfinished
        self._moment: Checkpoint | None = None
        self.step, self._number, self._row = np.full([3, num_runs], -1)
        for number, about in processes.from_first(lambda: [list(kept) for kept in chunks.abouts()]):
            self._note(number, about)
        self.read_unfinished()

    def read_unfinished(self) -> None:
        """Looks up which runs the last moment of a chunk on its way is of."""

        def read() -> dict[str, Any]:
            # Kept until its runs have gone on: the series deletes it when it is no longer new.
            self._moment = self._unfinished.latest(*_RESUMED) if self._unfinished else None
            if self._moment is None:
                return {}
            return {'runs': self._moment.about['runs'], **self._moment.items['outcome']}

        # The row of each run in that moment, and the step at which it is there.
        self._row_ahead, self._step_ahead = np.full([2, len(self.step)], -1)
        if moment := processes.from_first(read):
            runs, at = np.array(moment['runs']), moment['at']
            is_ahead = at > self.step[runs]
            self._row_ahead[runs] = np.where(is_ahead, np.arange(len(runs)), -1)
            self._step_ahead[runs] = at
        self._let_go()

    def steps_done(self, runs: np.ndarray) -> int:
        """Returns how many steps the runs have taken, all together."""
        return int(np.maximum(self.step[runs], self._step_ahead[runs]).clip(0).sum())

    def behind(self, runs: np.ndarray, step: int) -> np.ndarray:
        """Returns those of the runs that have not reached a step, first those on their way."""
        left = runs[self.step[runs] < step]
        return left[np.argsort(self._row_ahead[left] < 0, kind='stable')]

    def begun(self, runs: np.ndarray) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Yields what is kept of the runs: places among them, and the items of the runs there."""
        is_ahead = self._row_ahead[runs] >= 0
        if is_ahead.any():
            places = np.flatnonzero(is_ahead)
            rows = self._row_ahead[runs[places]]
            yield places, processes.from_first(lambda: _rows(self._moment, rows))
            self._row_ahead[runs[places]] = -1
            self._let_go()
        numbers = np.where(is_ahead, -1, self._number[runs])
        for number in sorted(set(numbers.tolist()) - {-1}):
            places = np.flatnonzero(numbers == number)
            load = functools.partial(self._rows_of, number, self._row[runs[places]])
            yield places, processes.from_first(load)

    def keep(self, chunk: Checkpoint) -> None:
        """Saves a chunk that has reached a rung or its end."""
        self._note(processes.from_first(lambda: self.chunks.save(chunk)), chunk.about)

    def tables(self) -> list[Checkpoint]:
        """Returns the chunks with what tables are made of, the newest first."""
        numbers = sorted(set(self._number.tolist()) - {-1}, reverse=True)
        loads = [functools.partial(self._table, number) for number in numbers]
        return [Checkpoint(*processes.from_first(load)) for load in loads]

    def _table(self, number: int) -> list[Any]:
        chunk = self.chunks.load(number, *tables.ITEMS)
        return [chunk.about, chunk.items]

    def _rows_of(self, number: int, rows: np.ndarray) -> dict[str, Any]:
        return _rows(self.chunks.load(number, *_RESUMED), rows)

    def _let_go(self) -> None:
        """Drops the moment, whose states may be large, when all of its runs have gone on."""
        if (self._row_ahead < 0).all():
            self._moment = None

    def _note(self, number: int, about: dict[str, Any]) -> None:
        runs = about['runs']
        self.step[runs], self._number[runs] = about['step'], number
        self._row[runs] = np.arange(len(runs))


def _rows(saved: Checkpoint | None, rows: np.ndarray) -> dict[str, Any]:
    assert saved is not None
    return jax.tree.map(lambda leaf: leaf[rows], saved.items)
