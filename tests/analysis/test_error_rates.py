"""How often verdicts err on seeds of known truth, beside rules that are in common use."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nnstudy.analysis import comparison, evidence, intervals, judging

LEVEL = comparison.LEVEL
LOOKS = np.array([5, 8, 12, 20])


def at_most(rate, trials):
    """A rate that a true one of `rate` stays below in 99.9% of simulations."""
    return stats.binom.ppf(0.999, trials, rate) / trials


def verdicts(outcomes, claims=1):
    """The verdict on a claim of one condition, from the outcomes of the seeds [n]."""
    bets = judging._on_conditions(np.asarray(outcomes, float)[:, None])
    found = judging._Counted('seed', np.asarray(outcomes, float), *bets, '')
    return judging._judged(found, LEVEL / claims)


@pytest.mark.parametrize('share', [0.8, 0.7])
def test_more_seeds_of_the_same_share_do_not_turn_a_verdict(share):
    """Three tests beside each other do: 'depends on the seed' takes what 'holds' had."""

    def three_tests(n):
        wins, binomial = np.arange(n + 1), stats.binom
        mixed = np.maximum(binomial.cdf(wins, n, 0.95), binomial.sf(wins - 1, n, 0.05)) <= LEVEL
        return (binomial.sf(wins - 1, n, 0.5) <= LEVEL) & ~mixed

    def e_values(n):
        wins = np.arange(n + 1)
        return evidence.of_share(wins, n - wins) >= 1 / LEVEL

    sizes = (17, 20, 50, 100, 400)
    before, after = (
        [stats.binom.pmf(np.arange(n + 1), n, share) @ rule(n) for n in sizes]
        for rule in (three_tests, e_values)
    )
    assert before[-1] < 0.01 and max(before) > 0.05
    assert after == sorted(after) and after[-1] > 0.99


def test_the_bound_says_how_reliable_a_claim_is():
    words = [verdicts([1] * wins + [-1] * (100 - wins))['reliability'] for wins in (70, 90, 100)]
    assert words == ['more often than not', 'mostly', 'nearly always']
    never = verdicts([-1] * 30)
    assert (never['verdict'], never['reliability']) == ('does not hold', 'mostly')


def test_looking_after_every_seed():
    """A sign test at 5% for each look is wrong in the end in most studies of two equal points."""
    trials, sizes = 2000, np.arange(5, 501)
    wins = (np.random.default_rng(0).random((trials, sizes[-1])) < 0.5).cumsum(axis=1)[:, 4:]
    least = np.array([stats.binom.isf(LEVEL, n, 0.5) + 1 for n in sizes])
    assert (wins >= least).any(axis=1).mean() > 0.25
    is_shown = evidence.of_share(wins, sizes - wins) >= 1 / LEVEL
    assert is_shown.any(axis=1).mean() <= at_most(LEVEL, trials)


def test_bounds_of_the_share_hold_at_every_look():
    trials, share, sizes = 1000, 0.8, np.arange(1, 201)
    wins = (np.random.default_rng(0).random((trials, len(sizes))) < share).cumsum(axis=1)
    # A bound is above the share just where the e-value against it is.
    for bound, won in ((share, wins), (1 - share, sizes - wins)):
        is_out = evidence.of_share(won, sizes - won, bound) >= 1 / LEVEL
        assert is_out.any(axis=1).mean() <= at_most(LEVEL, trials)


def test_medians_looked_at_four_times():
    """Bootstrap intervals of both medians of equal points are apart, and in 95% of resamples."""
    rng, trials = np.random.default_rng(0), 300
    wrong = {'bootstrap': 0, 'e-values': 0}
    for _ in range(trials):
        a, b = rng.normal(size=(2, LOOKS[-1]))
        said = dict.fromkeys(wrong, False)
        for n in LOOKS:
            rows = rng.integers(n, size=(400, n))
            below = np.median(a[rows], axis=1) < np.median(b[rows], axis=1)
            said['bootstrap'] |= below.mean() >= 0.95
            holds, _ = judging._on_medians(np.stack([a[:n], b[:n]])[:, None])
            said['e-values'] |= holds.e_value >= 1 / LEVEL
        for name in wrong:
            wrong[name] += said[name]
    assert wrong['bootstrap'] / trials > 0.08
    assert wrong['e-values'] / trials <= at_most(LEVEL, trials)


def test_the_seeds_that_would_do_do_in_four_of_five_cases():
    """If the share is taken to be what was seen, as many decide less often than that."""
    rng, n = np.random.default_rng(0), 8
    decided, plugged_in = [], []
    for share in rng.random(80):
        outcomes = np.where(rng.random(10_000) < share, 1.0, -1.0)
        found = verdicts(outcomes[:n])
        if found['verdict'] != 'undecided':
            continue
        seen = found['wins'] / n
        sizes = np.arange(n + 1, 10_000)
        wins = np.maximum(np.round(seen * sizes), np.round((1 - seen) * sizes))
        enough = sizes[evidence.of_share(wins, sizes - wins) >= 1 / LEVEL]
        if enough.size:
            plugged_in.append(verdicts(outcomes[: enough[0]])['verdict'] != 'undecided')
        if (needed := found['seeds_needed']) is not None:
            decided.append(verdicts(outcomes[:needed])['verdict'] != 'undecided')
    assert np.mean(plugged_in) < 0.7
    assert stats.binomtest(sum(decided), len(decided), 0.8).pvalue > 0.01
    assert len(decided) > 20


def test_equal_methods_with_ties():
    """Were a tie a failure, each of two equal methods would be found not to be the better one."""
    rng, trials, n = np.random.default_rng(0), 1000, 20
    outcomes = rng.choice([1.0, 0.0, -1.0], p=[0.3, 0.4, 0.3], size=(trials, n))
    wins = (outcomes == 1).sum(axis=1)
    assert (stats.binom.cdf(wins, n, 0.5) <= LEVEL).mean() > 0.2
    wrong = [judging._on_conditions(one[:, None])[1].e_value >= 1 / LEVEL for one in outcomes]
    assert np.mean(wrong) <= at_most(LEVEL, trials)


def test_conditions_that_all_hold_more_often_than_not():
    """Both are true of 70% of the seeds, and together of 40%: that is no reason to refute them."""
    outcomes = np.array([[1, 1]] * 40 + [[1, -1]] * 30 + [[-1, 1]] * 30, float)
    holds, fails = judging._on_conditions(outcomes)
    assert holds.e_value > 20 > fails.e_value


def table(test, validation=None):
    """Runs of points x seeds, from their accuracies."""
    test = np.asarray(test, float)
    places = np.array(list(np.ndindex(test.shape)))
    runs = pd.DataFrame({'point': places[:, 0], 'seed': places[:, 1], 'status': 'finished'})
    for split, values in (
        ('validation', test if validation is None else validation),
        ('test', test),
    ):
        runs[f'{split}_accuracy'], runs[f'{split}_loss'] = np.ravel(values), -np.ravel(values)
    return runs


def test_all_points_equal():
    """Of 19 equal ones, tests without correction find some to differ from the best in a third."""
    rng, trials = np.random.default_rng(0), 40
    wrong = {'each': 0, 'all': 0}
    for _ in range(trials):
        test = rng.normal(size=(19, 8)) + rng.normal(size=8)
        runs = table(test, test + rng.normal(size=test.shape))
        best = comparison.best(runs).point
        others = np.delete(test, best, axis=0) - test[best]
        each = [comparison.sign_flip_p(other[:, None]) for other in others]
        wrong['each'] += bool(np.min(each) <= LEVEL)
        wrong['all'] += bool((comparison.against(runs, best)['verdict'] == 'differs').any())
    assert wrong['each'] / trials > 0.2
    assert wrong['all'] / trials <= at_most(LEVEL, trials)


def test_what_the_best_point_reaches_with_new_seeds():
    """Points are equal, and the two splits share their luck: the best one's value is too high."""
    rng, plain, crossed = np.random.default_rng(0), [], []
    for _ in range(40):
        luck = rng.normal(size=(20, 8))
        validation, test = luck + 0.3 * rng.normal(size=(2, 20, 8))
        best = comparison.best(table(test, validation))
        plain.append(best.median)
        crossed.append(best.cross_fitted)
    assert np.mean(plain) > 0.4
    assert abs(np.mean(crossed)) < 0.25


def test_no_interval_of_few_seeds():
    """The bootstrap's interval of the median of three holds it in 75% of cases, not in 95%."""
    rng = np.random.default_rng(0)
    values = np.sort(rng.normal(size=(2000, 3)), axis=1)
    assert np.mean((values[:, 0] <= 0) & (values[:, 2] >= 0)) < 0.8  # even of the whole range
    assert np.isnan(intervals.median_interval(values[0])).all()
    six = rng.normal(size=(60, 6))
    covered = [low <= 0 <= high for low, high in map(intervals.median_interval, six)]
    assert np.mean(covered) > 0.85
