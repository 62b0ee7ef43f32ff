"""What some seeds say of a share of all seeds: e-values, and the bounds that follow from them.

An e-value is what a bet at fair odds makes of 1 while a statement is true: its mean is at most 1
after any number of seeds, so it ever reaches 1/a with a probability of at most a (Ville's
inequality). So one may look, add seeds and look again, and the error rate stays what it was.
Ramdas, Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference",
Statistical Science 38, is an introduction.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

HALVINGS = 50  # of the interval that a bound is in: to the precision of float64


def of_share(wins: ArrayLike, losses: ArrayLike, share: ArrayLike = 0.5) -> np.ndarray:
    """Returns e-values against the statement that at most this share of all seeds are wins.

    It is the likelihood ratio of the seeds between a true share that is uniform on (share, 1) and
    `share` itself, with s wins and f losses

        ∫ (θ/share)^s ((1-θ)/(1-share))^f dθ / (1-share), from share to 1

    which at one half is 2^(s+f+1) B(s+1, f+1) P(Beta(s+1, f+1) > 1/2). The arguments are broadcast;
    what is too large for float64 is infinite.
    """
    wins, losses, share = (np.asarray(x, np.float64) for x in (wins, losses, share))
    tail = special.betaincc(wins + 1, losses + 1, share)
    with np.errstate(divide='ignore', over='ignore'):
        log = np.log(tail) + special.betaln(wins + 1, losses + 1)
        log -= special.xlogy(wins, share) + special.xlog1py(losses + 1, -share)
        return np.exp(log)


def least_share(wins: ArrayLike, losses: ArrayLike, level: ArrayLike) -> np.ndarray:
    """Returns lower bounds of the share of wins among all seeds; 0 where nothing is known.

    The true share is ever below its bound, after whatever number of seeds, with a probability of at
    most `level`. The bound is the largest share that `of_share` rules out, so it is above one half
    just where that of one half is above 1/level.
    """
    wins, losses, level = np.broadcast_arrays(wins, losses, np.asarray(level, np.float64))
    low, high = np.zeros(wins.shape), np.ones(wins.shape)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        is_out = of_share(wins, losses, middle) >= 1 / level
        low, high = np.where(is_out, middle, low), np.where(is_out, high, middle)
    return low


def least_wins(total: ArrayLike, share: ArrayLike, e_value: ArrayLike) -> np.ndarray:
    """Returns the fewest wins among `total` seeds with so large an e-value; `total` + 1 if none."""
    total, share, e_value = np.broadcast_arrays(np.asarray(total, int), share, e_value)
    low, high = np.zeros(total.shape, int), total + 1
    while (low < high).any():
        middle = (low + high) // 2
        is_enough = of_share(middle, np.maximum(total - middle, 0), share) >= e_value
        low = np.where(is_enough, low, np.minimum(middle + 1, high))
        high = np.where(is_enough, middle, high)
    return low


def apart(below: ArrayLike, above: ArrayLike) -> tuple[int, int]:
    """Returns how many values of one side are below a number, and of the other above it.

    The number is the one, between the two sides, at which the smaller count is largest. The median
    of `below` is less than a number c if more than half of it is, and likewise for `above`. If the
    medians are not in this order, no c makes both e-values larger than the larger one at the two
    medians, which is at most their sum. So c may be chosen by the seeds, and half of the smaller
    e-value (`of_share`) of the two counts is an e-value against that statement.

    Args:
      below: [n], values over seeds; NaN lies on neither side of any number.
      above: [n'].
    """
    below, above = (np.sort(np.asarray(x, np.float64)) for x in (below, above))
    below, above = below[~np.isnan(below)], above[~np.isnan(above)]
    # A number just above each of them, on which no value lies.
    places = np.concatenate([below, above])
    under = np.searchsorted(below, places, side='right')
    over = len(above) - np.searchsorted(above, places, side='right')
    if not places.size:
        return 0, 0
    best = np.minimum(under, over).argmax()
    return int(under[best]), int(over[best])


def are_shown(e_values: ArrayLike, level: float) -> np.ndarray:
    """Returns which of many statements are shown to be wrong, bool [m], by their e-values [m].

    Among those, the expected share of true statements is at most `level`, however the e-values
    depend on each other: the e-BH procedure (Wang & Ramdas 2022, "False discovery rate control with
    e-values", J. Royal Statistical Society B 84). NaN is not shown.
    """
    e_values = np.nan_to_num(np.asarray(e_values, np.float64), nan=0.0, posinf=np.inf)
    ordered = np.sort(e_values)[::-1]
    number = np.arange(1, len(ordered) + 1)
    reached = number[ordered >= len(ordered) / (level * number)]
    return e_values >= (ordered[reached[-1] - 1] if reached.size else np.inf)
