"""Pooling against `flax` and `lax`, its rule for ties, and what the compiled gradient is made of."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from nnstudy import errors, ops

# Image, window, strides, padding.
CASES = [
    ((6, 4), (2, 2), None, 'VALID'),
    ((7, 5), (2, 2), None, 'VALID'),
    ((7, 5), (2, 2), None, 'SAME'),
    ((8, 7), (3, 2), None, 'SAME'),
    ((8, 8), (4, 4), None, 'VALID'),
    ((7, 6), (3, 3), (1, 1), 'SAME'),
    ((7, 6), (3, 3), (2, 2), 'SAME'),
    ((8, 9), (3, 3), (2, 2), 'VALID'),
    ((9, 8), (2, 3), (3, 1), 'VALID'),
    ((9, 8), (2, 2), (3, 3), 'SAME'),
    ((9, 8), (5, 4), (2, 3), 'SAME'),
    ((5, 6), (1, 1), (2, 2), 'SAME'),
    ((5, 6), (5, 6), None, 'VALID'),
]


def flax_avg_pool(x, window, strides, padding):
    return nn.avg_pool(x, window, strides, padding, count_include_pad=False)


def distinct(shape):
    """Returns an array of float64 without two equal elements."""
    n = np.prod(shape)
    return jnp.asarray(np.random.default_rng(0).permutation(n).reshape(shape) / n - 0.4)


def derivatives(pool, x):
    def loss(x):
        return jnp.sum(jnp.sin(3 * pool(x)))

    direction = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    return (
        pool(x),
        jax.grad(loss)(x),
        jax.grad(lambda x: jnp.vdot(jax.grad(loss)(x), direction))(x),
    )


@pytest.mark.parametrize(('image', 'window', 'strides', 'padding'), CASES)
@pytest.mark.parametrize(
    ('ours', 'flax'), [(ops.max_pool, nn.max_pool), (ops.avg_pool, flax_avg_pool)]
)
def test_agrees_with_flax_up_to_second_derivatives(ours, flax, image, window, strides, padding):
    with jax.enable_x64(True):
        x = distinct((2, *image, 3))
        both = jax.jit(
            lambda x: (
                derivatives(lambda x: ours(x, window, strides, padding), x),
                derivatives(lambda x: flax(x, window, strides or window, padding), x),
            )
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), *both(x))


@pytest.mark.parametrize(
    ('window', 'strides'), [((2, 2), None), ((3, 3), (1, 1)), ((3, 2), (2, 1)), ((2, 2), (3, 3))]
)
@pytest.mark.parametrize('padding', ['VALID', 'SAME'])
def test_the_first_of_equal_maxima_gets_the_gradient(window, strides, padding):
    # Few values and whole-number gradients: ties everywhere, and nothing to round.
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 3, (4, 7, 6, 2)), jnp.float32)
    weight = jnp.arange(7.0)[:, None, None]

    def gradient(pool):
        y, vjp = jax.vjp(pool, x)
        return vjp(jnp.asarray(rng.integers(1, 9, y.shape), y.dtype) * weight[: y.shape[1]])[0]

    def reduce_window(x):
        size, step = (1, *window, 1), (1, *(strides or window), 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, size, step, padding)

    rng = np.random.default_rng(1)
    got = gradient(lambda x: ops.max_pool(x, window, strides, padding))
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(got, gradient(reduce_window))


def test_a_window_with_a_nan_is_nan():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    for window, strides in [((2, 2), None), ((3, 3), (1, 1))]:
        y = ops.max_pool(x, window, strides)[0, :, :, 0]
        assert np.isnan(y[0, 0])
        assert not np.isnan(ops.max_pool(x)[0, 1, 1, 0])


@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool, ops.global_avg_pool])
def test_mapped_is_looped(pool):
    x = distinct((3, 2, 5, 4, 2)).astype(jnp.float32)
    got = jax.vmap(lambda x: derivatives(pool, x))(x)
    for i in range(3):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6),  # noqa: B023
            got,
            derivatives(pool, x[i]),
        )


def test_global_average():
    x = distinct((2, 3, 5, 4)).astype(jnp.float32)
    np.testing.assert_allclose(ops.global_avg_pool(x), np.asarray(x).mean((1, 2)), rtol=1e-5)


def test_gradients_have_the_type_of_the_input():
    x = jnp.ones((1, 4, 5, 2), jnp.bfloat16)
    for pool in (ops.max_pool, ops.avg_pool):
        for padding in ('VALID', 'SAME'):
            y, vjp = jax.vjp(lambda x: pool(x, padding=padding), x)  # noqa: B023
            assert y.dtype == vjp(y)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool])
@pytest.mark.parametrize(('window', 'strides'), [((2, 2), None), ((3, 3), (1, 1))])
def test_the_gradient_needs_no_slow_operation(pool, window, strides):
    x = jnp.ones((2, 8, 8, 4))

    def loss(x):
        return jnp.sum(pool(x, window, strides, 'SAME') ** 2)

    def slope(x):
        return jnp.sum(jax.grad(loss)(x) ** 2)

    for derivative in (jax.grad(loss), jax.grad(slope)):
        text = jax.jit(derivative).lower(x).compile().as_text()
        assert 'select-and-scatter' not in text
        assert 'reduce-window' not in text
        # An interior padding, as of the transpose of a strided slice, is written low_high_interior.
        assert not [line for line in text.splitlines() if ' pad(' in line and '_1x' in line]


def test_what_is_not_taken_is_named():
    with pytest.raises(errors.UserError, match="unknown padding of a pooling 'SAMEE'.*SAME, VALID"):
        ops.max_pool(jnp.zeros((1, 4, 4, 1)), padding='SAMEE')
    with pytest.raises(errors.UserError, match='3x3 pooling window does not fit .* 2x4'):
        ops.avg_pool(jnp.zeros((1, 2, 4, 1)), (3, 3))
    with pytest.raises(errors.UserError, match=r'\(4, 4, 1\)'):
        ops.max_pool(jnp.zeros((4, 4, 1)))
