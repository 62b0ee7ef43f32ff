"""A chunk in training: the runs that are on the devices at once, and what was measured so far."""

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
    """Runs of a group that are trained together. Each goes on from the step that it has reached.

    To keep the devices busy, the next segment is started before the outputs of the last one are
    fetched.

    Attributes:
      is_new: whether all runs are at step 0.
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
          begun: the runs that were begun before, see `Records.begun`.
        """
        self._program, self._group, self._runs = program, program.group, runs
        self._began = time.monotonic()
        self._state, self._own = program.init(np.searchsorted(self._group.runs, runs))
        # The step that each run has reached, its evaluation included; -1: not begun.
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
        """Returns which runs go on, bool [R]: not frozen, or without an evaluation since then."""
        frozen_at, stopped = self._fetch((self._state.frozen_at, self._state.stopped))
        evaluations = self._group.evaluation_steps
        # An evaluation stops a run, so that was its last one. A loss that is not finite is found
        # in a step, so the evaluation after that step is still to come.
        ends = np.where(
            stopped,
            np.searchsorted(evaluations, frozen_at),
            np.searchsorted(evaluations, frozen_at, 'right'),
        )
        return (frozen_at < 0) | (self._at < evaluations[ends])

    def next_segment(self, until: int) -> Segment | None:
        """Returns the next segment up to the step `until`, or None if there is none."""
        program = self._program
        evaluations = self._group.evaluation_steps
        return layout.next_segment(
            program.layout, self._at, self._alive, evaluations, until, program.mesh.size
        )

    def advance(self, segment: Segment) -> Segment | None:
        """Starts a segment, and returns the one before it, which is finished now."""
        self._state, outputs = self._program.advance(self._state, self._own, segment)
        self._at[segment.runs] = segment.stop
        before = self.collect()
        self._pending = segment, outputs
        return before

    def collect(self) -> Segment | None:
        """Waits for the segment in progress and writes what it measured into the tables."""
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
        """Returns the number of steps that all runs together still need up to the step `until`."""
        return int((until - self._at).sum())

    def moment(self, until: int) -> Checkpoint:
        """Returns a checkpoint to resume from, on the way to a step. No segment is in progress."""
        state = self._fetch(self._state)
        # No run counts as having reached `until` before its whole chunk has: see `finished`.
        steps = np.minimum(self._at, until - 1)
        # Copies, since the next segments write to the tables while the checkpoint is being saved.
        tables = jax.tree.map(np.copy, {'history': self._history, 'log': self._log})
        return self._checkpoint(steps, state, {'state': checkpoints.state_dict(state), **tables})

    def finished(self, until: int) -> Checkpoint:
        """Returns the checkpoint of runs that have all reached the step `until`, or are over."""
        self._at[:] = until
        state = self._fetch(self._state)
        kept = {
            'final': state.variables,
            'best': state.best.variables,
            'history': self._history,
            'log': self._log,
        }
        if until < self._group.num_steps:  # some of the runs go on after this rung
            kept['state'] = checkpoints.state_dict(state)
        return self._checkpoint(self._at, state, kept)

    def _checkpoint(self, steps: np.ndarray, state: TrainState, kept: dict[str, Any]) -> Checkpoint:
        share = (time.monotonic() - self._began) / len(self._runs)
        outcome = {
            'at': self._at.astype(np.int32),
            'seconds': self._seconds + share,
            'best_step': state.best.step,
            'frozen_at': state.frozen_at,
            'stopped': state.stopped,
        }
        about = {
            'group': self._group.index,
            'runs': self._runs.tolist(),
            'steps': steps.tolist(),
        }
        return Checkpoint(about, {**kept, 'outcome': outcome})

    def _fetch(self, tree: Any) -> Any:
        return self._program.fetch(tree, len(self._runs))
