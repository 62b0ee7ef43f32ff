"""The progress of every run of a study, from the newest checkpoint that has the run."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from nnstudy.machine import processes
from nnstudy.results.checkpoints import AnySeries, Checkpoint, Numbering


class Records:
    """The newest checkpoint of each run. Checkpoints that are the newest of no run are deleted.

    Not those that have runs of other studies: this one may be smaller than the one before.

    `step` is the step that each run has reached, int [R], -1 if it has not begun. With several
    processes, the first one reads and writes the files for all.
    """

    def __init__(self, numbering: Numbering, series: AnySeries):
        """Reads the checkpoints of earlier sessions, of all runs of the study."""
        self._numbering, self._series = numbering, series
        self._others: set[int] = set()  # numbers of checkpoints that have other runs too
        # Of each run: its step, the number of its newest checkpoint, and its row in there.
        self.step, self._number, self._row = np.full([3, numbering.num_runs], -1)
        for number, about in processes.from_first(lambda: [list(kept) for kept in series.abouts()]):
            self._note(number, about)

    def behind(self, runs: np.ndarray, step: int) -> np.ndarray:
        """Returns the runs that have not reached a step.

        Those of the newest checkpoint come first, so that an interrupted chunk goes on first.
        """
        left = runs[self.step[runs] < step]
        return left[np.argsort(-self._number[left], kind='stable')]

    def newest(self, runs: np.ndarray, *names: str) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """Reads the newest checkpoints of some runs, one at a time.

        Yields:
          The places of K of the runs in `runs`, int [K], and items of the checkpoint that has them,
          by name, [K, ...]. Runs that have not begun are in none.
        """
        numbers = self._number[runs]
        for number in sorted(set(numbers.tolist()) - {-1}):
            places = np.flatnonzero(numbers == number)

            def load(number: int = number, rows: np.ndarray = self._row[runs[places]]) -> Any:
                kept = self._series.load(number, *names).items
                return jax.tree.map(lambda leaf: leaf[rows], kept)

            yield places, processes.from_first(load)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Saves a checkpoint, and deletes those that were replaced before.

        It has its runs by their numbers, `about['runs']`, and is saved with their names.

        Saving goes on in the background. So what this checkpoint replaces is deleted with the next
        call, when this one is known to be whole.
        """
        runs = np.array(checkpoint.about['runs'])
        about = {**self._numbering.names(runs), 'steps': checkpoint.about['steps']}

        def save() -> int:
            number = self._series.save(Checkpoint(about, checkpoint.items))
            self._series.retain({*self._number.tolist(), *self._others, number})
            return number

        self._note(processes.from_first(save), about)

    def close(self) -> None:
        """Waits until everything is written, and deletes the checkpoints that were replaced."""
        if processes.is_first():
            self._series.close({*self._number.tolist(), *self._others})

    def _note(self, number: int, about: dict[str, Any]) -> None:
        runs = self._numbering.numbers(about)
        rows = np.flatnonzero(runs >= 0)
        if len(rows) < len(runs):
            self._others.add(number)
        self.step[runs[rows]], self._number[runs[rows]] = np.array(about['steps'])[rows], number
        self._row[runs[rows]] = rows
