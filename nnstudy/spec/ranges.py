"""Which numbers a field takes, said where the field is: as an annotation of its type.

    dropout: DropRate | None = None

A closed section of the config and an argument of any component say it alike; who checks values
reads it from there (`nnstudy.spec.components`).
"""

import math
from typing import Annotated, NamedTuple

from nnstudy import errors


class Range(NamedTuple):
    """Accepted numbers: low <= value <= high, with `above` not low, with `below` not high."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def check(self, field: str, value: float) -> None:
        """Raises UserError if a field's value is outside."""
        rule = ''
        if value < self.low or (self.above and value == self.low):
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
