"""What a study claims, as values that a config file writes and `config.json` keeps.

    test_loss = Quantity('test_loss')
    small, large = test_loss.where(batch_size=32), test_loss.where(batch_size=256)
    Claim('B8c', 'Very large batches hurt: 256 ends above 32', large > small)

A quantity is one number of each run. A condition compares quantities of the same seed. A claim is a
statement and its conditions. `nnstudy.analysis.judging` tests a claim on the runs of a study.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nnstudy import errors
from nnstudy.spec.fields import Value

MOMENTS = ('end', 'best', 'worst', 'mean', 'rises', 'jitter')
CHOICES = ('min', 'max', 'median', 'selected', 'rerun')
OF = ('seed', 'median', 'some', 'fact')

_CHOSEN = {
    'selected': 'at the point that each seed selects',
    'rerun': 'at the point that each seed selects, with other seeds',
}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One number of each run; `Quantity('test_loss')` is the test loss at the end of the run.

    `a - b` is the difference of two columns, `2 * a` a multiple, and `a < b` or `a > 0.5` is a
    condition. Each method returns a new quantity.

    Attributes:
      metric: a column of the tables.
      minus: another column, which is subtracted.
      fields: the fields that choose the points, see `where`.
      moment: see `at`.
      level: see `reaches`.
      choice: see `over`.
      factor: what the number is multiplied by.
    """

    metric: str
    minus: str | None = None
    fields: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    moment: str | float = 'end'
    level: float | None = None
    choice: str | None = None
    factor: float = 1.0

    __array_ufunc__ = None  # a NumPy number beside an operator leaves it to the quantity

    def where(self, *fields: Mapping[str, Value], **more: Value) -> 'Quantity':
        """Chooses the points whose fields, swept or not, have these values.

        `where({'optimizer.learning_rate': 0.1}, batch_size=32)`; the last value of a field counts.
        """
        merged: dict[str, Value] = {}
        for values in (self.fields, *fields, more):
            merged |= values
        return dataclasses.replace(self, fields=merged)

    def at(self, moment: str | float) -> 'Quantity':
        """Takes the number at another moment than the end of the run.

        Args:
          moment: the number of an epoch; `'end'`, the last evaluation; or, over all evaluations
            after the start: `'best'` or `'worst'`; `'mean'`, of those that are numbers; `'rises'`,
            the share of them at which the metric is higher than at the one before; `'jitter'`, how
            far the metric goes back and forth: the mean absolute change from one to the next minus
            the absolute mean change, so 0 if it only falls or only climbs. A run that was over
            before its end has no evaluations after that one; at a later epoch its number is that of
            its end. Of a difference, less is better.

        Raises:
          UserError: the word is unknown.
        """
        if isinstance(moment, str) and moment not in MOMENTS:
            raise errors.unknown('moment of a quantity (at)', moment, MOMENTS)
        return dataclasses.replace(self, moment=moment, level=None)

    def reaches(self, level: float) -> 'Quantity':
        """Takes the epoch of the first evaluation after the start that is better than `level`.

        It is infinite if there is none.
        """
        return dataclasses.replace(self, moment='reaches', level=level)

    def over(self, choice: str) -> 'Quantity':
        """Takes one number of several points, for each seed.

        Args:
          choice: `'min'`, `'max'` or `'median'` of the points; `'selected'`, the point that is best
            among the seed's runs on the validation split (without one, on test), see
            `comparison.ranking`; or `'rerun'`, the median over that point's runs with all other
            seeds, which had no part in the choice. With `config.data_seeds` these are the seeds of
            other initial weights and of another order.

        Raises:
          UserError: the word is unknown.
        """
        if choice not in CHOICES:
            raise errors.unknown('reduction of a quantity (over)', choice, CHOICES)
        return dataclasses.replace(self, choice=choice)

    def rises_with(self, field: str) -> 'Condition':
        """Is true if the quantity rises along a numeric field.

        More pairs of values of the field have the quantity in their own order than in the opposite
        one: Kendall's tau is positive (scipy.stats.kendalltau). For values in random order this is
        so in at most half of the cases.
        """
        return Condition('rising', (self,), field=field)

    def falls_with(self, field: str) -> 'Condition':
        """Is true if the quantity falls along a numeric field, see `rises_with`."""
        return Condition('falling', (self,), field=field)

    def lowest_at(self, *first: Mapping[str, Value]) -> 'Condition':
        """Is true if certain points have the lowest values of all that `where` chooses.

        Args:
          *first: for each of these points the fields that choose it; their order does not matter.
        """
        return Condition('lowest', (self,), first=first)

    def highest_at(self, *first: Mapping[str, Value]) -> 'Condition':
        """Is true if certain points have the highest values, see `lowest_at`."""
        return Condition('highest', (self,), first=first)

    def __sub__(self, other: 'Quantity') -> 'Quantity':
        same = Quantity(self.metric, fields=self.fields, moment=self.moment)
        is_taken = isinstance(self.moment, str) and self.moment != 'end'
        if self != same or other != dataclasses.replace(same, metric=other.metric) or is_taken:
            raise errors.UserError(
                f'cannot subtract {str(other)!r} from {str(self)!r}: a difference is one of two '
                "columns, at the same points; subtract first: (a - b).at('best'), 2 * (a - b)"
            )
        return dataclasses.replace(self, minus=other.metric)

    def __mul__(self, factor: float) -> 'Quantity':
        return dataclasses.replace(self, factor=self.factor * factor)

    __rmul__ = __mul__

    def __lt__(self, other: 'Quantity | float') -> 'Condition':
        return Condition('less', (self, other))

    def __gt__(self, other: 'Quantity | float') -> 'Condition':
        return Condition('greater', (self, other))

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
        over = self.choice and _CHOSEN.get(self.choice, f'{self.choice} over points')
        return ', '.join(filter(None, (name, written(self.fields), over)))


def written(fields: Mapping[str, Value]) -> str:
    """Writes values of fields: `optimizer.name = sgd, batch_size = 4`."""
    return ', '.join(f'{field} = {value}' for field, value in fields.items())


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is true or false of each seed; operators and methods of `Quantity` make one.

    Attributes:
      test: `'less'`, `'greater'`, `'rising'`, `'falling'`, `'lowest'` or `'highest'`.
      sides: the two that are compared, of which one may be a number; or the one quantity.
      field: of a trend, the field along which the quantity rises or falls.
      first: of `'lowest'` and `'highest'`, the fields that choose each point.
    """

    test: str
    sides: tuple[Quantity | float, ...]
    field: str | None = None
    first: tuple[Mapping[str, Value], ...] = ()

    def __bool__(self) -> bool:
        raise errors.UserError(
            'a condition is true or false of a seed, not by itself: write the two conditions '
            '(a < b, b < c) for a < b < c'
        )


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement that the runs of a study are to bear out.

    Attributes:
      name: such as `'B7a'`.
      statement: in words.
      conditions: one, or a tuple of several that all have to be true.
      of: what they are true of: `'seed'`, nearly every single seed; `'median'`, the medians over
        seeds, which says nothing of a single one; `'some'`, at least one seed; `'fact'`, numbers
        that do not depend on the seed, and therefore are not tested.

    Raises:
      UserError: `of` is something else, or there is no condition, or medians are to have a trend.
    """

    name: str
    statement: str
    conditions: tuple[Condition, ...]
    of: str = 'seed'

    def __post_init__(self) -> None:
        if self.of not in OF:
            raise errors.unknown('kind of claim (of)', self.of, OF)
        given: Any = self.conditions
        parts = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        object.__setattr__(self, 'conditions', parts)
        if not parts or not all(isinstance(part, Condition) for part in parts):
            raise errors.UserError(
                f'claim {self.name!r} needs conditions, such as a < b or (a < b, b < c), '
                f'not {self.conditions!r}'
            )
        if self.of == 'median' and any(part.test in ('rising', 'falling') for part in parts):
            # It cannot be tested comparison by comparison, see `judging.judge`.
            raise errors.UserError(
                f'claim {self.name!r}: rises_with() and falls_with() are for each seed; for '
                'medians compare points, or use lowest_at()'
            )


@dataclasses.dataclass(frozen=True)
class Reference:
    """A number that a document prints.

    Attributes:
      name: what it is called, such as `'A, validation MSE of epoch 49'`.
      value: as printed.
      quantity: the same number of a run here.
      decimals: how many the document prints, to which ours are rounded before they are compared;
        None where it prints enough.
      is_cut: whether the document cuts off the other decimals, instead of rounding.
    """

    name: str
    value: float
    quantity: Quantity
    decimals: int | None = None
    is_cut: bool = False


# On disk, an attribute is called like the method or operator that sets it.
_KEYS = {'fields': 'where', 'moment': 'at', 'choice': 'over', 'factor': 'times'}
_ATTRIBUTES = {key: attribute for attribute, key in _KEYS.items()}
_KINDS: dict[str, Any] = {
    'statement': Claim,
    'test': Condition,
    'metric': Quantity,
    'decimals': Reference,
}


def to_dict(value: Any) -> Any:
    """Returns a claim, a reference or a part of one as plain data, for JSON."""
    if type(value) in _KINDS.values():
        names = [field.name for field in dataclasses.fields(value)]
        return {_KEYS.get(name, name): to_dict(getattr(value, name)) for name in names}
    return [to_dict(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_dict(data: Any) -> Any:
    """Returns what `to_dict` was given."""
    if isinstance(data, (list, tuple)):
        return tuple(map(from_dict, data))
    for key, kind in _KINDS.items():
        if isinstance(data, Mapping) and key in data:
            return kind(**{_ATTRIBUTES.get(k, str(k)): from_dict(v) for k, v in data.items()})
    return data
