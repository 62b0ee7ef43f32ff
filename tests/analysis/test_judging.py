"""Verdicts on claims: each condition, and how often they err on runs of known truth."""

import dataclasses
import json
import math
import operator

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nnstudy
from nnstudy import Claim, Quantity, Reference, errors
from nnstudy.analysis import judging
from nnstudy.analysis.quantities import values
from nnstudy.results import files
from nnstudy.spec import claims
from nnstudy.spec.fields import Config


def make_results(loss, field='optimizer.learning_rate', points=(0.1, 0.2, 0.3, 0.4), **columns):
    """A study of points x seeds from final test losses [points, seeds]."""
    loss = np.asarray(loss, float)
    places = np.array(list(np.ndindex(loss.shape)))
    runs = pd.DataFrame({'run': np.arange(loss.size), 'point': places[:, 0], 'seed': places[:, 1]})
    runs = runs.assign(test_loss=loss.ravel(), status='finished', steps=30, **columns)
    history = pd.concat(
        [
            runs.assign(step=step, epoch=step / 10, test_loss=runs['test_loss'] + 30 - step)
            for step in (0, 5, 10, 20, 30)
        ]
    )
    return nnstudy.Results(
        name='made',
        config=Config(),
        points=[{field: value} for value in points[: len(loss)]],
        runs=runs,
        history=history,
        steps=None,
        claims=[],
        references=[],
    )


RATE = 'optimizer.learning_rate'
LOSS = Quantity('test_loss')


def at(rate):
    return LOSS.where({RATE: rate})


def judged(results, *conditions, of='seed'):
    """The row of a claim in the table of verdicts."""
    (row,) = judging.judge(results, [Claim('X: it is so', *conditions, of=of)]).itertuples()
    return row


@pytest.fixture
def of_many_studies(monkeypatch):
    """Verdicts in a tenth of the time: only what a verdict rests on."""
    monkeypatch.setattr(judging, '_needed', lambda *_: None)
    monkeypatch.setattr(judging, '_written', lambda results, sides, values: iter(map(str, sides)))


def said(one, losses):
    """The verdicts on a claim by studies of final test losses [studies, points, seeds]."""
    results = make_results(losses[0])
    for loss in losses:
        results.runs['test_loss'] = loss.ravel()
        yield judging.judge(results, [one])['verdict'][0]


SEEDS = np.arange(8.0)
RESULTS = make_results([SEEDS, SEEDS + 1, SEEDS + 2, 10 - SEEDS])


class TestQuantities:
    def test_the_end_and_differences(self):
        assert values(RESULTS, at(0.2)).tolist() == (SEEDS + 1).tolist()
        results = make_results([SEEDS], train_loss=2.0)
        gap = 3 * (LOSS - Quantity('train_loss'))
        assert values(results, gap).tolist() == (3 * (SEEDS - 2)).tolist()

    @pytest.mark.parametrize(
        ('when', 'expected'),
        [
            *((0, 30), (1, 20), (3, 0), ('best', 0), ('worst', 25), ('mean', 13.75)),
            *(('rises', 0), ('jitter', 0)),
        ],
    )
    def test_moments(self, when, expected):
        """The loss falls from 30 to 0, by way of 25 within the first epoch."""
        start = 0 if when in ('rises', 'jitter') else SEEDS
        assert values(RESULTS, at(0.1).at(when)).tolist() == (start + np.full(8, expected)).tolist()

    def test_when_a_level_is_passed(self):
        reached = values(RESULTS, at(0.1).reaches(11.5))
        assert reached.tolist() == [2, 2, 3, 3, 3, 3, 3, 3]
        assert values(RESULTS, at(0.1).reaches(0.5)).tolist() == [3, *[math.inf] * 7]

    def test_jitter_of_a_run_that_blew_up_is_the_worst(self):
        results = make_results([SEEDS])
        history = results.history
        history.loc[(history['step'] > 10) & (history['seed'] == 0), 'test_loss'] = np.nan
        assert values(results, at(0.1).at('jitter')).tolist() == [np.inf] + [0] * 7

    def test_a_run_that_was_over_has_no_more_evaluations(self):
        """Its rows repeat the last one, which is no sign of calm."""
        results = make_results([SEEDS])
        history = results.history
        history.loc[history['step'] == 10, 'test_loss'] -= 15  # 25, 5, 10
        history.loc[history['step'] == 30, 'test_loss'] += 10  # 10, as at step 20
        runs = results.runs.assign(steps=np.where(SEEDS < 4, 20, 30))
        results = nnstudy.Results(**{**vars(results), 'history': history, 'runs': runs})
        of = {when: values(results, at(0.1).at(when)) for when in ('jitter', 'mean', 'rises', 3)}
        assert of['jitter'].tolist() == [12.5 - 7.5] * 4 + [pytest.approx(25 / 3 - 15 / 3)] * 4
        np.testing.assert_allclose(of['mean'] - SEEDS, [40 / 3] * 4 + [12.5] * 4)
        assert of['rises'].tolist() == [1 / 2] * 4 + [1 / 3] * 4
        assert (of[3] - SEEDS).tolist() == [10] * 8

    @pytest.mark.parametrize('metric', ['test_accuracy', 'test_accuracy_3', 'test_r2'])
    def test_of_which_more_is_better(self, metric):
        results = make_results([SEEDS])
        history = results.history.assign(**{metric: results.history['epoch'] / 4})
        results = nnstudy.Results(**{**vars(results), 'history': history})
        assert values(results, Quantity(metric).at('best')).tolist() == [0.75] * 8
        assert values(results, Quantity(metric).reaches(0.3)).tolist() == [2] * 8

    def test_over_points(self):
        lowest_of_all = LOSS.over('min')
        expected = np.minimum(SEEDS, 10 - SEEDS).tolist()
        assert values(RESULTS, lowest_of_all).tolist() == expected

    def test_what_is_not_finite_is_worst(self):
        results = make_results([[np.nan, 1, np.inf]])
        assert values(results, LOSS).tolist() == [math.inf, 1, math.inf]

    @pytest.mark.parametrize(
        ('what', 'message'),
        [
            (LOSS, '4 points'),
            (Quantity('test_los'), 'test_loss'),
            (at(0.5), 'no point has optimizer.learning_rate = 0.5'),
            (LOSS.where({'optimizer.rate': 1}), 'learning_rate'),
            (at(0.1).at(7), 'no evaluation after epoch 7'),
        ],
    )
    def test_what_is_not_there(self, what, message):
        with pytest.raises(errors.UserError, match=message):
            values(RESULTS, what)

    def test_words_are_checked(self):
        with pytest.raises(errors.UserError, match="'best'"):
            LOSS.at('bets')
        with pytest.raises(errors.UserError, match='median'):
            LOSS.over('mean')

    def test_a_difference_is_one_of_two_columns(self):
        train = Quantity('train_loss')
        assert LOSS.at(3) - train.at(3) == (LOSS - train).at(3)
        assert at(0.1) - train.where({RATE: 0.1}) == (LOSS - train).where({RATE: 0.1})
        for a, b in (
            (at(0.1), train),
            (LOSS.at('best'), train.at('best')),
            (2 * LOSS, train),
            (LOSS - train, train),
        ):
            with pytest.raises(errors.UserError, match='subtract first'):
                a - b

    def test_labels(self):
        assert str(0.5 * LOSS) == '0.5 × test_loss'
        assert str(5 * LOSS.at(0)) == '5 × (test_loss after epoch 0)'
        assert str(at(0.1)) == 'test_loss, optimizer.learning_rate = 0.1'
        gap = LOSS - Quantity('train_loss')
        assert str(gap.at(3)) == 'test_loss - train_loss after epoch 3'


def test_sides_are_told_by_what_they_differ_in():
    results = make_results([SEEDS, SEEDS + 1, SEEDS + 2])
    for point in results.points:
        point['batch_size'] = 32

    def of(rate):
        return at(rate).where(batch_size=32)

    rate = 'test_loss, optimizer.learning_rate ='
    of_two = judged(results, of(0.1) < of(0.2))
    assert of_two.evidence == f'{rate} 0.1: 3.5 [0, 7] < {rate} 0.2: 4.5 [1, 8]'
    lowest = judged(results, LOSS.lowest_at({RATE: 0.2}))
    assert lowest.evidence == (
        f'lowest: {rate} 0.2: 4.5 [1, 8]; {rate} 0.1: 3.5 [0, 7]; {rate} 0.3: 5.5 [2, 9]'
    )
    assert judged(results, of(0.1) < 9.0).evidence == f'{rate} 0.1, batch_size = 32: 3.5 [0, 7] < 9'


class TestConditions:
    @pytest.mark.parametrize(
        ('condition', 'successes'),
        [
            (at(0.1) < at(0.2), 8),
            (at(0.1) > at(0.2), 0),
            (at(0.1) < at(0.1).over('min'), 0),  # a tie is no success
            (at(0.1) < 3, 3),
            (at(0.1) < 5, 5),
            (np.float64(5) > at(0.1), 5),
            (LOSS.rises_with(RATE), 6),
            (LOSS.lowest_at({RATE: 0.1}), 5),
            (LOSS.highest_at({RATE: 0.4}), 4),
            (LOSS.lowest_at({RATE: 0.2}, {RATE: 0.1}), 5),
        ],
    )
    def test_successes(self, condition, successes):
        assert judged(RESULTS, condition).wins == successes

    def test_a_trend_is_that_of_kendall(self):
        loss = np.random.default_rng(0).normal(size=(4, 50))
        tau = [stats.kendalltau(np.arange(4), column).statistic for column in loss.T]
        for condition, sign in ((LOSS.rises_with(RATE), 1), (LOSS.falls_with(RATE), -1)):
            verdict = judged(make_results(loss), condition)
            assert verdict.wins == sum(sign * t > 1e-9 for t in tau)

    def test_a_kind_of_condition_is_one_class(self):
        """Judging knows none of them."""

        @dataclasses.dataclass(frozen=True)
        class Within(claims.Condition):
            sides: tuple[Quantity, Quantity]
            factor: float

            def compared(self, find):
                a, b = self.sides
                return [a, b, self.factor * a, self.factor * b], [(0, 3), (1, 2)]

        within = judged(RESULTS, Within('within', (at(0.2), at(0.3)), 1.4))
        assert within.wins == 6  # 3 and 4, 4 and 5, ..., 8 and 9
        assert within.evidence.startswith('within: test_loss, optimizer.learning_rate = 0.2: 4.5')
        whole = Within('within', (at(0.2), at(0.3)), 30)
        assert judged(RESULTS, whole, of='median').verdict == 'holds'

    def test_all_conditions_together(self):
        assert judged(RESULTS, at(0.1) < 3, at(0.1) > 0.5).wins == 2

    def test_seeds_in_common(self):
        results = make_results([SEEDS, SEEDS + 1])
        runs = results.runs[(results.runs['point'] == 0) | (results.runs['seed'] < 5)]
        results = nnstudy.Results(**{**vars(results), 'runs': runs})
        assert judged(results, at(0.1) < at(0.2)).n == 5

    def test_errors(self):
        for given in ((), (LOSS == 3,), (at(0.1) > 1, LOSS)):
            with pytest.raises(errors.UserError, match="claim 'X': needs conditions such as a < c"):
                Claim('X: x', *given)
        for text in ('X', ': x', 'X: ', 3):
            with pytest.raises(errors.UserError, match="text such as 'A: c is highest', not"):
                Claim(text, at(0.1) > 1)
        with pytest.raises(errors.UserError, match='write two conditions'):
            Claim('X: x', 1 < LOSS < 2)
        with pytest.raises(errors.UserError, match="'median'"):
            Claim('X: x', at(0.1) > 1, of='medians')
        with pytest.raises(errors.UserError, match="'rising' is of each seed"):
            Claim('X: x', LOSS.rises_with('batch_size'), of='median')
        everything = [{RATE: rate} for rate in (0.1, 0.2, 0.3, 0.4)]
        with pytest.raises(errors.UserError, match='none is left'):
            judged(RESULTS, LOSS.lowest_at(*everything))
        with pytest.raises(errors.UserError, match='no number'):
            judged(RESULTS, LOSS.rises_with('dataset'))
        with pytest.raises(errors.UserError, match="did you mean 'optimizer.learning_rate'"):
            judged(RESULTS, LOSS.rises_with('optimizer.learning_rat'))

    def test_a_condition_on_one_point_has_no_verdict(self):
        one_point = LOSS.where({RATE: 0.1}).rises_with(RATE)
        for condition in (one_point, LOSS.lowest_at()):
            with pytest.raises(errors.UserError, match="claim 'X': .* no two points to compare"):
                judged(RESULTS, condition)

    def test_points_of_one_value_are_no_trend(self):
        with pytest.raises(errors.UserError, match="'rising' has no two points to compare"):
            judged(RESULTS, LOSS.rises_with('batch_size'))

    def test_what_would_have_no_effect_is_refused(self):
        with pytest.raises(errors.UserError, match='both sides of < are test_loss'):
            operator.lt(LOSS, 1.0 * LOSS)
        for make in (lambda a: a.rises_with(RATE), lambda a: a.highest_at({RATE: 0.1})):
            with pytest.raises(errors.UserError, match="compares points, of which over.'min'."):
                make(LOSS.over('min'))

    def test_what_is_no_number_is_refused_where_it_is_written(self):
        for other in ('low', None, [1], True, math.nan):
            with pytest.raises(errors.UserError, match='beside < is no number'):
                operator.lt(LOSS, other)
            with pytest.raises(errors.UserError, match='beside reaches is no number'):
                LOSS.reaches(other)
            with pytest.raises(errors.UserError, match=r'beside \* is no number'):
                LOSS * other
            with pytest.raises(
                errors.UserError, match='unknown moment of a quantity|beside at is no number'
            ):
                LOSS.at(other)
            with pytest.raises(errors.UserError, match="beside reference 'x' is no number"):
                Reference('x', other, LOSS)
        for quantity in ('test_loss', LOSS > 1):
            with pytest.raises(errors.UserError, match="reference 'x': .* is no quantity"):
                Reference('x', 1.0, quantity)
        with pytest.raises(errors.UserError, match="'low' is no dict of values"):
            LOSS.lowest_at('low')
        with pytest.raises(errors.UserError, match="cannot subtract '1' from 'test_loss'"):
            LOSS - 1
        with pytest.raises(errors.UserError, match="claim 'X': unknown column .* 'status'"):
            judged(RESULTS, Quantity('status').where({RATE: 0.1}) < 1)

    def test_an_error_names_its_claim(self):
        with pytest.raises(errors.UserError, match="claim 'X': no point has"):
            judged(RESULTS, at(0.7) < 1)
        with pytest.raises(errors.UserError, match="reference 'y': no point has"):
            judging.place(RESULTS, [Reference('y', 1, at(0.7))])


def test_claims_come_back_from_json():
    net = LOSS.where({'model.widths': (3, 4)})
    claim = Claim('X: x', (2 * net.at(3) < 3, LOSS.lowest_at({RATE: 1.0})))
    one = Reference('y', 1.5, (LOSS - Quantity('train_loss')).reaches(0.5).over('max'), 2)
    assert claim == Claim('X: x', *claim.conditions)
    numpy_too = Claim('X: x', LOSS.where({RATE: np.float64(0.1)}) < np.float32(0.5))
    for value in (claim, one, numpy_too):
        text = json.dumps(claims.to_dict(value))
        back = claims.from_dict(files.with_tuples(json.loads(text)))
        assert back == value


def test_own_kinds_of_conditions_come_back_too():
    @dataclasses.dataclass(frozen=True)
    class Within(claims.Inequality):
        pass

    claim = Claim('X: x', Within('<', (at(0.1), 0.5)))
    kept = claims.to_dict(claim)
    assert claims.from_dict(kept) == claim
    kept['conditions'][0]['class'] = 'Without'  # of a config file that is not loaded
    with pytest.raises(errors.UserError, match="claim 'X': the condition 'Without' is of a"):
        judging.judge(RESULTS, [claims.from_dict(kept)])


def share(true, n, **more):
    """A claim that is true of `true` among n seeds."""
    results = make_results([np.arange(n) >= true])
    return judged(results, at(0.1) < 0.5, **more)


class TestVerdicts:
    @pytest.mark.parametrize(
        ('true', 'n', 'verdict', 'reliability'),
        [
            (6, 6, 'undecided', None),
            (7, 7, 'holds', 'more often than not'),
            (0, 7, 'does not hold', 'more often than not'),
            (8, 20, 'undecided', None),
            (19, 20, 'holds', 'more often than not'),
            (20, 20, 'holds', 'mostly'),
            (80, 100, 'holds', 'more often than not'),
            (100, 100, 'holds', 'nearly always'),
            (1, 100, 'does not hold', 'mostly'),
        ],
    )
    def test_of_seeds(self, true, n, verdict, reliability):
        found = share(true, n)
        assert (found.verdict, found.n, found.wins) == (verdict, n, true)
        assert found.share_low < max(true / n, 0.01) and min(true / n, 0.99) < found.share_high
        assert found.reliability == reliability if reliability else pd.isna(found.reliability)
        assert (found.share_low >= 0.5) == (verdict == 'holds')
        assert (found.share_high <= 0.5) == (verdict == 'does not hold')

    def test_the_e_value_of_nine_seeds(self):
        assert share(9, 9).e_value == pytest.approx(2**10 / 10 * (1 - 2**-10))

    def test_ties_are_neither(self):
        loss = [[0.0] * 10, [0.0] * 3 + [1.0] * 7]
        found = judged(make_results(loss), at(0.1) < at(0.2))
        assert (found.verdict, found.wins, found.ties, found.losses) == ('holds', 7, 3, 0)
        assert judged(make_results(loss), at(0.1) > at(0.2)).verdict == 'does not hold'

    def test_what_is_not_known_counts_against_both_verdicts(self):
        loss = make_results([[0.0] * 10, [1.0] * 10], noise_scale=[1.0] * 4 + [np.nan] * 16)
        scale = Quantity('noise_scale').where({RATE: 0.1})
        for condition in (scale < 2, scale > 2):
            found = judged(loss, condition)
            assert found.verdict == 'undecided'
            assert found.wins + found.ties + found.losses == 4

    def test_how_many_would_do(self):
        assert 8 < share(5, 5).seeds_needed < 30
        assert share(5, 5).seeds_needed < share(4, 5).seeds_needed
        assert pd.isna(share(7, 7).seeds_needed)

    def test_each_condition_is_shown(self):
        results = make_results([np.zeros(10), np.ones(10), np.r_[np.full(8, 2.0), 0.0, 0.0]])
        found = judged(results, at(0.1) < at(0.2), at(0.2) < at(0.3))
        first, second = found.evidence.split(' | ')
        assert first.endswith('(10 of 10)') and second.endswith('(8 of 10)')
        assert found.wins == 8

    def test_all_conditions_have_to_hold(self):
        clear, unclear = np.ones(20), np.r_[np.ones(12), -np.ones(8)]
        results = make_results([clear, unclear])
        assert judged(results, at(0.1) > 0).verdict == 'holds'
        assert judged(results, at(0.1) > 0, at(0.2) > 0).verdict == 'undecided'

    def test_one_of_several_conditions_is_refuted(self):
        """Of one in four, an e-value of 80 is needed: 9 seeds in place of 7."""

        def verdict(n, *rates):
            results = make_results(np.outer([1, -1, -1, -1], np.ones(n)))
            return judged(results, *(at(rate) < 0 for rate in rates)).verdict

        assert verdict(7, 0.1) == 'does not hold'
        assert verdict(8, 0.1, 0.2, 0.3, 0.4) == 'undecided'
        assert verdict(9, 0.1, 0.2, 0.3, 0.4) == 'does not hold'

    def test_some(self):
        assert share(1, 1000, of='some').verdict == 'holds'
        assert share(0, 150, of='some').verdict == 'does not hold'
        open_still = share(0, 20, of='some')
        assert open_still.verdict == 'undecided' and 60 < open_still.seeds_needed <= 115
        unknown = make_results([SEEDS], noise_scale=np.full(8, np.nan))
        assert judged(unknown, Quantity('noise_scale') > 1, of='some').e_value < 1

    def test_of_medians(self):
        """True of the medians, and of two seeds in three."""
        rng = np.random.default_rng(0)
        results = make_results(rng.normal([[0.0], [0.6]], 1, (2, 400)))
        found = judged(results, at(0.1) < at(0.2), of='median')
        assert found.verdict == 'holds' and pd.isna(found.share_low)
        seven = make_results([[0] * 7, [1] * 7])
        assert judged(seven, at(0.1) < at(0.2), of='median').verdict == 'undecided'
        eight = make_results([[0] * 8, [1] * 8])
        assert judged(eight, at(0.1) < at(0.2), of='median').verdict == 'holds'
        assert judged(eight, at(0.1) > at(0.2), of='median').verdict == 'does not hold'

    def test_several_claims_are_corrected(self):
        results = make_results([np.zeros(7), np.ones(7)])
        one = Claim('X: x', at(0.1) < at(0.2))
        assert judging.judge(results, [one])['verdict'].tolist() == ['holds']
        verdicts = judging.judge(results, [one, one])
        assert verdicts['verdict'].tolist() == ['undecided'] * 2
        fact = Claim('Y: y', at(0.1) < at(0.2), of='fact')
        assert judging.judge(results, [one, fact])['verdict'].tolist() == ['holds'] * 2


def test_conditions_are_told_apart_too():
    results = make_results([SEEDS, SEEDS + 1, SEEDS + 2])
    for point in results.points:
        point['batch_size'] = 32
    wheres = [{'optimizer.learning_rate': rate, 'batch_size': 32} for rate in (0.1, 0.2)]
    rising_each = [LOSS.where(where) < LOSS.where(where).at(3) for where in wheres]
    rate = 'optimizer.learning_rate ='
    for text, value in zip(
        judged(results, *rising_each).evidence.split(' | '), (0.1, 0.2), strict=True
    ):
        now, then = text.split(' < ')
        assert now.startswith(f'test_loss, {rate} {value}: ')
        assert then.startswith(f'test_loss after epoch 3, {rate} {value}: ')
    off = LOSS.where({RATE: 0.1, 'stop.patience': None})
    assert judged(results, off < 9).evidence.startswith(f'test_loss, {rate} 0.1: ')


def test_a_run_that_blew_up_counts_against_a_gap():
    """Infinity less infinity is no number; the seed is not left out for that."""
    loss = np.array([[0.0] * 10, [1.0] * 10])
    loss[0, :4] = np.nan
    train = np.where(np.isnan(loss), np.nan, 0).ravel()
    results = make_results(loss, train_loss=train)
    gap = LOSS - Quantity('train_loss')
    verdict = judged(results, gap.where({RATE: 0.1}) < gap.where({RATE: 0.2}))
    assert (verdict.n, verdict.wins) == (10, 6)
    assert 'rate = 0.1: 0 <' in verdict.evidence, 'of those that have one'
    assert judged(results, at(0.1) > at(0.2)).wins == 4, 'the loss itself is the worst'
    unknown = make_results([SEEDS], noise_scale=np.where(SEEDS < 3, np.inf, 100.0))
    assert judged(unknown, Quantity('noise_scale') > 1).wins == 5


def test_exactly_the_level_does_not_pass_it():
    """9,800 right answers of 10,000 are not above 98%, whatever float32 makes of the number."""
    results = make_results([SEEDS])
    for table in (results.runs, results.history):
        table['test_accuracy'] = np.float32(0.98)
    reaches = Quantity('test_accuracy').reaches(0.98)
    assert values(results, reaches).tolist() == [math.inf] * 8
    assert judged(results, Quantity('test_accuracy') > 0.98).wins == 0
    assert judged(results, Quantity('test_accuracy') < 0.98).wins == 0


def test_the_best_of_a_class_is_its_highest():
    results = make_results([SEEDS])
    results.history['test_class_accuracy_6'] = results.history['step'] / 30
    best = Quantity('test_class_accuracy_6').at('best')
    assert values(results, best).tolist() == [1.0] * 8


@pytest.mark.usefixtures('of_many_studies')
def test_medians_err_in_at_most_5_percent():
    """Of two equal points 'holds' is hardly said; power grows with the seeds."""
    rng = np.random.default_rng(0)

    def rate(shift, n, studies=200):
        one = Claim('X: x', at(0.1) < at(0.2), of='median')
        losses = rng.normal([[0.0], [shift]], 1, (studies, 2, n))
        return list(said(one, losses)).count('holds') / studies

    allowed = stats.binom.ppf(0.99, 200, 0.05) / 200
    assert rate(0, 8) <= allowed
    assert rate(0, 25) <= allowed
    power = [rate(1, n, 60) for n in (12, 40, 120)]
    assert power[0] < power[1] < power[2]
    assert power[2] > 0.9


ALL = [{RATE: rate} for rate in (0.1, 0.2, 0.3, 0.4)]
COMPARED = {
    'lowest': (LOSS.lowest_at(ALL[0]),),
    'highest': (LOSS.highest_at(*ALL[1:]),),
    'numbers': [at(rate) < 0 for rate in (0.1, 0.2, 0.3, 0.4)],
}


@pytest.mark.parametrize('conditions', COMPARED.values(), ids=COMPARED)
@pytest.mark.parametrize(
    ('medians', 'wrong'),
    [
        ([0, -1e-6, 3, 3], 'holds'),  # one is not so, by a hair
        ([-2e-6, *[-1e-6] * 3], 'does not hold'),  # all are so, by a hair
    ],
)
@pytest.mark.usefixtures('of_many_studies')
def test_several_comparisons_of_medians_err_in_at_most_5_percent(conditions, medians, wrong):
    """Among many that are barely true some are false by chance, which refutes nothing."""
    rng = np.random.default_rng(0)
    one = Claim('X: x', conditions, of='median')
    losses = rng.normal(np.array(medians)[:, None], 1, (120, 4, 12))
    assert list(said(one, losses)).count(wrong) <= stats.binom.ppf(0.99, 120, 0.05)


def test_one_of_several_medians_is_refuted():
    rng = np.random.default_rng(0)
    loss = rng.normal([[0.0], [-3.0], [1.0], [1.0]], 1, (4, 30))
    assert judged(make_results(loss), *COMPARED['lowest'], of='median').verdict == 'does not hold'
    first = LOSS.highest_at(ALL[1])
    assert judged(make_results(-loss), first, of='median').verdict == 'holds'


@pytest.mark.usefixtures('of_many_studies')
def test_several_claims_err_together_in_at_most_5_percent():
    rng = np.random.default_rng(1)
    several = [Claim('X: x', at(0.1) < at(rate)) for rate in (0.2, 0.3, 0.4)]
    wrong = 0
    for _ in range(120):
        results = make_results(rng.normal(size=(4, 12)))
        wrong += (judging.judge(results, several)['verdict'] == 'holds').any()
    assert wrong <= stats.binom.ppf(0.999, 120, 0.05)


class TestReferences:
    def placed(self, results, *arguments, **more):
        (row,) = judging.place(results, [Reference('x', *arguments, **more)]).itertuples()
        return row

    def test_place(self):
        placed = self.placed(RESULTS, 3, at(0.1))
        assert (placed.n, placed.median, placed.min, placed.max) == (8, 3.5, 0, 7)
        assert placed.quantile == pytest.approx(3.5 / 8)

    def test_printed_digits(self):
        results = make_results([[3.1, 3.3, 3.4]])
        assert self.placed(results, 3, LOSS).quantile == 0
        assert self.placed(results, 3, LOSS, 0).quantile == 0.5
        up = make_results([[3.6, 3.7, 3.99]])  # rounded 4, cut 3
        assert self.placed(up, 3, LOSS, 0, is_cut=True).quantile == 0.5
