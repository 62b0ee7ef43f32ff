"""Checkpoints of the runs of a study, by orbax: each is whole or absent.

A working directory has a series of them in its folder `chunks`, as NumPy arrays and a small JSON
file. Runs in training have their states there, to resume from; finished runs have their final and
best parameters. Both have the history.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization, traverse_util

from nnstudy import errors

ITEMS = ('state', 'final', 'best', 'outcome', 'history', 'log')


class Numbering(NamedTuple):
    """The numbers of a study's runs: point by point, and seed by seed in each.

    A run is known by its point and seed. So its checkpoint serves any study that has this run,
    under whatever number.
    """

    keys: Sequence[str]  # of the points, see `nnstudy.running.plan`
    first_seed: int
    num_seeds: int

    @property
    def num_runs(self) -> int:
        return len(self.keys) * self.num_seeds

    def names(self, runs: np.ndarray) -> dict[str, Any]:
        """Returns what runs [R] are known by, as plain data."""
        points, seeds = np.divmod(runs, self.num_seeds)
        used, place = np.unique(points, return_inverse=True)
        keys = [self.keys[point] for point in used]
        return {'keys': keys, 'of': place.tolist(), 'seeds': (self.first_seed + seeds).tolist()}

    def numbers(self, names: Mapping[str, Any]) -> np.ndarray:
        """Returns the numbers of runs [R] from their `names`; -1 for those of other studies."""
        own = {key: point for point, key in enumerate(self.keys)}
        points = np.array([own.get(key, -1) for key in names['keys']], int)[list(names['of'])]
        seeds = np.array(names['seeds'], int) - self.first_seed
        is_own = (points >= 0) & (seeds >= 0) & (seeds < self.num_seeds)
        return np.where(is_own, points * self.num_seeds + seeds, -1)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Arrays of some runs of a group."""

    # Plain data: which R runs they are, by number or as in `Numbering.names`, and `'steps'`, those
    # that they have reached, in the order of the rows of the arrays.
    about: dict[str, Any]
    # Trees of arrays [R, ...] by name, see `ITEMS`. Each can be read without the others.
    items: dict[str, Any]


class Series:
    """Checkpoints in a folder, numbered in the order in which they were saved."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        # With several processes, the first one writes and does not wait for the others.
        several = {'primary_host': 0, 'active_processes': {0}, 'barrier_sync_key_prefix': 'first'}
        alone = several if jax.process_count() > 1 else {}
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            # With the items named here, orbax does not warn about items that are not read.
            item_handlers={
                'about': ocp.JsonCheckpointHandler(),
                **{name: ocp.StandardCheckpointHandler() for name in ITEMS},
            },
            options=ocp.CheckpointManagerOptions(
                max_to_keep=None,
                create=False,
                multiprocessing_options=ocp.options.MultiprocessingOptions(**alone),
            ),
        )

    def save(self, checkpoint: Checkpoint) -> int:
        """Writes a checkpoint in the background and returns its number; readers see it whole."""
        items = {k: ocp.args.StandardSave(tree) for k, tree in checkpoint.items.items() if tree}
        about = ocp.args.JsonSave(checkpoint.about)
        number = (self._manager.latest_step() or 0) + 1
        self._manager.save(number, args=ocp.args.Composite(about=about, **items))
        return number

    def abouts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the number and `about` of every checkpoint, oldest first."""
        self._manager.wait_until_finished()
        for number in sorted(self._manager.all_steps()):
            yield number, self.load(number).about

    def load(self, number: int, *names: str) -> Checkpoint:
        """Reads the named items of a checkpoint; one that it does not have is empty."""
        self._manager.wait_until_finished()
        saved = {path.name for path in (self._manager.directory / str(number)).iterdir()}
        items = {name: ocp.args.StandardRestore() for name in names if name in saved}
        restored = self._manager.restore(
            number, args=ocp.args.Composite(about=ocp.args.JsonRestore(), **items)
        )
        return Checkpoint(restored['about'], {name: restored.get(name) or {} for name in names})

    def retain(self, numbers: Collection[int]) -> None:
        """Deletes all checkpoints but some."""
        for number in self._manager.all_steps():
            if number not in numbers:
                self._manager.delete(number)

    def close(self, numbers: Collection[int]) -> None:
        """Waits until everything is written, and deletes all checkpoints but some."""
        self._manager.wait_until_finished()
        self.retain(numbers)
        self._manager.close()


class Memory(dict[int, Checkpoint]):
    """A series in memory, for a study without a working directory."""

    def save(self, checkpoint: Checkpoint) -> int:
        number = max(self, default=0) + 1
        self[number] = checkpoint
        return number

    def abouts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from ((number, saved.about) for number, saved in self.items())

    def load(self, number: int, *names: str) -> Checkpoint:
        return Checkpoint(self[number].about, {n: self[number].items.get(n, {}) for n in names})

    def retain(self, numbers: Collection[int]) -> None:
        for number in self.keys() - set(numbers):
            del self[number]

    close = retain


AnySeries = Series | Memory


def state_dict(tree: Any) -> dict[str, np.ndarray]:
    """Returns the arrays of a tree by their paths in it; `restored` is the inverse."""
    flat = traverse_util.flatten_dict(serialization.to_state_dict(tree), sep='.')
    return {name: np.asarray(leaf) for name, leaf in flat.items() if leaf is not None}


def restored(like: Any, saved: dict[str, np.ndarray]) -> Any:
    """Returns a tree with the structure of `like` and the arrays of a `state_dict`.

    Raises:
      UserError: their names, types or shapes, but for the first axis, are not those of `like`.
    """
    kinds, expected = (
        {name: (array.shape[1:], array.dtype) for name, array in arrays.items()}
        for arrays in (saved, state_dict(like))
    )
    if kinds != expected:
        raise errors.UserError(
            'the checkpoint is of another version of the program; delete the working directory, or '
            'go on with the version that began it'
        )
    nested = serialization.to_state_dict(like)  # has the parts of the tree without arrays too
    flat = traverse_util.flatten_dict(nested, sep='.', keep_empty_nodes=True) | saved
    return serialization.from_state_dict(like, traverse_util.unflatten_dict(flat, sep='.'))
