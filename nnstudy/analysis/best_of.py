"""What a search with fewer trials would have found: the expected best of n draws.

Knows numbers only, nothing of runs or metrics.
"""

import numpy as np
from numpy.typing import ArrayLike

from nnstudy import errors


def expected_best(
    scores: ArrayLike, n: ArrayLike, *, higher_is_better: bool = True
) -> np.ndarray | float:
    """Returns the expected best of n draws, with replacement, from observed scores.

    Sorted from worst to best, score i of N is the best of n draws with probability
    (i/N)^n - ((i-1)/N)^n (Dodge et al. 2019, arXiv 1909.03004, equation 5). A curve over n says
    what a search of each size would have reported, so that methods are compared at equal budget. It
    is lower than that of a new search, above all where n is close to N (Dodge et al. 2021,
    "Expected validation performance and estimation of a random variable's maximum"), because no
    draw is better than the best that was seen.

    Args:
      scores: of the trials of a random search, on validation `[N]`.
      n: numbers of draws, `[]` or `[...]`.
      higher_is_better: whether the best is the highest.

    Returns:
      `[...]`, or a float for one n; NaN if there is no score or one is not finite.

    Raises:
      UserError: a number of draws is below 1.
    """
    scores, draws = np.sort(np.asarray(scores, np.float64)), np.asarray(n)
    if (draws < 1).any():
        raise errors.UserError(f'n must be at least 1 draw, not {draws.min()}')
    if not scores.size or not np.isfinite(scores).all():
        return np.full(draws.shape, np.nan)[()]
    if not higher_is_better:
        scores = scores[::-1]
    shares = np.arange(len(scores) + 1) / len(scores)
    return np.diff(shares ** draws[..., None]) @ scores
