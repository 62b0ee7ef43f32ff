"""Sensitivity and the boundary of divergence, on curves of which both are known."""

import numpy as np
import pandas as pd
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy.analysis import sensitivity

RATES = [0.01, 0.1, 1.0, 10.0]


def make_tables(losses, diverged):
    """Runs at four rates of losses [points of width, seeds, rates], with initial loss 2."""
    runs, history = [], []
    for place, seed, rate in np.ndindex(np.shape(losses)):
        run = len(runs)
        fields = {'optimizer.learning_rate': RATES[rate], 'model.widths': (8 + place,)}
        status = 'diverged' if diverged[place][seed][rate] else 'finished'
        row = {'run': run, 'seed': seed, **fields, 'status': status}
        runs.append({**row, 'test_loss': losses[place][seed][rate]})
        for step, loss in ((0, 2.0), (9, losses[place][seed][rate])):
            history.append({'run': run, 'seed': seed, 'step': step, 'test_loss': loss})
    # In no order.
    return pd.DataFrame(runs).sample(frac=1, random_state=0), pd.DataFrame(history)


SWEPT = ['optimizer.learning_rate', 'model.widths']


def test_sensitivity_by_hand():
    assert sensitivity.sensitivity([1.0, 1.0, 1.0], 2.0) == 0
    # 1, 0 and, not to train at all, 3 above the best.
    assert sensitivity.sensitivity([2.0, 1.0, 1e9], 4.0) == pytest.approx(4 / 3)
    assert sensitivity.sensitivity([2.0, 1.0, np.nan], 4.0) == pytest.approx(4 / 3)
    assert sensitivity.sensitivity([2.0, 1.0, np.inf], 4.0) == pytest.approx(4 / 3)
    many = sensitivity.sensitivity([[2.0, 1.0, 9.0], [1.0, 1.0, 1.0]], [4.0, 2.0])
    np.testing.assert_allclose(many, [4 / 3, 0])


def test_gradient_descent_on_a_quadratic():
    """f = h x² / 2 from x = 1: one step at rate r ends at (1 - r h)² f0; r > 2 / h diverges."""
    rates = np.geomspace(0.01, 100, 9)
    for curvature in (0.1, 1.0, 10.0):
        start = curvature / 2
        losses = start * (1 - rates * curvature) ** 2
        ends = np.where(rates > 2 / curvature, start, losses)
        expected = ends.mean() - ends.min()
        assert sensitivity.sensitivity(losses, start) == pytest.approx(expected)


def test_tables():
    losses = [[[1.0, 0.5, 5.0, np.nan], [1.5, 1.0, 0.5, 9.0]], [[1.0, 1.0, 1.0, 1.0]] * 2]
    diverged = [[[0, 0, 1, 1], [0, 0, 0, 1]], [[0] * 4, [1, 0, 0, 1]]]
    runs, history = make_tables(losses, diverged)
    for seed, expected, boundary in ((0, 3.5 / 4, 10**-0.5), (1, 3 / 4, 10**0.5)):
        own = sensitivity.by_setting(runs[runs['seed'] == seed], history, SWEPT)
        own = own.set_index('model.widths')
        assert own['values'].tolist() == [4, 4]
        assert own.loc[[(8,)], 'sensitivity'].item() == pytest.approx(expected)
        assert own.loc[[(9,)], 'sensitivity'].item() == 0
        assert own.loc[[(8,)], 'median'].item() == pytest.approx(boundary)
        # No run diverges, or already that of the lowest rate does.
        assert own.loc[[(9,)], 'median'].item() == (np.inf if seed == 0 else 0.0)

    spread = sensitivity.by_setting(runs, history, SWEPT).set_index('model.widths')
    assert spread['n'].tolist() == [2, 2]
    assert spread.loc[[(9,)], ['low', 'high']].to_numpy().tolist() == [[0.0, np.inf]]
    row = spread.loc[[(8,)]].iloc[0]
    np.testing.assert_allclose(
        row[['median', 'low', 'high']].to_list(), (10**-0.5, 10**-0.5, 10**0.5)
    )


def test_of_a_study():
    config = make_config(num_seeds=2, epochs=3, model__kernel_init='glorot_uniform')
    points = nnstudy.logspace('optimizer.learning_rate', 1e-2, 1e4, 4)
    results = nnstudy.run(config, points, data=make_dataset(), quiet=True)
    (found,) = sensitivity.by_setting(results.runs, results.history, results.swept).itertuples()
    assert found.n == 2
    assert 1e-1 < found.low <= found.high < 1e3
    start = results.history.query('step == 0')['validation_loss'].max()
    assert 0.05 < found.sensitivity < start
