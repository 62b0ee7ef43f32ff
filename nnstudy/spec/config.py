"""The config that a user writes: an `ml_collections.ConfigDict` with the fields of `fields`."""

import ast
import math
from collections.abc import Mapping
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict, config_dict

from nnstudy import errors
from nnstudy.spec import fields
from nnstudy.spec.fields import OPEN_SECTIONS, Value


def default_config() -> ConfigDict:
    """Returns a config with the defaults of all fields.

    It is locked, so that a misspelt field is an error, except in the open sections, which take the
    arguments of any component.
    """
    values = fields.Config().flat
    for field, known in fields.closed().items():
        if values[field] is None:
            values[field] = config_dict.placeholder(known.kind)
    config = ConfigDict(traverse_util.unflatten_dict(values, sep='.'))
    config.study = ConfigDict()
    config.lock()
    for section in (*OPEN_SECTIONS, 'study'):
        config[section].unlock()
    return config


def complete(config: ConfigDict | Mapping[str, Value]) -> ConfigDict:
    """Returns a copy of a config, with defaults for the fields that it leaves out.

    Raises:
      UserError: a field is unknown or of the wrong type.
    """
    completed = default_config()
    override(completed, flatten(config))
    return completed


def override(config: ConfigDict, values: Mapping[str, Value]) -> None:
    """Sets fields by their dotted names, in place.

    `loss=hinge` is short for `loss.name=hinge`, and likewise for the other open sections. Another
    name makes the section anew, since its fields are arguments of the component that was there;
    only the optimizer's `learning_rate` and `weight_decay` stay. Open sections take new fields
    here; whether the component has them is checked when the config is resolved.

    Args:
      config: complete.
      values: by field, as text or as Python values. Names of components are set before arguments.

    Raises:
      UserError: there is no such field, or the value is not of its type.
    """
    named = {f'{f}.name' if f in OPEN_SECTIONS else f: value for f, value in values.items()}
    for field, value in sorted(named.items(), key=lambda item: not item[0].endswith('.name')):
        section, _, name = field.rpartition('.')
        known = fields.closed().get(field)
        if known is None and section not in (*OPEN_SECTIONS, 'study'):
            raise errors.unknown('field of config', field, {**fields.closed(), **flatten(config)})
        parent = config[section] if section else config
        old = parent.get(name)
        kind = known.kind if known else float if isinstance(old, float) else None
        value = coerce(field, value, kind)
        if name == 'name' and value != old:
            for gone in _own_arguments(flatten(config), section):
                del parent[gone.rpartition('.')[2]]
        with parent.ignore_type():
            parent[name] = value


def merge(flat: Mapping[str, Value], point: Mapping[str, Value]) -> dict[str, Value]:
    """Returns all fields of a point; another component leaves the fields of the old one behind."""
    gone: set[str] = set()
    for section in OPEN_SECTIONS:
        name = f'{section}.name'
        if point.get(name, flat[name]) != flat[name]:
            gone |= _own_arguments(flat, section)
    return {**{field: value for field, value in flat.items() if field not in gone}, **point}


def _own_arguments(flat: Mapping[str, Value], section: str) -> set[str]:
    """Returns the fields of a section that mean something to its component alone."""
    kept = {f'{section}.name', 'optimizer.learning_rate', 'optimizer.weight_decay'}
    return {field for field in flat if field.startswith(section + '.') and field not in kept}


def parse(text: str) -> Value:
    """Returns the Python value that `text` is a literal of, or else the text itself."""
    named: dict[str, Value] = {'nan': math.nan, 'inf': math.inf, '-inf': -math.inf}
    named |= {'true': True, 'false': False, 'none': None}
    if text.strip().lower() in named:
        return named[text.strip().lower()]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def coerce(field: str, value: Any, kind: type | None) -> Any:
    """Returns `value` as a field of type `kind` keeps it.

    Args:
      field: dotted name, for the message.
      value: text from the command line or a Python value.
      kind: the field's type; None accepts everything.

    Raises:
      UserError: the value is of another type. A whole number is a float too, and one value is a
        tuple of one; nothing else is converted.
    """
    if isinstance(value, str) and kind is not str:
        value = parse(value)
    elif isinstance(value, str) and value.lower() == 'none':
        value = None
    if hasattr(value, 'item') and getattr(value, 'ndim', 0) == 0:
        value = value.item()  # NumPy and JAX scalars
    if isinstance(value, list):
        value = tuple(value)
    if value is None or kind is None:
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number:
        try:
            return float(value)
        except OverflowError:
            return math.inf  # out of range
    if kind is int and isinstance(value, int) and is_number:
        return value
    if kind in (tuple, list):
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(','))
        return value if isinstance(value, tuple) else (value,)
    if isinstance(value, kind) and kind not in (int, float):
        return value
    names = {float: 'a number', int: 'a whole number', bool: 'True or False', str: 'text'}
    raise errors.UserError(
        f'config.{field} must be {names.get(kind, kind.__name__)}, not {value!r}'
    )


def flatten(config: ConfigDict | Mapping[str, Value]) -> dict[str, Value]:
    """Returns the fields by dotted name: `{'optimizer.name': 'sgd', ...}`."""
    nested = config.to_dict() if isinstance(config, ConfigDict) else config
    return traverse_util.flatten_dict(nested, sep='.')
