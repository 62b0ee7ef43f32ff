import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nnstudy.analysis import comparison


def table(test, validation=None, loss=None, **fields) -> pd.DataFrame:
    """Returns runs whose accuracies are given as `[points, seeds]`, and fields as `[points]`."""
    test = np.asarray(test, float)
    points, seeds = test.shape
    runs = pd.DataFrame(
        {
            'run': np.arange(points * seeds),
            'point': np.repeat(np.arange(points), seeds),
            'seed': np.tile(np.arange(seeds), points),
            'status': 'finished',
            'test_loss': 1.0,
            'test_accuracy': test.ravel(),
        }
    )
    if validation is not None:
        runs['validation_accuracy'] = np.asarray(validation, float).ravel()
        runs['validation_loss'] = 1.0 if loss is None else np.asarray(loss, float).ravel()
    for field, values in fields.items():
        runs[field] = np.repeat(np.asarray(values, object), seeds)
    return runs


def test_by_point_by_hand():
    runs = table([[0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.5, 0.9]], rate=[0.1, 1.0])
    runs.loc[[4, 6], 'status'] = 'diverged'
    summary = comparison.by_point(runs.sample(frac=1, random_state=0), ['rate'])
    assert summary['point'].tolist() == [0, 1]
    assert summary['rate'].tolist() == [0.1, 1.0]
    assert summary['n'].tolist() == [4, 4]
    assert summary['diverged'].tolist() == [0, 2]
    np.testing.assert_allclose(summary['test_accuracy_median'], [0.25, 0.9])
    np.testing.assert_allclose(summary['test_accuracy_q25'], [0.175, 0.8])
    np.testing.assert_allclose(summary['test_accuracy_q75'], [0.325, 0.9])


def test_non_finite_counts_as_worst_finite_value_of_all_runs():
    runs = table([[0.3, np.nan], [0.8, 0.9]])
    runs['train_loss'] = [1.0, np.inf, 7.0, np.nan]
    filled = comparison.finite_or_worst(runs)
    assert filled['test_accuracy'].tolist() == [0.3, 0.3, 0.8, 0.9]
    assert filled['train_loss'].tolist() == [1.0, 7.0, 7.0, 7.0]
    assert np.isnan(runs['test_accuracy'][1]), 'the table given is left alone'


def test_best_is_chosen_on_validation_and_reported_on_test():
    runs = table(test=[[0.9] * 3, [0.8, 0.7, 0.6]], validation=[[0.5] * 3, [0.6] * 3])
    best = comparison.best(runs)
    assert (best.point, best.split, best.metric) == (1, 'validation', 'test_accuracy')
    assert (best.median, best.n) == (0.7, 3)
    assert np.isnan(best.interval).all(), 'of three seeds'
    assert best.cross_fitted == 0.7


def test_ties_go_to_the_lower_loss_then_the_lower_point():
    accuracy = [[0.5, 0.5]] * 3
    runs = table(accuracy, accuracy, loss=[[0.3, 0.3], [0.2, 0.2], [0.2, 0.2]])
    assert comparison.ranking(runs) == [1, 2, 0]


def test_a_point_without_accuracy_is_ranked_behind_the_worst():
    runs = table([[np.nan] * 2, [0.9, 0.8], [0.8, 0.8]])
    runs.loc[:1, 'test_loss'] = np.nan
    runs.loc[:1, 'status'] = 'diverged'
    assert comparison.ranking(runs) == [1, 2, 0]


def test_without_validation_test_chooses_and_says_so():
    best = comparison.best(table([[0.5] * 2, [0.6] * 2]))
    assert (best.point, best.split) == (1, 'test')


def test_regression_takes_the_lowest_loss():
    runs = table([[0.0] * 2] * 3).drop(columns='test_accuracy')
    runs['test_mae'] = 1.0
    runs['validation_loss'] = [3.0, 3.0, 1.0, np.nan, 2.0, 2.0]
    # The median of 1 and the worst finite value, 3, is 2: a tie that the lower point wins.
    best = comparison.best(runs)
    assert (best.point, best.metric) == (1, 'test_loss')


def test_no_finite_value_no_best():
    assert comparison.best(table([[np.nan] * 2] * 2)) is None


def test_other_seeds_choose_for_each_seed():
    """Each half of them for the other half."""
    validation = [[0.9, 0.1, 0.5], [0.1, 0.9, 0.5], [0.45] * 3]
    test = [[1.0, 0.0, 0.2], [0.0, 1.0, 0.3], [0.6] * 3]
    best = comparison.best(table(test, validation))
    # Seed 2 alone finds the first two alike, and takes the first; seeds 0 and 1 too.
    assert best.cross_fitted == np.median([1.0, 0.0, 0.2])
    assert np.isnan(comparison.best(table([[0.5], [0.6]])).cross_fitted)


def p_of(differences):
    """The p-value of one test."""
    (p_value,) = comparison.sign_flip_p(np.asarray(differences, float)[:, None])
    return p_value


@pytest.mark.parametrize('n', [2, 5, 6, 8, 10])
def test_sign_flip_test_agrees_with_scipy(n):
    differences = np.random.default_rng(n).normal(0.7, 1, size=n)
    flips = stats.permutation_test((differences,), np.mean, permutation_type='samples')
    assert p_of(differences) == pytest.approx(flips.pvalue)


def test_sign_flip_test_at_its_extremes():
    assert p_of([0.1] * 8) == pytest.approx(2 / 2**8)
    assert p_of(np.zeros(8)) == 1.0
    # In thousandths: flips that tie with what was seen up to rounding count. The sum 8 is reached
    # or passed by flipping nothing or one of three ones, and as -8 likewise.
    assert p_of(np.array([1, 2, -1, 3, 2, 1]) / 1000) == pytest.approx(8 / 64)
    assert p_of([np.nan, 1.0]) == 1.0


def test_sign_flip_tests_of_many_points_by_their_definition():
    """Westfall & Young's step-down: each is compared with the largest of those less clear."""
    n, differences = 7, np.random.default_rng(0).normal([1.5, 0.2, 0.9, 0.0], 1, size=(7, 4))
    differences[:, 3] = 0
    flips = np.array(list(itertools.product([-1, 1], repeat=n)))
    norms = np.maximum(np.sqrt((differences**2).sum(axis=0)), 1e-300)
    drawn, seen = np.abs(flips @ differences) / norms, np.abs(differences.sum(axis=0)) / norms
    order, expected, largest = np.argsort(-seen), np.zeros(4), 0.0
    for place, test in enumerate(order):
        as_far = drawn[:, order[place:]].max(axis=1) >= seen[test] - 1e-12
        largest = max(largest, as_far.mean())
        expected[test] = largest
    np.testing.assert_allclose(comparison.sign_flip_p(differences), expected)
    # What all tests have in common stays: of two that are equal, both are as clear as one.
    twice = comparison.sign_flip_p(differences[:, [0, 0]])
    np.testing.assert_allclose(twice, p_of(differences[:, 0]))


def test_sign_flip_test_of_many_seeds_is_drawn_and_repeatable():
    differences = np.random.default_rng(0).normal(0.3, 1, size=40)
    p_value = p_of(differences)
    assert p_value == p_of(differences)
    # For n = 40 the test is close to the normal approximation.
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=0.01)


def test_pairing_by_seed_finds_a_small_steady_difference():
    luck = np.random.default_rng(0).normal(scale=0.05, size=8)
    runs = table([0.8 + luck, 0.8 + luck - 0.002, 0.8 + luck[::-1]])
    against = comparison.against(runs.sample(frac=1, random_state=1), 0)
    assert against['point'].tolist() == [1, 2]
    assert against['n'].tolist() == [8, 8]
    np.testing.assert_allclose(against['difference'], [-0.002, 0], atol=1e-12)
    assert against['verdict'].tolist() == ['differs', 'cannot tell']


def test_only_common_seeds_are_paired():
    runs = table([[0.9] * 7, [0.1] * 7])
    against = comparison.against(runs[~((runs['point'] == 1) & (runs['seed'] < 2))], 0)
    assert against['n'].tolist() == [5]
    assert against['verdict'].tolist() == ['too few seeds']


def test_fewer_than_six_seeds_can_never_tell():
    for n in range(1, 9):
        against = comparison.against(table([[0.9] * n, [0.1] * n]), 0)
        verdict = 'too few seeds' if n < comparison.MIN_SEEDS else 'differs'
        assert against['verdict'].tolist() == [verdict]
        assert (against['p_value'][0] <= comparison.LEVEL) == (n >= comparison.MIN_SEEDS)


def test_a_third_point_does_not_matter():
    """One run that is lost, and how bad another point is, change little of the others."""
    rng = np.random.default_rng(0)
    good = 0.8 + 0.01 * rng.normal(size=(2, 8)) + [[0.0], [-0.1]]
    lost = np.array(good)
    lost[1, 3] = np.nan
    p_values = [
        comparison.against(table([*values, third]), 0)['p_value'][0]
        for values in (good, lost)
        for third in (np.full(8, 0.7), np.full(8, -1e9))
    ]
    assert p_values == [pytest.approx(2 / 2**8)] * 4


def test_two_that_diverged_are_as_bad():
    both = table([[0.9] * 7 + [np.nan], [0.9] * 7 + [np.nan]])
    assert comparison.against(both, 0)['p_value'].tolist() == [1.0]


def test_pruned_points_are_not_compared():
    runs = table([[0.9] * 8, [0.5] * 8, [0.1] * 8])
    runs.loc[runs['point'] == 2, 'status'] = 'pruned'
    assert comparison.against(runs, 0)['point'].tolist() == [1]


def test_against_no_other_point_is_empty():
    assert comparison.against(table([[0.9, 0.8]]), 0).empty


def test_best_epoch_is_the_median_of_each_runs_lowest():
    runs = table([[0.9, 0.9, 0.9]])
    history = pd.DataFrame(
        {
            'run': np.repeat([0, 1, 2], 3),
            'point': 0,
            'epoch': [0.0, 1.0, 2.0] * 3,
            'test_loss': [3, 1, 2, 3, 2, 1, np.nan, np.nan, np.inf],
        }
    )
    assert comparison.best_epoch(runs, history, 0) == 1.5
    assert np.isnan(comparison.best_epoch(runs, history.tail(3), 0))
