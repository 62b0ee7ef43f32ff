"""Models: counts, shapes, gradients, fields, and models of a user's own."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax import flatten_util, lax
from scipy import signal, special
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError, commands, models
from nnstudy.commands import models as overview
from nnstudy.data import device
from nnstudy.models import layers, precision, resnet
from nnstudy.training import resolve, steps
from nnstudy.training.run import Run

NUM_TOKENS = 9
# Every model as small as it can be and still have all its parts, on the smallest odd sizes.
TINY = {
    'linear': ((4, 5, 2), {}),
    'mlp': ((4, 5, 2), {'widths': (7, 6)}),
    'lenet': ((12, 13, 2), {'widths': (3, 4), 'dense_widths': (6, 5)}),
    'cnn': ((15, 16, 2), {'widths': (3, 4, 5), 'dense_widths': (6,)}),
    'alexnet': ((15, 17, 2), {'widths': (3, 4, 3, 4, 5), 'dense_widths': (6, 5)}),
    'vgg': ((4, 5, 2), {'groups': ((3,), (4, 3)), 'dense_widths': (6,)}),
    'vgg16': ((4, 5, 2), {'groups': ((3,), (4,))}),
    'resnet': ((5, 4, 2), {'depth': 6, 'widths': (3,)}),
    'resnet20': ((5, 6, 2), {'depth': 6, 'widths': (3, 4)}),
    'resnet18': ((3, 5, 2), {'depth': 4, 'widths': (3,)}),
    'pooled_resnet': ((5, 4, 2), {'widths': (3, 4)}),
    'inception': ((5, 7, 2), {'modules': ((2, 3, 2, 3, 2, 1), 'pool')}),
    'googlenet': ((5, 7, 2), {'stem': (3,), 'modules': ('pool', (2, 3, 2, 3, 2, 1))}),
    'embedding': ((7,), {'width': 4, 'dense_widths': (5,)}),
    'recurrent': ((7,), {'width': 4, 'state_width': 3, 'dense_widths': (5,)}),
}
TEXT = ('embedding', 'recurrent')  # take token ids
NORMED = ('vgg16', 'resnet20', 'resnet18', 'googlenet')  # train and evaluate differently
ACTIVATIONS = ('activation', 'conv_activation', 'dense_activation', 'shortcut_activation')


def make(name, num_outputs=3, **fields):
    if name in TEXT:
        fields = {'num_tokens': NUM_TOKENS} | fields
    return models.make(models.MODELS[name], num_outputs, **fields)


def inputs(name, shape, size=6):
    rng = np.random.default_rng(1)
    if name in TEXT:
        return rng.integers(0, NUM_TOKENS, (size, *shape), dtype=np.int32)
    return rng.uniform(size=(size, *shape)).astype(np.float32)


def random_variables(model, x):
    """Returns variables with no zeros or ones among them; initialisers take long to compile."""
    rng = np.random.default_rng(2)

    def values(path, leaf):
        kind = path[-1].key
        if kind == 'kernel':
            scale = (np.prod(leaf.shape) / leaf.shape[-1]) ** -0.5
            return rng.normal(0, scale, leaf.shape).astype(np.float32)
        low, high = (0.5, 1.5) if kind in ('scale', 'var') else (-0.3, 0.3)
        return rng.uniform(low, high, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(0), x[:1])
    return jax.tree.map_with_path(values, shapes)


def tiny(name, **fields):
    shape, small = TINY[name]
    model, x = make(name, **small | fields), inputs(name, shape)
    return model, random_variables(model, x), x


def shapes(name, shape, num_outputs=3, train=False, **fields):
    """Returns the shapes of variables, outputs and updates, at no cost."""
    model = make(name, num_outputs, **fields)
    x = jax.ShapeDtypeStruct((6, *shape), jnp.int32 if name in TEXT else jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    apply = functools.partial(model.apply, train=train)
    return variables, *jax.eval_shape(apply, variables, x, rng=jax.random.key(0))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_all_models_are_tested():
    assert TINY.keys() == models.MODELS.keys()


@pytest.mark.parametrize(
    ('name', 'shape', 'num_outputs', 'fields', 'expected'),
    [
        ('linear', (8, 8, 1), 10, {}, 650),
        ('mlp', (13,), 1, {'widths': (16, 8)}, 369),
        ('mlp', (28, 28, 1), 10, {'widths': (784, 100)}, 694_950),
        ('mlp', (784,), 10, {'widths': (128, 64), 'batch_norm': 'after'}, 109_386 + 384),
        ('lenet', (28, 28, 1), 10, {}, 61_706),
        ('lenet', (28, 28, 3), 10, {}, 62_006),
        ('lenet', (28, 28, 1), 10, {'conv_activation': 'sigmoid'}, 61_706),
        ('cnn', (28, 28, 1), 10, {}, 360_458),
        ('alexnet', (32, 32, 3), 10, {}, 7_139_722),
        ('vgg', (32, 32, 3), 10, {}, 2_395_434),
        ('vgg', (32, 32, 3), 10, {'batch_norm': 'after'}, 2_396_330),
        ('inception', (28, 28, 1), 10, {}, 196_154),
        ('pooled_resnet', (28, 28, 1), 10, {}, 186_058),
        ('resnet', (28, 28, 1), 10, {'depth': 32}, 160 + 30 * 2_320 + 170),
        ('resnet', (28, 28, 1), 10, {'depth': 32, 'skips': False}, 160 + 30 * 2_320 + 170),
        ('embedding', (100,), 2, {'num_tokens': 5000}, 80_000 + 272 + 34),
        ('recurrent', (9,), 2, {'num_tokens': 50}, 800 + 4 * 32 * (16 + 32 + 1) + 66),
        # github.com/kuangliu/pytorch-cifar: VGG('VGG16') and ResNet18().
        ('vgg16', (32, 32, 3), 10, {}, 14_728_266),
        ('resnet18', (32, 32, 3), 10, {}, 11_173_962),
        # "0.27M" in table 6 of He et al. 2016: 269,722 with the shortcuts of option A, which have
        # no parameters, and 2,752 in our two of option B: 16x32 and 32x64 kernels with their norms.
        ('resnet20', (32, 32, 3), 10, {}, 269_722 + 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64),
    ],
)
def test_parameter_counts(name, shape, num_outputs, fields, expected):
    variables, outputs, updates = shapes(name, shape, num_outputs, **fields)
    assert count(variables['params']) == expected
    assert outputs.shape == (6, num_outputs)
    assert updates == {}


def test_parameter_count_of_googlenet():
    """Published for CIFAR is the count with two 3x3 convolutions for each 5x5, norms included.

    6,166,250 in github.com/kuangliu/pytorch-cifar.
    """
    variables, _, _ = shapes('googlenet', (32, 32, 3), 10)
    modules = [m for m in models.MODELS['googlenet'].keywords['modules'] if m != 'pool']
    assert len(modules) == 9
    ours, theirs = 0, 0
    for _, _, _, reduction, width, _ in modules:
        ours += 25 * reduction * width + 3 * width
        theirs += 9 * reduction * width + 9 * width * width + 6 * width
    assert count(variables['params']) - ours + theirs == 6_166_250


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('name', TINY)
def test_shapes(name, train):
    """Also that training gives what a next step takes: updates as the variables were."""
    shape, fields = TINY[name]
    variables, outputs, updates = shapes(name, shape, train=train, **fields)
    assert outputs.shape == (6, 3)
    rest = {key: value for key, value in variables.items() if key != 'params'}
    assert updates == (rest if train else {})
    assert ('batch_stats' in variables) == (name in NORMED)


@pytest.mark.parametrize(
    ('name', 'train'), [(n, False) for n in TINY] + [(n, True) for n in NORMED]
)
def test_gradients(name, train):
    """In float64: finite and non-zero at every leaf, and equal to finite differences.

    And another order of the examples is another order of the outputs, nothing else.
    """
    shape, fields = TINY[name]
    entry = models.MODELS[name]
    smooth = [key for key in ACTIVATIONS if key in nnstudy.spec.values.signature(entry)]
    with jax.enable_x64(True):
        model, variables, x = tiny(name, **dict.fromkeys(smooth, 'tanh'))
        variables = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables)
        x = x if name in TEXT else x.astype(np.float64)
        y = np.arange(6) % 3

        @jax.jit
        @functools.partial(jax.value_and_grad, has_aux=True)
        def loss(params, x):
            outputs, _ = model.apply({**variables, 'params': params}, x, train=train)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean(), outputs

        params = variables['params']
        (_, outputs), gradient = jax.device_get(loss(params, x))
        for path, leaf in jax.tree.leaves_with_path(gradient):
            assert np.isfinite(leaf).all(), path
            # The batch's mean takes the bias of a convolution out again.
            if not (train and name in ('vgg16', 'googlenet') and 'Conv' in path[0].key):
                assert np.abs(leaf).max() > 1e-9, path
        rng = np.random.default_rng(0)
        for _ in range(3):
            direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
            ends = [
                loss(jax.tree.map(lambda p, d, s=step: p + s * d, params, direction), x)[0][0]
                for step in (1e-6, -1e-6)
            ]
            products = jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)
            slope = sum(jax.tree.leaves(products))
            np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
        order = np.array([3, 1, 5, 0, 2, 4])
        permuted = loss(params, x[order])[0][1]
        np.testing.assert_allclose(permuted, outputs[order], rtol=1e-9)


OVERFIT = {
    'mlp': ((4, 4, 1), {'widths': (32,)}),
    'lenet': ((12, 12, 1), {}),
    'cnn': ((15, 15, 1), {'widths': (8, 8, 16), 'dense_widths': (32,)}),
    'alexnet': ((15, 15, 1), {'widths': (4, 8, 8, 8, 32), 'dense_widths': (32, 32)}),
    'vgg': ((4, 4, 1), {'groups': ((8,), (16,)), 'dense_widths': (32,), 'batch_norm': 'after'}),
    'resnet20': ((5, 5, 1), {'depth': 6, 'widths': (8, 16)}),
    'pooled_resnet': ((5, 5, 1), {'widths': (16, 16)}),
    'inception': ((5, 5, 1), {'modules': ((8, 8, 8, 8, 8, 8), 'pool', (8, 8, 8, 8, 8, 8))}),
    'vgg16': ((4, 4, 1), {'groups': ((8,), (16,))}),
    'resnet': ((5, 5, 1), {'depth': 6, 'widths': (16,)}),
    'resnet18': ((5, 5, 1), {'depth': 4, 'widths': (16,), 'pooling': 'max'}),
    'googlenet': ((5, 5, 1), {'stem': (8,), 'modules': ('pool', (8, 8, 8, 8, 8, 8))}),
    'embedding': ((6,), {}),
    'recurrent': ((6,), {}),
}


def test_statistics_stay_float32_in_bfloat16():
    class Centred(nn.Module):
        num_outputs: int

        @nn.compact
        def __call__(self, x, train=False):
            mean = self.variable('batch_stats', 'mean', jnp.zeros, x.shape[1:])
            if train:
                mean.value = x.mean(axis=0)
            return nn.Dense(self.num_outputs)((x - mean.value).reshape(len(x), -1))

    model = precision.within(models.make(Centred, 3), 'bfloat16')
    x = jnp.ones((4, 2))
    variables = model.init(jax.random.key(0), x)
    outputs, updates = model.apply(variables, x, train=True)
    assert outputs.dtype == updates['batch_stats']['mean'].dtype == jnp.float32


SLOW = {'alexnet', 'vgg16', 'resnet', 'resnet18', 'googlenet'}  # like others
NAMES = [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in OVERFIT]


@pytest.mark.parametrize('name', NAMES)
def test_bfloat16_is_close_to_float32(name):
    """Outputs, gradients and statistics, which are float32 as the variables are."""
    shape, fields = OVERFIT[name]
    is_text = name in TEXT
    options = {'num_tokens': 50} if is_text else {}
    model = models.make(models.MODELS[name], 3, **fields, **options)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (16, *shape)) if is_text else rng.normal(size=(16, *shape))
    x = jnp.asarray(x, jnp.int32 if is_text else jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), x[:1])

    def loss(params, kind):
        rounded = precision.within(model, kind)
        outputs, updates = rounded.apply({**variables, 'params': params}, x, train=True)
        return jnp.square(outputs - 1).mean(), (outputs, updates)

    gradient = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    exact, close = (gradient(variables['params'], kind) for kind in ('float32', 'bfloat16'))
    assert {leaf.dtype for leaf in jax.tree.leaves(close)} == {jnp.dtype('float32')}
    assert jax.tree.structure(exact) == jax.tree.structure(close)
    # Each as a whole: a bias before a normalisation has no gradient but noise.
    for a, b in zip((exact[0], *exact[1]), (close[0], *close[1]), strict=True):
        (a, _), (b, _) = map(flatten_util.ravel_pytree, (a, b))
        assert jnp.linalg.norm(a - b) <= 0.1 * jnp.linalg.norm(a)
    assert (exact[1][0] != close[1][0]).any()
    for kind, said in (('float32', 'HIGHEST'), ('tensorfloat32', 'HIGH')):
        program = str(
            jax.make_jaxpr(jax.grad(loss, has_aux=True), static_argnums=1)(
                variables['params'], kind
            )
        )
        assert 'precision=None' not in program
        assert set(re.findall(r'Precision\.(\w+)', program)) == {said}


@pytest.mark.parametrize('name', NAMES)
def test_overfits(name):
    """32 examples with labels of no pattern are learnt by heart: nothing is in the way."""
    shape, fields = OVERFIT[name]
    config = make_config(
        model__name=name,
        optimizer__name='adam',
        optimizer__learning_rate=0.01,
        batch_size=32,
        **{f'model__{key}': value for key, value in fields.items()},
    )
    resolved = resolve.study(config).settings[0]
    rng = np.random.default_rng(0)
    is_text = name in TEXT
    data = device.Data(
        inputs=rng.integers(0, 50, (32, *shape), dtype=np.int32 if is_text else np.uint8),
        labels=rng.integers(0, 3, 32, dtype=np.int32),
        scale=np.asarray(1 / 25, np.float32),
        offset=np.asarray(-1, np.float32),
        sizes=(('train', 32),),
        num_outputs=3,
        max_value=255.0,
        num_tokens=50 if is_text else None,
    )

    @jax.jit
    def losses(seed):
        run = Run.of_seed(resolved, seed, resolved.hparams, data)

        def body(step, carry):
            state, _ = carry
            state, loss, *_ = steps.step(run, state, step, run.examples(step))
            return state, loss

        return lax.fori_loop(0, 250, body, (steps.init(run), jnp.float32(0)))[1]

    assert losses(jnp.uint32(0)) < 0.02


@pytest.mark.parametrize(
    ('name', 'smallest', 'fields'),
    [
        ('lenet', 12, {}),
        ('cnn', 15, {}),
        ('cnn', 7, {'widths': (4, 4)}),
        ('alexnet', 15, {}),
        ('vgg', 8, {}),
        ('vgg', 2, {'groups': ((4, 4),)}),
        ('vgg16', 32, {}),
        ('resnet', 1, {}),
        ('resnet20', 1, {}),
        ('resnet18', 1, {}),
        ('pooled_resnet', 1, {}),
        ('inception', 1, {}),
        ('googlenet', 1, {}),
    ],
)
def test_smallest_images(name, smallest, fields):
    """From the smallest on any size will do, square or not; below it the error names it."""
    for shape in ((smallest, smallest, 1), (smallest + 1, smallest + 6, 2)):
        assert shapes(name, shape, **fields)[1].shape == (6, 3)
    with pytest.raises(UserError, match=r'takes images, not inputs of shape \(784,\)'):
        shapes(name, (784,), **fields)
    refused = [(smallest - 1, smallest, 1), (smallest, smallest - 1, 1)] if smallest > 1 else []
    for shape in refused:
        with pytest.raises(UserError, match=f'at least {smallest}x{smallest} pixels'):
            shapes(name, shape, **fields)


@pytest.mark.parametrize(
    ('name', 'fields', 'message'),
    [
        ('mlp', {'widths': (8, 0)}, r'config.model.widths\[1\] must be at least 1, not 0'),
        ('mlp', {'batch_norm': 'befor'}, "config.model.batch_norm 'befor': did you mean 'before'"),
        ('mlp', {'batch_norm_momentum': 0.9}, 'batch_norm_momentum needs config.model.batch_norm'),
        ('vgg', {'batch_norm_epsilon': 1e-3}, 'batch_norm_epsilon needs config.model.batch_norm'),
        ('lenet', {'widths': (6,)}, 'config.model.widths must be the filters of 2 l'),
        ('lenet', {'dense_widths': (-1,)}, r'config.model.dense_widths\[0\] must be at least 1'),
        ('cnn', {'widths': (True,)}, r'widths\[0\] must be a whole number, not True'),
        ('alexnet', {'widths': (6,)}, 'config.model.widths must be the filters of 5 l'),
        ('vgg', {'groups': (32, 32)}, r'groups\[0\] must be a tuple, not 32'),
        ('vgg', {'groups': ((32,), (0,))}, r'config.model.groups\[1\]\[0\] must be at least 1'),
        ('resnet', {'depth': 5}, 'config.model.depth must be 2 more than a multiple of 2 .*not 5'),
        ('resnet', {'depth': 2}, 'config.model.depth must be 2 more than'),
        ('resnet20', {'depth': 18}, 'a multiple of 6 .* not 18'),
        ('mlp', {'widths': (), 'dropout': 0.1}, 'config.model.dropout is for hidden layers'),
        ('vgg16', {'dense_dropout': 0.1}, 'config.model.dense_dropout is for hidden dense'),
        ('resnet', {'pooling': 'sum'}, "config.model.pooling 'sum': known: max, mean"),
        ('resnet', {'widths': ()}, 'config.model.widths must have a width for each stage'),
        ('resnet', {'batch_norm_momentum': 1.5}, 'batch_norm_momentum must be at most 1'),
        ('inception', {'modules': ((1, 2, 3),)}, 'config.model.modules takes six numbers'),
        (
            'inception',
            {'modules': ('pol',)},
            r"config.model.modules\[0\] 'pol': did you mean 'pool'",
        ),
        ('inception', {'modules': ((0,) * 6,)}, r'modules\[0\]\[0\] must be at least 1'),
        ('inception', {'pool_size': 0}, 'config.model.pool_size must be at least 1'),
        ('embedding', {'width': 0}, 'config.model.width must be at least 1'),
        ('embedding', {'pooling': 'sum'}, "config.model.pooling 'sum': known: flatten, max, mean"),
        ('mlp', {'dropout': 1.0}, 'config.model.dropout must be below 1'),
        ('resnet', {'kernel_init': 'he'}, "unknown config.model.kernel_init 'he'"),
        ('resnet', {'activation': 'rellu'}, "did you mean 'relu'"),
    ],
)
def test_values_that_make_no_net(name, fields, message):
    config = make_config(**{'model__name': name, **{f'model__{k}': v for k, v in fields.items()}})
    with pytest.raises(UserError, match=message):
        arguments = resolve.study(config).config.model.keywords
        shapes(name, (7,) if name in TEXT else (32, 32, 3), **arguments)


def correlate(x, layer, stride=1):
    """A convolution with zeros around the image, by SciPy: `[B, H, W, C]`, in float64."""
    kernel = np.asarray(layer['kernel'], np.float64)
    pad = len(kernel) // 2
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    y = [
        [signal.correlate(image, filters, 'valid')[..., 0] for filters in np.moveaxis(kernel, 3, 0)]
        for image in x
    ]
    return np.moveaxis(y, 1, 3)[:, ::stride, ::stride] + layer.get('bias', 0)


def relu(x):
    return np.maximum(x, 0)


def normalize(x, params, epsilon=1e-5, examples=slice(None)):
    """Batch normalisation by NumPy. Returns also mean and variance of the examples that count."""
    axes = tuple(range(x.ndim - 1))
    mean, var = x[examples].mean(axes), x[examples].var(axes)
    return (x - mean) / np.sqrt(var + epsilon) * params['scale'] + params['bias'], mean, var


class Blocks(layers.NormedNet, kw_only=True):
    """What a function makes of the layers of a network, and of an input."""

    function: object
    num_outputs: int = 0

    @nn.compact
    def __call__(self, x):
        return self.function(self, x)


def test_residual_block_against_scipy():
    """Two blocks: one with a 1x1 shortcut at stride 2, and one that adds its input."""

    def blocks(net, x):
        block = functools.partial(resnet.residual_block, conv=net.conv, activation='relu')
        return block(block(x, 4, stride=2, shortcut_activation='relu'), 4)

    module = Blocks(function=blocks, kernel_init='pytorch')
    x = jax.random.normal(jax.random.key(0), (3, 5, 6, 2))
    variables = random_variables(module, x)
    p = variables['params']
    y = module.apply(variables, x)
    assert p['Conv_2']['kernel'].shape == (1, 1, 2, 4) and len(p) == 5
    middle = correlate(relu(correlate(x, p['Conv_0'], stride=2)), p['Conv_1'])
    middle = relu(middle + relu(correlate(x, p['Conv_2'], stride=2)))
    expected = relu(correlate(relu(correlate(middle, p['Conv_3'])), p['Conv_4']) + middle)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_plain_block_against_scipy():
    """Without skips nothing is added; here with batch normalisation, and without biases."""

    def block(net, x):
        norm = net.norm(train=True, mask=None)
        conv = functools.partial(net.conv, norm=norm, use_bias=False)
        return resnet.residual_block(x, 4, conv, activation='relu', skip=False)

    x = jax.random.normal(jax.random.key(0), (3, 4, 3, 4))
    module = Blocks(function=block, batch_norm='before')
    p = random_variables(module, x)['params']
    y, _ = module.apply({'params': p, 'batch_stats': {}}, x, mutable='batch_stats')
    assert p.keys() == {'Conv_0', 'BatchNorm_0', 'Conv_1', 'BatchNorm_1'}
    assert p['Conv_0'].keys() == {'kernel'}
    middle = relu(normalize(correlate(x, p['Conv_0']), p['BatchNorm_0'])[0])
    expected = relu(normalize(correlate(middle, p['Conv_1']), p['BatchNorm_1'])[0])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_skips_are_what_the_plain_net_lacks():
    """With kernels of zero the blocks hand on what they get, or nothing at all."""
    for skips in (True, False):
        model, variables, x = tiny('resnet', skips=skips)
        zero = {k: jax.tree.map(jnp.zeros_like, p) for k, p in variables['params'].items()}
        ends = {k: variables['params'][k] for k in ('Conv_0', 'Dense_0')}
        outputs, _ = model.apply({'params': zero | ends}, x, train=False)
        pooled = relu(correlate(x, ends['Conv_0'])).mean((1, 2)) if skips else np.zeros((6, 3))
        expected = pooled @ ends['Dense_0']['kernel'] + ends['Dense_0']['bias']
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_inception_against_scipy():
    """The whole net of one module, with its four branches in the order of the paper's table."""
    model = make('inception', modules=((2, 3, 4, 2, 3, 1),), kernel_init='pytorch')
    x = inputs('inception', (4, 5, 2))
    variables = random_variables(model, x)
    outputs, _ = model.apply(variables, x, train=False)
    p = variables['params']
    conv = [lambda x, p=p[f'Conv_{i}']: relu(correlate(x, p)) for i in range(6)]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    pooled = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2)).max((-1, -2))
    branches = [conv[0](x), conv[2](conv[1](x)), conv[4](conv[3](x)), conv[5](pooled)]
    features = np.concatenate(branches, axis=-1).mean((1, 2))
    assert features.shape == (6, 10)
    expected = features @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('place', ['before', 'after'])
def test_batch_normalisation_against_numpy(place):
    """Dense and norm in the order of `place`, by the real examples of a short batch only."""
    model, variables, x = tiny(
        'mlp', widths=(5,), batch_norm=place, batch_norm_momentum=0.7, batch_norm_epsilon=0.1
    )
    p, old = variables['params'], variables['batch_stats']['BatchNorm_0']
    outputs, updates = model.apply(variables, x, train=True, mask=np.arange(6) < 4)
    y = np.asarray(x).reshape(6, -1) @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
    y = y if place == 'before' else relu(y)
    y, mean, var = normalize(y, p['BatchNorm_0'], 0.1, slice(4))
    y = relu(y) if place == 'before' else y
    expected = y @ p['Dense_1']['kernel'] + p['Dense_1']['bias']
    np.testing.assert_allclose(outputs[:4], expected[:4], rtol=1e-4, atol=1e-4)
    for kind, value in (('mean', mean), ('var', var)):
        new = updates['batch_stats']['BatchNorm_0'][kind]
        share = (1 - 0.7) * 4 / 6  # four examples of six
        expected = (1 - share) * old[kind] + share * value
        np.testing.assert_allclose(new, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['vgg16', 'resnet20', 'googlenet'])
def test_padding_of_a_short_batch_does_not_count(name):
    """A batch of six with two of padding is the batch of four, whatever the padding is.

    In the running statistics it counts for four sixths.
    """
    model, variables, x = tiny(name)

    @jax.jit
    def apply(x, mask):
        return model.apply(variables, x, train=True, mask=mask)

    padded = np.concatenate([x[:4], np.full_like(x[4:], 7)])
    outputs, updates = apply(padded, np.arange(6) < 4)
    alone, statistics = apply(x[:4], None)
    np.testing.assert_allclose(outputs[:4], alone, rtol=1e-4, atol=1e-4)
    expected = jax.tree.map(
        lambda old, new: old + (new - old) * 4 / 6,
        variables['batch_stats'],
        statistics['batch_stats'],
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        updates['batch_stats'],
        expected,
    )


def test_batch_normalisation_is_of_each_run():
    """Momentum and epsilon swept in one program; both as NumPy has them, without training."""
    config = make_config(
        model__batch_norm='before',
        model__widths=(4,),
        optimizer__learning_rate=0.0,
        shuffle=False,
        batch_size=18,
        epochs=1,
    )
    points = nnstudy.grid(
        nnstudy.choice('model.batch_norm_momentum', [0.0, 0.5, 0.99]),
        nnstudy.choice('model.batch_norm_epsilon', [1e-5, 1.0]),
    )
    dataset = make_dataset()
    results = nnstudy.run(config, points, data=dataset, quiet=True)
    assert results.runs['group'].unique().tolist() == [0]
    images, labels = dataset.splits['train']
    batches = images[:36].reshape(2, 18, -1) / 255
    for run, row in results.runs.iterrows():
        variables = results.variables(run, 'final')
        p = variables['params']
        batch_means = (batches @ p['Dense_0']['kernel'] + p['Dense_0']['bias']).mean(axis=1)
        momentum = row['model.batch_norm_momentum']
        expected = (1 - momentum) * (momentum * batch_means[0] + batch_means[1])
        statistics = variables['batch_stats']['BatchNorm_0']
        np.testing.assert_allclose(statistics['mean'], expected, rtol=1e-4, atol=1e-5)
        y = images[:36].reshape(36, -1) / 255 @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
        epsilon = row['model.batch_norm_epsilon']
        y = relu((y - statistics['mean']) / np.sqrt(statistics['var'] + epsilon))
        logits = y @ p['Dense_1']['kernel'] + p['Dense_1']['bias']
        loss = np.log(np.exp(logits).sum(-1)) - logits[np.arange(36), labels[:36]]
        np.testing.assert_allclose(row['train_loss'], loss.mean(), rtol=1e-3)


@pytest.mark.parametrize('name', ['vgg16', 'resnet20', 'googlenet'])
def test_places_of_batch_normalisation_differ(name):
    outputs = []
    for place in ('before', 'after'):
        model, variables, x = tiny(name, batch_norm=place)
        has_bias = (name, place) != ('resnet20', 'before')  # where the norm's shift stands for it
        assert ('bias' in variables['params']['Conv_0']) == has_bias
        outputs.append(jax.jit(functools.partial(model.apply, train=False))(variables, x)[0])
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01


@pytest.mark.parametrize(
    ('name', 'field'),
    [
        ('mlp', 'dropout'),
        ('cnn', 'flatten_dropout'),
        ('cnn', 'dense_dropout'),
        ('vgg', 'flatten_dropout'),
        ('vgg', 'dense_dropout'),
        ('alexnet', 'dense_dropout'),
    ],
)
def test_dropout(name, field):
    """At 0 what it is without, in evaluation too; at another rate it depends on the key."""
    model, variables, x = tiny(name)

    @jax.jit
    def apply(rate, key):
        dropping = make(name, **TINY[name][1], **{field: rate})
        outputs = [
            dropping.apply(variables, x, train=True, rng=key),
            dropping.apply(variables, x, train=False),
            model.apply(variables, x, train=True),
        ]
        return [output for output, _ in outputs]

    train, evaluation, without = apply(0.0, jax.random.key(1))
    np.testing.assert_allclose(train, without, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(evaluation, without, rtol=1e-5, atol=1e-6)
    dropped, evaluation, without = apply(0.5, jax.random.key(1))
    np.testing.assert_allclose(evaluation, without, rtol=1e-5, atol=1e-6)
    assert np.abs(dropped - without).max() > 1e-3
    assert np.abs(dropped - apply(0.5, jax.random.key(2))[0]).max() > 1e-3


def test_dropout_keeps_the_expectation():
    """Of a linear net, over 20,000 keys: within five standard errors."""
    model, variables, x = tiny('mlp', widths=(8,), activation='identity', dropout=0.3)
    keys = jax.random.split(jax.random.key(2), 20_000)

    @jax.jit
    @jax.vmap
    def outputs(key):
        return model.apply(variables, x, train=True, rng=key)[0]

    dropped = outputs(keys)
    error = dropped.std(0) / np.sqrt(len(keys))
    expected, _ = model.apply(variables, x, train=False)
    assert (np.abs(dropped.mean(0) - expected) < 5 * error).all()


def test_dropout_is_swept_without_recompiling():
    points = nnstudy.choice('model.dropout', [0.0, 0.5, 0.9])
    results = nnstudy.run(make_config(num_seeds=8), points, data=make_dataset(), quiet=True)
    assert results.runs['group'].tolist() == [0] * 24
    loss = results.runs.groupby('point')['train_loss'].mean()
    assert loss[0] < loss[1] < loss[2]


def test_embedding_poolings():
    """The mean and the maximum over the words alone; flattened, padding has places too."""
    x = jnp.asarray([[3, 5, 0, 0], [0, 0, 3, 5], [5, 3, 0, 0], [0, 0, 0, 0]])
    for pooling in ('mean', 'max', 'flatten'):
        model = make('embedding', pooling=pooling, dense_widths=())
        variables = jax.jit(model.init)(jax.random.key(0), x)
        p = variables['params']
        vectors = np.asarray(p['Embed_0']['embedding'])
        assert vectors.shape == (NUM_TOKENS, 16) and np.abs(vectors).max() <= 0.05
        assert np.abs(vectors).max() > 0.045 and vectors.min() < -0.045
        words = vectors[[3, 5]]
        pooled = {
            'mean': np.array([words.mean(0)] * 3 + [np.zeros(16)]),
            'max': np.array([words.max(0)] * 3 + [np.zeros(16)]),
            'flatten': vectors[x].reshape(4, -1),
        }[pooling]

        @jax.jit
        @functools.partial(jax.grad, has_aux=True)
        def apply(variables, model=model):
            outputs, _ = model.apply(variables, x, train=False)
            return outputs.sum(), outputs

        gradient, outputs = apply(variables)
        expected = pooled @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
        padding = gradient['params']['Embed_0']['embedding'][0]
        assert np.isfinite(padding).all() and (np.abs(padding).max() > 0) == (pooling == 'flatten')


def read_by_hand(vectors, cell):
    """Returns the state of an LSTM after the vectors `[T, D]`, by a loop in NumPy."""

    def gate(name, x, h):
        return (
            x @ cell[f'i{name}']['kernel']
            + h @ cell[f'h{name}']['kernel']
            + (cell[f'h{name}']['bias'])
        )

    state = memory = np.zeros(cell['hi']['bias'].shape)
    for x in vectors:
        i, f, o = (special.expit(gate(name, x, state)) for name in 'ifo')
        memory = f * memory + i * np.tanh(gate('g', x, state))
        state = o * np.tanh(memory)
    return state


def test_recurrent_against_numpy():
    """The state after the whole row; or, masked, after its words, whichever side the rest is."""
    x = np.array([[3, 5, 2, 0, 0], [0, 0, 3, 5, 2], [7, 0, 1, 0, 8], [4, 4, 6, 1, 2], [0] * 5])
    outputs = {}
    for masked in (False, True):
        model = make('recurrent', width=4, state_width=6, masked=masked)
        variables = random_variables(model, x)
        p = variables['params']
        rows = [row[row > 0] if masked else row for row in x]
        vectors = p['Embed_0']['embedding']
        states = np.array([read_by_hand(vectors[row], p['LSTMCell_0']) for row in rows])
        expected = states @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
        outputs[masked], _ = model.apply(variables, x, train=False)
        np.testing.assert_allclose(outputs[masked], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outputs[True][0], outputs[True][1])
    assert np.abs(outputs[False][0] - outputs[False][1]).max() > 0.01


@pytest.mark.slow
def test_recurrent_runs_side_by_side():
    """Two lanes with rates of their own: each run is what it is alone."""
    texts = np.array(['good day', 'bad', 'a good one', 'so bad', 'good', 'a bad day'] * 6)
    labels = np.arange(36) % 2
    dataset = nnstudy.Dataset('texts', {'train': (texts, labels), 'test': (texts[:6], labels[:6])})
    config = make_config(model__name='recurrent', model__masked=True, epochs=1)
    config.split.train, config.split.validation = 'train', None
    config.execution.lanes = 2
    points = nnstudy.choice('optimizer.learning_rate', [0.1, 1.0])
    runs = nnstudy.run(config, points, data=dataset, quiet=True).runs
    data = nnstudy.data.prepare(dataset)
    train_one = jax.jit(nnstudy.make_train(config))
    for rate, together in zip([0.1, 1.0], runs['test_loss'], strict=True):
        rates = {'optimizer.learning_rate': jnp.float32(rate)}
        _, history = train_one(nnstudy.make_keys(0), rates, data)
        np.testing.assert_allclose(history['test_loss'][-1], together, rtol=1e-5)


def test_flops_against_counts_by_hand():
    """Two for each multiplication with addition; XLA counts activations and pooling too."""
    dense = 784 * 64 + 64 * 64 + 64 * 10
    assert abs(overview.size('mlp', (28, 28, 1))[1] / (2 * dense) - 1) < 0.02
    # Of the first layer's 28 rows, the outer two at each end lack 2 and 1 of their 5 rows.
    taps = (28 * 5 - 6) ** 2
    lenet = 6 * taps + 100 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10
    assert abs(overview.size('lenet', (28, 28, 1))[1] / (2 * lenet) - 1) < 0.04
    lstm = 100 * 4 * (16 * 32 + 32 * 32 + 3 * 32) + 32 * 10  # of 100 words
    assert abs(overview.size('recurrent', (100,))[1] / (2 * lstm) - 1) < 0.04


def test_overview(capsys):
    """The table has a row for each name; a wrong one costs a line and exit code 2."""
    assert commands.main(['models', 'lenet', 'resnet20', '--no_time']) == 0
    out = capsys.readouterr().out
    assert '83,126' in out and '272,474' in out and 'vgg' not in out and ' ms' not in out
    assert commands.main(['models', 'mlp', 'lennet']) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: unknown model 'lennet': did you mean 'lenet'?")
    assert captured.err.count('\n') == 1 and not captured.out
    assert commands.main(['models', 'lenet', '--no_time', '--image=28x28x1']) == 0
    assert '61,706' in capsys.readouterr().out
    assert commands.main(['models', '--image=28']) == 2
    assert 'error: --image=28: write --image=HxWxC' in capsys.readouterr().err
    assert commands.main(['models', '--notime']) == 2
    assert 'error: unrecognized arguments: --notime' in capsys.readouterr().err


def test_overview_of_times(capsys, monkeypatch):
    monkeypatch.setattr(overview, 'REPETITION_SECONDS', 0.001)
    assert commands.main(['models', 'embedding']) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.split()[:1] == ['embedding'])
    assert 0 < float(row.split()[-1]) < 1000
    assert 'batch size 32' in out


def test_pytorch_initialiser():
    """Weights and biases uniform within ±1/sqrt(fan_in), as torch.nn.Linear and Conv2d."""
    variables = jax.jit(make('lenet', 10).init)(jax.random.key(0), np.zeros((1, 28, 28, 3)))
    for layer, fan_in in (('Conv_0', 75), ('Conv_1', 150), ('Dense_0', 400), ('Dense_1', 120)):
        bound = fan_in**-0.5
        kernel, bias = variables['params'][layer]['kernel'], variables['params'][layer]['bias']
        assert 0.98 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)
        assert abs(float(kernel.std()) / (bound / 3**0.5) - 1) < 0.06
        assert 0 < np.abs(bias).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize('name', layers.KERNEL_INITS)
def test_initialisers(name):
    """Standard deviations by the formulas of Glorot, He and LeCun; [300, 200]."""
    kernel = layers.KERNEL_INITS[name](jax.random.key(0), (300, 200))
    expected = {
        'glorot': (2 / 500) ** 0.5,
        'he': (2 / 300) ** 0.5,
        'lecun': (1 / 300) ** 0.5,
        'pytorch': (1 / 900) ** 0.5,
        'orthogonal': (1 / 300) ** 0.5,
    }[name.split('_')[0]]
    np.testing.assert_allclose(kernel.std(), expected, rtol=0.02)


class Scaled(nn.Module):
    """A user's model with a field of its own, which is dynamic because it is a float."""

    num_outputs: int
    scale: float = 1.0

    @nn.compact
    def __call__(self, x, train):
        del train
        return nn.Dense(self.num_outputs)(self.scale * x.reshape(len(x), -1))


def scaled_function(num_outputs, scale=1.0):
    """The same without Linen: a function that returns init and apply."""

    def init(rng, x):
        size = x.size // len(x)
        kernel = nn.initializers.lecun_normal()(rng, (size, num_outputs))
        return {'params': {'kernel': kernel, 'bias': jnp.zeros(num_outputs)}}

    def apply(variables, x, *, train, rng=None, mask=None):
        params = variables['params']
        return scale * x.reshape(len(x), -1) @ params['kernel'] + params['bias'], {}

    return models.Model(init, apply)


@pytest.mark.parametrize('entry', [scaled_function, functools.partial(Scaled, scale=1.0)])
def test_a_users_model_with_a_dynamic_field(entry, monkeypatch):
    """Registered by a line; its float is swept without another program."""
    monkeypatch.setitem(models.MODELS, 'scaled', entry)
    config = make_config(model__name='scaled')
    points = nnstudy.choice('model.scale', [0.0, 1, 2.0])
    results = nnstudy.run(config, points, data=make_dataset(), quiet=True)
    assert results.runs['group'].unique().tolist() == [0]
    loss = results.runs['train_loss']
    assert loss[0] > loss[1] > loss[2]
    start = results.history.query('step == 0')['train_loss']
    np.testing.assert_allclose(start.iloc[0], np.log(3), rtol=1e-5)  # inputs times 0
    with pytest.raises(UserError, match="did you mean 'scale'"):
        nnstudy.run(config, nnstudy.choice('model.scal', [1.0]), data=make_dataset())


class Normed(nn.Module):
    """Batch normalisation that leaves padding out."""

    num_outputs: int

    @nn.compact
    def __call__(self, x, train, mask=None):
        x = x.reshape(len(x), -1)
        mask = None if mask is None else mask[:, None]
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.0)
        return nn.Dense(self.num_outputs)(norm(x, mask=mask))


def test_batch_statistics_are_kept_and_leave_padding_out(monkeypatch):
    """36 examples in batches of 8: with momentum 0 the mean is that of the last four."""
    monkeypatch.setitem(models.MODELS, 'normed', Normed)
    config = make_config(model__name='normed', shuffle=False, epochs=5)
    dataset = make_dataset()
    results = nnstudy.run(config, data=dataset, quiet=True)
    statistics = results.variables(0, 'final')['batch_stats']['BatchNorm_0']
    last = dataset.splits['train'][0][32:36].reshape(4, -1) / 255
    np.testing.assert_allclose(statistics['mean'], last.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(statistics['var'], last.var(axis=0), rtol=1e-4)


def test_padding_may_not_poison_batch_statistics(monkeypatch):
    class Careless(nn.Module):
        num_outputs: int

        @nn.compact
        def __call__(self, x, train):
            x = nn.BatchNorm(use_running_average=not train)(x.reshape(len(x), -1))
            return nn.Dense(self.num_outputs)(x)

    monkeypatch.setitem(models.MODELS, 'careless', Careless)
    config = make_config(model__name='careless')
    with pytest.raises(UserError, match='the last batch of an epoch is short'):
        nnstudy.run(config, data=make_dataset())
    config.batch_size = 9
    results = nnstudy.run(config, data=make_dataset(), quiet=True)
    assert results.runs['status'][0] == 'finished'


def test_a_model_that_cannot_be_traced_is_a_users_error(monkeypatch):
    def broken(num_outputs):
        def init(rng, x):
            return {'params': {'w': jnp.zeros(3)}}

        def apply(variables, x, *, train, rng=None, mask=None):
            return x @ variables['params']['w'], {}

        return models.Model(init, apply)

    monkeypatch.setitem(models.MODELS, 'broken', broken)
    config = make_config(model__name='broken')
    where = r'model broken, .*test_models\.py, line \d+: cannot be traced on inputs of shape'
    with pytest.raises(UserError, match=where):
        nnstudy.run(config, data=make_dataset())


def test_outputs_of_the_wrong_width_are_a_users_error(monkeypatch):
    monkeypatch.setitem(models.MODELS, 'wide', lambda num_outputs: nn.Dense(num_outputs + 1))
    dataset = make_dataset((16,))
    config = make_config(model__name='wide')
    with pytest.raises(UserError, match=r'outputs of shape \(.*4\) .* need \(.*3\)'):
        nnstudy.run(config, data=dataset)


@pytest.mark.slow
def test_none_turns_off_what_a_model_has_by_default():
    """`resnet18` has batch normalisation; `model.batch_norm=None` is another program without."""
    fields = {'model__name': 'resnet18', 'model__depth': 4, 'model__widths': (2,), 'epochs': 1}
    points = nnstudy.choice('model.batch_norm', ['before', None])
    results = nnstudy.run(make_config(**fields), points, data=make_dataset(), quiet=True)
    assert results.runs['group'].tolist() == [0, 1]
    assert 'batch_stats' in results.variables(0)
    assert 'batch_stats' not in results.variables(1)


def test_a_short_batch_counts_for_its_examples_in_the_running_statistics():
    """Even one alone, which has no variance, leaves them usable."""
    model = make('mlp', widths=(4,), batch_norm='before', batch_norm_momentum=0.5)
    x = inputs('mlp', (6,), size=8)
    variables = random_variables(model, x)
    before = variables['batch_stats']['BatchNorm_0']
    mask = np.arange(8) < 1
    _, updates = model.apply(variables, x, train=True, mask=mask)
    after = updates['batch_stats']['BatchNorm_0']
    layer = variables['params']['Dense_0']
    expected = x[0] @ layer['kernel'] + layer['bias']
    share = 0.5 / 8
    np.testing.assert_allclose(
        after['mean'], (1 - share) * before['mean'] + share * expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(after['var'], (1 - share) * before['var'], rtol=1e-5, atol=1e-6)
