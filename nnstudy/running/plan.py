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
from nnstudy.running import cost as cost_lib
from nnstudy.running import halving, layout, parts
from nnstudy.running.parts import Part
from nnstudy.spec import claims, fields, sweep
from nnstudy.spec import config as config_lib
from nnstudy.spec.claims import Claim, Reference
from nnstudy.spec.fields import Config, Value
from nnstudy.training import resolve, train
from nnstudy.training.run import steps_per_epoch

MAX_RUNS = 10_000_000
# Fields that two sessions of the same study may differ in: how it is executed, and what only its
# claims and pictures read.
NOT_IDENTITY = ('execution.', 'study.')


@dataclasses.dataclass(frozen=True)
class About:
    """What is stored with a study and does not change what is trained.

    Attributes:
      name: of the study, for titles and the working directory.
      claims: see `nnstudy.spec.claims`.
      references: likewise.
    """

    name: str = 'study'
    claims: Sequence[Claim] = ()
    references: Sequence[Reference] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain data, for `config.json`."""
        return {name: claims.to_dict(value) for name, value in vars(self).items()}


@dataclasses.dataclass(frozen=True)
class Group:
    """R runs with equal static fields.

    Attributes:
      index: number of the group.
      config: resolved, with the dynamic fields of the first run.
      runs: run numbers, int [R].
      points: number of the point of each run, int [R].
      seeds: int [R].
      hparams: dynamic fields by dotted name, float32 [R] each.
      data: the splits, in host memory. Groups with the same data share them.
      evaluation_steps: int32 [E]; the last one is the number of steps of a run.
      num_params: number of parameters of one run.
      state_bytes: size of the state of one run.
      layout: lanes, runs of a chunk and steps of a segment.
    """

    index: int
    config: Config
    runs: np.ndarray
    points: np.ndarray
    seeds: np.ndarray
    hparams: Mapping[str, np.ndarray]
    data: device.Data
    evaluation_steps: np.ndarray
    num_params: int
    state_bytes: int
    layout: layout.Layout

    @property
    def num_steps(self) -> int:
        return int(self.evaluation_steps[-1])

    @property
    def step_cost(self) -> float:
        """Estimated seconds that a device takes for one step of one run, with its evaluations."""
        layout, evaluations = self.layout, len(self.evaluation_steps) / max(1, self.num_steps)
        return (layout.step_seconds + evaluations * layout.evaluation_seconds) / layout.lanes

    @property
    def num_chunks(self) -> int:
        return math.ceil(len(self.runs) / self.layout.chunk_size)

    @property
    def log_size(self) -> int:
        """The most rows that a segment may add to the log of single steps; 0 without a log."""
        longest = int(min(self.layout.segment_steps, np.diff(self.evaluation_steps).max()))
        return self.logged(0, longest)[1] + 1 if self.config.log_every_steps else 0

    def logged(self, start: int, stop: int) -> tuple[int, int]:
        """Returns the first row in the log of steps `start` to `stop`, and the number of rows."""
        every = self.config.log_every_steps
        if not every:
            return 0, 0
        first = -(-start // every)
        return first, -(-stop // every) - first

    def step_of(self, epoch: int) -> int:
        """Returns the step at the end of an epoch, or the last step if there is no such epoch."""
        epochs = self.config.epochs
        return self.num_steps // epochs * min(epoch, epochs)


@dataclasses.dataclass(frozen=True)
class Plan:
    """All runs of a study, by group.

    Attributes:
      config: resolved, without the sweep.
      points: the values of the swept fields, one dict a point.
      groups: in the order of their first run. Groups without runs in the part are left out.
      fingerprints: a hash of the content of each data set, by name.
      sources: a hash of the code of each component of the user's own, by name.
      part: which part of the study's runs the groups have; None for all.
      data: the data set, if it was given in memory.
      data_dir: directory of the files of named data sets.
      about: see `About`.
    """

    config: Config
    points: list[sweep.Point]
    groups: list[Group]
    fingerprints: dict[str, str]
    sources: dict[str, str]
    part: Part | None = None
    data: data_lib.Dataset | None = None
    data_dir: str | os.PathLike | None = None
    about: About = About()

    @property
    def swept(self) -> list[str]:
        return sweep.swept(self.points)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What two studies must share to be the same study, as plain data with a digest of it.

        `'config'` has all fields. The digest leaves out how the study is executed. It is the same
        for all parts; `'part'` says which one this is.
        """
        content = {
            'config': self.config.to_dict(),
            'points': self.points,
            'data': self.fingerprints,
            'sources': self.sources,
        }
        # Fields that are off are left out, so that a study can be resumed by a version that has
        # more fields.
        config = {
            field: value
            for field, value in self.config.flat.items()
            if not (field.startswith(NOT_IDENTITY) or self._is_off(field, value))
        }
        text = json.dumps({**content, 'config': config}, sort_keys=True)
        part = {} if self.part is None else {'part': self.part}
        return {**content, 'digest': hashlib.sha256(text.encode()).hexdigest(), **part}

    def _is_off(self, field: str, value: Value) -> bool:
        """Whether a field has nothing as its value, and also by default."""
        section, _, name = field.rpartition('.')
        component = self.config.components.get(section)
        default = None if component is None else component.defaults.get(name)
        if field in fields.closed():
            default = fields.closed()[field].default
        return value in (None, ()) and value == default

    @property
    def num_runs(self) -> int:
        return sum(len(group.runs) for group in self.groups)

    @property
    def rungs(self) -> list[int]:
        """The epochs after which all remaining runs wait for each other, and the last epoch."""
        epochs = max([group.config.epochs for group in self.groups], default=0)
        return [*halving.rungs(self.config.halving, epochs), epochs]

    @property
    def num_run_steps(self) -> int:
        """The steps of all runs. With halving, an estimate: as if all groups lost equal shares."""
        return round(self._over_rungs(lambda group: 1.0))

    @property
    def cost(self) -> float:
        """Estimated device seconds of all these steps, see `Group.step_cost`."""
        return self._over_rungs(lambda group: group.step_cost)

    def _over_rungs(self, of_step: Callable[[Group], float]) -> float:
        """Sums a number of each step over the steps of all runs."""
        total, points, before = 0.0, len(self.points), 0
        for epochs in self.rungs:
            share = points / len(self.points)
            total += share * sum(
                len(group.runs) * (group.step_of(epochs) - group.step_of(before)) * of_step(group)
                for group in self.groups
            )
            points = math.ceil(points / (self.config.halving.factor or 1))
            before = epochs
        return total


def make(
    config: config_lib.Written,
    points: Sequence[Mapping[str, Value]] | None = None,
    *,
    data: data_lib.Dataset | None = None,
    data_dir: str | os.PathLike | None = None,
    part: tuple[int, int] | None = None,
    about: About | None = None,
) -> Plan:
    """Returns the plan of a study. Nothing is compiled, written or put on a device.

    Args:
      config: see `nnstudy.default_config`; fields that it leaves out get their defaults.
      points: see `nnstudy.spec.sweep`; None or `[{}]` for the config's own values.
      data: a data set in memory, in place of `config.dataset`.
      data_dir: directory of the files of named data sets, see `nnstudy.data.load`.
      part: `(i, n)` for part i of n of the runs, i from 0 to n - 1; None for all. With more parts
        than runs some have none, and then the plan has no groups.
      about: stored with the study.

    Raises:
      UserError: anything that is wrong with the fields, their values, the points or the data.
    """
    dataset.check_given(data)
    own = {} if data is None else {'dataset': data.name}
    resolved = resolve.study(config_lib.complete(config, own), points)
    if part is not None:
        part = parts.checked(part)
        _check_whole(resolved.config)
    if data is not None and 'dataset' in sweep.swept(resolved.points):
        raise errors.UserError("cannot sweep 'dataset' with a data set in memory")

    @functools.cache
    def load(name: str) -> data_lib.Dataset:
        return data or data_lib.load(name, data_dir)

    @functools.cache
    def prepare(name: str, **options: Any) -> device.Data:
        return device.prepare(load(name), **options)

    members: dict[tuple, list[int]] = {}
    for number, setting in enumerate(resolved.settings):
        members.setdefault(setting.static(), []).append(number)
    groups, dealt = [], 0
    for index, numbers in enumerate(members.values()):
        settings = [resolved.settings[n] for n in numbers]
        groups.append(_group(index, settings, np.array(numbers), prepare, part, dealt))
        dealt += len(numbers) * resolved.config.num_seeds
    used = {group.config.dataset for group in groups}
    return Plan(
        config=resolved.config,
        points=resolved.points,
        groups=[group for group in groups if len(group.runs)],
        fingerprints={name: load(name).fingerprint() for name in sorted(used)},
        sources={k: v for g in groups for k, v in resolve.sources(g.config).items()},
        part=part,
        data=data,
        data_dir=data_dir,
        about=about or About(),
    )


def _check_whole(config: Config) -> None:
    """Raises UserError if a study cannot be trained in parts."""
    for field in ('zoom.train', 'halving.factor'):
        if config.flat[field] is not None:
            raise errors.UserError(
                f'a study with config.{field} has no parts: what goes on is decided over all runs'
            )


def _group(
    index: int,
    settings: Sequence[Config],
    points: np.ndarray,
    prepare: Callable[..., device.Data],
    part: Part | None,
    dealt: int,
) -> Group:
    """Returns the group of points with equal static fields; only shapes are computed.

    Args:
      index: of the group.
      settings: the resolved config of each point.
      points: number of each point.
      prepare: loads a data set by name and prepares it with options.
      part: which of the runs the group has, perhaps none; None for all.
      dealt: number of runs in the groups before it.
    """
    config = settings[0]
    data = prepare(config.dataset, **resolve.data_options(config))
    resolve.check(config, data)
    num_seeds = config.num_seeds
    num_steps = config.epochs * steps_per_epoch(config, data.num_train)
    if num_steps >= 2**31:
        raise errors.UserError(
            f'config.epochs {config.epochs} makes {num_steps:,} steps, more than {2**31 - 1:,}'
        )
    if len(points) * num_seeds > MAX_RUNS:
        raise errors.UserError(
            f'config.num_seeds {num_seeds:,} makes {len(points) * num_seeds:,} runs; a study may '
            f'have {MAX_RUNS:,}'
        )
    if config.seed + num_seeds > 2**32:
        raise errors.UserError(
            f'config.seed {config.seed} with {num_seeds} seeds goes beyond the last seed, '
            f'{2**32 - 1}'
        )
    num_runs = len(points) * num_seeds
    rows = np.arange(num_runs) if part is None else part.dealt(dealt, dealt + num_runs)
    place, number = rows // num_seeds, rows % num_seeds  # of the point, of the seed
    cost = cost_lib.of_run(config, data)
    return Group(
        index=index,
        config=config,
        runs=points[place] * num_seeds + number,
        points=points[place],
        seeds=config.seed + number,
        hparams={
            field: np.stack([setting.hparams[field] for setting in settings])[place]
            for field in config.hparams
        },
        data=data,
        evaluation_steps=train.evaluation_steps(config, data.num_train),
        num_params=cost.num_params,
        state_bytes=cost.state_bytes,
        layout=layout.choose(
            cost,
            num_runs=max(len(rows), 1),
            lanes=config.execution.lanes,
            memory_gib=config.execution.memory_gib,
        ),
    )
