"""Optimizers: a sweep of each equals a loop of optax written by hand."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError
from nnstudy.spec import values
from nnstudy.training import optimizers, regularization

PARAMS = {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([0.5, 0.1])}
KERNELS = regularization.make_mask()


def by_hand(tx, penalty=lambda params: 0.0, num_train=36, batch_size=8, epochs=2):
    """Softmax regression on the small data set, batch after batch in file order."""
    x, y = make_dataset().splits['train']
    x = x[:num_train].reshape(num_train, -1) / np.float32(255)
    y = y[:num_train]
    key = nnstudy.make_keys(0)['init']
    model = nnstudy.models.make(nnstudy.models.MODELS['linear'], 3)
    params = jax.jit(model.init)(key, x[:1])['params']

    @jax.jit
    def step(params, state, x, y):
        def objective(params):
            logits = x @ params['Dense_0']['kernel'] + params['Dense_0']['bias']
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
            return loss + penalty(params)

        updates, state = tx.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(epochs):
        for begin in range(0, num_train, batch_size):
            batch = slice(begin, begin + batch_size)
            params, state = step(params, state, x[batch], y[batch])
    return params


def mask(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


# Optimizer of the config, its static and constant fields, the swept field, its values, and the same
# as optax has it.
CASES = {
    'sgd': ('sgd', {}, 'learning_rate', [0.03, 0.3], lambda v: optax.sgd(v)),
    'momentum': ('sgd', {}, 'momentum', [0.0, 0.9], lambda v: optax.sgd(0.1, momentum=v)),
    'nesterov': (
        'sgd',
        {'nesterov': True},
        'momentum',
        [0.5, 0.9],
        lambda v: optax.sgd(0.1, momentum=v, nesterov=True),
    ),
    'adam': ('adam', {}, 'b1', [0.0, 0.8], lambda v: optax.adam(0.1, b1=v)),
    'adam, b2': ('adam', {'b1': 0.5}, 'b2', [0.9, 0.99], lambda v: optax.adam(0.1, 0.5, b2=v)),
    'adam, eps': ('adam', {}, 'eps', [1e-7, 0.1], lambda v: optax.adam(0.1, eps=v)),
    'adamw': (
        'adamw',
        {},
        'weight_decay',
        [0.0, 0.5],
        lambda v: optax.adamw(0.1, weight_decay=v, mask=mask),
    ),
    'sgd with weight decay': (
        'sgd',
        {},
        'weight_decay',
        [0.0, 0.5],
        lambda v: optax.chain(optax.sgd(0.1), optax.add_decayed_weights(-0.1 * v, mask)),
    ),
    'sgd, clipped': (
        'sgd',
        {},
        'clip_norm',
        [0.01, 1e3],
        lambda v: optax.chain(optax.clip_by_global_norm(v), optax.sgd(0.1)),
    ),
    'rmsprop': ('rmsprop', {}, 'decay', [0.5, 0.99], lambda v: optax.rmsprop(0.1, decay=v)),
    'adagrad': ('adagrad', {}, 'eps', [1e-7, 0.5], lambda v: optax.adagrad(0.1, eps=v)),
    'adadelta': ('adadelta', {}, 'rho', [0.5, 0.95], lambda v: optax.adadelta(0.1, rho=v)),
    'nadam': ('nadam', {}, 'b1', [0.5, 0.9], lambda v: optax.nadam(0.1, b1=v)),
    'lion': (
        'lion',
        {'weight_decay': 0.0},
        'b1',
        [0.5, 0.9],
        lambda v: optax.lion(0.1, b1=v, weight_decay=0),
    ),
}


SLOW = {'adam, eps', 'rmsprop', 'adagrad', 'adadelta', 'nadam', 'lion'}  # like others


@pytest.mark.parametrize(
    'case', [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES]
)
def test_a_sweep_equals_a_loop_by_hand(case):
    """Ten steps, two of them on a short batch; one program for all values."""
    name, fields, field, values, tx = CASES[case]
    config = make_config(
        model__name='linear',
        shuffle=False,
        optimizer__name=name,
        **{f'optimizer__{key}': value for key, value in fields.items()},
    )
    points = nnstudy.choice(f'optimizer.{field}', values)
    results = nnstudy.run(config, points, data=make_dataset(), quiet=True)
    assert results.runs['group'].unique().tolist() == [0]
    expected = [by_hand(tx(value)) for value in values]
    assert not np.allclose(*(params['Dense_0']['kernel'] for params in expected), rtol=1e-3)
    for run, params in enumerate(expected):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6),
            results.params(run, 'final'),
            params,
        )


@pytest.mark.parametrize('batch_size', [36, 8, 1])
def test_batch_sizes_are_one_path(batch_size):
    """Gradient descent, mini-batch and stochastic."""
    config = make_config(model__name='linear', shuffle=False, batch_size=batch_size)
    results = nnstudy.run(config, data=make_dataset(), quiet=True)
    expected = by_hand(optax.sgd(0.1), batch_size=batch_size)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        results.params(0, 'final'),
        expected,
    )


def test_lbfgs_reaches_what_scikit_learn_does():
    from sklearn import linear_model

    dataset = make_dataset()
    x, y = dataset.splits['train']
    x = x.reshape(len(x), -1) / np.float32(255)
    config = make_config(
        model__name='linear',
        optimizer__name='lbfgs',
        optimizer__learning_rate=1.0,
        regularization__l2=0.05,
        batch_size=44,
        epochs=60,
        split__train='train',
        split__validation=None,
    )
    params = nnstudy.run(config, data=dataset, quiet=True).params(0, 'final')['Dense_0']
    reference = linear_model.LogisticRegression(C=1 / (2 * 0.05 * len(x)), tol=1e-8, max_iter=999)
    reference.fit(x, y)
    np.testing.assert_allclose(params['kernel'].T, reference.coef_, atol=2e-3)


def test_lbfgs_needs_the_whole_set():
    config = make_config(optimizer__name='lbfgs', optimizer__learning_rate=1.0)
    with pytest.raises(UserError, match="'lbfgs' needs the whole .* set config.batch_size=36"):
        nnstudy.run(config, data=make_dataset())


def floats(name):
    """The float arguments of an optax optimizer that have a default."""
    return {
        argument: float(known.default)
        for argument, known in values.signature(optimizers.OPTIMIZERS[name]).items()
        if float in known.kinds and known.default not in (None, inspect.Parameter.empty)
    }


@pytest.mark.parametrize('name', sorted(optimizers.OPTIMIZERS))
def test_every_optax_optimizer_trains(name):
    """One adapter for all: all its floats may be traced."""

    def loss(params):
        return 0.05 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))

    value, grads = jax.value_and_grad(loss)(PARAMS)

    @jax.jit
    def step(rate, arguments):
        arguments = {**arguments, 'learning_rate': rate}
        tx = optimizers.make(optimizers.OPTIMIZERS[name], arguments, KERNELS)
        updates, _ = tx.update(
            grads, tx.init(PARAMS), PARAMS, value=value, grad=grads, value_fn=loss
        )
        return optax.apply_updates(PARAMS, updates)

    moved = step(0.01, {})
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))
    assert not np.array_equal(moved['kernel'], PARAMS['kernel'])
    np.testing.assert_allclose(step(0.01, floats(name))['bias'], moved['bias'], rtol=1e-5)


def step_of(tx):
    grads = jax.tree.map(lambda leaf: 0.1 * leaf, PARAMS)
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
    return updates


@pytest.mark.parametrize('name', ['sgd', 'adam', 'novograd', 'adamw', 'lion'])
def test_weight_decay_is_decoupled_and_of_kernels(name):
    """As in AdamW: rate * decay * kernel, on top of the step without."""
    plain, decayed = (
        step_of(
            optimizers.make(
                optimizers.OPTIMIZERS[name],
                {'learning_rate': jnp.float32(0.1), 'weight_decay': jnp.float32(decay)},
                KERNELS,
            )
        )
        for decay in (0.0, 0.5)
    )
    difference = decayed['kernel'] - plain['kernel']
    np.testing.assert_allclose(difference, -0.05 * PARAMS['kernel'], rtol=1e-4)
    np.testing.assert_array_equal(decayed['bias'], plain['bias'])


@pytest.mark.parametrize(
    ('name', 'mask'),
    [
        ('adamw', 'mask'),
        ('adamaxw', 'mask'),
        ('adan', 'mask'),
        ('lamb', 'mask'),
        ('lars', 'weight_decay_mask'),
        ('adadelta', 'weight_decay_mask'),
    ],
)
def test_weight_decay_of_optax_where_it_has_one(name, mask):
    arguments = {'learning_rate': 0.1, 'weight_decay': 0.3}
    kernels = {'kernel': True, 'bias': False}
    expected = step_of(getattr(optax, name)(**arguments, **{mask: kernels}))
    got = step_of(optimizers.make(optimizers.OPTIMIZERS[name], arguments, KERNELS))
    for leaf in PARAMS:
        np.testing.assert_allclose(got[leaf], expected[leaf], rtol=1e-6)
