"""Samples that were measured beside each other."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping


@dataclasses.dataclass
class Row:
    """A number with its samples: `samples[i]` were measured beside each other."""

    name: str
    unit: str
    samples: list[float]
    about: str = ''

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def interleaved(
    functions: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, list[float]]:
    """Returns what each function gives, called in turn, after a first round that does not count."""
    values: dict[str, list[float]] = {key: [] for key in functions}
    for repeat in range(repeats + 1):
        for key, function in functions.items():
            value = function()
            if repeat:
                values[key].append(value)
    return values
