"""The sections of a config as the parts of a run: what they name, and whether it fits together.

All is checked on fields and on data in host memory, before anything is traced.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from nnstudy import errors, models
from nnstudy.data.device import Data
from nnstudy.spec import components
from nnstudy.spec import config as config_lib
from nnstudy.spec import sweep as spec
from nnstudy.training import diagnostics, losses, metrics, optimizers, schedules

# What a sweep cannot vary, and what to do instead.
_NOT_SWEPT = {
    'seed': 'every point runs config.num_seeds seeds from config.seed on',
    'num_seeds': 'every point has the same number of seeds',
    'data_seeds': 'all points have the same seeds',
    'zoom.train': 'its stages are those of the whole study',
}


_TEXT_OPTIONS = ('vocabulary', 'vocabulary_size', 'length', 'padding', 'truncation')

_PENALTIES = ('l2', 'l1', 'proximal_l1')

# The registry of each open section, and the arguments that training gives its components itself.
_COMPONENTS: dict[str, tuple[Mapping[str, Callable], tuple[str, ...]]] = {
    'model': (models.MODELS, ('num_outputs', 'num_tokens')),
    'loss': (losses.LOSSES, ('outputs', 'labels')),
    'optimizer': (optimizers.OPTIMIZERS, optimizers.RESERVED),
    'schedule': (schedules.SCHEDULES, schedules.RESERVED),
}


def chosen(config: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """Returns the component that each open section names, by section.

    Raises:
      UserError: there is none of that name.
    """
    return {
        section: components.get(section, registry, config[section + '.name'])
        for section, (registry, _) in _COMPONENTS.items()
    }


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's fields, checked one by one and against its components, which fill some in.

    Args:
      config: fields by dotted name.

    Raises:
      UserError: a value is out of range, or a component is unknown or does not take a field.
    """
    config_lib.check(config)
    changes: dict[str, Any] = {}
    if stages := config['zoom.train']:
        if not all(isinstance(split, str) for split in stages):
            raise errors.UserError(
                "config.zoom.train must be training splits such as ('train[:10%]', 'train[:80%]'), "
                f'not {stages!r}'
            )
        changes['split.train'] = stages[0]
    for section, component in chosen(config).items():
        name, reserved = config[section + '.name'], _COMPONENTS[section][1]
        if section == 'model' and 'num_outputs' not in components.signature(component):
            raise errors.UserError(
                f'model {name!r} must have the field or argument num_outputs, the number of '
                'classes or of values to predict'
            )
        extra = {}
        if section == 'optimizer':
            extra = optimizers.extra_fields(name)
        elif section == 'schedule':
            extra = schedules.extra_fields()
        changes |= components.check(section, config, component, reserved=reserved, extra=extra)
    config_lib.check(changes)
    return {**config, **changes}


def check(config: Mapping[str, Any], data: Data) -> None:
    """Raises UserError if the parts of a resolved config do not fit the data or each other.

    Nothing that is asked for is left out in silence.

    Args:
      config: fields by dotted name, see `resolve`.
      data: what it is to be trained on, in host memory.
    """
    dataset = config['dataset']
    if config['batch_size'] > data.num_train:
        raise errors.UserError(
            f'config.batch_size {config["batch_size"]} is larger than the training set '
            f'{config["split.train"]!r} of {data.num_train} examples'
        )
    rung, every = config['halving.min_epochs'], config['eval_every']
    if config['halving.factor'] is not None and rung % every:
        raise errors.UserError(
            f'config.halving.min_epochs {rung} is not a multiple of config.eval_every {every}: '
            'points are compared where they are evaluated'
        )
    losses.check(config['loss.name'], dataset, data)
    optimizers.check(
        config['optimizer.name'],
        components.arguments('optimizer', config, {}),
        config['batch_size'],
        data.num_train,
    )
    diagnostics.check(config['diagnostics'], config['diagnostic_examples'], data.num_train)
    measured = metrics.select(config['metrics'], data)
    numbers = ['loss', *(name for name, metric in measured.items() if not metric.is_array)]
    watched = {f'{split}_{name}' for split, _ in data.sizes for name in numbers}
    if config['stop.target'] is not None and config['stop.metric'] not in watched:
        raise errors.unknown('config.stop.metric', config['stop.metric'], watched)
    asked = [field for field, value in config.items() if value is not None]
    augmented = [field for field in asked if field.startswith('augmentation.')]
    if augmented and not data.is_image:
        raise errors.UserError(
            f'config.{augmented[0]} is for images, and {dataset!r} has none; leave it None'
        )
    values = np.asarray(data.inputs)
    for field in ('augmentation.brightness', 'augmentation.contrast'):
        outside = field in asked and (values.min() < 0 or values.max() > data.max_value)
        if outside:
            raise errors.UserError(
                f'config.{field} is for images from 0 to {data.max_value:g}, full intensity, and '
                f'{dataset!r} has values from {values.min():g} to {values.max():g}'
            )
    name, is_text = config['model.name'], data.is_text
    if models.takes_tokens(models.MODELS[name]) != is_text:
        fitting = [
            key for key, model in models.MODELS.items() if models.takes_tokens(model) == is_text
        ]
        raise errors.UserError(
            f'config.model.name {name!r} does not take {"texts" if is_text else "numbers"}, which '
            f'{dataset!r} has; accepted are {", ".join(sorted(fitting)) or "none"}'
        )
    chosen = [f'regularization.{key}' for key in ('include', 'exclude')]
    strengths = ['optimizer.weight_decay', *(f'regularization.{key}' for key in _PENALTIES)]
    for field in chosen:
        if field in asked and not any(strength in asked for strength in strengths):
            raise errors.UserError(
                f'config.{field} chooses parameters for nothing: set one of '
                f'{", ".join(strengths)} too'
            )


def default(config: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Returns a field that a config leaves to its component, with the component's default.

    Empty where the component has no such argument, or no default that a config can hold.
    """
    section, _, name = field.rpartition('.')
    known = components.signature(chosen(config)[section]).get(name)
    if known is None or type(known.default) not in components.VALUES:
        return {}
    return {field: known.default}


def sources(config: Mapping[str, Any]) -> dict[str, str]:
    """Returns a hash of the code of each component that is not nnstudy's or optax's own.

    Such code is part of what a study is: a model that was changed is another study.
    """
    hashes = {}
    for section, component in chosen(config).items():
        code = components.source(component)
        if code is not None:
            name = config[section + '.name']
            hashes[f'{section} {name}'] = hashlib.sha256(code.encode()).hexdigest()[:16]
    return hashes


def study(
    config: ConfigDict, points: Sequence[Mapping[str, Any]] | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns what a config and points say, as a study keeps it: checked, filled in, converted.

    Args:
      config: complete.
      points: of the sweep; None or `[{}]` for the config's own values.

    Returns:
      All fields of the config, all fields of each point, and the swept fields of each point; one
      that leaves a swept field out has the config's value there.

    Raises:
      UserError: something is wrong with the fields, their values or the points.
    """
    flat = config_lib.flatten(config)
    points = [{}] if points is None else points
    given = _checked_points(config, points if isinstance(points, Mapping) else list(points))
    settings = [resolve(config_lib.merge(flat, point)) for point in given]
    swept = spec.swept(given)
    own = resolve(flat) if swept else settings[0]
    for setting in settings:
        for field in swept:
            if field not in setting:
                setting |= default(setting, field)
    checked = [{field: setting.get(field) for field in swept} for setting in settings]
    _refuse_duplicates(checked)
    return own, settings, checked


def _checked_points(config: ConfigDict, points: Sequence[Mapping[str, Any]]) -> list[spec.Point]:
    """Returns the points with their values as the fields keep them."""
    known = config_lib.flatten(config)
    if isinstance(points, Mapping) or not all(isinstance(point, Mapping) for point in points):
        raise errors.UserError(
            "points must be a list of dicts such as [{'optimizer.learning_rate': 0.1}, ...]; see "
            'nnstudy.grid, chain, zip_'
        )
    if not points:
        raise errors.UserError('the sweep has no points; None stands for the config as it is')
    kinds: dict[str, type] = {}
    for field in spec.swept([dict(p) for p in points]):
        if not isinstance(field, str):
            raise errors.UserError(f'a point has the field {field!r}; fields are dotted names')
        section = field.rpartition('.')[0]
        if field in config_lib.OPEN_SECTIONS:
            raise errors.UserError(f'cannot sweep {field!r}; sweep {field + ".name"!r}')
        if field in _NOT_SWEPT:
            raise errors.UserError(f'cannot sweep {field!r}: {_NOT_SWEPT[field]}')
        if field == 'split.train' and config.zoom.train:
            raise errors.UserError("cannot sweep 'split.train': config.zoom.train sets it")
        if section in ('execution', 'halving'):
            raise errors.UserError(f'cannot sweep {field!r}: it is the same for the whole study')
        if field not in known and section not in config_lib.OPEN_SECTIONS:
            raise errors.unknown('swept field', field, known)
        kinds[field] = config_lib.field_type(config, field)
    return [
        {field: config_lib.coerce(field, value, kinds[field]) for field, value in point.items()}
        for point in points
    ]


def _refuse_duplicates(points: Sequence[spec.Point]) -> None:
    seen: dict[str, int] = {}
    for number, point in enumerate(points):
        kept = [np.float32(v) if isinstance(v, float) else v for v in point.values()]
        first = seen.setdefault(repr(kept), number)
        if first != number:
            raise errors.UserError(f'points {first} and {number} of the sweep are equal: {point}')


def data_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of `nnstudy.data.prepare` in the fields of a point."""
    options = {name: config[name] for name in ('normalization', 'image_size')}
    options |= {split: config[f'split.{split}'] for split in ('train', 'validation', 'test')}
    return options | {option: config[f'text.{option}'] for option in _TEXT_OPTIONS}
