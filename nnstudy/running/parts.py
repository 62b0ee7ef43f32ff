"""A part of a study's runs, for a job of its own: part i of n, counted from 0."""

import math
import re
from typing import NamedTuple

import numpy as np

from nnstudy import errors

_GOLDEN = (math.sqrt(5) - 1) / 2


class Part(NamedTuple):
    """Part `number` of `total`, counted from 0."""

    number: int
    total: int

    def __str__(self) -> str:
        return f'part {self.number}/{self.total}'

    def dealt(self, start: int, stop: int) -> np.ndarray:
        """Returns which of the runs `start` to before `stop`, counted group by group, are its own.

        They are returned as places after `start`, rising. Runs are dealt like cards, one to each
        part, so that parts differ by at most one run, and by at most two in every group. The order
        of dealing follows the golden ratio: it changes from round to round. So the points of a grid
        do not keep in step with it, and no part gets, say, all the learning rates that diverge.
        """
        number, total = self
        first = start // total
        rounds = np.arange(first * total, -(-stop // total) * total).reshape(-1, total)
        dealt = np.argsort(rounds * _GOLDEN % 1.0, axis=1)[:, number] + rounds[:, 0]
        return dealt[(dealt >= start) & (dealt < stop)] - start


def read(part: object) -> Part:
    """Returns a part from `(i, n)` or `'i/n'`, or raises UserError if there is no such part."""
    pair = part
    if isinstance(part, str) and re.fullmatch(r'\d+/\d+', part):
        pair = tuple(map(int, part.split('/')))
    match pair:
        case (int(number), int(total)) if 0 <= number < total:
            return Part(number, total)
    raise errors.UserError(
        f'part {part!r}: write (i, n), or --part=i/n, for part i of n; they are numbered from 0 to '
        'n - 1'
    )


def name(part: tuple[int, int] | None) -> str:
    """Returns how a part, or the whole, is called in messages."""
    return 'the whole study' if part is None else str(Part(*part))
