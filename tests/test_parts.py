"""Losses, metrics, schedules and optimizers, against independent references."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as sk_metrics

from nnstudy import components, losses, metrics, optimizers, schedules


def test_softmax_cross_entropy():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    loss = losses.softmax_cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    expected = sk_metrics.log_loss(labels, probabilities, labels=range(4))
    np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5)
    extreme = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    loss, gradient = jax.value_and_grad(
        lambda z: losses.softmax_cross_entropy(z, jnp.array([0, 0])).sum()
    )(extreme)
    assert loss == 2e4
    assert np.isfinite(gradient).all()


def test_squared_error_and_mae():
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(2, 30, 3)).astype(np.float32)
    for ours, reference in (
        (losses.squared_error, sk_metrics.mean_squared_error),
        (metrics.mae, sk_metrics.mean_absolute_error),
    ):
        expected = reference(labels, outputs)
        np.testing.assert_allclose(ours(outputs, labels).mean(), expected, rtol=1e-5)


def test_squared_error_of_classes_is_one_hot():
    """Five classes, a uniform prediction: 0.8 summed over the vector, so 0.16 as its mean."""
    loss = losses.squared_error(jnp.full((1, 5), 0.2), jnp.array([3]))
    np.testing.assert_allclose(loss, [0.16], rtol=1e-6)


def test_accuracy():
    outputs = jnp.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert metrics.accuracy(outputs, jnp.array([1, 0, 0])).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ('name', 'fields', 'reference'),
    [
        ('constant', {}, optax.constant_schedule(1.0)),
        ('cosine', {}, optax.cosine_decay_schedule(1.0, 120)),
        ('cosine', {'final_factor': 0.1}, optax.cosine_decay_schedule(1.0, 120, alpha=0.1)),
        ('linear', {}, optax.linear_schedule(1.0, 0.0, 120)),
        ('linear', {'final_factor': 0.3}, optax.linear_schedule(1.0, 0.3, 120)),
        ('exponential', {'factor': 0.5}, optax.exponential_decay(1.0, 10, 0.5)),
        (
            'exponential',
            {'factor': 0.5, 'every_epochs': 3, 'staircase': True},
            optax.exponential_decay(1.0, 30, 0.5, staircase=True),
        ),
    ],
)
def test_schedules_equal_those_of_optax(name, fields, reference):
    """12 epochs of 10 steps; at the start, at every step, at the end and after it."""
    step = np.arange(0, 125)
    factor = schedules.SCHEDULES[name](jnp.asarray(step), 10, 12, **fields)
    np.testing.assert_allclose(factor, [reference(s) for s in step], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', sorted(optimizers.OPTIMIZERS))
def test_every_optax_optimizer_trains(name):
    """One adapter for all: all its floats may be traced."""
    params = {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([0.5, 0.1])}
    grads = jax.tree.map(lambda leaf: 0.1 * leaf, params)
    floats = {
        argument: float(known.default)
        for argument, known in components.signature(optimizers.OPTIMIZERS[name]).items()
        if known.kind is float and known.default not in (None, inspect.Parameter.empty)
    }

    @jax.jit
    def step(rate, arguments):
        arguments = {**arguments, 'learning_rate': rate}
        tx = optimizers.make(optimizers.OPTIMIZERS[name], arguments)
        updates, _ = tx.update(grads, tx.init(params), params)
        return optax.apply_updates(params, updates)

    moved = step(0.01, {})
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))
    assert not np.array_equal(moved['kernel'], params['kernel'])
    np.testing.assert_allclose(step(0.01, floats)['bias'], moved['bias'], rtol=1e-5)


PARAMS = {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([0.5, 0.1])}


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
    got = step_of(optimizers.make(optimizers.OPTIMIZERS[name], arguments))
    for leaf in PARAMS:
        np.testing.assert_allclose(got[leaf], expected[leaf], rtol=1e-6)


@pytest.mark.parametrize('steps', [10, 41, 47, 55, 61, 82, 107])
def test_staircases_fall_at_the_boundary(steps):
    """Under jit a quotient of floats falls just short of a whole number for some of these."""
    at = jax.jit(
        lambda step: schedules.exponential(
            step, steps, 9, factor=0.5, every_epochs=3, staircase=True
        )
    )
    for epoch in range(9):
        assert at(epoch * steps) == 0.5 ** (epoch // 3)
        assert at((epoch + 1) * steps - 1) == 0.5 ** (epoch // 3)
