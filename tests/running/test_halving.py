"""Successive halving: which points go on, and what is left of those that do not."""

import numpy as np
import pandas as pd
import pytest
from small import make_config

import nnstudy
from nnstudy import UserError
from nnstudy.analysis import comparison
from nnstudy.running import plan as plan_lib

RATES = nnstudy.choice('optimizer.learning_rate', [1e-4, 1e-3, 0.01, 0.1, 1.0])


def config_of(**fields):
    fields = {'epochs': 7, 'num_seeds': 2, 'halving__factor': 2} | fields
    return make_config(**fields)


@pytest.mark.parametrize(
    ('factor', 'first', 'epochs', 'expected'),
    [(3, 1, 10, [1, 3, 9, 10]), (2, 2, 8, [2, 4, 8]), (2, 5, 5, [5]), (None, 1, 9, [9])],
)
def test_rungs(factor, first, epochs, expected, dataset):
    fields = {'halving__factor': factor, 'halving__min_epochs': first, 'epochs': epochs}
    assert plan_lib.make(config_of(**fields), RATES, data=dataset).rungs == expected


def test_points_that_fall_behind_are_pruned(dataset):
    """5 points, 3 after epoch 1, 2 after epoch 2, 1 after epoch 4; against the whole study."""
    config = config_of()
    halved = nnstudy.run(config, RATES, data=dataset, quiet=True)
    config.halving.factor = None
    whole = nnstudy.run(config, RATES, data=dataset, quiet=True)

    steps = halved.runs.groupby('point')['steps'].first()
    assert sorted(steps) == [5, 5, 10, 20, 35]
    assert (halved.runs['status'] == 'pruned').tolist() == (halved.runs['steps'] < 35).tolist()
    # Who goes on is who is ahead in the whole study at that epoch.
    points = set(range(5))
    for epoch, count in ((1, 3), (2, 2), (4, 1)):
        at_rung = whole.history[whole.history['epoch'] == epoch]
        at_rung = at_rung[at_rung['point'].isin(points)].merge(whole.runs[['run', 'status']])
        points = set(comparison.ranking(at_rung.assign(status='finished'))[:count])
        assert points == set(steps.index[steps > 5 * epoch])
    # What was trained is what the whole study trained, bit for bit.
    last = halved.history.groupby('run')['step'].max()
    assert last.tolist() == halved.runs['steps'].tolist()
    kept = whole.history[whole.history['step'] <= whole.history['run'].map(last)]
    pd.testing.assert_frame_equal(halved.history, kept.reset_index(drop=True))
    (winner,) = steps.index[steps == 35]
    run = int(halved.runs.query('point == @winner')['run'].iloc[0])
    for which in ('final', 'best'):
        for a, b in zip(
            halved.params(run, which).values(), whole.params(run, which).values(), strict=True
        ):
            np.testing.assert_array_equal(a['kernel'], b['kernel'])


@pytest.mark.slow
def test_points_of_several_programs_compete(dataset, tmp_path):
    points = nnstudy.grid(nnstudy.choice('model.activation', ['relu', 'tanh']), RATES)
    config = config_of(epochs=4)
    results = nnstudy.run(config, points, tmp_path, dataset, quiet=True)
    steps = results.runs.groupby('point')['steps'].first()
    assert sorted(steps) == [5] * 5 + [10] * 2 + [20] * 3
    plan = plan_lib.make(config, points, data=dataset)
    assert plan.num_run_steps == results.runs['steps'].sum()
    again = nnstudy.load(tmp_path)
    pd.testing.assert_frame_equal(again.history, results.history)
    assert again.runs['status'].value_counts()['pruned'] == 14
    run = int(results.runs.query('status == "pruned"')['run'].iloc[0])
    assert set(again.params(run, 'final')) == set(results.params(run, 'final'))


def test_rungs_are_evaluated():
    with pytest.raises(UserError, match=r'min_epochs 1 is not a multiple of .*eval_every 2'):
        plan_lib.make(config_of(eval_every=2), RATES)
    with pytest.raises(UserError, match=r'config.halving.factor must be at least 2, not 1'):
        plan_lib.make(config_of(halving__factor=1), RATES)
