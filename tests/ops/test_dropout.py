"""Dropout with a traced rate."""

import jax
import jax.numpy as jnp
import numpy as np

from nnstudy import ops


def test_rates_are_traced_and_zero_is_off():
    x = jax.random.normal(jax.random.key(1), (100, 100)) + 3
    traces = []

    @jax.jit
    def run(rate):
        traces.append(rate)
        return ops.dropout(x, rate, jax.random.key(0))

    np.testing.assert_array_equal(run(0.0), x)
    for rate in (0.2, 0.5, 0.9):
        y = run(rate)
        dropped = float((y == 0).mean())
        assert abs(dropped - rate) < 4 * (rate * (1 - rate) / x.size) ** 0.5
        np.testing.assert_allclose(y.mean(), x.mean(), rtol=0.1)
        np.testing.assert_allclose(y[y != 0], x[y != 0] / (1 - rate), rtol=1e-6)
    assert len(traces) == 1


def test_gradients_are_those_of_what_was_kept():
    x = jnp.linspace(-1, 1, 64)
    key = jax.random.key(0)
    kept = ops.dropout(jnp.ones(64), 0.25, key)
    gradient = jax.grad(lambda x: jnp.sum(ops.dropout(x, 0.25, key) ** 2))(x)
    np.testing.assert_allclose(gradient, 2 * kept**2 * x, rtol=1e-6)
