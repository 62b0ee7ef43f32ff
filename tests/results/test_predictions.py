import gc
import weakref

import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy import errors
from nnstudy.results import predictions as predict


@pytest.fixture(scope='module')
def results(dataset):
    config = make_config(num_seeds=2)
    points = nnstudy.choice('model.widths', [(8,), (5,)])
    return nnstudy.run(config, points, data=dataset, quiet=True)


def test_predictions_are_those_of_the_net(results, dataset):
    """The outputs of an MLP in NumPy, in batches that do not divide the split."""
    got = results.predict(2, which='final')
    x, y = dataset.splits['test']
    params = results.params(2, 'final')
    assert params['Dense_0']['kernel'].shape == (16, 5)  # run 2 is of the second point
    hidden = np.maximum(
        x.reshape(len(x), -1) / 255 @ params['Dense_0']['kernel'] + params['Dense_0']['bias'], 0
    )
    expected = hidden @ params['Dense_1']['kernel'] + params['Dense_1']['bias']
    np.testing.assert_allclose(got.outputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got.inputs, x)
    np.testing.assert_array_equal(got.labels, y)
    shares = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got.probabilities, shares, rtol=1e-4)
    np.testing.assert_allclose(got.confidence, shares.max(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(got.classes, expected.argmax(axis=1))


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
@pytest.mark.parametrize('which', ['final', 'best'])
def test_accuracies_are_those_of_the_table(results, split, which, monkeypatch):
    monkeypatch.setattr(predict.evaluation, 'BATCH_SIZE', 7)
    for run in results.runs.itertuples():
        history = results.history[results.history['run'] == run.run].set_index('step')
        step = run.best_step if which == 'best' else history.index[-1]
        got = results.predict(run.run, split, which)
        assert np.mean(got.classes == got.labels) == pytest.approx(
            history.loc[step, f'{split}_accuracy']
        )


def test_a_part_of_a_split(results):
    whole = results.predict(0, 'validation')
    part = results.predict(0, 'validation', num=3)
    np.testing.assert_array_equal(part.inputs, whole.inputs[:3])
    np.testing.assert_allclose(part.outputs, whole.outputs[:3], rtol=1e-6)
    assert len(results.predict(0, 'validation', num=100).labels) == len(whole.labels) == 8


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """The directory of a study of digits; its points differ in components and nets."""
    config = make_config(split__train='train[:40]', split__validation=None, epochs=1)
    points = [
        {'schedule.name': 'rounded', 'schedule.decay': 0.1, 'model.widths': (8,)},
        {'schedule.name': 'constant', 'model.widths': (5,)},
        {'schedule.name': 'constant', 'model.widths': (5,), 'optimizer.learning_rate': 0.2},
    ]
    workdir = tmp_path_factory.mktemp('digits')
    nnstudy.run(config, points, workdir, quiet=True)
    return workdir


def test_a_finished_study_predicts_from_its_directory(digits):
    """Without the data set in memory, by its name."""
    results = nnstudy.load(digits)
    for run in (0, 1, 2):
        got = results.predict(run)
        assert got.inputs.shape == (len(got.labels), 8, 8, 1)
        accuracy = results.runs['best_test_accuracy'][run]
        assert np.mean(got.classes == got.labels) == pytest.approx(accuracy)


@pytest.mark.slow
def test_statistics_of_batches_are_the_runs_own():
    """A model with dropout and batch normalisation predicts as it is evaluated."""
    config = make_config(model__batch_norm='before', model__dropout=0.5, split__validation=None)
    results = nnstudy.run(config, data=make_dataset(), quiet=True)
    got = results.predict(0, which='final')
    loss = -np.log(got.probabilities[np.arange(len(got.labels)), got.labels]).mean()
    assert loss == pytest.approx(results.runs['test_loss'][0], rel=1e-4)


def test_numbers_are_predicted_on_the_scale_of_the_labels(regression):
    config = make_config(
        loss__name='squared_error',
        split__train='train',
        split__validation=None,
        normalization='standard',
    )
    results = nnstudy.run(config, data=regression, quiet=True)
    got = results.predict(0, which='final')
    error = np.abs(got.outputs - got.labels).mean()
    assert error == pytest.approx(results.runs['test_mae'][0], rel=1e-4)


def test_probabilities_of_a_single_output():
    outputs = np.array([[0.0], [-2.0], [3.0]], np.float32)
    got = predict.Predictions(np.zeros((3, 1)), np.array([1, 0, 0]), outputs)
    np.testing.assert_array_equal(got.classes, [0, 0, 1])
    np.testing.assert_allclose(got.probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(got.confidence, 1 / (1 + np.exp([0, -2, -3])), rtol=1e-6)


def test_mistakes_are_said(results):
    with pytest.raises(errors.UserError, match='no run 7: there are 4 runs, from 0 to 3'):
        results.predict(7)
    with pytest.raises(errors.UserError, match="unknown split 'tset': did you mean 'test'"):
        results.predict(0, 'tset')
    with pytest.raises(errors.UserError, match="kind of parameters 'last'"):
        results.predict(0, which='last')
    with pytest.raises(errors.UserError, match='num must be at least 1, or None for all, not 0'):
        results.predict(0, num=0)
    with pytest.raises(errors.UserError, match='no point 2: there are 2, from 0 on'):
        results.net(2)


def test_other_data_than_in_training_are_refused(tmp_path, dataset):
    nnstudy.run(make_config(), data=dataset, workdir=tmp_path, quiet=True)
    with pytest.raises(errors.UserError, match=r'must be an nnstudy.Dataset, not dict'):
        nnstudy.load(tmp_path, data=dict(dataset.splits))
    texts = {split: (np.full(len(y), 'a b'), y) for split, (_, y) in dataset.splits.items()}
    results = nnstudy.load(tmp_path, data=nnstudy.Dataset('small', texts))
    with pytest.raises(errors.UserError, match="'mlp' does not take texts"):
        results.predict(0)


def test_the_data_of_a_point_are_read_once(digits, monkeypatch):
    """And no longer kept than the results are."""
    results = nnstudy.load(digits)
    reads = []
    load = predict.data_lib.load
    monkeypatch.setattr(predict.data_lib, 'load', lambda *args: reads.append(args) or load(*args))
    for point in (0, 1, 0, 1, 2, 1, 2):
        assert results.net(point) is results.net(point)
    assert len(reads) == 3
    net = weakref.ref(results.net(2).dataset)
    del results
    gc.collect()
    assert net() is None
