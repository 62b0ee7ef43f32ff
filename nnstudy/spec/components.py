"""Components by name: a section of the config as a call of a function.

Models, losses, optimizers and schedules are functions (or Linen modules) in plain dicts. A section
such as `{'name': 'adam', 'learning_rate': 1e-3, 'b1': 0.9}` names one and gives its keyword
arguments. The call is made inside the traced step: static fields arrive as Python values, dynamic
ones as traced scalars, so that a new value never recompiles. A component gets a field of its own
by having a keyword argument; there is no other list.
"""

import ast
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nnstudy import errors
from nnstudy.spec import config as config_lib

VALUES = (bool, int, float, str, tuple)  # what a config holds, beside None


def get(kind: str, registry: Mapping[str, Callable], name: str) -> Callable:
    """Returns `registry[name]`.

    Raises:
      UserError: the name is unknown; the message has the known ones and the nearest.
    """
    if name not in registry:
        raise errors.unknown(kind, name, registry)
    return registry[name]


def arguments(
    section: str,
    config: Mapping[str, Any],
    hparams: Mapping[str, Any],
    component: Callable | None = None,
) -> dict[str, Any]:
    """Returns the keyword arguments that a section gives its component.

    Args:
      section: the section's name, such as `'optimizer'`.
      config: fields by dotted name.
      hparams: dynamic fields by dotted name, traced or not; where both have a field, these count.
      component: what they are for.

    Returns:
      Argument values by name, without `name`. Fields that are None (off) are left out, but for
      arguments of the component that are on by default.
    """
    prefix = section + '.'
    values = {
        field.removeprefix(prefix): value
        for field, value in {**config, **hparams}.items()
        if field.startswith(prefix) and field != prefix + 'name'
    }
    known = {} if component is None else signature(component)
    on = {name for name, argument in known.items() if argument.default is not None}
    return {name: value for name, value in values.items() if value is not None or name in on}


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
    accepted = {key: a for key, a in signature(component).items() if key not in reserved}
    extra = dict(extra or {})
    changed = {
        f'{section}.{argument}': default
        for argument, default in extra.items()
        if default is not None and f'{section}.{argument}' not in config
    }
    given = arguments(section, config, {})
    for argument, value in given.items():
        if argument not in accepted and argument not in extra:
            raise errors.unknown(
                f'field of {section} {name!r}', argument, [*accepted, *extra.keys() - accepted]
            )
        kind = accepted[argument].kind if argument in accepted else float
        if kind is int and isinstance(value, float) and _package(component) == 'optax':
            kind = float  # optax writes some float defaults as `0`
        if kind is str and (isinstance(value, tuple) or (isinstance(value, str) and ',' in value)):
            kind = tuple  # one name for all, or one for each
        new = config_lib.coerce(f'{section}.{argument}', value, kind)
        if new is not value:
            changed[f'{section}.{argument}'] = new
    for argument, (default, _) in accepted.items():
        if default is inspect.Parameter.empty and argument not in given:
            field = f'config.{section}.{argument}'
            raise errors.UserError(f'{section} {name!r} needs a value for {field}')
    return changed


class Argument(NamedTuple):
    """What is known of a keyword argument of a component.

    Attributes:
      default: `inspect.Parameter.empty` if it must be given.
      kind: the type that values must have; `NoneType` if nothing is known.
    """

    default: Any
    kind: type


@functools.cache
def signature(component: Callable) -> dict[str, Argument]:
    """Returns the arguments that a component takes by keyword. Of a Linen module: its fields."""
    linen = {'parent', 'name'}  # fields that every Linen module has
    return {
        p.name: Argument(p.default, _kind(p))
        for p in inspect.signature(component).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in linen
    }


def _kind(parameter: inspect.Parameter) -> type:
    """The type of the default; where there is none, float if that is among the annotated types."""
    if type(parameter.default) in VALUES:
        return type(parameter.default)
    annotated = (parameter.annotation, *typing.get_args(parameter.annotation))
    return float if float in annotated else type(None)


def is_library_code(component: Callable) -> bool:
    """Whether a component came with nnstudy or optax, as it is or with arguments filled in."""
    return _package(component) in ('nnstudy', 'optax')


def source(component: Callable) -> str | None:
    """Returns the code of a user's own component, or None of one that came with nnstudy or optax.

    That is the whole file that it is in, with the arguments that `functools.partial` fills in: a
    component calls others. Of a config file it is without what the study is told by, such as its
    claims, which may change when all is trained.
    """
    filled = ''
    while isinstance(component, functools.partial):
        arguments = [*enumerate(component.args), *sorted(component.keywords.items())]
        filled += repr([(k, getattr(v, '__qualname__', None) or repr(v)) for k, v in arguments])
        component = component.func
    if is_library_code(component):
        return filled or None
    component = _unwrapped(component)
    module = inspect.getmodule(component)
    for owner in (module, component):
        try:
            code = inspect.getsource(owner)  # type: ignore[arg-type]
        except (OSError, TypeError):
            continue
        if owner is module and hasattr(module, 'get_config'):
            code = _without_hooks(code)
        return code + filled
    return filled or None  # typed at a prompt


def _without_hooks(code: str) -> str:
    """Returns the code of a config file without its docstring, comments and `config.HOOKS`."""
    parsed = ast.parse(code)
    parsed.body = [
        statement
        for statement in parsed.body
        if not (isinstance(statement, ast.FunctionDef) and statement.name in config_lib.HOOKS)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]
    return ast.unparse(parsed)


def _package(component: Callable) -> str:
    return _unwrapped(component).__module__.split('.')[0]


def _unwrapped(component: Callable) -> Any:
    """Returns the function or class behind partials and callable objects."""
    while isinstance(component, functools.partial):
        component = component.func
    return component if hasattr(component, '__qualname__') else type(component)
