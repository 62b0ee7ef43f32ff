"""The values that a field takes, by the annotation of its type.

    dropout: DropRate | None = None
    widths: tuple[Count, ...] = (64, 64)
    pooling: Literal['mean', 'max'] = 'mean'

Fields of the config and arguments of components are annotated in the same way; `read` reads both.
"""

import ast
import inspect
import math
import types
import typing
from typing import Annotated, Any, Literal, NamedTuple

from nnstudy import errors

Value = bool | int | float | str | tuple | None

REQUIRED = inspect.Parameter.empty  # the default of a field that has none

# Of float32, normal numbers.
LARGEST, SMALLEST = 3.4028234e38, 1.1754944e-38


class Range(NamedTuple):
    """Accepted numbers: low <= value <= high, with `above` not low, with `below` not high."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def check(self, field: str, value: Any) -> None:
        """Raises UserError if a field's value is a number outside of the range, or of float32."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        rule = ''
        if isinstance(value, float) and not abs(value) <= LARGEST:
            rule = 'finite in float32'
        elif isinstance(value, float) and 0 < abs(value) < SMALLEST:
            raise errors.UserError(f'config.{field} is too small for float32: {value}')
        elif isinstance(value, int) and abs(value) >= 2**31 and math.isinf(self.high):
            rule = 'below 2**31'
        elif value < self.low or (self.above and value == self.low):
            rule = f'{"above" if self.above else "at least"} {self.low}'
        elif value > self.high or (self.below and value == self.high):
            rule = f'{"below" if self.below else "at most"} {self.high}'
        if rule:
            raise errors.UserError(f'config.{field} must be {rule}, not {value}')


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
    """A field of the config, or an argument of a component.

    Attributes:
      kinds: the types of its annotation, without None: `(float,)`, `(str, tuple)`; `()` if there is
        no annotation.
      is_optional: whether it may be None.
      range: of its numbers.
      choices: the texts that are accepted; `()` if all are.
      items: of a tuple, what each item is.
      marks: what else `Annotated` adds.
      default: `REQUIRED` if there is none.
    """

    kinds: tuple[Any, ...] = ()
    is_optional: bool = False
    range: Range = Range()
    choices: tuple[str, ...] = ()
    items: 'Field | None' = None
    marks: tuple[Any, ...] = ()
    default: Any = REQUIRED

    @property
    def kind(self) -> type | None:
        """The type that values are converted to; None if every value stays as it is."""
        plain, own = {bool, int, float, str, tuple}, type(self.default)
        if float in self.kinds and own is not bool:
            return float  # also where the default is written `0`, as some are in optax
        if own in plain:
            return own
        return self.kinds[0] if self.kinds and plain.issuperset(self.kinds) else None

    @property
    def fixed(self) -> str | None:
        """The reason why a sweep cannot vary it; None if it can."""
        return next((mark.reason for mark in self.marks if isinstance(mark, Fixed)), None)

    @property
    def is_outside(self) -> bool:
        """See `OUTSIDE`."""
        return OUTSIDE in self.marks

    def accept(self, name: str, value: Any) -> Any:
        """Returns a value as the field keeps it, see `coerce`.

        Args:
          name: dotted name of the field, for the message.
          value: text from the command line or a Python value.

        Raises:
          UserError: the value is of another type, out of range or not one of the choices.
        """
        kind = self.kind
        if kind is str and tuple in self.kinds and (isinstance(value, tuple) or ',' in str(value)):
            kind = tuple  # one name for all, or one for each
        value = coerce(name, value, kind)
        if value is None and not self.is_optional:
            raise errors.UserError(f'config.{name} cannot be None')
        self.check(name, value)
        return value

    def check(self, name: str, value: Any) -> None:
        """Raises UserError if a value, or an item of it, is out of range or not a choice."""
        self.range.check(name, value)
        if isinstance(value, str) and self.choices and value not in self.choices:
            raise errors.unknown(f'value of config.{name}', value, self.choices)
        if isinstance(value, tuple) and self.items is not None:
            for item in value:
                if not self.items._holds(item):
                    raise errors.UserError(
                        f'config.{name} must be a tuple of {self.items._plural()}, not {value!r}'
                    )
                self.items.check(name, item)

    def _holds(self, value: Any) -> bool:
        kind = type(value)
        return kind in self.kinds or (kind is int and float in self.kinds) or not self.kinds

    def _plural(self) -> str:
        names = {int: 'whole numbers', float: 'numbers', str: 'text', tuple: 'tuples'}
        if self.items is not None:
            names[tuple] = f'tuples of {self.items._plural()}'
        return ' or '.join(names.get(kind, kind.__name__) for kind in self.kinds)


def read(annotation: Any, default: Any = REQUIRED) -> Field:
    """Returns a field by its annotation and its default."""
    found = _read(annotation)
    return found._replace(default=default, is_optional=found.is_optional or default is None)


def _read(annotation: Any) -> Field:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        inner, *added = arguments
        found = _read(inner)
        ranges = [mark for mark in added if isinstance(mark, Range)]
        marks = tuple(mark for mark in added if not isinstance(mark, Range))
        return found._replace(range=(*ranges, found.range)[0], marks=(*found.marks, *marks))
    if origin in (types.UnionType, typing.Union):
        parts = [_read(part) for part in arguments]
        return Field(
            kinds=tuple(kind for part in parts for kind in part.kinds),
            is_optional=any(part.is_optional for part in parts),
            range=next((part.range for part in parts if part.range != Range()), Range()),
            choices=tuple(choice for part in parts for choice in part.choices),
            items=next((part.items for part in parts if part.items is not None), None),
            marks=tuple(mark for part in parts for mark in part.marks),
        )
    if origin is Literal:
        return Field((str,), choices=arguments)
    if origin is tuple and arguments[1:] == (...,):
        return Field((tuple,), items=_read(arguments[0]))
    if annotation in (None, type(None), Any, REQUIRED) or isinstance(annotation, str):
        return Field(is_optional=True)
    return Field((origin or annotation,))


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
