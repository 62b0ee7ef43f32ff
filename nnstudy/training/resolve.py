"""Resolving a config, once: what comes out is checked, typed and frozen.

`study` checks the fields and the points by themselves, and `check` whether they fit the data and
each other. Both come before tracing. A setting that would have no effect is an error.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnstudy import errors, models
from nnstudy.data import augmentation
from nnstudy.data.device import Data
from nnstudy.spec import components, fields, sweep
from nnstudy.spec import config as config_lib
from nnstudy.spec.fields import OPEN_SECTIONS, Config, Value
from nnstudy.spec.values import Range
from nnstudy.training import diagnostics, losses, metrics, optimizers, run, schedules

_MODEL = components.Slot('model', models.MODELS, ('num_outputs', 'num_tokens'))
SLOTS = {slot.section: slot for slot in (_MODEL, losses.SLOT, optimizers.SLOT, schedules.SLOT)}

# Fields that mean something only if one of others is set too.
_STRENGTHS = (
    'optimizer.weight_decay',
    'regularization.l2',
    'regularization.l1',
    'regularization.proximal_l1',
)
NEEDED = {
    'stop.metric': ('stop.target',),
    'halving.min_epochs': ('halving.factor',),
    'diagnostic_examples': ('diagnostics',),
    'regularization.include': _STRENGTHS,
    'regularization.exclude': _STRENGTHS,
}


class Resolved(NamedTuple):
    """A config and the points of a sweep.

    A point that leaves a swept field out gets the value of the config, or the component's default.
    """

    config: Config  # without the sweep
    points: list[sweep.Point]  # the swept fields of each, of the types of the fields
    settings: list[Config]  # the config of each point, with all fields


def study(
    config: config_lib.Written, points: Iterable[Mapping[str, Value]] | None = None
) -> Resolved:
    """Returns a config and the points of a sweep, checked and converted; else raises UserError.

    Args:
      config: see `nnstudy.default_config`; fields that it leaves out get their defaults.
      points: None or `[{}]` for the config's own values.
    """
    flat = config_lib.complete(config)
    given = [{}] if points is None else _checked(flat, points)
    swept = sweep.swept(given)
    settings = []
    for point in given:
        setting = one(config_lib.merge(flat, point))
        missing = {f: _default(setting, f) for f in swept if f not in setting.flat}
        settings.append(setting.replace({f: v for f, v in missing.items() if v is not None}))
    checked = [{field: setting.flat.get(field) for field in swept} for setting in settings]
    _refuse_duplicates(checked)
    return Resolved(one(flat) if swept else settings[0], checked, settings)


def one(flat: Mapping[str, Value]) -> Config:
    """Returns the config with these fields by dotted name, each of them checked.

    Raises:
      UserError: a value is out of range, or a component is unknown or does not take a field.
    """
    checked = {name: field.accept(name, flat[name]) for name, field in fields.closed().items()}
    config = Config().replace({**flat, **checked})
    if config.zoom.train:
        config = config.replace({'split.train': config.zoom.train[0]})
    sections = {name: SLOTS[name].resolve(config.components[name]) for name in OPEN_SECTIONS}
    if 'num_outputs' not in sections['model'].defaults:
        raise errors.UserError(
            f'model {config.model.name!r} must have the field or argument num_outputs, the number '
            'of classes or of values to predict'
        )
    return config.replace(sections)


def range_of(config: Config, field: str) -> Range:
    """Returns the range of a field."""
    if field in fields.closed():
        return fields.closed()[field].range
    section, _, name = field.rpartition('.')
    function = config.components[section].function
    return SLOTS[section].accepted(function)[name].range


def check(config: Config, data: Data) -> None:
    """Raises UserError if the parts of a resolved config do not fit the data or each other."""
    if config.batch_size > data.num_train:
        raise errors.UserError(
            f'config.batch_size {config.batch_size} is larger than the training set '
            f'{config.split.train!r} of {data.num_train} examples'
        )
    if config.halving.factor is not None and config.halving.min_epochs % config.eval_every:
        raise errors.UserError(
            f'config.halving.min_epochs {config.halving.min_epochs} is not a multiple of '
            f'config.eval_every {config.eval_every}: points are compared where they are evaluated'
        )
    for field, others in NEEDED.items():
        is_set = config.flat[field] != fields.closed()[field].default
        if is_set and all(config.flat.get(other) in (None, ()) for other in others):
            raise errors.UserError(
                f'config.{field} has no effect: set config.{" or config.".join(others)} too'
            )
    for part in (losses, metrics, optimizers, diagnostics):
        part.check(config, data)
    augmentation.check(config.augmentation, config.dataset, data)
    if config.stop.target is not None:
        measured = metrics.select(config.metrics, data)
        numbers = ['loss', *(name for name, metric in measured.items() if not metric.is_array)]
        watched = {f'{split}_{name}' for split, _ in data.sizes for name in numbers}
        errors.check_known('config.stop.metric', config.stop.metric, watched)
    if models.takes_tokens(config.model.function) != data.is_text:
        fitting = [n for n, m in models.MODELS.items() if models.takes_tokens(m) == data.is_text]
        raise errors.UserError(
            f'config.model.name {config.model.name!r} does not take '
            f'{"texts" if data.is_text else "numbers"}, which {config.dataset!r} has; accepted are '
            f'{", ".join(sorted(fitting)) or "none"}'
        )


def data_options(config: Config) -> dict[str, Any]:
    """Returns the options of `nnstudy.data.prepare`."""
    options = {field: getattr(config, field) for field in ('normalization', 'image_size', 'text')}
    return {**options, **vars(config.split)}


def sources(config: Config) -> dict[str, str]:
    """Returns a hash of the code of each component of the user's own.

    A study with a changed model is another study.
    """
    return {
        name: hashlib.sha256(code.encode()).hexdigest()[:16]
        for name, function in run.functions(config).items()
        if (code := components.source(function)) is not None
    }


def _checked(flat: Mapping[str, Value], points: Iterable[Mapping[str, Value]]) -> list[sweep.Point]:
    """Returns the points; UserError unless a sweep can vary their fields."""
    listed = list(points)
    is_right = all(isinstance(p, Mapping) and all(isinstance(f, str) for f in p) for p in listed)
    if not is_right:
        raise errors.UserError(
            "points must be a list of dicts such as [{'optimizer.learning_rate': 0.1}, ...]; see "
            'nnstudy.grid, chain, zip_'
        )
    if not listed:
        raise errors.UserError('the sweep has no points; None stands for the config as it is')
    checked, known = [dict(point) for point in listed], fields.closed()
    for field in sweep.swept(checked):
        section, reason = field.rpartition('.')[0], None
        if field in OPEN_SECTIONS:
            reason = f'sweep {field + ".name"!r}'
        elif section == 'study':
            reason = 'training does not read it'
        elif field == 'split.train' and flat['zoom.train']:
            reason = 'config.zoom.train sets it'
        elif field in known:
            reason = known[field].fixed
        elif section not in OPEN_SECTIONS:
            raise errors.unknown('swept field', field, {**known, **flat})
        if reason is not None:
            raise errors.UserError(f'cannot sweep {field!r}: {reason}')
    return checked


def _default(config: Config, field: str) -> Value:
    """Returns a component's default for an argument, None unless a config can have it."""
    section, _, name = field.rpartition('.')
    default = config.components[section].defaults.get(name)
    return default if isinstance(default, (bool, int, float, str, tuple)) else None


def _refuse_duplicates(points: Sequence[sweep.Point]) -> None:
    seen: dict[str, int] = {}
    for number, point in enumerate(points):
        kept = [np.float32(v) if isinstance(v, float) else v for v in point.values()]
        first = seen.setdefault(repr(kept), number)
        if first != number:
            raise errors.UserError(f'points {first} and {number} of the sweep are equal: {point}')
