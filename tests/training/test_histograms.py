import jax.numpy as jnp
import numpy as np
import pytest
from small import make_config

import nnstudy
from nnstudy import errors
from nnstudy.training import histograms

MIDDLE = len(histograms.EDGES) // 2 - 1  # the bin of zero


def test_every_number_is_in_its_bin():
    values = jnp.array([0.0, 1e-12, 0.5, -0.5, 3e7, -jnp.inf, 1.0, jnp.nan])
    counts = np.asarray(histograms.count({'w': values}))[0]
    assert counts.sum() == 7  # NaN is in none
    assert counts[MIDDLE] == 2
    assert (counts[0], counts[-1]) == (1, 1)
    for value in (0.5, -0.5, 1.0):
        i = int(np.flatnonzero(value >= histograms.EDGES)[-1])
        assert histograms.EDGES[i] <= value < histograms.EDGES[i + 1]
        assert counts[i] == 1


def test_leaves_are_counted_in_the_order_of_their_names():
    tree = {'Dense_0': {'kernel': jnp.ones([2, 3]), 'bias': jnp.zeros(4)}}
    assert histograms.names(tree) == ['Dense_0/bias', 'Dense_0/kernel']
    assert np.asarray(histograms.count(tree)).sum(axis=1).tolist() == [4, 6]


def test_other_bins_have_what_they_had_had_they_been_counted():
    values = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    counts = np.asarray(histograms.count([values]))
    edges = np.linspace(-3, 3, 13)
    got = histograms.rebinned(counts, edges)
    expected, _ = np.histogram(values, edges)
    assert got.shape == (1, 12)
    np.testing.assert_allclose(got[0], expected, rtol=0.1, atol=20)
    assert got.sum() == pytest.approx(expected.sum(), rel=0.002)


@pytest.mark.parametrize('in_memory', [True, False])
def test_a_study_keeps_those_of_every_evaluation(dataset, tmp_path, in_memory):
    config = make_config(histograms=True, num_seeds=2)
    plain = nnstudy.run(make_config(num_seeds=2), data=dataset, quiet=True)
    workdir = None if in_memory else tmp_path / 'study'
    results = nnstudy.run(config, None, workdir, data=dataset, quiet=True)
    if workdir is not None:
        results = nnstudy.load(workdir)
    for run in (0, 1):
        kept = results.histograms(run)
        assert kept['params']['Dense_1/kernel'].shape == (3, len(histograms.EDGES) - 1)
        params = results.params(run, 'final')
        for layer, name in (('Dense_0', 'kernel'), ('Dense_1', 'bias')):
            expected, _ = np.histogram(params[layer][name], histograms.EDGES)
            np.testing.assert_array_equal(kept['params'][f'{layer}/{name}'][-1], expected)
            grads = kept['grads'][f'{layer}/{name}']
            np.testing.assert_array_equal(grads.sum(axis=1), params[layer][name].size)
        # Biases start at zero; their gradients do not.
        assert kept['params']['Dense_0/bias'][0, MIDDLE] == 8
        assert kept['grads']['Dense_1/bias'][0, MIDDLE] == 0
    # They change neither the tables nor what is trained.
    assert list(results.runs) == list(plain.runs)
    assert list(results.history) == list(plain.history)
    np.testing.assert_array_equal(results.runs['test_loss'], plain.runs['test_loss'])
    with pytest.raises(errors.UserError, match=r'set config\.histograms=True'):
        plain.histograms(0)


def test_a_run_that_is_over_has_none(dataset):
    config = make_config(histograms=True, optimizer__learning_rate=1e30)
    results = nnstudy.run(config, data=dataset, quiet=True)
    assert results.runs['status'][0] == 'diverged'
    kept = results.histograms(0)
    assert np.isfinite(kept['params']['Dense_0/kernel'][0]).all()
    assert np.isnan(kept['grads']['Dense_0/kernel'][-1]).all()
