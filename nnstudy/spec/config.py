"""The config that a user writes: an `ml_collections.ConfigDict` with the fields of `fields`.

Here it is a dict of values by dotted name, such as `{'optimizer.name': 'sgd'}`.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from flax import traverse_util
from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.spec import fields
from nnstudy.spec.fields import OPEN_SECTIONS
from nnstudy.spec.values import Field, Range, Value

Written: TypeAlias = ConfigDict | Mapping[str, Any]  # nested, or by dotted name


def default_config() -> ConfigDict:
    """Returns a config with the defaults of all fields.

    It is locked, so that a misspelt field is an error, except in the open sections, which take the
    arguments of any component.
    """
    return override({}, {})


def override(config: Written, values: Mapping[str, Any]) -> ConfigDict:
    """Returns a copy of a config with other values; for arguments and errors see `complete`."""
    nested = traverse_util.unflatten_dict(complete(config, values), sep='.')
    made = ConfigDict({**nested, 'study': nested.get('study', {})}).lock()
    for section in (*OPEN_SECTIONS, 'study'):
        made[section].unlock()
    return made


def complete(config: Written, values: Mapping[str, Any] | None = None) -> dict[str, Value]:
    """Returns all fields of a config, each of its type, with defaults for what it leaves out.

    Open sections take new fields here; whether the component has them is checked when the config is
    resolved.

    Args:
      config: `loss=hinge` is short for `loss.name=hinge`, and likewise for the other open sections.
      values: in place of those of the config; as text or as Python values.

    Raises:
      UserError: there is no such field, or it does not accept the value.
    """
    flat = fields.Config().flat
    for given in (flatten(config), values or {}):
        checked = {}
        for field, value in given.items():
            field = full(field)
            known = fields.closed().get(field)
            if known is None:
                names, section = {**fields.closed(), **flat}, field.rpartition('.')[0]
                if section:
                    sections = {*(name.rpartition('.')[0] for name in names), 'study'} - {''}
                    errors.check_known('section of config', section, sections)
                if section not in (*OPEN_SECTIONS, 'study'):
                    raise errors.unknown('field of config', field, names)
                kinds = (float,) if isinstance(flat.get(field), float) else ()
                known = Field(kinds, is_optional=True, range=Range(high=math.inf))
            checked[field] = known.accept(field, value)
        flat = merge(flat, checked)
    return flat


def full(field: str) -> str:
    """Returns the dotted name of a field: `loss` is short for `loss.name`."""
    return f'{field}.name' if field in OPEN_SECTIONS else field


def merge(flat: Mapping[str, Value], values: Mapping[str, Value]) -> dict[str, Value]:
    """Returns fields with other values.

    Another component begins its section anew, since the fields are arguments of the one that was
    there; only the optimizer's `learning_rate` and `weight_decay` stay.
    """
    names = {f'{section}.name': f'{section}.' for section in OPEN_SECTIONS}
    anew = tuple(names[name] for name in names if values.get(name, flat[name]) != flat[name])
    kept = {*names, 'optimizer.learning_rate', 'optimizer.weight_decay'}
    stay = {k: v for k, v in flat.items() if k in kept or not k.startswith(anew)}
    return {**stay, **values}


def flatten(config: Written) -> dict[str, Any]:
    """Returns the fields by dotted name: `{'optimizer.name': 'sgd', ...}`."""
    nested = config.to_dict() if isinstance(config, ConfigDict) else config
    return traverse_util.flatten_dict(nested, sep='.')
