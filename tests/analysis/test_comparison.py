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
    assert best.interval == (0.6, 0.8)


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


@pytest.mark.parametrize('n', [1, 2, 5, 6, 8, 10])
def test_sign_flip_test_agrees_with_enumeration(n):
    differences = np.random.default_rng(n).normal(0.7, 1, size=n)
    flips = np.array(list(itertools.product([-1, 1], repeat=n)))
    means = np.abs((flips * differences).mean(axis=1))
    expected = np.mean(means >= np.abs(differences.mean()) * (1 - 1e-12))
    assert comparison.sign_flip_p(differences) == pytest.approx(expected)


def test_sign_flip_test_at_its_extremes():
    assert comparison.sign_flip_p([0.1] * 8) == pytest.approx(2 / 2**8)
    assert comparison.sign_flip_p(np.zeros(8)) == 1.0
    # In thousandths: flips that tie with what was seen up to rounding count. The sum 8 is reached
    # or passed by flipping nothing or one of three ones, and as -8 likewise.
    assert comparison.sign_flip_p(np.array([1, 2, -1, 3, 2, 1]) / 1000) == pytest.approx(8 / 64)
    assert np.isnan(comparison.sign_flip_p([]))
    assert np.isnan(comparison.sign_flip_p([np.nan, 1.0]))


def test_sign_flip_tests_of_many_points_are_those_of_each_alone():
    differences = np.random.default_rng(0).normal(0.3, 1, size=(5, 7))
    differences[3, 2] = np.nan
    p_values = comparison.sign_flip_p(differences)
    np.testing.assert_array_equal(p_values, [comparison.sign_flip_p(row) for row in differences])
    assert np.isnan(p_values).tolist() == [False, False, False, True, False]
    for row, p_value in zip(differences, p_values, strict=True):
        if np.isfinite(row).all():
            flips = stats.permutation_test((row,), np.mean, permutation_type='samples')
            assert p_value == pytest.approx(flips.pvalue)


def test_sign_flip_test_of_many_seeds_is_drawn_and_repeatable():
    differences = np.random.default_rng(0).normal(0.3, 1, size=40)
    p_value = comparison.sign_flip_p(differences)
    assert p_value == comparison.sign_flip_p(differences)
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
