"""The config that a user writes: an `ml_collections.ConfigDict` with the fields of `fields`."""

from collections.abc import Mapping

from flax import traverse_util
from ml_collections import ConfigDict, config_dict

from nnstudy import errors
from nnstudy.spec import fields
from nnstudy.spec.fields import OPEN_SECTIONS
from nnstudy.spec.values import Value, coerce


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
    named = {full(field): value for field, value in values.items()}
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


def full(field: str) -> str:
    """Returns the dotted name of a field: `loss` is short for `loss.name`."""
    return f'{field}.name' if field in OPEN_SECTIONS else field


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


def flatten(config: ConfigDict | Mapping[str, Value]) -> dict[str, Value]:
    """Returns the fields by dotted name: `{'optimizer.name': 'sgd', ...}`."""
    nested = config.to_dict() if isinstance(config, ConfigDict) else config
    return traverse_util.flatten_dict(nested, sep='.')
