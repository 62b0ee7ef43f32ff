"""Which values a field takes, said where the field is: as an annotation of its type.

    dropout: DropRate | None = None

A closed section of the config and an argument of any component say it alike, and `read` is how
both are read.
"""

import math
import types
import typing
from typing import Annotated, Any, NamedTuple

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
      marks: all else that `Annotated` adds.
    """

    kinds: tuple[Any, ...]
    is_optional: bool
    range: Range
    marks: tuple[Any, ...]


def read(annotation: Any) -> Type:
    """Returns what an annotation of a field or an argument says."""
    if typing.get_origin(annotation) is Annotated:
        inner, *added = typing.get_args(annotation)
        found = read(inner)
        ranges = [mark for mark in added if isinstance(mark, Range)]
        marks = tuple(mark for mark in added if not isinstance(mark, Range))
        return found._replace(range=(*ranges, found.range)[0], marks=(*found.marks, *marks))
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        parts = [read(part) for part in typing.get_args(annotation)]
        return Type(
            kinds=tuple(kind for part in parts for kind in part.kinds),
            is_optional=any(part.is_optional for part in parts),
            range=next((part.range for part in parts if part.range != Range()), Range()),
            marks=tuple(mark for part in parts for mark in part.marks),
        )
    if annotation in (None, type(None)):
        return Type((), True, Range(), ())
    return Type((typing.get_origin(annotation) or annotation,), False, Range(), ())
