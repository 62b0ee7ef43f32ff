"""Numbers that a document prints, and where they fall among the seeds of a study.

A document had one seed, other random numbers and another library: its number is expected to be one
that some seed could have given, not to be equal to any.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from nnstudy import errors
from nnstudy.analysis import quantities
from nnstudy.results import Results
from nnstudy.spec.claims import Reference


@dataclasses.dataclass(frozen=True)
class Placed:
    """A printed number among those of the seeds.

    Attributes:
      reference: the printed number.
      n: number of seeds.
      median: over seeds.
      low: smallest.
      high: largest.
      quantile: the share of seeds below the printed number, equal ones counting half.
    """

    reference: Reference
    n: int
    median: float
    low: float
    high: float
    quantile: float

    @property
    def is_covered(self) -> bool:
        """Whether the printed number lies among those of the seeds, as far as it is printed."""
        return 0 < self.quantile < 1


def place(results: Results, references: Sequence[Reference] | None = None) -> list[Placed]:
    """Returns where each printed number falls.

    Args:
      results: of the study.
      references: None for the study's own.

    Raises:
      UserError: a reference names a point, column or epoch that is not there, or no run has it.
    """
    placed = []
    for one in results.references if references is None else references:
        values = quantities.values(results, one.quantity).dropna().to_numpy(np.float64)
        if not values.size:
            raise errors.UserError(f'reference {one.name!r}: no run has a number to compare')
        median, low, high = (float(f(values)) for f in (np.median, np.min, np.max))
        if one.decimals is not None:
            unit = 10.0**one.decimals
            values = (np.floor if one.is_cut else np.round)(values * unit) / unit
        quantile = float(np.mean(values < one.value) + np.mean(values == one.value) / 2)
        placed.append(Placed(one, len(values), median, low, high, quantile))
    return placed
