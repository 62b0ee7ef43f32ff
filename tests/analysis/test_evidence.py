"""E-values against their definitions."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from nnstudy.analysis import evidence


@pytest.mark.parametrize(
    ('wins', 'losses', 'share'), [*itertools.product((0, 1, 7), (0, 3), (0.3, 0.5, 0.95))]
)
def test_an_e_value_is_a_mean_of_likelihood_ratios(wins, losses, share):
    def ratio(theta):
        return (theta / share) ** wins * ((1 - theta) / (1 - share)) ** losses / (1 - share)

    expected = integrate.quad(ratio, share, 1)[0]
    assert evidence.of_share(wins, losses, share) == pytest.approx(expected)


@pytest.mark.parametrize('share', [0.05, 0.5, 0.95])
def test_the_mean_of_an_e_value_is_at_most_one(share):
    """It is 1 at the share itself, whatever the number of seeds."""
    n = 30
    wins = np.arange(n + 1)
    e_values = evidence.of_share(wins, n - wins, share)
    assert stats.binom.pmf(wins, n, share) @ e_values == pytest.approx(1)
    assert stats.binom.pmf(wins, n, 0.8 * share) @ e_values < 1


def test_how_many_seeds_a_verdict_takes():
    """If a claim is true of all: 7, 9 and 11 seeds for 1, 5 and 13 claims."""
    for claims, seeds in ((1, 7), (5, 9), (13, 11)):
        assert evidence.of_share(seeds - 1, 0) < 20 * claims <= evidence.of_share(seeds, 0)


def test_large_counts():
    assert evidence.of_share(0, 5000) == pytest.approx(0, abs=1e-300)
    assert evidence.of_share(5000, 0) == math.inf
    assert evidence.of_share(2500, 2500) < 1


def test_a_bound_is_where_the_e_value_passes_the_level():
    wins, losses = np.meshgrid(np.arange(1, 30, 4), np.arange(0, 30, 4))
    for level in (0.05, 0.01):
        bounds = evidence.least_share(wins, losses, level)
        np.testing.assert_allclose(evidence.of_share(wins, losses, bounds), 1 / level, rtol=1e-6)
        assert (bounds < wins / np.maximum(wins + losses, 1)).all()
        is_shown = evidence.of_share(wins, losses) >= 1 / level
        np.testing.assert_array_equal(bounds >= 0.5, is_shown)
    assert evidence.least_share(0, 5, 0.05) == 0


def test_the_fewest_wins_that_are_enough():
    for total in range(40):
        wins = np.arange(total + 1)
        for share, e_value in ((0.5, 20), (0.95, 2)):
            enough = wins[evidence.of_share(wins, total - wins, share) >= e_value]
            expected = enough[0] if enough.size else total + 1
            assert evidence.least_wins(total, share, e_value) == expected


def test_apart_by_every_number():
    rng = np.random.default_rng(0)
    for _ in range(50):
        below, above = rng.integers(6, size=(2, 7)).astype(float)
        below[0], above[-1] = np.nan, np.inf
        found = evidence.apart(below, above)
        best = max(min((below < c).sum(), (above > c).sum()) for c in np.arange(-0.5, 7))
        assert min(found) == best
    assert evidence.apart([0, 1, 2], [3, 4, 5]) == (3, 3)
    assert evidence.apart([np.nan], [np.nan]) == (0, 0)


def test_many_e_values_are_those_of_benjamini_and_hochberg():
    """With p = 1/e, e-BH rejects what BH does (Wang & Ramdas 2022, section 4.1)."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        e_values = np.exp(rng.normal(2, 2, 20))
        adjusted = stats.false_discovery_control(np.minimum(1 / e_values, 1))
        np.testing.assert_array_equal(evidence.are_shown(e_values, 0.05), adjusted <= 0.05)
    assert evidence.are_shown([math.inf, math.nan, 1.0], 0.05).tolist() == [True, False, False]
    assert evidence.are_shown([], 0.05).size == 0
