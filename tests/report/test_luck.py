"""The statistics of configs/pictures/luck.py, against other tests, simulation, and runs."""

import itertools

import numpy as np
import pytest
from scipy import stats
from small import make_config, make_dataset

import nnstudy
from configs.pictures import luck
from nnstudy import UserError
from nnstudy.running import plan as plan_lib
from nnstudy.training.run import Run


def simulate(rng, init, order, rest, shape=(20, 20)):
    effects = rng.normal(0, init, (shape[0], 1)) + rng.normal(0, order, shape[1])
    return 3 + effects + rng.normal(0, rest, shape)


def test_two_rows_are_a_paired_t_test():
    values = simulate(np.random.default_rng(0), 1.0, 2.0, 1.0, shape=(2, 9))
    found = luck.split(values)
    assert found.p_init == pytest.approx(stats.ttest_rel(*values).pvalue)
    assert luck.split(values.T).p_order == pytest.approx(found.p_init)


def test_sums_of_two_effects_have_no_rest():
    found = luck.split(np.array([0.0, 1, 2])[:, None] + np.array([0.0, 10]))
    assert (found.init, found.order, found.rest) == pytest.approx((1, 50, 0))
    assert found.p_init == found.p_order == 0
    assert found.shares == pytest.approx((1 / 51, 50 / 51, 0))
    assert np.isnan(luck.split(np.ones((2, 2))).shares).all()


def test_simulated_components_are_found():
    """Mean over 300 tables within four standard errors; 400 seeds split sd 1, 2 and 0.5."""
    rng = np.random.default_rng(1)
    found = [luck.split(simulate(rng, 1.0, 2.0, 0.5)) for _ in range(300)]
    components = np.array([(s.init, s.order, s.rest) for s in found])
    error = components.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(components.mean(axis=0) - (1, 4, 0.25)) < 4 * error).all()


def test_false_positives_are_at_the_level():
    rng = np.random.default_rng(2)
    found = [luck.split(simulate(rng, 0.0, 1.0, 1.0, shape=(5, 4))) for _ in range(2000)]
    p_values = [s.p_init for s in found]
    assert stats.kstest(p_values, 'uniform').pvalue > 0.01
    assert np.mean([s.p_order < 0.05 for s in found]) > 0.6
    assert min(s.init for s in found) == 0


def test_what_is_no_table():
    with pytest.raises(UserError, match='at least 2 initialisations and 2 orders'):
        luck.split([[1.0, 2.0]])
    with pytest.raises(UserError, match='1 of 4 values'):
        luck.split([[1.0, 2.0], [np.nan, 1.0]])


def test_seeds_of_weights_and_of_data_apart():
    """Runs of a row begin with the same weights; those of a column go through the same order."""
    config = make_config(num_seeds=6, data_seeds=3, epochs=1)
    results = nnstudy.run(config, data=make_dataset(), quiet=True)
    start = luck.crossed(results.history.query('step == 0'), 'train_loss', 3).to_numpy()
    assert start.shape == (2, 3)
    assert (start == start[:, :1]).all() and start[0, 0] != start[1, 0]
    end = luck.crossed(results.runs, 'train_loss', 3).to_numpy()
    assert len(np.unique(end)) == 6
    assert sum(luck.split(end).shares) == pytest.approx(1)
    (group,) = plan_lib.make(config, data=make_dataset()).groups
    keys = Run.of_seed(group.config, 5, {}, group.data).keys
    init, data = nnstudy.make_keys(1), nnstudy.make_keys(2)
    assert keys['init'] == init['init'] and keys['data'] == data['data']


def test_all_points_have_the_same_seeds():
    with pytest.raises(UserError, match="cannot sweep 'data_seeds': all points have the same"):
        nnstudy.run(make_config(), nnstudy.choice('data_seeds', [2, 3]), data=make_dataset())
    with pytest.raises(UserError, match='config.data_seeds must be at least 2, not 1'):
        nnstudy.run(make_config(data_seeds=1), data=make_dataset())


@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_all_draws_enumerated(n):
    scores = np.array([0.3, 0.9, 0.1, 0.3])
    draws = np.array(list(itertools.product(scores, repeat=n)))
    assert luck.expected_best(scores, n) == pytest.approx(draws.max(axis=1).mean())
    lowest = luck.expected_best(scores, n, higher_is_better=False)
    assert lowest == pytest.approx(draws.min(axis=1).mean())


@pytest.mark.parametrize('n', [1, 2, 3, 4])
def test_all_draws_without_replacement_enumerated(n):
    scores = np.array([0.3, 0.9, 0.1, 0.3])
    draws = np.array(list(itertools.combinations(scores, n)))
    best = luck.expected_best(scores, n, replace=False)
    assert best == pytest.approx(draws.max(axis=1).mean())
    assert np.isnan(luck.expected_best(scores, 5, replace=False))  # of four


def test_without_replacement_it_is_unbiased():
    """The expected best of 8 uniform numbers is 8/9, also from only 10 of them."""
    scores = np.random.default_rng(0).uniform(size=(4000, 10))
    fair, low = (
        np.mean([luck.expected_best(own, 8, replace=replace) for own in scores])
        for replace in (False, True)
    )
    assert fair == pytest.approx(8 / 9, abs=0.005)
    assert low < 8 / 9 - 0.03


def test_of_many_uniform_scores():
    """The expected maximum of n uniform numbers is n / (n + 1)."""
    n = np.array([1, 2, 10])
    expected = luck.expected_best(np.random.default_rng(0).uniform(size=200_000), n)
    np.testing.assert_allclose(expected, n / (n + 1), rtol=5e-3)


def test_limits():
    scores = [3.0, 1.0, 2.0]
    assert luck.expected_best(scores, 1) == pytest.approx(2.0)
    assert luck.expected_best(scores, 1000) == pytest.approx(3.0)
    assert luck.expected_best(scores, [[1], [1000]]).shape == (2, 1)
    assert np.isnan(luck.expected_best([1.0, np.nan], [1, 2])).all()
    assert np.isnan(luck.expected_best([], 1))
    with pytest.raises(UserError, match='at least 1 draw, not 0'):
        luck.expected_best(scores, [1, 0])
