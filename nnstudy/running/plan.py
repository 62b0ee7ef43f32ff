"""From a config and points to groups of runs. Every mistake of a user is found here.

A group is the runs whose static fields are equal; it has one compiled program. Each of its runs has
a seed and a row in the stacked hparams.
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nnstudy import data as data_lib
from nnstudy import errors
from nnstudy.data import dataset, device
from nnstudy.machine import target as targets
from nnstudy.machine.target import Target
from nnstudy.results.checkpoints import Numbering
from nnstudy.running import layout as layout_lib
from nnstudy.running import parts
from nnstudy.running.layout import Layout
from nnstudy.running.parts import Part
from nnstudy.spec import config as config_lib
from nnstudy.spec import fields, sweep
from nnstudy.spec.claims import Claim, Reference
from nnstudy.spec.fields import Config, Value
from nnstudy.training import evaluation, resolve
from nnstudy.training.run import steps_per_epoch

MAX_RUNS = 10_000_000
# Fields that change no run: how a study is executed, and what only its claims and pictures read.
NOT_IDENTITY = ('execution.', 'study.')
SEEDS = ('seed', 'num_seeds')  # fields that say which seeds a study has


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """R runs with equal static fields."""

    index: int
    config: Config  # resolved, with the dynamic fields of the first run
    runs: np.ndarray  # run numbers, int [R]
    points: np.ndarray  # number of the point of each run, int [R]
    seeds: np.ndarray  # int [R]
    hparams: Mapping[str, np.ndarray]  # dynamic fields by dotted name, float32 [R] each
    data: device.Data  # in host memory; groups with the same data share them
    evaluation_steps: np.ndarray  # int32 [E]; the last one is the number of steps of a run
    layout: Layout
    target: Target  # the devices that it is planned for

    @property
    def num_steps(self) -> int:
        return int(self.evaluation_steps[-1])

    @property
    def step_seconds(self) -> float:
        """Estimated seconds that a device takes for one step of one run, with its evaluations."""
        layout, evaluations = self.layout, len(self.evaluation_steps) / max(1, self.num_steps)
        return (layout.step_seconds + evaluations * layout.evaluation_seconds) / layout.lanes

    @property
    def budget(self) -> float:
        """The bytes that a chunk may take: `config.execution.memory_gib`, or half of the memory."""
        gib = self.config.execution.memory_gib
        return self.target.memory_bytes / 2 if gib is None else gib * 2**30

    def chunk_size(self, fixed_bytes: float = 0) -> int:
        """Returns how many runs are on the devices at once, beside so many bytes."""
        return self.layout.chunk_size(len(self.runs), self.budget - fixed_bytes)

    def num_logged(self, steps: int) -> int:
        """Returns how many of the first steps are in the log of single steps."""
        every = self.config.log_every_steps
        return -(-steps // every) if every else 0

    @property
    def log_size(self) -> int:
        """The most rows that a segment may add to the log of single steps; 0 without a log."""
        longest = int(min(self.layout.segment_steps, np.diff(self.evaluation_steps).max()))
        return self.num_logged(longest) + 1 if self.config.log_every_steps else 0

    def step_of(self, epoch: int) -> int:
        """Returns the step at the end of an epoch, or the last step if there is no such epoch."""
        epochs = self.config.epochs
        return self.num_steps // epochs * min(epoch, epochs)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All runs of a study, by group. For what is as given, see `make`."""

    config: Config  # resolved, without the sweep
    points: list[sweep.Point]  # the values of all swept fields
    keys: list[str]  # of the points: a hash of all that their runs depend on, but for the seed
    target: Target  # the devices
    groups: list[Group]  # in the order of their first run; those without runs are left out
    fingerprints: dict[str, str]  # a hash of the content of each data set, by name
    sources: dict[str, str]  # a hash of the code of each component of the user's own, by name
    seeds: tuple[int, ...] | None  # number of seeds of each point; None: `config.num_seeds`
    part: Part | None
    data: data_lib.Dataset | None
    data_dir: str | os.PathLike | None
    name: str = 'study'
    claims: Sequence[Claim] = ()
    references: Sequence[Reference] = ()

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What a study is, as plain data with a digest of what studies of one directory share.

        `'config'` has all fields. The digest leaves out how the study is executed and how large it
        is: seeds, and the values of swept fields. Not with `config.halving`, since which points go
        on is decided over all runs. It is the same for all parts; `'part'` says which one this is.
        """
        content = {
            'config': self.config.to_dict(),
            'points': self.points,
            'keys': self.keys,
            'data': self.fingerprints,
            'sources': self.sources,
        }
        swept = sweep.swept(self.points)
        shared = {k: v for k, v in identified(self.config).items() if k not in swept}
        data = {} if 'dataset' in swept else self.fingerprints
        told: list[Any] = [shared, swept, data, resolve.sources(self.config)]
        if self.config.halving.factor is not None:
            told += [self.points, *(self.config.flat[field] for field in SEEDS)]
        about = {'seeds': self.seeds, 'part': self.part}
        about = {name: value for name, value in about.items() if value is not None}
        return {**content, 'digest': _digest(told), **about}

    @property
    def numbering(self) -> Numbering:
        """The numbers of the runs."""
        return Numbering(self.keys, self.config.seed, self.config.num_seeds)

    @property
    def num_runs(self) -> int:
        return sum(len(group.runs) for group in self.groups)

    @property
    def rungs(self) -> list[int]:
        """The epochs after which all remaining runs wait for each other, and the last epoch.

        With `config.halving`, points are pruned after `min_epochs` times powers of `factor`.
        """
        last = max([group.config.epochs for group in self.groups], default=0)
        factor, epochs = self.config.halving.factor, self.config.halving.min_epochs
        found = []
        while factor is not None and epochs < last:
            found.append(epochs)
            epochs *= factor
        return [*found, last]

    def survivors(self, num_points: int) -> int:
        """Returns how many of some points go on after a rung: the best 1/`factor`, rounded up."""
        return math.ceil(num_points / (self.config.halving.factor or 1))

    def total(self, of_step: Callable[[Group], float]) -> float:
        """Sums a number of each step over the steps of all runs.

        With halving, it is an estimate: as if all groups lost equal shares.
        """
        total, points, before = 0.0, len(self.points), 0
        for epochs in self.rungs:
            share = points / len(self.points)
            total += share * sum(
                len(group.runs) * (group.step_of(epochs) - group.step_of(before)) * of_step(group)
                for group in self.groups
            )
            points, before = self.survivors(points), epochs
        return total

    @property
    def num_run_steps(self) -> int:
        return round(self.total(lambda group: 1.0))

    def with_seeds(self, seeds: Sequence[int]) -> 'Plan':
        """Returns the plan of the same study with other numbers of seeds of the points."""
        config = {**self.config.flat, 'num_seeds': max(seeds)}
        return self._remade(config, self.points, tuple(seeds))

    def stage(self, split: str, points: Sequence[Mapping[str, Value]]) -> 'Plan':
        """Returns the plan of a stage of `config.zoom`: of other points, trained on a split."""
        config = {**self.config.flat, 'zoom.train': None, 'split.train': split}
        return self._remade(config, points)

    def _remade(
        self,
        config: Mapping[str, Value],
        points: Sequence[Mapping[str, Value]],
        seeds: tuple[int, ...] | None = None,
    ) -> 'Plan':
        names = ('data', 'data_dir', 'target', 'name', 'claims', 'references')
        return make(config, points, seeds=seeds, **{name: getattr(self, name) for name in names})


def identified(config: Config) -> dict[str, Value]:
    """Returns the fields that the runs of a config depend on, but for their seeds.

    Fields that have nothing as their value, and by default, are left out, so that a study can be
    resumed by a version that has more fields.
    """
    defaults = {
        f'{section}.{name}': value
        for section, component in config.components.items()
        for name, value in component.defaults.items()
    } | {name: field.default for name, field in fields.closed().items()}
    return {
        field: value
        for field, value in config.flat.items()
        if not field.startswith(NOT_IDENTITY)
        and field not in SEEDS
        and not (value in (None, ()) and value == defaults.get(field))
    }


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def make(
    config: config_lib.Written,
    points: Sequence[Mapping[str, Value]] | None = None,
    *,
    data: data_lib.Dataset | None = None,
    data_dir: str | os.PathLike | None = None,
    part: tuple[int, int] | str | None = None,
    target: Target | None = None,
    seeds: tuple[int, ...] | None = None,
    **about: Any,
) -> Plan:
    """Returns the plan of a study. Nothing is compiled, written or put on a device.

    For the arguments see `nnstudy.run`; `about` is the study's name, claims and references. A part
    may be `'i/n'` too. With more parts than runs some have none, and then the plan has no groups.
    The target is what it is planned for; None for the devices that are there. `seeds` are the
    numbers of seeds of the points, at most `config.num_seeds`; None for all.

    Raises:
      UserError: anything that is wrong with the fields, their values, the points or the data.
    """
    dataset.check_given(data)
    given = {} if data is None else {'dataset': data.name}
    resolved = resolve.study(config_lib.complete(config, given), points)
    chosen = None if part is None else parts.read(part)
    _check(resolved.config, len(resolved.points), chosen)
    if data is not None and 'dataset' in sweep.swept(resolved.points):
        raise errors.UserError("cannot sweep 'dataset' with a data set in memory")

    @functools.cache
    def load(name: str) -> data_lib.Dataset:
        return data or data_lib.load(name, data_dir)

    @functools.cache
    def prepare(name: str, **options: Any) -> device.Data:
        return device.prepare(load(name), **options)

    target = target or targets.here()
    members: dict[tuple, list[int]] = {}
    for number, setting in enumerate(resolved.settings):
        members.setdefault(setting.static(), []).append(number)
    groups, dealt = [], 0
    for index, numbers in enumerate(members.values()):
        settings = [resolved.settings[n] for n in numbers]
        num_runs = len(numbers) * resolved.config.num_seeds
        own = (chosen or Part(0, 1)).dealt(dealt, dealt + num_runs)
        if seeds is not None:
            place, seed = np.divmod(own, resolved.config.num_seeds)
            own = own[seed < np.array(seeds)[numbers][place]]
        groups.append(_group(index, settings, np.array(numbers), own, prepare, target))
        dealt += num_runs
    used = {group.config.dataset for group in groups}
    fingerprints = {name: load(name).fingerprint() for name in sorted(used)}
    codes = [resolve.sources(group.config) for group in groups]
    code_of = {n: code for code, own in zip(codes, members.values(), strict=True) for n in own}
    keys = [
        _digest([identified(setting), fingerprints[setting.dataset], code_of[number]])[:16]
        for number, setting in enumerate(resolved.settings)
    ]
    plan = Plan(
        config=resolved.config,
        points=resolved.points,
        keys=keys,
        target=target,
        groups=[group for group in groups if len(group.runs)],
        fingerprints=fingerprints,
        sources={name: source for code in codes for name, source in code.items()},
        seeds=seeds,
        part=chosen,
        data=data,
        data_dir=data_dir,
        **about,
    )
    for split in resolved.config.zoom.train or ():
        plan.stage(split, plan.points)  # the data of all stages are checked now
    return plan


def _check(config: Config, num_points: int, part: Part | None) -> None:
    """Raises UserError if there are too many runs, too high seeds, or parts that cannot be."""
    num_seeds = config.num_seeds
    if num_points * num_seeds > MAX_RUNS:
        raise errors.UserError(
            f'config.num_seeds {num_seeds:,} makes {num_points * num_seeds:,} runs; a study may '
            f'have {MAX_RUNS:,}'
        )
    if config.seed + num_seeds > 2**32:
        raise errors.UserError(
            f'config.seed {config.seed} with {num_seeds} seeds goes beyond the last seed, '
            f'{2**32 - 1}'
        )
    for field in ('zoom.train', 'halving.factor'):
        if part is not None and config.flat[field] is not None:
            raise errors.UserError(
                f'a study with config.{field} has no parts: what goes on is decided over all runs'
            )


def _group(
    index: int,
    settings: Sequence[Config],
    points: np.ndarray,
    own: np.ndarray,
    prepare: Callable[..., device.Data],
    target: Target,
) -> Group:
    """Returns the group of points with these settings, and those of their runs that are its own."""
    config = settings[0]
    data = prepare(config.dataset, **resolve.data_options(config))
    resolve.check(config, data)
    num_steps = config.epochs * steps_per_epoch(config, data.num_train)
    if num_steps >= 2**31:
        raise errors.UserError(
            f'config.epochs {config.epochs} makes {num_steps:,} steps, more than {2**31 - 1:,}'
        )
    place, number = np.divmod(own, config.num_seeds)  # of the point, of the seed
    return Group(
        index=index,
        config=config,
        runs=points[place] * config.num_seeds + number,
        points=points[place],
        seeds=config.seed + number,
        hparams={
            field: np.stack([setting.hparams[field] for setting in settings])[place]
            for field in config.hparams
        },
        data=data,
        evaluation_steps=evaluation.evaluation_steps(config, data.num_train),
        layout=layout_lib.choose(config, data, target),
        target=target,
    )
