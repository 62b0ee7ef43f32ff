"""Metrics against scikit-learn, and as a study measures them batch by batch."""

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import metrics as sk_metrics
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError
from nnstudy.training import evaluation, metrics


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(st.sampled_from((1, 60)), st.sampled_from((2, 5, 9)), st.integers(0, 2**16))
def test_classification_metrics_equal_scikit_learn(num_examples, num_classes, seed):
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(num_examples, num_classes)).astype(np.float32)
    labels = rng.integers(0, num_classes, num_examples)
    predicted, known = outputs.argmax(axis=1), range(num_classes)
    confusion = sk_metrics.confusion_matrix(labels, predicted, labels=known)
    expected = {
        'accuracy': sk_metrics.accuracy_score(labels, predicted),
        'confusion': confusion,
    }
    if num_classes > 5:
        expected['top_5_accuracy'] = sk_metrics.top_k_accuracy_score(
            labels, outputs, k=5, labels=known
        )
    for name, value in expected.items():
        got = metrics.METRICS[name](jnp.asarray(outputs), jnp.asarray(labels))
        np.testing.assert_allclose(got, value, rtol=1e-5, err_msg=name)
    each = metrics.METRICS['class_accuracy'](jnp.asarray(outputs), jnp.asarray(labels))
    there = np.unique(labels)
    recall = sk_metrics.recall_score(labels, predicted, labels=there, average=None)
    np.testing.assert_allclose(each[there], recall, rtol=1e-5)
    assert np.isnan(np.delete(each, there)).all()


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    st.sampled_from((2, 60)), st.sampled_from((1, 3)), st.floats(0, 1e3), st.integers(0, 2**16)
)
def test_regression_metrics_equal_scikit_learn(num_examples, num_outputs, offset, seed):
    outputs, labels = np.random.default_rng(seed).normal(size=(2, num_examples, num_outputs))
    outputs, labels = (outputs + offset).astype(np.float32), (labels + offset).astype(np.float32)
    origin = labels[:1]  # as a study does, so that sums of squares keep their digits
    for name, reference in (
        ('mae', sk_metrics.mean_absolute_error),
        ('mse', sk_metrics.mean_squared_error),
        ('r2', sk_metrics.r2_score),
    ):
        got = metrics.METRICS[name](outputs - origin, labels - origin)
        np.testing.assert_allclose(got, reference(labels, outputs), rtol=2e-3, err_msg=name)


def test_equal_outputs_rank_by_class_as_for_argmax():
    """A net that is dead is right as often as by chance, not always."""
    outputs, labels = jnp.zeros((20, 10)), jnp.arange(20) % 10
    assert metrics.METRICS['top_5_accuracy'](outputs, labels) == 0.5
    assert metrics.METRICS['zero_one'](outputs, labels) == pytest.approx(0.9)


@pytest.mark.slow
def test_a_run_stops_above_a_target_of_r2_and_below_one_of_an_error(regression):
    fields = {'loss__name': 'squared_error', 'model__name': 'linear', 'normalization': None}
    fields |= {'split__train': 'train[:30]', 'split__validation': 'train[30:]', 'epochs': 30}
    for metric, target in (('r2', 0.5), ('mse', 1.0)):
        config = make_config(
            metrics=('r2', 'mse'), stop__metric=f'test_{metric}', stop__target=target, **fields
        )
        results = nnstudy.run(config, data=regression, quiet=True)
        values = results.history[f'test_{metric}']
        row = results.runs.iloc[0]
        assert row['status'] == 'stopped' and 0 < row['steps'] < 30 * 4
        met = values > target if metric == 'r2' else values < target
        assert met[results.history['step'] == row['steps']].all()
        assert not met[results.history['step'] < row['steps']].any()


def test_numbers_that_are_probabilities_are_measured_as_such():
    """Labels of 0. and 1. under cross-entropy: errors are of probabilities, not of logits."""
    x, y = make_dataset((6,), num_classes=2).splits['train']
    dataset = nnstudy.Dataset('shares', {'train': (x, y.astype(float)), 'test': (x + 1, y * 1.0)})
    config = make_config(
        loss__name='binary_cross_entropy', model__name='linear', split__validation=None
    )
    row = nnstudy.run(config, data=dataset, quiet=True).runs.iloc[0]
    assert 0 < row['test_mae'] < 0.5


def test_a_single_output_tells_two_classes_apart():
    outputs, labels = jnp.array([[0.2], [-3.0], [4.0]]), jnp.array([1, 0, 0])
    assert metrics.METRICS['accuracy'](outputs, labels) == pytest.approx(2 / 3)
    confusion = metrics.METRICS['confusion'](outputs, labels)
    assert confusion.tolist() == [[1, 1], [0, 1]]


def predictions(results, dataset, split):
    """Outputs of an MLP of one hidden layer, in NumPy."""
    x, y = nnstudy.data.select(dataset, split)
    x = x.reshape(len(x), -1) / np.float32(dataset.max_value)
    params = results.params(0, 'final')
    hidden = np.maximum(x @ params['Dense_0']['kernel'] + params['Dense_0']['bias'], 0)
    return hidden @ params['Dense_1']['kernel'] + params['Dense_1']['bias'], y


def test_a_study_measures_whole_splits(monkeypatch):
    """In batches that do not divide the splits; arrays become columns."""
    monkeypatch.setattr(evaluation, 'BATCH_SIZE', 7)
    dataset = make_dataset(num_classes=6)
    config = make_config(metrics=('class_accuracy', 'confusion', 'top_5_accuracy'))
    results = nnstudy.run(config, data=dataset, quiet=True)
    row = results.runs.iloc[0]
    for split, spec in (('train', 'train[:36]'), ('validation', 'train[36:]'), ('test', 'test')):
        outputs, y = predictions(results, dataset, spec)
        predicted, known = outputs.argmax(axis=1), range(6)
        confusion = sk_metrics.confusion_matrix(y, predicted, labels=known)
        got = [[row[f'{split}_confusion_{i}_{j}'] for j in known] for i in known]
        np.testing.assert_array_equal(got, confusion)
        with np.errstate(invalid='ignore'):
            expected = np.diagonal(confusion) / confusion.sum(axis=1)
        got = [row[f'{split}_class_accuracy_{i}'] for i in known]
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        top = sk_metrics.top_k_accuracy_score(y, outputs, k=5, labels=known)
        np.testing.assert_allclose(row[f'{split}_top_5_accuracy'], top, rtol=1e-6)
    assert 'test_confusion_5_5' in results.history


def test_a_study_of_numbers_measures_r2_and_a_metric_of_ones_own(regression, monkeypatch):
    def over(outputs, labels):
        return (outputs > labels).mean(axis=-1)

    monkeypatch.setitem(metrics.METRICS, 'over', metrics.Metric(over, is_regression=True))
    config = make_config(
        loss__name='squared_error',
        metrics=('r2', 'mse', 'over'),
        split__train='train[:30]',
        split__validation='train[30:]',
        normalization=None,
    )
    row = nnstudy.run(config, data=regression, quiet=True).runs.iloc[0]
    y = regression.splits['test'][1]
    assert row['test_mse'] == pytest.approx(row['test_loss'], rel=1e-5)
    assert row['test_r2'] == pytest.approx(1 - row['test_loss'] / y.var(), rel=1e-4)
    assert row['test_over'] * len(y) == pytest.approx(round(row['test_over'] * len(y)), abs=1e-3)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (('acuracy',), "unknown metric in config.metrics 'acuracy': did you mean 'accuracy'"),
        (('r2',), "config.metrics: 'r2' is for regression.* accepted are accuracy"),
        (('top_5_accuracy',), 'needs 6 classes or more, and the data set has 3'),
    ],
)
def test_metrics_that_mean_nothing(names, message):
    with pytest.raises(UserError, match=message):
        nnstudy.run(make_config(metrics=names), data=make_dataset(), quiet=True)


@pytest.mark.parametrize(
    ('name', 'metric'),
    [('mine', lambda outputs, labels: outputs), ('loss', metrics.Metric(lambda o, y: o[:, 0]))],
)
def test_what_is_no_metric_or_would_hide_the_loss(name, metric, monkeypatch):
    monkeypatch.setitem(metrics.METRICS, name, metric)
    with pytest.raises(UserError, match=f"METRICS\\['{name}'\\] must be an nnstudy.metrics.Metric"):
        nnstudy.run(make_config(metrics=(name,)), data=make_dataset(), quiet=True)


def test_accuracy_of_numbers_is_refused(regression):
    config = make_config(
        loss__name='squared_error',
        metrics=('accuracy',),
        split__train='train[:30]',
        split__validation='train[30:]',
    )
    with pytest.raises(UserError, match="'accuracy' is for classification.* mae, mse, r2"):
        nnstudy.run(config, data=regression, quiet=True)
