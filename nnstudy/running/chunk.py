"""A chunk on its way: the runs that are on the devices at once, and what was measured of them."""

import time
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from nnstudy.results import checkpoints
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import layout
from nnstudy.running.layout import Segment
from nnstudy.running.program import Program
from nnstudy.training.state import TrainState


class Chunk:
    """Runs of a group that are trained together, from where each of them stands.

    The devices are kept at work: a segment's outputs are waited for when the next one is under way.

    Attributes:
      is_new: whether all of them stand at the beginning.
    """

    def __init__(
        self,
        program: Program,
        runs: np.ndarray,
        begun: Iterable[tuple[np.ndarray, dict[str, Any]]],
    ) -> None:
        """Puts the runs on the devices.

        Args:
          program: of their group.
          runs: their numbers, int [R].
          begun: what earlier sessions have left of some, see `Records.begun`.
        """
        self._program, self._group, self._runs = program, program.group, runs
        self._began = time.monotonic()
        self._state, self._own = program.init(np.searchsorted(self._group.runs, runs))
        # The step at which each run is, evaluated there if it is such a step; -1: not begun.
        self._at = np.full(len(runs), -1)
        self._seconds = np.zeros(len(runs))
        self._history, self._log = program.tables(len(runs))
        self._pending: tuple[Segment, Any] | None = None
        self.is_new = True
        for places, saved in begun:
            self.is_new = False
            self._state = program.replaced(self._state, places, saved['state'])
            self._at[places] = saved['outcome']['at']
            self._seconds[places] = saved['outcome']['seconds']
            for table, kept in ((self._history, saved['history']), (self._log, saved['log'])):
                for name, values in kept.items():
                    table[name][places] = values
        self._alive = self._are_alive()

    def _are_alive(self) -> np.ndarray:
        """Returns which runs go on: those that are not frozen, or not evaluated since, bool [R]."""
        frozen_at, stopped = self._fetch((self._state.frozen_at, self._state.stopped))
        evaluations = self._group.evaluation_steps
        # Stopped by an evaluation; a loss that is not finite comes after the one of its step.
        ends = np.where(
            stopped,
            np.searchsorted(evaluations, frozen_at),
            np.searchsorted(evaluations, frozen_at, 'right'),
        )
        return (frozen_at < 0) | (self._at < evaluations[ends])

    def next_segment(self, until: int) -> Segment | None:
        """Returns what to do next, up to a step at which the runs wait; None for nothing."""
        program = self._program
        evaluations = self._group.evaluation_steps
        return layout.next_segment(
            program.layout, self._at, self._alive, evaluations, until, program.mesh.size
        )

    def advance(self, segment: Segment) -> Segment | None:
        """Starts a segment; returns the one before it, which is finished now, see `collect`."""
        self._state, outputs = self._program.advance(self._state, self._own, segment)
        self._at[segment.runs] = segment.stop
        before = self.collect()
        self._pending = segment, outputs
        return before

    def collect(self) -> Segment | None:
        """Waits for the segment under way, and takes what it has measured into the tables."""
        if self._pending is None:
            return None
        (segment, outputs), self._pending = self._pending, None
        chosen, measured = segment.runs, self._fetch(outputs)
        if segment.evaluate:
            column = np.searchsorted(self._group.evaluation_steps, segment.stop)
            for name, values in measured['metrics'].items():
                self._history[name][chosen, column] = values[chosen]
            self._alive[chosen] &= ~measured['is_over'][chosen]
        first, count = self._group.logged(segment.start, segment.stop)
        for name, rows in measured['log'].items():
            self._log[name][chosen, first : first + count] = rows[chosen, :count]
        return segment

    def left(self, until: int) -> int:
        """Returns how many steps the runs are short of a step, all together."""
        return int((until - self._at).sum())

    def moment(self) -> Checkpoint:
        """Returns all that is needed to go on from here; nothing is under way."""
        state = self._fetch(self._state)
        return self._checkpoint(state, {'state': checkpoints.state_dict(state)})

    def finished(self, until: int) -> Checkpoint:
        """Returns what is kept of the runs, all of which have reached a step, or are over."""
        self._at[:] = until
        state = self._fetch(self._state)
        kept = {'final': state.variables, 'best': state.best.variables}
        if until < self._group.num_steps:  # its points may go on after this rung
            kept['state'] = checkpoints.state_dict(state)
        return self._checkpoint(state, kept)

    def _checkpoint(self, state: TrainState, kept: dict[str, Any]) -> Checkpoint:
        share = (time.monotonic() - self._began) / len(self._runs)
        outcome = {
            'at': self._at.astype(np.int32),
            'seconds': self._seconds + share,
            'best_step': state.best.step,
            'frozen_at': state.frozen_at,
            'stopped': state.stopped,
        }
        # They are written in the background, while the next segments add to the tables.
        measured = jax.tree.map(np.copy, {'history': self._history, 'log': self._log})
        about = {
            'group': self._group.index,
            'runs': self._runs.tolist(),
            'steps': self._at.tolist(),
        }
        return Checkpoint(about, {**kept, **measured, 'outcome': outcome})

    def _fetch(self, tree: Any) -> Any:
        return self._program.fetch(tree, len(self._runs))
