"""Successive halving: points that fall behind are pruned early, the others go on.

Karnin, Koren & Somekh 2013, "Almost Optimal Exploration in Multi-Armed Bandits"; for training
networks Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization".
"""

import math
from collections.abc import Sequence

from nnstudy.spec.fields import Halving


def rungs(halving: Halving, last: int) -> list[int]:
    """Returns the epochs after which points are pruned: `min_epochs` times powers of `factor`.

    Args:
      halving: the section of the config.
      last: the last epoch.

    Returns:
      Epochs, increasing; an empty list without `halving.factor`.
    """
    factor, epochs = halving.factor, halving.min_epochs
    found = []
    while factor is not None and epochs < last:
        found.append(epochs)
        epochs *= factor
    return found


def survivors(ranking: Sequence[int], factor: int) -> list[int]:
    """Returns the best 1/`factor` of the points, rounded up. The best is first in the ranking."""
    return sorted(ranking[: math.ceil(len(ranking) / factor)])
