"""Losses against scikit-learn, against the definitions, and against figures printed elsewhere."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import metrics as sk_metrics
from small import make_config

import nnstudy
from nnstudy import UserError
from nnstudy.spec.fields import Component
from nnstudy.training import losses, resolve

# Few sizes, because each is compiled; the values are what is looked for.
SIZES = (st.sampled_from((1, 8, 30)), st.sampled_from((2, 5)), st.integers(0, 2**16))


def examples(num_examples, num_classes, seed):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(num_examples, num_classes)).astype(np.float32)
    return logits, rng.integers(0, num_classes, num_examples).astype(np.int32)


def softmax(logits):
    p = np.exp(logits.astype(np.float64))
    return p / p.sum(axis=1, keepdims=True)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(*SIZES)
def test_classification_losses_equal_scikit_learn(num_examples, num_classes, seed):
    logits, labels = examples(num_examples, num_classes, seed)
    known = range(num_classes)
    expected = sk_metrics.log_loss(labels, softmax(logits), labels=known)
    for targets in (labels, np.eye(num_classes, dtype=np.float32)[labels]):  # sparse, one-hot
        loss = losses.softmax_cross_entropy(logits, jnp.asarray(targets))
        assert loss.shape == (num_examples,)
        np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5, atol=1e-6)

    p = 1 / (1 + np.exp(-logits[:, :1].astype(np.float64)))
    binary = (labels > 0).astype(np.int32)
    expected = sk_metrics.log_loss(binary, p, labels=[0, 1])
    loss = losses.binary_cross_entropy(logits[:, :1], jnp.asarray(binary))
    np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5, atol=1e-6)

    if len(set(binary)) == 2:  # scikit-learn takes a single class for the upper one
        expected = sk_metrics.hinge_loss(binary, logits[:, 0])
        loss = losses.binary_hinge(logits[:, :1], jnp.asarray(binary))
        np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5, atol=1e-6)
    if num_classes > 2:
        expected = sk_metrics.hinge_loss(labels, logits, labels=known)
        loss = losses.hinge(logits, jnp.asarray(labels))
        np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5, atol=1e-6)

    expected = sk_metrics.zero_one_loss(labels, logits.argmax(axis=1))
    np.testing.assert_allclose(losses.zero_one(logits, labels).mean(), expected, atol=1e-6)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(*SIZES)
def test_regression_losses_equal_scikit_learn(num_examples, num_outputs, seed):
    outputs, labels = np.random.default_rng(seed).normal(size=(2, num_examples, num_outputs))
    outputs, labels = outputs.astype(np.float32), labels.astype(np.float32)
    for ours, reference in (
        (losses.squared_error, sk_metrics.mean_squared_error),
        (losses.absolute_error, sk_metrics.mean_absolute_error),
    ):
        expected = reference(labels, outputs)
        np.testing.assert_allclose(ours(outputs, labels).mean(), expected, rtol=1e-5)
        summed = ours(outputs, labels, reduction='sum').mean()
        np.testing.assert_allclose(summed, num_outputs * expected, rtol=1e-5)
    error = np.abs(outputs - labels)
    for delta in (0.3, 1.0):
        expected = np.where(error <= delta, error**2 / 2, delta * (error - delta / 2))
        loss = losses.huber(outputs, labels, delta=delta)
        np.testing.assert_allclose(loss, expected.mean(axis=1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', sorted(losses.LOSSES))
def test_extreme_outputs_keep_loss_and_gradient_finite(name):
    """At ±1e4, where a softmax or a sigmoid taken first would be 0 or 1."""
    column = name.startswith('binary_')
    outputs = jnp.array([[1e4], [-1e4]] if column else [[1e4, -1e4], [-1e4, 1e4]])
    worst = 0.0
    for labels in ([0, 0], [0, 1], [1, 0]):
        total = lambda z: losses.LOSSES[name](z, jnp.array(labels)).sum()  # noqa: B023, E731
        loss, gradient = jax.value_and_grad(total)(outputs)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()
        worst = max(worst, float(loss))
    if name.endswith('cross_entropy'):
        assert worst == pytest.approx(2e4 if column else 4e4)


def test_label_smoothing_is_a_mixed_target():
    logits, labels = examples(20, 4, 0)
    one_hot = np.eye(4, dtype=np.float32)[labels]
    for share in (0.0, 0.1, 1.0):
        mixed = jnp.asarray((1 - share) * one_hot + share / 4)
        expected = losses.softmax_cross_entropy(logits, mixed)
        for targets in (labels, one_hot):
            loss = losses.softmax_cross_entropy(
                logits, jnp.asarray(targets), label_smoothing=jnp.float32(share)
            )
            np.testing.assert_allclose(loss, expected, rtol=1e-5)
    binary = jnp.asarray(labels > 1).astype(jnp.int32)
    target = 0.9 * binary[:, None] + 0.05
    np.testing.assert_allclose(
        losses.binary_cross_entropy(logits[:, :1], binary, label_smoothing=0.1),
        losses.binary_cross_entropy(logits[:, :1], target),
        rtol=1e-5,
    )


def test_losses_at_initialisation():
    """Study B3: five classes and a uniform prediction."""
    uniform = jnp.full((1, 5), 0.2)
    label = jnp.array([3])
    loss = losses.softmax_cross_entropy(jnp.log(uniform), label)
    assert round(float(loss[0]), 1) == 1.6
    np.testing.assert_allclose(loss, np.log(5), rtol=1e-6)
    summed = losses.squared_error(uniform, label, reduction='sum')
    np.testing.assert_allclose(summed, [0.8], rtol=1e-6)
    np.testing.assert_allclose(losses.squared_error(uniform, label), [0.16], rtol=1e-6)


@pytest.mark.slow
def test_losses_of_a_fitted_logistic_regression():
    """Study B1, digit by digit: fitted here by L-BFGS in one run, then measured by each loss."""
    x = np.float32(0.1) * np.array([[0, 3, 10, 14, 16, 18, 19, 23, 28, 31]], np.float32).T
    y = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1])
    dataset = nnstudy.Dataset('points', {'train': (x, y), 'test': (x + np.float32(1e-6), y)})
    config = nnstudy.default_config()
    config.model.name, config.loss.name = 'linear', 'binary_cross_entropy'
    config.optimizer.name, config.optimizer.learning_rate = 'lbfgs', 1.0
    config.batch_size, config.epochs, config.normalization = 10, 30, None
    config.split.train, config.split.validation = 'train', None
    config.regularization.l2 = 0.5 / 10  # 0.5 w² beside the sum, not the mean, of ten log losses
    (layer,) = nnstudy.run(config, data=dataset, quiet=True).params(0, 'final').values()
    logits = x @ layer['kernel'] + layer['bias']
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    printed = [0.133, 0.178, 0.325, 0.433, 0.490, 0.547, 0.576, 0.682, 0.792, 0.843]
    np.testing.assert_allclose(p[:, 0], printed, atol=6e-4)

    target = y[:, None].astype(np.float32)
    score = jnp.asarray(2 * (p - 0.5), jnp.float32)
    measured = {
        'squared': losses.squared_error(jnp.asarray(p, jnp.float32), target),
        'cross_entropy': losses.binary_cross_entropy(logits, jnp.asarray(y)),
        'zero_one': losses.zero_one(jnp.asarray(logits), y),
        'hinge': losses.binary_hinge(score, jnp.asarray(y)),
    }
    printed = {
        'squared': (0.1421, [18, 32, 106, 321, 240, 205, 331, 101, 43, 25]),
        'cross_entropy': (0.4487, [142, 195, 394, 837, 674, 603, 857, 382, 233, 170]),
        'zero_one': (0.2, [0, 0, 0, 1000, 0, 0, 1000, 0, 0, 0]),
        'hinge': (0.6805, [265, 355, 651, 1134, 980, 905, 1151, 635, 415, 313]),
    }
    for name, (mean, each) in printed.items():
        np.testing.assert_allclose(measured[name].mean(), mean, atol=2e-4, err_msg=name)
        np.testing.assert_allclose(1000 * measured[name], each, atol=1.1, err_msg=name)


def labelled(labels):
    labels = np.asarray(labels)
    x = np.random.default_rng(0).normal(size=(len(labels), 3))
    dataset = nnstudy.Dataset('mine', {'train': (x, labels), 'test': (x + 1, labels)})
    return nnstudy.data.prepare(dataset, None)


CLASSES, TWO, NUMBERS = labelled([0, 1, 2]), labelled([0, 1, 1]), labelled([0.5, 7, 2])
SHARES = labelled([[0.2, 0.8], [1, 0.0]])


def check(name, data):
    losses.check(resolve.study(make_config(loss=name)).config, data)


@pytest.mark.parametrize(
    ('name', 'data', 'message'),
    [
        ('binary_cross_entropy', CLASSES, 'is for two classes, and .* has 3: use one of .*softmax'),
        ('binary_hinge', CLASSES, 'is for two classes'),
        ('hinge', NUMBERS, 'needs class labels.*absolute_error, huber, squared_error$'),
        ('softmax_cross_entropy', NUMBERS, 'needs class labels, or distributions'),
        ('binary_cross_entropy', NUMBERS, 'labels from 0 to 1'),
    ],
)
def test_a_loss_that_does_not_fit_the_labels(name, data, message):
    with pytest.raises(UserError, match=message):
        check(name, data)


def test_a_loss_that_fits_the_labels_and_how_many_outputs_it_needs():
    fitting = {
        3: [('softmax_cross_entropy', CLASSES), ('hinge', CLASSES), ('squared_error', CLASSES)],
        2: [('softmax_cross_entropy', TWO), ('softmax_cross_entropy', SHARES), ('huber', TWO)],
        1: [('binary_cross_entropy', TWO), ('binary_hinge', TWO), ('huber', NUMBERS)],
    }
    fitting[2].append(('binary_cross_entropy', SHARES))
    for num_outputs, pairs in fitting.items():
        for name, data in pairs:
            check(name, data)
            assert losses.num_outputs(losses.LOSSES[name], data) == num_outputs


def test_a_loss_of_ones_own_says_what_it_takes_or_takes_all(monkeypatch):
    def plain(outputs, labels):
        return jnp.zeros(len(outputs))

    logit = losses.Traits(is_binary=True, link=jax.nn.sigmoid)(
        lambda outputs, labels: outputs[:, 0]
    )
    for name in [*losses.LOSSES]:
        monkeypatch.delitem(losses.LOSSES, name)
    monkeypatch.setitem(losses.LOSSES, 'plain', plain)
    monkeypatch.setitem(losses.LOSSES, 'logit', logit)
    for data, num_outputs in ((CLASSES, 3), (TWO, 2), (NUMBERS, 1), (SHARES, 2)):
        check('plain', data)
        assert losses.num_outputs(plain, data) == num_outputs
    assert losses.traits(plain).link(2.0) == 2.0
    assert losses.num_outputs(logit, TWO) == 1
    assert losses.traits(logit).link(0.0) == 0.5
    with pytest.raises(UserError, match="'logit' is for two classes, .* has 3: use one of plain$"):
        check('logit', CLASSES)


def test_an_unknown_reduction():
    with pytest.raises(UserError, match="config.loss.reduction 'summ': did you mean 'sum'"):
        resolve.SLOTS['loss'].resolve(Component('squared_error', {'reduction': 'summ'}))


@pytest.mark.parametrize(
    ('name', 'field'),
    [
        ('huber', 'delta'),
        ('softmax_cross_entropy', 'label_smoothing'),
        ('binary_cross_entropy', 'label_smoothing'),
    ],
)
def test_another_value_of_a_float_field_is_the_same_program(name, field):
    outputs = jnp.array([[0.3], [2.0]]) if name.startswith('binary') else 3 * jnp.eye(2)
    loss = jax.jit(functools.partial(losses.LOSSES[name], outputs, jnp.array([0, 1])))
    a, b = (loss(**{field: jnp.float32(value)}) for value in (0.1, 0.5))
    assert loss._cache_size() == 1
    assert not np.allclose(a, b)
