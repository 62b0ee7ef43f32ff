"""A chunk in training: the runs that are on the devices at once, and what was measured so far."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from nnstudy.results import checkpoints
from nnstudy.results.checkpoints import Checkpoint
from nnstudy.running import execute, layout
from nnstudy.running.layout import Segment
from nnstudy.running.program import Program

# The items of a checkpoint from which a run goes on.
RESUMED = ('state', 'history', 'log', 'outcome')


class Chunk:
    """Runs of a group that are trained together. Each goes on from the step that it has reached.

    To keep the devices busy, the next segment is started before the outputs of the last one are
    fetched. `is_new` says whether all runs are at step 0.
    """

    def __init__(
        self,
        program: Program,
        runs: np.ndarray,
        begun: Iterable[tuple[np.ndarray, Checkpoint]],
        show: Callable[[Segment], None],
    ) -> None:
        """Puts the runs on the devices.

        Args:
          program: of their group.
          runs: their numbers, int [R].
          begun: what was kept of those that were begun before, see `Records.newest`.
          show: is called with each segment that is finished.
        """
        self._program, self._group, self._runs = program, program.group, runs
        self._show = show
        self._began = time.monotonic()
        self._state, self._own = program.init(np.searchsorted(self._group.runs, runs))
        # The step that each run has reached, its evaluation included; -1: not begun.
        self._at = np.full(len(runs), -1, np.int32)
        self._alive = np.ones(len(runs), bool)  # as of the last evaluation
        self._seconds = np.zeros(len(runs))
        self._tables: dict[str, dict[str, np.ndarray]] = {'history': {}, 'log': {}}
        self._pending: tuple[Segment, Any] | None = None
        self.is_new = True
        for places, saved in begun:
            self.is_new = False
            self._state = program.replaced(self._state, places, saved.items['state'])
            outcome = saved.items['outcome']
            self._at[places], self._alive[places] = outcome['at'], outcome['alive']
            self._seconds[places] = outcome['seconds']
            for item in self._tables:
                for name, values in saved.items[item].items():
                    self._table(item, name, values.shape[1:])[places] = values

    def next_segment(self, until: int) -> Segment | None:
        """Returns the next segment up to the step `until`, or None if there is none."""
        group, num_devices = self._group, self._program.mesh.size
        evaluations = group.evaluation_steps
        return layout.next_segment(
            group.layout, self._at, self._alive, evaluations, until, num_devices
        )

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

        Once all runs have reached that step, or are over, it has their parameters. Before that, and
        if some of them go on later, it has the states to resume from.
        """
        is_done = self.next_segment(until) is None
        state = self._fetch(self._state)
        kept: dict[str, Any] = {}
        if is_done:
            self._at[:] = until
            kept = {**self._tables, 'final': state.variables, 'best': state.best.variables}
        else:  # the next segments write to the tables while these are being saved
            kept = jax.tree.map(np.copy, self._tables)
        if not is_done or until < self._group.num_steps:
            kept['state'] = checkpoints.state_dict(state)
        kept['outcome'] = {
            'at': self._at.copy(),
            'alive': self._alive.copy(),
            'seconds': self._seconds + (time.monotonic() - self._began) / len(self._runs),
            'best_step': state.best.step,
            'frozen_at': state.frozen_at,
            'stopped': state.stopped,
        }
        # No run counts as having reached `until` before its whole chunk has.
        steps = self._at if is_done else np.minimum(self._at, until - 1)
        about = {'group': self._group.index, 'runs': self._runs.tolist(), 'steps': steps.tolist()}
        return Checkpoint(about, kept)

    def _fetch(self, tree: Any) -> Any:
        return execute.fetch(tree, self._program.mesh, len(self._runs))
