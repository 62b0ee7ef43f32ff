import itertools

import numpy as np
import pytest

from nnstudy.analysis import intervals


def test_quartiles_by_hand():
    # Linear interpolation: of 0, 10, 20, 30 the lower quartile lies at place 0.75.
    quartiles = intervals.quartiles_by([0, 0, 0, 0, 1], [30, 0, 20, 10, 4.0], 2)
    assert quartiles.tolist() == [[7.5, 15.0, 22.5], [4.0, 4.0, 4.0]]


def test_quartiles_of_groups_are_those_of_each_alone():
    rng = np.random.default_rng(0)
    groups, values = rng.integers(20, size=120), rng.normal(size=120)
    groups[groups == 4] = 5
    values[np.flatnonzero(groups == 7)[0]] = np.nan
    values[np.flatnonzero(groups == 8)[0]] = np.inf
    quartiles = intervals.quartiles_by(groups, values, 22)
    unknown = [4, 7, 8, 20, 21]
    assert np.isnan(quartiles[unknown]).all()
    for group in set(range(22)) - set(unknown):
        expected = np.quantile(values[groups == group], (0.25, 0.5, 0.75))
        np.testing.assert_array_equal(quartiles[group], expected)


@pytest.mark.parametrize('values', [[], [np.nan], [1.0, np.inf], [np.nan, np.nan]])
def test_without_finite_values_all_is_nan(values):
    assert np.isnan(intervals.quartiles_by([0] * len(values), values, 1)).all()
    assert np.isnan(intervals.median_interval(values)).all()


def test_interval_of_one_value_is_unknown_and_of_equal_values_that_value():
    assert np.isnan(intervals.median_interval([0.9])).all()
    assert intervals.median_interval([0.9] * 6) == (0.9, 0.9)
    assert np.isnan(intervals.median_interval([0.9] * 5)).all(), 'too few for 95%'


@pytest.mark.parametrize('n', [7])
def test_interval_agrees_with_enumerated_bootstrap(n):
    """All n^n resamples, not 9,999 drawn ones, give the same percentiles of the median."""
    values = np.sort(np.random.default_rng(n).normal(size=n))
    places = np.array(list(itertools.product(range(n), repeat=n)), np.int8)
    # With odd n the median is one of the values, so its distribution is a count of places.
    medians = values[np.partition(places, n // 2, axis=1)[:, n // 2]]
    expected = np.quantile(medians, [0.025, 0.975])
    np.testing.assert_allclose(intervals.median_interval(values), expected)


@pytest.mark.parametrize('n', range(6, 21))
def test_interval_holds_the_median_and_ignores_order(n):
    # Coarse values: ties, as accuracies have.
    values = np.random.default_rng(n).integers(960, 970, size=n) / 1000
    low, high = intervals.median_interval(values)
    assert values.min() <= low <= np.median(values) <= high <= values.max()
    assert intervals.median_interval(values[::-1]) == (low, high)
