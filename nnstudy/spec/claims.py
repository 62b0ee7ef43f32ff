"""What a study claims, as values that a config file writes and `config.json` keeps.

    test_loss = Quantity('test_loss')
    small, large = test_loss.where(batch_size=32), test_loss.where(batch_size=256)
    Claim('B8c: Very large batches hurt: 256 ends above 32', large > small)

A quantity is one number of each run. A condition compares quantities of the same seed. A claim is a
statement and its conditions, which `nnstudy.analysis.judging` tests on the runs of a study.
"""

import dataclasses
import hashlib
import itertools
import json
import numbers
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nnstudy import errors
from nnstudy.spec.fields import Value

Fields = Mapping[str, Value]  # values by dotted name

MOMENTS = ('end', 'best', 'worst', 'mean', 'rises', 'jitter')
# Each choice, and how it is written.
CHOICES = {
    'min': 'min over points',
    'max': 'max over points',
    'median': 'median over points',
    'selected': 'at the point that each seed selects',
    'rerun': 'at the point that each seed selects, with other seeds',
}
OF = ('seed', 'median', 'some', 'fact')


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One number of each run; `Quantity('test_loss')` is the test loss at the end of the run.

    `metric` is a column of the tables, and `minus` another one, which is subtracted. The methods
    and operators set all attributes: `a - b` is the difference of two columns, `2 * a` a multiple,
    and `a < b` or `a > 0.5` is a condition.
    """

    metric: str
    minus: str | None = None
    fields: Fields = dataclasses.field(default_factory=dict)
    moment: str | float = 'end'
    level: float | None = None
    choice: str | None = None
    factor: float = 1.0

    __array_ufunc__ = None  # a NumPy number beside an operator leaves it to the quantity

    def where(self, *fields: Fields, **more: Value) -> 'Quantity':
        """Chooses the points whose fields, swept or not, have these values.

        `where({'optimizer.learning_rate': 0.1}, batch_size=32)`; the last value of a field counts.
        """
        chosen = (self.fields, *fields, more)
        for values in chosen:
            if not isinstance(values, Mapping):
                raise errors.UserError(f'{values!r} is no dict of values by name of a field')
        merged = {field: value for values in chosen for field, value in values.items()}
        return dataclasses.replace(self, fields=merged)

    def at(self, moment: str | float) -> 'Quantity':
        """Takes the number at another moment than the end of the run.

        That is the number of an epoch; `'end'`, the last evaluation; or, of the evaluations after
        the start: `'best'`, `'worst'`, `'mean'`; `'rises'`, the share of those with a higher number
        than the one before; or `'jitter'`, the mean absolute change from one to the next minus the
        absolute mean change, so 0 if the number only falls or only climbs. Of a difference, less is
        better. A run that was over early has its last number at later epochs.

        Raises:
          UserError: it is no number and no such word.
        """
        if isinstance(moment, str):
            errors.check_known('moment of a quantity (at)', moment, MOMENTS)
        else:
            _number('at', moment)
        return dataclasses.replace(self, moment=moment, level=None)

    def reaches(self, level: float) -> 'Quantity':
        """Takes the epoch of the first evaluation after the start better than `level`, or ∞."""
        return dataclasses.replace(self, moment='reaches', level=float(_number('reaches', level)))

    def over(self, choice: str) -> 'Quantity':
        """Takes one number of several points, for each seed.

        That is the `'min'`, `'max'` or `'median'` of the points; `'selected'`, the point that is
        best among the seed's runs (see `comparison.ranking`); or `'rerun'`, the median over that
        point's runs with all other seeds, which had no part in the choice; with
        `config.data_seeds`, with those of other initial weights and another order.

        Raises:
          UserError: the word is unknown.
        """
        errors.check_known('reduction of a quantity (over)', choice, CHOICES)
        return dataclasses.replace(self, choice=choice)

    def rises_with(self, field: str) -> 'Trend':
        """Is true if the quantity rises along a numeric field: Kendall's tau is positive.

        In random order this is so in at most half of the cases.
        """
        return Trend('rising', self, field)

    def falls_with(self, field: str) -> 'Trend':
        """Is true if the quantity falls along a numeric field, see `rises_with`."""
        return Trend('falling', self, field)

    def lowest_at(self, *first: Fields) -> 'Extreme':
        """Is true if the points with these fields, in any order, have the lowest of all values."""
        return Extreme('lowest', self, tuple(self.where(fields).fields for fields in first))

    def highest_at(self, *first: Fields) -> 'Extreme':
        """Is true if the points with these fields have the highest values, see `lowest_at`."""
        return Extreme('highest', self, tuple(self.where(fields).fields for fields in first))

    def __sub__(self, other: 'Quantity') -> 'Quantity':
        same = Quantity(self.metric, fields=self.fields, moment=self.moment)
        is_taken = self.moment in MOMENTS and self.moment != 'end'
        name: str = getattr(other, 'metric', '')
        if self != same or other != dataclasses.replace(same, metric=name) or is_taken:
            raise errors.UserError(
                f'cannot subtract {str(other)!r} from {str(self)!r}: a difference is one of two '
                "columns, at the same points; subtract first: (a - b).at('best'), 2 * (a - b)"
            )
        return dataclasses.replace(self, minus=name)

    def __mul__(self, factor: float) -> 'Quantity':
        return dataclasses.replace(self, factor=self.factor * _number('*', factor))

    __rmul__ = __mul__

    def __lt__(self, other: 'Quantity | float') -> 'Inequality':
        return Inequality('<', (self, other))

    def __gt__(self, other: 'Quantity | float') -> 'Inequality':
        return Inequality('>', (self, other))

    def __str__(self) -> str:
        """Writes it in words: `test_loss - train_loss after epoch 3, batch_size = 4`."""
        name = self.metric if self.minus is None else f'{self.metric} - {self.minus}'
        if self.level is not None:
            name = f'epoch of {name} {self.level:g}'
        elif not isinstance(self.moment, str):
            name = f'{name} after epoch {self.moment:g}'
        elif self.moment != 'end':
            name = f'{self.moment} of {name}'
        if self.factor != 1:
            name = f'{self.factor:g} × ' + (f'({name})' if ' ' in name else name)
        choice = self.choice and CHOICES[self.choice]
        return ', '.join(filter(None, (name, written(self.fields), choice)))


def _number(place: str, value: Any) -> float:
    """Returns what stands beside a sign or word; UserError for a bool, NaN, or no number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value != value:
        raise errors.UserError(f'{value!r} beside {place} is no number')
    return value  # type: ignore[return-value]  # a NumPy number too


def written(fields: Fields) -> str:
    """Writes values of fields: `optimizer.name = sgd, batch_size = 4`."""
    return ', '.join(f'{field} = {value}' for field, value in fields.items())


Side = Quantity | float
Find = Callable[[Fields], list[Fields]]  # the settings of each point that some fields choose
Compared = tuple[Sequence[Side], Iterable[tuple[int, int]]]


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is true or false of each seed; operators and methods of `Quantity` make one.

    A kind of condition is a subclass, which alone knows what it compares, when that is true, and
    how it is written. Its attributes are quantities and plain data.
    """

    name: str  # its sign or word

    @property
    def is_of_pairs(self) -> bool:
        """Whether it is true if all pairs are: then medians over seeds can be tested."""
        return type(self).outcome is Condition.outcome

    def compared(self, find: Find) -> Compared:
        """Returns the sides, and pairs of their places: the first is to be below the second.

        A side is a number, or a quantity with one number for each seed.

        Raises:
          UserError: the points of the study do not go with the condition.
        """
        raise errors.UserError(
            f'the condition {self.name!r} is of a config file: launch it with this --workdir'
        )

    def outcome(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Returns 1.0 where it is true, -1.0 where its opposite is, and 0.0 for a tie; [...].

        NaN where that is not known. `below` and `above` are the sides of each pair, [..., pairs].
        """
        return both(_signs(below, above))

    def written(self, sides: Sequence[str]) -> str:
        """Writes it with its sides as text, at most four of them."""
        more = f', and {len(sides) - 4} more' if len(sides) > 4 else ''
        return f'{self.name}: {"; ".join(sides[:4])}{more}'

    def __bool__(self) -> bool:
        raise errors.UserError(
            'a condition is true or false of a seed, not by itself: write two conditions, '
            'a < b and b < c, for a < b < c'
        )


def _signs(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Returns 1.0 where it is below, -1.0 where it is above, 0.0 where both are equal, or NaN."""
    signs = (below < above).astype(np.float64) - (below > above)
    return np.where(np.isnan(below) | np.isnan(above), np.nan, signs)


def both(outcomes: np.ndarray) -> np.ndarray:
    """Returns the outcome [...] of several together [..., k], see `Condition.outcome`.

    The opposite of one is that of all. Otherwise, one that is not known decides, or a tie.
    """
    return np.where((outcomes == -1).any(axis=-1), -1.0, outcomes.min(axis=-1))


@dataclasses.dataclass(frozen=True)
class Inequality(Condition):
    """`a < b` or `a > b`; one of them may be a number."""

    sides: tuple[Side, Side]

    def __post_init__(self) -> None:
        for side in self.sides:
            if not isinstance(side, Quantity):
                _number(self.name, side)
        if self.sides[0] == self.sides[1]:
            raise errors.UserError(f'both sides of {self.name} are {self.sides[0]}')

    def compared(self, find: Find) -> Compared:
        return self.sides, [(0, 1) if self.name == '<' else (1, 0)]

    def written(self, sides: Sequence[str]) -> str:
        return f' {self.name} '.join(sides)


@dataclasses.dataclass(frozen=True)
class OfPoints(Condition):
    """A condition on a quantity at each of several points."""

    quantity: Quantity

    def __post_init__(self) -> None:
        if self.quantity.choice is not None:
            raise errors.UserError(
                f'{self.name} compares points, of which over({self.quantity.choice!r}) leaves one'
            )


@dataclasses.dataclass(frozen=True)
class Trend(OfPoints):
    """Rising or falling along a field, see `Quantity.rises_with`."""

    field: str

    def compared(self, find: Find) -> Compared:
        def place(point: Fields) -> float:
            errors.check_known('field of a trend', self.field, point)
            return _number(f'{self.name} along {self.field}', point[self.field])

        points = sorted(find(self.quantity.fields), key=place, reverse=self.name == 'falling')
        sides, places = [self.quantity.where(point) for point in points], [*map(place, points)]
        pairs = itertools.combinations(range(len(sides)), 2)
        return sides, [(i, j) for i, j in pairs if places[i] != places[j]]

    def outcome(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        return np.sign(_signs(below, above).sum(axis=-1))


@dataclasses.dataclass(frozen=True)
class Extreme(OfPoints):
    """Lowest or highest at the first of all points, see `Quantity.lowest_at`."""

    first: tuple[Fields, ...]

    def compared(self, find: Find) -> Compared:
        chosen = [point for fields in self.first for point in find(fields)]
        points = sorted(find(self.quantity.fields), key=lambda point: point not in chosen)
        count = sum(point in chosen for point in points)
        if count == len(points):
            raise errors.UserError(f'{self.name}_at names all points: none is left to compare')
        low, high = range(count), range(count, len(points))
        if self.name == 'highest':
            low, high = high, low
        sides = [self.quantity.where(point) for point in points]
        return sides, itertools.product(low, high)


@dataclasses.dataclass(frozen=True, init=False)
class Claim:
    """A statement that the runs of a study are to bear out, and its name, such as `'B7a'`.

    `Claim('B7a: With decay both errors are lower', loss_b < loss_a, mae_b < mae_a)`. All conditions
    have to be true; a list of several is one argument. `of` says what they are true of: `'seed'`,
    single seeds, most of them; `'median'`, the medians over seeds; `'some'`, at least one seed;
    `'fact'`, numbers that do not depend on the seed.

    Raises:
      UserError: it has no name, statement or condition, `of` is unknown, or a trend is of medians.
    """

    name: str
    statement: str
    conditions: tuple[Condition, ...]
    of: str

    def __init__(
        self, text: str, *given: Condition | Sequence[Condition], of: str = 'seed'
    ) -> None:
        errors.check_known('kind of claim (of)', of, OF)
        name, _, statement = str(text).partition(': ')
        if not name or not statement:
            raise errors.UserError(f"a claim is a text such as 'A: c is highest', not {text!r}")
        parts: list[Any] = []
        for part in given:
            parts += part if isinstance(part, (tuple, list)) else [part]
        with errors.within(f'claim {name!r}'):
            for part in parts or [None]:
                if not isinstance(part, Condition):
                    raise errors.UserError(f'needs conditions such as a < c, not {part!r}')
                if of == 'median' and not part.is_of_pairs:
                    raise errors.UserError(
                        f'{part.name!r} is of each seed; for medians compare points, or use '
                        'lowest_at()'
                    )
        vars(self).update(name=name, statement=statement, conditions=tuple(parts), of=of)


@dataclasses.dataclass(frozen=True)
class Reference:
    """A number that a document prints."""

    name: str  # what it is called, such as `'A, validation MSE of epoch 49'`
    value: float  # as printed
    quantity: Quantity  # the same number of a run here
    # How many the document prints, to which ours are rounded before they are compared; None where
    # it prints enough.
    decimals: int | None = None
    is_cut: bool = False  # whether the document cuts off the other decimals, instead of rounding

    def __post_init__(self) -> None:
        _number(f'reference {self.name!r}', self.value)
        if not isinstance(self.quantity, Quantity):
            raise errors.UserError(f'reference {self.name!r}: {self.quantity!r} is no quantity')


def to_dict(value: Any) -> Any:
    """Returns a claim, a reference or a part of one as plain data, for JSON.

    Raises:
      UserError: it holds something that JSON does not know.
    """
    if dataclasses.is_dataclass(value):  # no attribute can be called class
        return {'class': type(value).__name__, **to_dict(vars(value))}
    if isinstance(value, Mapping):
        return {name: to_dict(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (bool, int, float, str, types.NoneType)):
        raise errors.UserError(f'claims and references are of numbers and texts, not {value!r}')
    return value


def digest(claim: Claim) -> str:
    """Returns a hash of the words and conditions of a claim.

    Raises:
      UserError: it holds something that JSON does not know.
    """
    text = json.dumps(to_dict(claim), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def from_dict(data: Any) -> Any:
    """Returns what `to_dict` was given; of a kind that is not loaded, a plain `Condition`."""
    if isinstance(data, (list, tuple)):
        return tuple(map(from_dict, data))
    if not isinstance(data, Mapping) or 'class' not in data:
        return data
    kinds = [Quantity, Claim, Reference, Condition]
    for kind in kinds:  # the list grows: a user may have kinds of conditions, and kinds of those
        kinds += kind.__subclasses__()
    by_name = {kind.__name__: kind for kind in kinds}
    if data['class'] not in by_name:
        return Condition(data['class'])
    value: Any = object.__new__(by_name[data['class']])
    vars(value).update({name: from_dict(part) for name, part in data.items() if name != 'class'})
    return value
