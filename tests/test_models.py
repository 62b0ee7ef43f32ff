"""Models: counts, shapes, gradients, and models of a user's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError, models
from nnstudy.models import initializers

SMALL = {
    'mlp': ((5, 5, 1), {'widths': (7, 6)}),
    'lenet': ((12, 12, 2), {}),
}


def build(name, shape, num_outputs=10, **fields):
    model = models.make(models.MODELS[name], num_outputs, fields)
    x = jax.random.uniform(jax.random.key(1), (6, *shape))
    return model, model.init(jax.random.key(0), x[:1]), x


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ('name', 'shape', 'num_outputs', 'fields', 'expected'),
    [
        ('lenet', (28, 28, 1), 10, {}, 61_706),
        ('lenet', (28, 28, 3), 10, {}, 62_006),
        ('lenet', (28, 28, 1), 10, {'conv_activation': 'sigmoid'}, 61_706),
        ('mlp', (13,), 1, {'widths': (16, 8)}, 369),
        ('mlp', (28, 28, 1), 10, {'widths': (784, 100)}, 694_950),
        ('mlp', (8, 8, 1), 10, {'widths': ()}, 650),
    ],
)
def test_parameter_counts(name, shape, num_outputs, fields, expected):
    model = models.make(models.MODELS[name], num_outputs, fields)
    x = jax.ShapeDtypeStruct((6, *shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    assert count(variables) == expected
    outputs, updates = jax.eval_shape(functools.partial(model.apply, train=False), variables, x)
    assert outputs.shape == (6, num_outputs)
    assert updates == {}


@pytest.mark.parametrize('name', SMALL)
def test_gradients(name):
    """Finite at every leaf, and non-zero: no ReLU of these small nets is dead for all examples."""
    shape, fields = SMALL[name]
    model, variables, x = build(name, shape, **fields)
    y = jnp.arange(6) % 3

    def loss(params):
        logits, _ = model.apply({'params': params}, x, train=True, rng=jax.random.key(0))
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    for path, leaf in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(variables['params'])):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


@pytest.mark.parametrize('name', SMALL)
def test_gradients_equal_finite_differences(name):
    """In float64, along random directions."""
    with jax.enable_x64(True):
        shape, fields = SMALL[name]
        activations = {'mlp': ['activation'], 'lenet': ['conv_activation', 'dense_activation']}
        fields = fields | dict.fromkeys(activations[name], 'tanh')
        model, variables, x = build(name, shape, 3, **fields)
        x, y = x.astype(jnp.float64), jnp.arange(6) % 3
        flat, unravel = jax.flatten_util.ravel_pytree(variables['params'])
        flat = flat.astype(jnp.float64)

        @jax.jit
        def loss(flat):
            params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), unravel(flat))
            logits, _ = model.apply({'params': params}, x, train=False)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        gradient = jax.grad(loss)(flat)
        for seed in range(5):
            direction = jax.random.normal(jax.random.key(seed), flat.shape, jnp.float64)
            step = 1e-6 * direction
            difference = (loss(flat + step) - loss(flat - step)) / 2e-6
            np.testing.assert_allclose(gradient @ direction, difference, rtol=1e-6)


@pytest.mark.parametrize('name', SMALL)
def test_examples_do_not_meet(name):
    shape, fields = SMALL[name]
    model, variables, x = build(name, shape, **fields)
    outputs, _ = model.apply(variables, x, train=False)
    order = np.array([3, 1, 5, 0, 2, 4])
    permuted, _ = model.apply(variables, x[order], train=False)
    np.testing.assert_allclose(permuted, outputs[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('size', [12, 13, 17, 32])
def test_lenet_takes_any_size_from_the_smallest_on(size):
    _, variables, _ = build('lenet', (size, size + 1, 1))
    side = [(n // 2 - 4) // 2 for n in (size, size + 1)]
    assert variables['params']['Dense_0']['kernel'].shape == (16 * side[0] * side[1], 120)


@pytest.mark.parametrize('shape', [(11, 28, 1), (28, 11, 1), (784,)])
def test_lenet_names_the_smallest(shape):
    with pytest.raises(UserError, match='at least 12x12'):
        build('lenet', shape)


def test_pytorch_initialiser():
    """Weights and biases uniform within ±1/sqrt(fan_in), as torch.nn.Linear and Conv2d."""
    _, variables, _ = build('lenet', (28, 28, 3))
    for layer, fan_in in (('Conv_0', 75), ('Conv_1', 150), ('Dense_0', 400), ('Dense_1', 120)):
        bound = fan_in**-0.5
        kernel, bias = variables['params'][layer]['kernel'], variables['params'][layer]['bias']
        assert 0.98 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)
        assert abs(float(kernel.std()) / (bound / 3**0.5) - 1) < 0.06
        assert 0 < np.abs(bias).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize('name', initializers.KERNEL_INITS)
def test_initialisers(name):
    """Standard deviations by the formulas of Glorot, He and LeCun; [300, 200]."""
    kernel = initializers.layer(name, 300)['kernel_init'](jax.random.key(0), (300, 200))
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


@pytest.mark.parametrize('entry', [Scaled, scaled_function, functools.partial(Scaled, scale=1.0)])
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
    with pytest.raises(UserError, match="model 'broken' .* cannot be traced on inputs of shape"):
        nnstudy.run(config, data=make_dataset())


def test_outputs_of_the_wrong_width_are_a_users_error(monkeypatch):
    monkeypatch.setitem(models.MODELS, 'wide', lambda num_outputs: nn.Dense(num_outputs + 1))
    dataset = make_dataset((16,))
    config = make_config(model__name='wide')
    with pytest.raises(UserError, match=r'outputs of shape \(.*4\) .* need \(.*3\)'):
        nnstudy.run(config, data=dataset)
