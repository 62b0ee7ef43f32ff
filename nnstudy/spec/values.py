"""The values that a field takes, by the annotation of its type.

    dropout: DropRate | None = None
    widths: tuple[Count, ...] = (64, 64)
    pooling: Literal['mean', 'max'] = 'mean'

Fields of the config and arguments of components are annotated in the same way; `read` reads both.
"""

import ast
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from nnstudy import errors

Value = bool | int | float | str | tuple | None

REQUIRED = inspect.Parameter.empty  # the default of a field that has none

# Of float32, normal numbers.
LARGEST, SMALLEST = 3.4028234e38, 1.1754944e-38

_NOUNS: dict[type, str] = {
    bool: 'True or False',
    int: 'a whole number',
    float: 'a number',
    str: 'text',
    tuple: 'a tuple',
}


class Range(NamedTuple):
    """Accepted numbers: low <= value <= high, with `above` not low, with `below` not high.

    They are numbers of float32, or below 2**31, unless `high` is more.
    """

    low: float = -LARGEST
    high: float = LARGEST
    above: bool = False
    below: bool = False

    def broken(self, value: float) -> str | None:
        """Returns the rule that a number breaks; None if it fits."""
        if math.isinf(self.high):
            return None
        if isinstance(value, float) and not abs(value) <= LARGEST:
            return 'finite in float32'
        if isinstance(value, float) and 0 < abs(value) < SMALLEST:
            return f'0 or at least {SMALLEST} in size, as float32 is'
        if isinstance(value, int) and abs(value) >= 2**31 and self.high == LARGEST:
            return 'below 2**31'
        if value < self.low or (self.above and value == self.low):
            return f'{"above" if self.above else "at least"} {self.low}'
        if value > self.high or (self.below and value == self.high):
            return f'{"below" if self.below else "at most"} {self.high}'
        return None


Count = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]
Positive = Annotated[float, Range(0, above=True)]
Fraction = Annotated[float, Range(0, 1)]
DropRate = Annotated[float, Range(0, 1, below=True)]


class Fixed(NamedTuple):
    """The mark of a field that a sweep cannot vary, with the reason."""

    reason: str


# The mark of a field that changes the data or how a study is executed, but not a run's program.
OUTSIDE = 'outside of the program'


class Field(NamedTuple):
    """A field of the config, or an argument of a component."""

    # The types of its values, such as `(str, tuple)`; `()` if any value is accepted.
    kinds: tuple[Any, ...] = ()
    is_optional: bool = False  # whether it may be None
    range: Range = Range()  # of its numbers
    choices: tuple[str, ...] = ()  # the texts that are accepted; `()` if all are
    items: 'Field | None' = None  # of a tuple, what each item is
    marks: tuple[Any, ...] = ()  # what else `Annotated` adds
    default: Any = REQUIRED  # `REQUIRED` if there is none

    @property
    def fixed(self) -> str | None:
        """The reason why a sweep cannot vary it; None if it can."""
        return next((mark.reason for mark in self.marks if isinstance(mark, Fixed)), None)

    def accept(self, name: str, value: Any) -> Any:
        """Returns a value as the field keeps it, or raises UserError as `check` does.

        Text is read as a Python literal, unless the field takes text. A whole number is a number
        too, and one value a tuple of one; nothing else is converted.
        """
        takes_text, takes_tuple = str in self.kinds, tuple in self.kinds
        is_list = isinstance(value, str) and takes_tuple and (',' in value or not takes_text)
        if isinstance(value, str) and (is_list or not takes_text or value.lower() == 'none'):
            value = parse(value)
        if hasattr(value, 'item') and getattr(value, 'ndim', 0) == 0:
            value = value.item()
        if isinstance(value, list):
            value = tuple(value)
        if is_list and isinstance(value, str):
            value = tuple(part.strip() for part in value.split(','))
        elif self.kinds == (tuple,) and not isinstance(value, (tuple, types.NoneType)):
            value = (value,)
        elif float in self.kinds and type(value) is int:
            value = float(value) if abs(value) <= LARGEST else math.inf
        self.check(name, value)
        return value

    def check(self, name: str, value: Any) -> None:
        """Raises UserError if a value, or an item of it, is of another type or out of range."""
        if value is None:
            if not self.is_optional:
                raise errors.UserError(f'config.{name} needs a value: it cannot be None')
            return
        kind = type(value)
        rule = None
        if self.kinds and kind not in self.kinds and not (kind is int and float in self.kinds):
            rule = ' or '.join(_NOUNS.get(kind, kind.__name__) for kind in self.kinds)
        elif kind in (int, float):
            rule = self.range.broken(value)
        if rule:
            raise errors.UserError(f'config.{name} must be {rule}, not {value!r}')
        if kind is str and self.choices:
            errors.check_known(f'value of config.{name}', value, self.choices)
        if kind is tuple and self.items is not None:
            for i, item in enumerate(value):
                self.items.check(f'{name}[{i}]', item)


def read(annotation: Any, default: Any = REQUIRED) -> Field:
    """Returns a field by its annotation and its default."""
    found = _read(annotation, Field())
    kinds = found.kinds
    if not kinds or not _NOUNS.keys() >= {*kinds}:  # no annotation, or one with other types
        # A default of optax's may be written `0` for a float.
        kind = float if float in kinds and not isinstance(default, bool) else type(default)
        kinds = (kind,) if kind in _NOUNS else ()
    is_optional = default is None or (found.is_optional and default is not REQUIRED)
    return found._replace(kinds=kinds, default=default, is_optional=is_optional)


def _read(annotation: Any, found: Field) -> Field:
    """Returns a field that may also be what another annotation says."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        found = _read(arguments[0], found)
        for mark in arguments[1:]:
            is_range = isinstance(mark, Range)
            new = {'range': mark} if is_range else {'marks': (*found.marks, mark)}
            found = found._replace(**new)
        return found
    if origin in (types.UnionType, typing.Union):
        for part in arguments:
            found = _read(part, found)
        return found
    if annotation in (None, type(None), Any, REQUIRED) or isinstance(annotation, str):
        return found._replace(is_optional=True)
    kind = origin or annotation
    if origin is Literal:
        kind, found = str, found._replace(choices=arguments)
    elif origin is tuple and arguments[1:] == (...,):
        found = found._replace(items=_read(arguments[0], Field()))
    return found._replace(kinds=(*found.kinds, kind))


@functools.cache
def signature(component: Callable[..., Any]) -> Mapping[str, Field]:
    """Returns the arguments that a component takes by keyword. Of a Linen module: its fields."""
    linen = {'parent', 'name'}  # fields that every Linen module has
    try:
        parameters = inspect.signature(component, eval_str=True).parameters
    except NameError:  # an annotation as text, of something that is not there at run time
        parameters = inspect.signature(component).parameters
    return {
        p.name: read(p.annotation, p.default)
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in linen
    }


def parse(text: str) -> Value:
    """Returns the Python value that `text` is a literal of, or else the text itself."""
    bare, named = text.strip(), {'true': True, 'false': False, 'none': None}
    if bare.lower() in named:
        return named[bare.lower()]
    try:
        return float(bare) if bare.lower() in ('nan', 'inf', '-inf') else ast.literal_eval(bare)
    except (ValueError, SyntaxError):
        return text
