"""The expected best of n draws, against enumeration, simulation and limits."""

import itertools

import numpy as np
import pytest

from nnstudy import UserError
from nnstudy.analysis import best_of


@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_all_draws_enumerated(n):
    scores = np.array([0.3, 0.9, 0.1, 0.3])
    draws = np.array(list(itertools.product(scores, repeat=n)))
    assert best_of.expected_best(scores, n) == pytest.approx(draws.max(axis=1).mean())
    lowest = best_of.expected_best(scores, n, higher_is_better=False)
    assert lowest == pytest.approx(draws.min(axis=1).mean())


def test_of_many_uniform_scores():
    """The expected maximum of n uniform numbers is n / (n + 1)."""
    n = np.array([1, 2, 10])
    expected = best_of.expected_best(np.random.default_rng(0).uniform(size=200_000), n)
    np.testing.assert_allclose(expected, n / (n + 1), rtol=5e-3)


def test_limits():
    scores = [3.0, 1.0, 2.0]
    assert best_of.expected_best(scores, 1) == pytest.approx(2.0)
    assert best_of.expected_best(scores, 1000) == pytest.approx(3.0)
    assert best_of.expected_best(scores, [[1], [1000]]).shape == (2, 1)
    assert np.isnan(best_of.expected_best([1.0, np.nan], [1, 2])).all()
    assert np.isnan(best_of.expected_best([], 1))
    with pytest.raises(UserError, match='at least 1 draw, not 0'):
        best_of.expected_best(scores, [1, 0])
