"""The canonical convolution: the numbers of `lax`, and the one layout that is fast in a scan."""

import itertools
import re

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax
from scipy import signal
from small import OPTIMIZED

from nnstudy import errors, ops
from nnstudy.ops import convolution

# For programs that run once: the time of these tests is that of compiling.
LAYOUT = ('NHWC', 'HWIO', 'NHWC')


def reference(x, kernel, strides, padding, lhs_dilation=(1, 1), rhs_dilation=(1, 1)):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, lhs_dilation, rhs_dilation, dimension_numbers=LAYOUT
    )


def arrays(*shapes, dtype=None, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes)


def derivatives(conv, x, kernel, u, v):
    """Returns the value, both gradients, and the Hessian of a loss times the direction (u, v)."""

    def loss(x, kernel):
        # Not quadratic in any argument, so that every second derivative is there and differs.
        return jnp.sum(jnp.sin(conv(x, kernel)))

    def slope(x, kernel):
        dx, dkernel = jax.grad(loss, (0, 1))(x, kernel)
        return jnp.vdot(dx, u) + jnp.vdot(dkernel, v)

    return conv(x, kernel), jax.grad(loss, (0, 1))(x, kernel), jax.grad(slope, (0, 1))(x, kernel)


def assert_same_derivatives(actual, expected, x, kernel):
    u, v = arrays(x.shape, kernel.shape, seed=1)
    got, want = (jax.jit(derivatives, static_argnums=0)(f, x, kernel, u, v)
                 for f in (actual, expected))  # fmt: skip
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), got, want)


# Each row: image, kernel, strides, padding. Together they have odd and even images and kernels,
# kernels of 1 to 5, windows that leave the last rows unread, unequal and negative padding.
CASES = [
    ((6, 7), (1, 1), (1, 1), 'VALID'),
    ((6, 7), (1, 1), (2, 3), 'SAME'),
    ((7, 8), (1, 1), (2, 2), 'VALID'),
    ((5, 6), (1, 1), (1, 1), ((1, 0), (2, 1))),
    ((7, 6), (3, 3), (1, 1), 'SAME'),
    ((7, 6), (2, 4), (1, 1), 'SAME'),
    ((8, 7), (3, 3), (2, 2), 'SAME'),
    ((8, 7), (2, 3), (2, 2), 'VALID'),
    ((9, 10), (2, 2), (3, 3), 'VALID'),
    ((10, 11), (3, 2), (3, 1), 'SAME'),
    ((8, 9), (5, 5), (1, 1), 'VALID'),
    ((9, 8), (5, 4), (2, 3), 'SAME'),
    ((8, 10), (5, 5), (3, 2), 'VALID'),
    ((6, 6), (5, 5), (1, 1), ((2, 2), (2, 2))),
    ((6, 7), (4, 3), (1, 1), ((3, 3), (2, 2))),
    ((6, 7), (3, 3), (2, 3), ((4, 0), (0, 5))),
    ((9, 9), (3, 2), (2, 2), ((-1, 1), (2, -3))),
    ((5, 5), (5, 5), (2, 2), 'VALID'),
    ((2, 2), (3, 3), (1, 1), 'SAME'),
    ((4, 5), (3, 2), (1, 1), 'FULL'),
    ((5, 4), (3, 3), (2, 2), 'FULL'),
    ((1, 3), (3, 4), (2, 1), 'SAME'),
    ((2, 3), (3, 3), (1, 2), ((2, 1), (3, -1))),
]


@pytest.mark.parametrize(('image', 'kernel', 'strides', 'padding'), CASES)
def test_agrees_with_lax_up_to_second_derivatives(image, kernel, strides, padding):
    with jax.enable_x64(True):
        x, k = arrays((2, *image, 3), (*kernel, 3, 2))
        pads = [(n - 1, n - 1) for n in kernel] if padding == 'FULL' else padding
        assert_same_derivatives(
            lambda x, k: ops.conv(x, k, strides=strides, padding=padding),
            lambda x, k: reference(x, k, strides, pads),
            x,
            k,
        )


@pytest.mark.parametrize(('image', 'kernel', 'strides', 'padding'), CASES[3:8] + CASES[-5:])
def test_runs_in_a_block_agree_with_lax_on_an_accelerator(
    image, kernel, strides, padding, monkeypatch
):
    """There they are products of patches; here the CPU takes the ways of other platforms."""

    def elsewhere(*args, default, tpu=None, **_):
        return (tpu or default)(*args)

    monkeypatch.setattr(lax, 'platform_dependent', elsewhere)
    with jax.enable_x64(True):
        x, k = arrays((2, 3, *image, 1), (2, *kernel, 1, 2))
        pads = [(n - 1, n - 1) for n in kernel] if padding == 'FULL' else padding
        block = jax.vmap(lambda x, k: ops.conv(x, k, strides=strides, padding=padding))
        ours, theirs = block, jax.vmap(lambda x, k: reference(x, k, strides, pads))
        assert_same_derivatives(ours, theirs, x, k)
        assert 'conv_general' not in str(jax.make_jaxpr(ours)(x, k))


# The ways that small layers take on the CPU. Each row: image, channels, features, kernel, padding.
# LeNet's two layers, RGB to 16 features, several columns of a 3x4 kernel at once, and gradients of
# unpadded layers: with few features, with unequal and with negative padding.
SMALL = [
    ((12, 12), 1, 6, (5, 5), 'SAME'),
    ((9, 14), 6, 16, (5, 5), 'VALID'),
    ((4, 8), 3, 16, (3, 3), 'SAME'),
    ((5, 9), 2, 5, (3, 4), ((0, 2), (2, 1))),
    ((6, 6), 16, 6, (5, 5), 'FULL'),
    ((5, 4), 3, 5, (4, 5), ((3, 1), (2, 4))),
    ((9, 4), 3, 4, (5, 4), ((-1, 2), (3, 3))),
]


@pytest.mark.parametrize(('image', 'channels', 'features', 'kernel', 'padding'), SMALL)
def test_small_layers_agree_with_lax(image, channels, features, kernel, padding):
    with jax.enable_x64(True):
        x, k = arrays((2, *image, channels), (*kernel, channels, features))
        pads = [(n - 1, n - 1) for n in kernel] if padding == 'FULL' else padding
        assert_same_derivatives(
            lambda x, k: ops.conv(x, k, padding=padding),
            lambda x, k: reference(x, k, (1, 1), pads),
            x,
            k,
        )


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='other devices take no blocks')
@pytest.mark.parametrize('strides', [(1, 1), (2, 1)])
def test_gradients_by_blocks_of_examples_agree_with_lax(strides, monkeypatch):
    with jax.enable_x64(True):
        x, k = arrays((12, 6, 5, 3), (3, 2, 3, 2))

        def gradient(x, k):
            return jax.grad(lambda k: jnp.sum(jnp.sin(ops.conv(x, k, strides=strides))))(k)

        whole = str(jax.make_jaxpr(gradient)(x, k))
        monkeypatch.setattr(convolution, '_CACHE_BYTES', 8 * 600)  # of x and dy, for 4 examples
        assert 'scan' not in whole
        assert 'f64[3,4,6,5,3]' in str(jax.make_jaxpr(lambda *a: gradient(*a))(x, k))
        assert_same_derivatives(
            lambda x, k: ops.conv(x, k, strides=strides),
            lambda x, k: reference(x, k, strides, 'SAME'),
            x,
            k,
        )


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    st.tuples(*[st.integers(1, 7)] * 2),
    st.tuples(*[st.integers(1, 5)] * 2),
    st.sampled_from(['VALID', 'SAME', 'FULL']),
    st.integers(0, 2**16),
)
def test_agrees_with_scipy(image, kernel, padding, seed):
    """The modes valid, same and full of signal processing; full begins at the filter's edge."""
    hypothesis.assume(padding == 'FULL' or all(n >= k for n, k in zip(image, kernel, strict=True)))
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=image), rng.normal(size=kernel)
    expected = signal.correlate(x, k, mode='full')
    if padding != 'FULL':
        expected = signal.correlate(x, k, mode='valid')
    if padding == 'SAME':  # scipy would centre an even kernel one pixel on
        pads = [((n - 1) // 2, n // 2) for n in kernel]
        expected = signal.correlate(np.pad(x, pads), k, mode='valid')
    got = ops.conv(
        jnp.asarray(x, jnp.float32)[None, :, :, None],
        jnp.asarray(k, jnp.float32)[:, :, None, None],
        padding=padding,
    )
    np.testing.assert_allclose(got[0, :, :, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ('lhs_dilation', 'rhs_dilation'), [((2, 1), (1, 1)), ((1, 1), (2, 3)), ((3, 2), (1, 2))]
)
@pytest.mark.parametrize('kernel', [(1, 1), (2, 3)])
def test_dilations_agree_with_lax(kernel, lhs_dilation, rhs_dilation):
    with jax.enable_x64(True):
        x, k = arrays((2, 5, 6, 2), (*kernel, 2, 3))
        static = ((2, 1), ((1, 2), (3, 0)), lhs_dilation, rhs_dilation)
        assert_same_derivatives(
            lambda x, k: ops.conv(
                x, k, strides=static[0], padding=static[1],
                lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation,
            ),
            lambda x, k: reference(x, k, *static),
            x,
            k,
        )  # fmt: skip


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_every_small_geometry_agrees_with_lax_in_value_and_gradients(padding):
    def all_of(convolve):
        def one(n, size, stride):
            # One direction at a time: the other is 3 pixels under a kernel of 2.
            x, k = arrays((2, n, 3, 1), (size, 2, 1, 2))
            y, vjp = jax.vjp(lambda x, k: convolve(x, k, (stride, 1)), x, k)
            return y, vjp(jnp.cos(y))

        geometries = itertools.product((5, 6), (1, 2, 3, 4, 5), (1, 2, 3))
        return jax.jit(lambda: [one(*g) for g in geometries])()

    with jax.enable_x64(True):
        got = all_of(lambda x, k, strides: ops.conv(x, k, strides=strides, padding=padding))
        want = all_of(lambda x, k, strides: reference(x, k, strides, padding))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), got, want)


@pytest.mark.parametrize('mapped', [(0, None), (None, 0), (0, 0)])
@pytest.mark.parametrize(('kernel', 'strides'), [(3, (2, 2)), (1, (1, 1)), (1, (2, 2))])
def test_mapped_is_looped(mapped, kernel, strides):
    def derivative(x, k):
        def loss(x, k):
            return jnp.sum(jnp.sin(ops.conv(x, k, strides=strides)))

        def slope(x, k):
            return sum(map(jnp.sum, jax.grad(loss, (0, 1))(x, k)))

        return loss(x, k), jax.grad(loss, (0, 1))(x, k), jax.grad(slope, (0, 1))(x, k)

    with jax.enable_x64(True):
        x, k = arrays((3, 2, 5, 6, 2), (3, kernel, kernel, 2, 3))
        x, k = (a if axis == 0 else a[0] for a, axis in zip((x, k), mapped, strict=True))
        got = jax.jit(jax.vmap(derivative, mapped))(x, k)
        one = jax.jit(derivative)
        for i in range(3):
            args = (a[i] if axis == 0 else a for a, axis in zip((x, k), mapped, strict=True))
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a[i], b, atol=1e-11),  # noqa: B023
                got,
                one(*args),
            )


def test_in_lax_map():
    x, k = arrays((2, 5, 5, 2), (4, 3, 3, 2, 2), dtype=jnp.float32)

    def gradient(k):
        return jax.grad(lambda k: jnp.sum(ops.conv(x, k) ** 2))(k)

    alone = lax.map(gradient, k)
    np.testing.assert_allclose(lax.map(gradient, k, batch_size=2), alone, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(jax.jit(gradient)(k[1]), alone[1])


def test_gradients_have_the_type_of_their_argument():
    x, k = arrays((1, 4, 4, 1), (3, 3, 1, 2), dtype=jnp.bfloat16)
    dx, dk = jax.grad(lambda x, k: jnp.sum(ops.conv(x, k)), (0, 1))(x, k)
    assert dx.dtype == dk.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    'options',
    [
        dict(features=6, kernel_size=(5, 5), padding=2),
        dict(features=3, kernel_size=(3, 3), strides=2, padding='VALID'),
        dict(features=3, kernel_size=(1, 1), strides=(2, 2), use_bias=False),
        dict(features=2, kernel_size=(3, 2), kernel_dilation=2, padding='CIRCULAR'),
        dict(features=2, kernel_size=(3, 3), input_dilation=2, padding=((1, 2), (0, 1))),
        dict(features=2, kernel_size=(3, 3), precision='highest'),
    ],
)
def test_layer_is_the_layer_of_flax(options):
    with jax.enable_x64(True):
        (x,) = arrays((2, 8, 7, 3))
        ours, flax = ops.Conv(**options), nn.Conv(**options)
        shapes, same = (jax.eval_shape(layer.init, jax.random.key(0), x) for layer in (ours, flax))
        assert shapes == same
        variables = jax.tree.map(lambda leaf: arrays(leaf.shape)[0], shapes)

        def derivative(layer):
            return jax.value_and_grad(lambda v: jnp.sum(jnp.sin(layer.apply(v, x))))

        got, want = jax.jit(lambda v: (derivative(ours)(v), derivative(flax)(v)))(variables)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), got, want)


def test_layer_takes_one_example_without_a_batch():
    layer = ops.Conv(4, (3, 3))
    y, _ = jax.eval_shape(layer.init_with_output, jax.random.key(0), jnp.zeros((8, 7, 3)))
    assert y.shape == (8, 7, 4)


@pytest.mark.parametrize(
    ('layer', 'shape', 'match'),
    [
        (ops.Conv(4, (3,)), (2, 8, 3), 'images'),
        (ops.Conv(4, (3, 3, 3)), (2, 8, 8, 8, 3), 'images'),
        (ops.Conv(4, (3, 3), feature_group_count=2), (2, 8, 8, 4), 'feature_group_count=2'),
        (ops.Conv(4, (5, 5), padding='VALID'), (2, 4, 8, 3), '5x5 does not fit into .* 4x8'),
    ],
)
def test_layer_says_what_it_does_not_take(layer, shape, match):
    with pytest.raises(errors.UserError, match=match):
        jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros(shape))


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(errors.UserError, match=r'\(1, 5, 5, 3\) and \(3, 3, 2, 4\)'):
        ops.conv(jnp.zeros((1, 5, 5, 3)), jnp.zeros((3, 3, 2, 4)))


class Net(nn.Module):
    """Has a convolution of every kind: first, strided, with unread rows, 1x1 strided and not."""

    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(ops.Conv(4, (5, 5))(x))
        x = jnp.tanh(ops.Conv(4, (3, 3), strides=2)(x))
        x = jnp.tanh(ops.Conv(8, (2, 2), strides=3, padding='VALID')(x))
        x = ops.Conv(4, (1, 1), strides=2)(x) + ops.Conv(4, (1, 1))(x)[:, ::2, ::2]
        return jnp.sum(x**2)


def convolutions(function, *args):
    """Returns the optimised program's convolutions, a line each."""
    text = jax.jit(function).lower(*args).compile(OPTIMIZED).as_text()
    return [line for line in text.splitlines() if re.search(r'\bconvolution\(', line)]


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='other devices take the plain way')
@pytest.mark.parametrize(('image', 'kernel', 'padding', 'features'), [
    ((28, 28, 1), (5, 5, 1, 6), 2, [42]),  # LeNet: 7 columns at once
    ((14, 14, 6), (5, 5, 6, 16), 0, [32]),  # 2 columns
    ((32, 32, 3), (3, 3, 3, 16), 1, [64]),
    ((10, 10, 16), (5, 5, 16, 6), 4, []),  # dx of LeNet's second layer: a matrix product
    ((14, 14, 32), (3, 3, 32, 32), 1, [32]),  # as it is
])  # fmt: skip
def test_small_layers_are_made_wide(image, kernel, padding, features):
    x, k = arrays((8, *image), kernel, dtype=jnp.float32)
    pads = ((padding, padding),) * 2
    lines = convolutions(lambda x, k: ops.conv(x, k, padding=pads), x, k)
    assert [int(re.search(r'f32\[\d+,\d+,\d+,(\d+)\]', line)[1]) for line in lines] == features


@pytest.mark.parametrize('order', [1, 2])
def test_only_the_fast_layout_is_left_in_a_scan(order):
    net = Net()
    (x,) = arrays((8, 16, 16, 3), dtype=jnp.float32)
    params = jax.eval_shape(net.init, jax.random.key(0), x)

    def loss(p):
        return net.apply(p, x)

    def hessian_vector_product(p):
        gradient = jax.grad(loss)
        return jax.grad(lambda q: sum(map(jnp.vdot, *map(jax.tree.leaves, (gradient(q), p)))))(p)

    derivative = jax.grad(loss) if order == 1 else hessian_vector_product

    def train(params):
        def step(p, _):
            return jax.tree.map(lambda a, g: a - 0.01 * g, p, derivative(p)), None

        return lax.scan(step, params, length=3)[0]

    lines = convolutions(train, params)
    # Forward and dkernel of three layers, dx of two: nobody asks for the first layer's.
    assert len(lines) == 8 if order == 1 else len(lines) > 8
    for line in lines:
        assert 'dim_labels=b01f_01io->b01f' in line
        assert 'rhs_reversal' not in line
        assert 'feature_group_count' not in line
