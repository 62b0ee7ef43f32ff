"""Which values a field takes, said where the field is: as an annotation of its type.

    dropout: DropRate | None = None
    widths: tuple[Count, ...] = (64, 64)
    pooling: Literal['mean', 'max'] = 'mean'

The fields of the config's closed sections and the arguments of components are annotated alike, and
`read` reads both.
"""

import math
import types
import typing
from typing import Annotated, Any, Literal, NamedTuple

from nnstudy import errors

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


class Type(NamedTuple):
    """What an annotation says.

    Attributes:
      kinds: the plain types that it names, without None: `(float,)`, `(str, tuple)`.
      is_optional: whether None is among them.
      range: of its numbers.
      choices: the only texts that are accepted; `()` if all are.
      items: what a tuple holds, if it says so: `tuple[int, ...]`.
      marks: all else that `Annotated` adds.
    """

    kinds: tuple[Any, ...] = ()
    is_optional: bool = False
    range: Range = Range()
    choices: tuple[str, ...] = ()
    items: 'Type | None' = None
    marks: tuple[Any, ...] = ()

    def check(self, field: str, value: Any) -> None:
        """Raises UserError if a field's value, or an item of it, is out of range or no choice.

        The value is of one of the `kinds`, to which `nnstudy.spec.config.coerce` sees; its items
        are looked at here.
        """
        self.range.check(field, value)
        if isinstance(value, str) and self.choices and value not in self.choices:
            raise errors.unknown(f'value of config.{field}', value, self.choices)
        if isinstance(value, tuple) and self.items is not None:
            for item in value:
                if not self.items._holds(item):
                    raise errors.UserError(
                        f'config.{field} must be a tuple of {self.items._plural()}, not {value!r}'
                    )
                self.items.check(field, item)

    def _holds(self, value: Any) -> bool:
        kind = type(value)
        return kind in self.kinds or (kind is int and float in self.kinds) or not self.kinds

    def _plural(self) -> str:
        names = {int: 'whole numbers', float: 'numbers', str: 'text', tuple: 'tuples'}
        if self.items is not None:
            names[tuple] = f'tuples of {self.items._plural()}'
        return ' or '.join(names.get(kind, kind.__name__) for kind in self.kinds)


def read(annotation: Any) -> Type:
    """Returns what an annotation of a field or an argument says."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        inner, *added = arguments
        found = read(inner)
        ranges = [mark for mark in added if isinstance(mark, Range)]
        marks = tuple(mark for mark in added if not isinstance(mark, Range))
        return found._replace(range=(*ranges, found.range)[0], marks=(*found.marks, *marks))
    if origin in (types.UnionType, typing.Union):
        parts = [read(part) for part in arguments]
        return Type(
            kinds=tuple(kind for part in parts for kind in part.kinds),
            is_optional=any(part.is_optional for part in parts),
            range=next((part.range for part in parts if part.range != Range()), Range()),
            choices=tuple(choice for part in parts for choice in part.choices),
            items=next((part.items for part in parts if part.items is not None), None),
            marks=tuple(mark for part in parts for mark in part.marks),
        )
    if origin is Literal:
        return Type((str,), choices=arguments)
    if origin is tuple and arguments[1:] == (...,):
        return Type((tuple,), items=read(arguments[0]))
    if annotation in (None, type(None)):
        return Type(is_optional=True)
    if annotation is Any:
        return Type()
    return Type((origin or annotation,))
