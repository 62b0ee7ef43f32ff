"""Components by name: a section of the config as a call of a function.

Models, losses, optimizers and schedules are functions (or Linen modules) in plain dicts. A section
such as `{'name': 'adam', 'learning_rate': 1e-3, 'b1': 0.9}` names one and gives its keyword
arguments. The call is made inside the traced step: static fields arrive as Python values, dynamic
ones as traced scalars, so that a new value never recompiles. A component gets a field of its own
by having a keyword argument; there is no other list.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nnstudy import errors
from nnstudy.spec import study_file, values
from nnstudy.spec.fields import Component
from nnstudy.spec.values import REQUIRED, Field


def get(kind: str, registry: Mapping[str, Any], name: str) -> Any:
    """Returns `registry[name]`, or raises UserError."""
    errors.check_known(kind, name, registry)
    if not callable(registry[name]):
        raise errors.UserError(f'{kind} {name!r} must be a function or a class')
    return registry[name]


@dataclasses.dataclass(frozen=True)
class Slot:
    """What an open section may hold."""

    section: str  # its name
    registry: Mapping[str, Callable[..., Any]]  # the components by name
    # Arguments that training gives its components itself, so that a config cannot.
    given: tuple[str, ...] = ()
    # Annotations of arguments of optax's functions, which have none of ours.
    types: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # Returns the arguments that a component has in the section beside its own.
    shared: Callable[[Callable[..., Any]], Mapping[str, Field]] = lambda component: {}

    def accepted(self, component: Callable[..., Any]) -> dict[str, Field]:
        """Returns the arguments that a config may give a component of the section."""
        own = {k: v for k, v in values.signature(component).items() if k not in self.given}
        if _package(component) == 'optax':
            for name in own.keys() & self.types.keys():
                own[name] = values.read(self.types[name], own[name].default)
        return {**own, **self.shared(component)}

    def resolve(self, chosen: Component) -> Component:
        """Returns a section with its function, and its arguments checked and converted.

        Fields of `shared` that are on by default are filled in.

        Raises:
          UserError: the component or an argument is unknown, a value does not fit, or is missing.
        """
        section, name = self.section, chosen.name
        function = get(section, self.registry, name)
        accepted = self.accepted(function)
        filled = {k: v.default for k, v in self.shared(function).items() if v.default is not None}
        filled |= {key: None for key, field in accepted.items() if field.default is REQUIRED}
        arguments = {**filled, **chosen.arguments}
        for key, value in arguments.items():
            if key in accepted:
                arguments[key] = accepted[key].accept(f'{section}.{key}', value)
            elif value is not None:  # an argument that is off means nothing to another component
                raise errors.unknown(f'field of {section} {name!r}', key, accepted)
        return Component(name, arguments, function)


def is_library_code(component: Callable) -> bool:
    """Whether a component came with a library, as it is or with arguments filled in."""
    return _package(component) in ('nnstudy', 'optax', 'jax', 'flax')


def source(component: Callable) -> str | None:
    """Returns the code of a user's own component, or None of one that came with a library.

    It is the whole file, since a component may call other functions, and the arguments that
    `functools.partial` fills in. Of a config file, claims and other hooks are left out: they may
    change after training.
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
            code = study_file.without_hooks(code)
        return code + filled
    return filled or None  # typed at a prompt


def _package(component: Callable) -> str:
    return _unwrapped(component).__module__.split('.')[0]


def _unwrapped(component: Callable) -> Any:
    """Returns the function or class behind partials and callable objects."""
    while isinstance(component, functools.partial):
        component = component.func
    return component if hasattr(component, '__qualname__') else type(component)
