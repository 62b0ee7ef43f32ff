"""What a search would have chosen, seed by seed: `over('selected')`."""

import dataclasses

import numpy as np
import pandas as pd

from nnstudy import Claim, Quantity
from nnstudy.analysis import judging
from nnstudy.analysis.quantities import values
from nnstudy.results import results as results_lib
from nnstudy.spec.fields import Config

RATES = [0.1, 0.2, 0.3]


def make_results(**columns):
    """Three points of one seed each row of the columns, [S, 3]."""
    points = [{'optimizer.learning_rate': rate} for rate in RATES]
    num_seeds = len(columns['test_accuracy'])
    runs = pd.DataFrame({'point': np.tile(range(3), num_seeds), 'status': 'finished'})
    runs['seed'] = np.repeat(range(num_seeds), 3)
    runs = runs.assign(**{name: np.ravel(values) for name, values in columns.items()})
    config = Config()
    return results_lib.Results('study', config, points, runs, runs, None, [], [])


def test_each_seed_chooses_on_validation_and_is_measured_on_test():
    results = make_results(
        validation_accuracy=[[0.5, 0.9, 0.8], [0.7, 0.7, 0.6], [np.nan, 0.2, 0.1]],
        validation_loss=[[1.0, 2.0, 3.0], [2.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
        test_accuracy=[[0.99, 0.4, 0.95], [0.1, 0.6, 0.9], [0.9, 0.3, 0.8]],
        test_loss=np.ones((3, 3)),
    )
    # Of equal accuracies the lower loss counts; a run that blew up is not chosen.
    chosen = values(results, Quantity('test_accuracy').over('selected'))
    assert chosen.to_dict() == {0: 0.4, 1: 0.6, 2: 0.3}
    # Chosen on test, a search would always seem to pay.
    assert values(results, Quantity('test_accuracy').over('max')).to_dict() == {
        0: 0.99,
        1: 0.9,
        2: 0.9,
    }
    among = Quantity('test_accuracy').where({'optimizer.learning_rate': 0.3}).over('selected')
    assert values(results, among).to_dict() == {0: 0.95, 1: 0.9, 2: 0.8}


def test_a_search_among_equals_does_not_pay():
    """Two hundred seeds of noise: chosen on validation the winner is the default's equal on test.

    Chosen on test it would seem to be better.
    """
    validation, test = np.random.default_rng(0).random((2, 200, 3))
    results = make_results(
        validation_accuracy=validation,
        validation_loss=np.ones((200, 3)),
        test_accuracy=test,
        test_loss=np.ones((200, 3)),
    )
    default = Quantity('test_accuracy').where({'optimizer.learning_rate': 0.1})

    def pays(over):
        searched = Quantity('test_accuracy').over(over)
        judged = judging.judge(results, [Claim('B9: A search pays', searched > default)])
        return judged['wins'][0] / judged['n'][0]

    assert pays('selected') < 0.5
    assert pays('max') > 0.6


def test_a_rerun_has_seeds_that_had_no_say():
    results = make_results(
        validation_accuracy=[[0.5, 0.9, 0.8], [0.7, 0.7, 0.6], [0.1, 0.2, 0.3], [0.5, 0.6, 0.1]],
        validation_loss=[[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
        test_accuracy=[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, np.nan], [1.0, 0.0, 0.9]],
        test_loss=np.ones((4, 3)),
    )
    # Seed 0 chooses point 1, seed 1 point 0, seed 2 point 2, seed 3 point 1.
    rerun = values(results, Quantity('validation_accuracy').over('rerun'))
    np.testing.assert_allclose(rerun, [0.6, 0.5, 0.6, 0.7])
    np.testing.assert_allclose(
        values(results, Quantity('test_accuracy').over('rerun')), [0.5, 0.7, 0.6, 0.5]
    )
    alone = make_results(
        **{
            name: [[0.5, 0.9, 0.8]]
            for name in ('validation_accuracy', 'validation_loss', 'test_accuracy', 'test_loss')
        }
    )
    assert values(alone, Quantity('test_accuracy').over('rerun')).isna().all()


def test_a_rerun_shares_neither_weights_nor_order():
    """Four seeds of two initial weights x two orders: each has one that shares nothing."""
    names = ('validation_accuracy', 'validation_loss', 'test_accuracy', 'test_loss')
    results = make_results(**{name: [[x] * 3 for x in (0.1, 0.2, 0.3, 0.4)] for name in names})
    results = dataclasses.replace(results, config=Config(data_seeds=2))
    rerun = values(results, Quantity('test_accuracy').over('rerun'))
    assert rerun.tolist() == [0.4, 0.3, 0.2, 0.1]


def test_the_winner_of_pure_luck_is_flattered():
    """Of points that are equal the one that a seed finds best is, with other seeds, like any."""
    validation = np.random.default_rng(0).normal(0.8, 0.01, (60, 3))
    results = make_results(
        validation_accuracy=validation,
        validation_loss=np.ones((60, 3)),
        test_accuracy=validation,
        test_loss=np.ones((60, 3)),
    )
    found, rerun = (Quantity('validation_accuracy').over(over) for over in ('selected', 'rerun'))
    claim = Claim('F6: The winner is flattered', found > rerun, of='median')
    (verdict,) = judging.judge(results, [claim]).itertuples()
    assert verdict.verdict == 'holds' and verdict.wins > 0.8 * verdict.n
    assert abs(values(results, rerun).median() - 0.8) < 0.002
