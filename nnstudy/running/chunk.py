"""A chunk in training: the runs that are on the devices at once, and what was measured so far."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from nnstudy.results import checkpoints
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import execute
from nnstudy.running.layout import Segment
from nnstudy.running.program import Program
from nnstudy.running.records import Records


class Chunk:
    """Runs of a group that are trained together. Each goes on from the step that it has reached.

    To keep the devices busy, the next segment is started before the outputs of the last one are
    fetched.
    """

    def __init__(
        self, program: Program, runs: np.ndarray, records: Records, show: Callable[[Segment], None]
    ) -> None:
        """Puts the runs on the devices.

        Args:
          program: of their group.
          runs: their numbers, int [R].
          records: have the states of those that were begun before.
          show: is called with each segment that is finished.
        """
        self._program, self._group, self._runs, self._show = program, program.group, runs, show
        self._began = time.monotonic()
        self._state, self._own = program.init(np.searchsorted(self._group.runs, runs))
        # The step that each run has reached, its evaluation included; -1: not begun.
        self._at = np.full(len(runs), -1, np.int32)
        self._alive = np.ones(len(runs), bool)  # as of the last evaluation
        self._seconds = np.zeros(len(runs))
        self._tables: dict[str, dict[str, np.ndarray]] = {'history': {}, 'log': {}}
        self._pending: tuple[Segment, Any] | None = None
        for places, saved in records.newest(runs, 'state', 'outcome', *self._tables):
            self._state = program.replaced(self._state, places, saved['state'])
            outcome = saved['outcome']
            self._at[places], self._alive[places] = outcome['at'], outcome['alive']
            self._seconds[places] = outcome['seconds']
            for item in self._tables:
                for name, values in saved[item].items():
                    self._table(item, name, values.shape[1:])[places] = values

    def next_segment(self, until: int) -> Segment | None:
        """Returns the next segment up to the step `until`, or None if there is none."""
        evaluations = self._group.evaluation_steps
        return self._group.layout.next_segment(self._at, self._alive, evaluations, until)

    def advance(self, segment: Segment) -> None:
        """Starts a segment, and collects the one before it."""
        self._state, outputs = self._program.advance(self._state, self._own, segment)
        self._at[segment.runs] = segment.stop
        self.collect()
        self._pending = segment, outputs

    def collect(self) -> None:
        """Waits for the segment in progress and writes what it measured into the tables."""
        if self._pending is None:
            return
        (segment, outputs), self._pending = self._pending, None
        chosen, measured = segment.runs, self._fetch(outputs)
        group, evaluations = self._group, self._group.evaluation_steps
        if segment.evaluate:
            column = np.searchsorted(evaluations, segment.stop)
            for name, values in measured['metrics'].items():
                table = self._table('history', name, (len(evaluations), *values.shape[1:]))
                table[chosen, column] = values[chosen]
            self._alive[chosen] &= ~measured['is_over'][chosen]
        first, last = map(group.num_logged, (segment.start, segment.stop))
        for name, rows in measured['log'].items():
            table = self._table('log', name, (group.num_logged(group.num_steps),))
            table[chosen, first:last] = rows[chosen, : last - first]
        self._show(segment)

    def _table(self, item: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Returns what was measured so far under a name, [R, ...]; NaN where nothing was."""
        tables = self._tables[item]
        if name not in tables:
            tables[name] = np.full((len(self._runs), *shape), np.nan, np.float32)
        return tables[name]

    def left(self, until: int) -> int:
        """Returns the number of steps that all runs together still need up to the step `until`."""
        return int((until - self._at).sum())

    def checkpoint(self, until: int) -> Checkpoint:
        """Returns a checkpoint on the way to the step `until`. No segment is in progress.

        It has the parameters once all runs are there or over, and the states until they are at the
        last step.
        """
        is_done = self.next_segment(until) is None
        if is_done:
            self._at[:] = until
        state = self._fetch(self._state)
        outcome = {
            'at': self._at,
            'alive': self._alive,
            'seconds': self._seconds + (time.monotonic() - self._began) / len(self._runs),
            'best_step': state.best.step,
            'frozen_at': state.frozen_at,
            'stopped': state.stopped,
        }
        # Copies, because the next segments write to the tables while these are being saved.
        kept: dict[str, Any] = jax.tree.map(np.copy, {**self._tables, 'outcome': outcome})
        if is_done:
            kept |= {'final': state.variables, 'best': state.best.variables}
        if not is_done or until < self._group.num_steps:
            kept['state'] = checkpoints.state_dict(state)
        # No run counts as having reached `until` before its whole chunk has.
        steps = self._at if is_done else np.minimum(self._at, until - 1)
        return Checkpoint({'runs': self._runs.tolist(), 'steps': steps.tolist()}, kept)

    def _fetch(self, tree: Any) -> Any:
        return execute.fetch(tree, self._program.mesh, len(self._runs))
