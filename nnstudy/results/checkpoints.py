"""What is kept of training, in orbax checkpoints: each is whole or absent.

A working directory has two series of them:

    checkpoints/   the chunk that is being trained, the last two moments of it
    chunks/        every chunk at a rung or its end: parameters, final and best, and history

Everything is a dict of NumPy arrays beside a small JSON, so that neither the devices nor the
number of them matter for reading.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from nnstudy import errors

ITEMS = ('state', 'final', 'best', 'outcome', 'history', 'log')


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Arrays of some runs and what they are of.

    Attributes:
      about: plain data; `'group'` and `'runs'` (run numbers, in the order of the arrays' rows)
        among it.
      items: trees of arrays [R, ...] by name, see `ITEMS`; each can be read without the others.
    """

    about: dict[str, Any]
    items: dict[str, Any]


class Series:
    """Checkpoints in a folder, numbered in the order in which they were saved."""

    def __init__(self, directory: Path, max_to_keep: int | None = None):
        directory.mkdir(parents=True, exist_ok=True)
        # With several processes, the first one writes and waits for no other.
        alone = ocp.options.MultiprocessingOptions()
        if jax.process_count() > 1:
            alone = ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix='first'
            )
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            # Named here, an item that is not asked for is not an unknown one to warn about.
            item_handlers={
                'about': ocp.JsonCheckpointHandler(),
                **{name: ocp.StandardCheckpointHandler() for name in ITEMS},
            },
            options=ocp.CheckpointManagerOptions(
                max_to_keep=max_to_keep, create=False, multiprocessing_options=alone
            ),
        )

    def save(self, checkpoint: Checkpoint) -> int:
        """Writes a checkpoint in the background and returns its number; readers see it whole."""
        items = {
            name: ocp.args.StandardSave(tree) for name, tree in checkpoint.items.items() if tree
        }
        number = (self._manager.latest_step() or 0) + 1
        self._manager.save(
            number,
            args=ocp.args.Composite(about=ocp.args.JsonSave(checkpoint.about), **items),
        )
        return number

    def abouts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields number and `about` of every whole checkpoint, oldest first."""
        self._manager.wait_until_finished()
        for number in sorted(self._manager.all_steps()):
            yield number, self._restore(number, about=ocp.args.JsonRestore())['about']

    def load(self, number: int, *names: str) -> Checkpoint:
        """Reads the named items of a checkpoint; one that it has not is left empty."""
        self._manager.wait_until_finished()
        saved = {path.name for path in (self._manager.directory / str(number)).iterdir()}
        restored = self._restore(
            number,
            about=ocp.args.JsonRestore(),
            **{name: ocp.args.StandardRestore() for name in names if name in saved},
        )
        return Checkpoint(restored['about'], {name: restored.get(name) or {} for name in names})

    def latest(self, *names: str) -> Checkpoint | None:
        """Reads the named items of the newest checkpoint, if there is one."""
        number = self._manager.latest_step()
        return None if number is None else self.load(number, *names)

    def clear(self) -> None:
        """Deletes all checkpoints of the series."""
        self._manager.wait_until_finished()
        for number in self._manager.all_steps():
            self._manager.delete(number)

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _restore(self, number: int, **args: Any) -> Any:
        return self._manager.restore(number, args=ocp.args.Composite(**args))


class Memory:
    """A series that lives in memory, for a study without a working directory."""

    def __init__(self) -> None:
        self._saved: list[Checkpoint] = []

    def save(self, checkpoint: Checkpoint) -> int:
        self._saved.append(checkpoint)
        return len(self._saved) - 1

    def abouts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from ((number, saved.about) for number, saved in enumerate(self._saved))

    def load(self, number: int, *names: str) -> Checkpoint:
        saved = self._saved[number]
        return Checkpoint(saved.about, {name: saved.items.get(name, {}) for name in names})

    def close(self) -> None:
        pass


AnySeries = Series | Memory


def leaves(tree: Any) -> dict[str, np.ndarray]:
    """Returns the leaves of any tree as a flat dict, to be put back by `restore_leaves`."""
    return {f'{i:06}': np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def restore_leaves(flat: dict[str, np.ndarray], like: Any) -> Any:
    """Returns a tree of the structure of `like` from its leaves.

    Raises:
      UserError: they are of another number or type, as after a change of the code.
    """
    wanted = [(leaf.shape[1:], leaf.dtype) for leaf in jax.tree.leaves(like)]
    if wanted != [(flat[key].shape[1:], flat[key].dtype) for key in sorted(flat)]:
        raise errors.UserError(
            'the checkpoint is of another version of the program; delete the working directory, or '
            'go on with the version that began it'
        )
    return jax.tree.unflatten(jax.tree.structure(like), [flat[key] for key in sorted(flat)])
