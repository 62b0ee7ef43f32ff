"""Pooling against `flax` and `lax`, its rule for ties, what its gradient compiles to."""

import functools
import re

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax
from small import OPTIMIZED

from nnstudy import errors, ops

# For programs that run once: the time of these tests is that of compiling.

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
    ((5, 6), (3, 2), (2, 1), 'FULL'),
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
        same = [(n - 1, n - 1) for n in window] if padding == 'FULL' else padding
        both = jax.jit(
            lambda x: (
                derivatives(lambda x: ours(x, window, strides, padding), x),
                derivatives(lambda x: flax(x, window, strides or window, same), x),
            ),
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
    size, step = (1, *window, 1), (1, *(strides or window), 1)

    def gradients(x):
        y, ours = jax.vjp(lambda x: ops.max_pool(x, window, strides, padding), x)
        _, theirs = jax.vjp(
            lambda x: lax.reduce_window(x, -jnp.inf, lax.max, size, step, padding), x
        )
        dy = jnp.arange(1, 1 + y.size, dtype=y.dtype).reshape(y.shape)
        return ours(dy), theirs(dy)

    np.testing.assert_array_equal(*jax.jit(gradients)(x))


@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(
    st.tuples(*[st.integers(1, 7)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.integers(0, 2**16),
)
def test_ties_of_any_geometry(image, window, strides, seed):
    """Written out: each window looks for its first maximum, row by row."""
    hypothesis.assume(all(n >= w for n, w in zip(image, window, strict=True)))
    x = np.random.default_rng(seed).integers(0, 2, (1, *image, 1)).astype(np.float32)

    def both(x):
        y, vjp = jax.vjp(lambda x: ops.max_pool(x, window, strides), x)
        return y, *vjp(jnp.ones_like(y))

    y, dx = jax.jit(both)(x)
    expected, gradient = np.zeros(y.shape[1:3]), np.zeros(image)
    for i, j in np.ndindex(expected.shape):
        top, left = i * strides[0], j * strides[1]
        pixels = x[0, top : top + window[0], left : left + window[1], 0]
        row, column = np.unravel_index(pixels.argmax(), window)
        expected[i, j] = pixels[row, column]
        gradient[top + row, left + column] += 1
    np.testing.assert_array_equal(y[0, :, :, 0], expected)
    np.testing.assert_array_equal(dx[0, :, :, 0], gradient)


def test_a_window_with_a_nan_is_nan():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    for window, strides in [((2, 2), None), ((3, 3), (1, 1))]:
        y = np.asarray(ops.max_pool(x, window, strides))
        assert np.isnan(y[0, 0, 0, 0])
        assert np.isnan(y).sum() == (1 if strides is None else 4)


@pytest.mark.parametrize(
    'pool',
    [
        ops.max_pool,
        functools.partial(ops.max_pool, window=(3, 3), strides=(1, 1), padding='SAME'),
        ops.avg_pool,
        ops.global_avg_pool,
        ops.global_max_pool,
    ],
)
def test_mapped_is_looped(pool):
    x = distinct((3, 2, 5, 4, 2)).astype(jnp.float32)
    one = jax.jit(lambda x: derivatives(pool, x))
    got = jax.jit(jax.vmap(lambda x: derivatives(pool, x)))(x)
    for i in range(3):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6),  # noqa: B023
            got,
            one(x[i]),
        )


def test_global_average():
    x = distinct((2, 3, 5, 4)).astype(jnp.float32)
    np.testing.assert_allclose(ops.global_avg_pool(x), np.asarray(x).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize('image', [(1, 1), (3, 5), (8, 4)])
def test_global_maximum(image):
    """One window as large as the image, whatever its size; ties, NaN and all."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 3, (6, *image, 4)), jnp.float32)
    dy = jnp.arange(24.0).reshape(6, 4)

    def both(x):
        got, vjp = jax.vjp(ops.global_max_pool, x)
        want, reference = jax.vjp(lambda x: ops.max_pool(x, image).reshape(6, 4), x)
        return (got, *vjp(dy)), (want, *reference(dy))

    pools = jax.jit(both)
    for ours, theirs in zip(*pools(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.isnan(pools(x.at[0, 0, 0, 0].set(jnp.nan))[0][0][0, 0])
    assert (pools(jnp.full_like(x, -jnp.inf))[0][0] == -jnp.inf).all()


def test_gradients_have_the_type_of_the_input():
    x = jax.ShapeDtypeStruct((1, 4, 5, 2), jnp.bfloat16)
    for pool in (ops.max_pool, ops.avg_pool):
        for padding in ('VALID', 'SAME'):
            value = functools.partial(pool, padding=padding)
            gradient = jax.grad(lambda x: jnp.sum(value(x)))  # noqa: B023
            assert jax.eval_shape(value, x).dtype == jnp.bfloat16
            assert jax.eval_shape(gradient, x).dtype == jnp.bfloat16


@pytest.mark.parametrize('pool', [ops.max_pool, ops.avg_pool])
@pytest.mark.parametrize(('window', 'strides'), [((2, 2), None), ((3, 3), (1, 1))])
def test_the_gradient_needs_no_slow_operation(pool, window, strides):
    x = jnp.ones((2, 8, 8, 4))

    def loss(x):
        return jnp.sum(pool(x, window, strides, 'SAME') ** 2)

    def slope(x):
        return jnp.sum(jax.grad(loss)(x) ** 2)

    for derivative in (jax.grad(loss), jax.grad(slope)):
        text = jax.jit(derivative).lower(x).compile(OPTIMIZED).as_text()
        assert 'select-and-scatter' not in text
        assert 'reduce-window' not in text
        # Padding between the elements, as the transpose of a strided slice: low_high_between.
        assert not re.search(r'padding=\S*\d_\d+_\d', text)


def test_what_is_not_taken_is_named():
    with pytest.raises(errors.UserError, match="unknown padding of a pooling 'SAMEE'.*SAME, VALID"):
        ops.max_pool(jnp.zeros((1, 4, 4, 1)), padding='SAMEE')
    with pytest.raises(errors.UserError, match='a pooling of 3x3 does not fit .* 2x4'):
        ops.avg_pool(jnp.zeros((1, 2, 4, 1)), (3, 3))
    with pytest.raises(errors.UserError, match=r'\(4, 4, 1\)'):
        ops.max_pool(jnp.zeros((4, 4, 1)))
