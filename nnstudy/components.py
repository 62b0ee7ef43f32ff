"""Components by name: a section of the config as a call of a function.

Models, losses, optimizers and schedules are functions (or Linen modules) in plain dicts. A section
such as `{'name': 'adam', 'learning_rate': 1e-3, 'b1': 0.9}` names one and gives its keyword
arguments. The call is made inside the traced step: static fields arrive as Python values, dynamic
ones as traced scalars, so that a new value never recompiles. A component gets a field of its own
by having a keyword argument; there is no other list.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nnstudy import config as config_lib
from nnstudy import errors


def get(kind: str, registry: Mapping[str, Callable], name: str) -> Callable:
    """Returns `registry[name]`.

    Raises:
      UserError: the name is unknown; the message has the known ones and the nearest.
    """
    if name not in registry:
        raise errors.unknown(kind, name, registry)
    return registry[name]


def arguments(
    section: str, config: Mapping[str, Any], hparams: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the keyword arguments that a section gives its component.

    Args:
      section: the section's name, such as `'optimizer'`.
      config: all fields by dotted name, dynamic ones included.
      hparams: the dynamic fields by dotted name, traced or not; they replace the config's values.

    Returns:
      Argument values by name, without `name` and without the fields that are None (off).
    """
    prefix = section + '.'
    return {
        field.removeprefix(prefix): hparams.get(field, value)
        for field, value in config.items()
        if field.startswith(prefix) and field != prefix + 'name' and value is not None
    }


def check(
    section: str,
    config: Mapping[str, Any],
    component: Callable,
    *,
    reserved: tuple[str, ...] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Checks a section's fields against the component's signature.

    Args:
      section: the section's name.
      config: all fields by dotted name.
      component: what `name` stands for.
      reserved: arguments that nnstudy gives itself and a config cannot.
      extra: fields that the section has beside the component's arguments, with the defaults
        (None: off) that are filled in where the section leaves them out.

    Returns:
      The fields that change: those filled in, and whole numbers where the component's default is
      a float, which become floats and so dynamic.

    Raises:
      UserError: a field is not an argument of the component, is of the wrong type, or a required
        argument is missing.
    """
    name = config[section + '.name']
    accepted = {**signature(component), **(extra or {})}
    for argument in reserved:
        accepted.pop(argument, None)
    changed = {
        f'{section}.{argument}': default
        for argument, default in (extra or {}).items()
        if default is not None and f'{section}.{argument}' not in config
    }
    given = arguments(section, config, {})
    for argument, value in given.items():
        if argument not in accepted:
            raise errors.unknown(f'field of {section} {name!r}', argument, accepted)
        default = accepted[argument]
        if default is not inspect.Parameter.empty and isinstance(
            default, (bool, int, float, str, tuple)
        ):
            field = f'{section}.{argument}'
            # A default of None or of a type that a config cannot hold says nothing.
            kind = type(default)
            if kind is int and isinstance(value, float):
                kind = float  # optax writes some float defaults as `0`
            new = config_lib.coerce(field, value, kind)
            if new is not value:
                changed[field] = new
    for argument, default in accepted.items():
        if default is inspect.Parameter.empty and argument not in given:
            raise errors.UserError(
                f'{section} {name!r} needs a value for config.{section}.{argument}'
            )
    return changed


@functools.cache
def signature(component: Callable) -> dict[str, Any]:
    """Returns the arguments that a component takes by keyword, with their defaults.

    Of a Linen module these are its fields. `inspect.Parameter.empty` marks a required one.
    """
    linen = {'parent', 'name'}  # fields that every Linen module has
    parameters = inspect.signature(component).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in linen
    }
