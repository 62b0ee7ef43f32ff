import dataclasses
import io

import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from configs.pictures import feature_maps
from nnstudy import errors
from nnstudy.report import examples
from nnstudy.training import resolve


@pytest.fixture(scope='module')
def results():
    """Three classes of colour images, hardly learnt, so that there are mistakes."""
    config = make_config(
        num_seeds=3,
        epochs=1,
        metrics=('confusion',),
        optimizer__learning_rate=0.02,
        split__train='train',
        split__validation=None,
    )
    data = make_dataset((4, 4, 3))
    data = nnstudy.Dataset('small', data.splits, class_names=('cat', 'dog', 'owl'))
    return nnstudy.run(config, data=data, quiet=True)


def all_texts(figure):
    shown = [text.get_text() for panel in figure.axes for text in panel.texts]
    titles = [panel.get_title() for panel in figure.axes]
    titles += [panel.get_title(loc='left') for panel in figure.axes]
    return ' '.join([figure.get_supxlabel(), *shown, *titles]).replace('\n', ' ')


def render(figure):
    figure.savefig(io.BytesIO(), dpi=40)


def test_a_confusion_matrix_has_medians_and_shares(results):
    figure = examples.confusion(results)
    render(figure)
    names = [f'test_confusion_{i}_{j}' for i in range(3) for j in range(3)]
    counts = results.runs[names].to_numpy().reshape(3, 3, 3)
    medians = np.median(counts, axis=0)
    left, right = figure.axes
    written = [text.get_text() for text in left.texts]
    assert written == [f'{n:g}' for n in medians.ravel() if n]
    assert [label.get_text() for label in left.get_yticklabels()] == ['cat', 'dog', 'owl']
    shares = 100 * np.median(counts / counts.sum(axis=2, keepdims=True), axis=0)
    np.testing.assert_allclose(right.images[0].get_array(), shares)
    assert f'{shares[0, 0]:.0f}' in [text.get_text() for text in right.texts]
    assert 'Median over 3 seeds' in figure.get_supxlabel()


def test_a_confusion_matrix_is_the_same_without_its_columns(results):
    """Then it is made of what the runs say of the examples."""
    names = [name for name in results.runs if 'confusion' in name]
    bare = dataclasses.replace(results, runs=results.runs.drop(columns=names))
    assert all_texts(examples.confusion(bare)) == all_texts(examples.confusion(results))


def test_the_typical_run_is_the_median_one(results):
    run = examples.typical(results, 0).run
    accuracy = results.runs.set_index('run')['test_accuracy']
    assert accuracy[run] == accuracy.median()


def test_misclassified_images_are_all_mistakes_surest_first(results):
    figure = examples.misclassified(results, num=4)
    render(figure)
    said = results.predict(examples.typical(results, 0).run, which='final')
    wrong = np.flatnonzero(said.classes != said.labels)
    assert len(wrong) > 4
    order = wrong[np.argsort(-said.confidence[wrong])][:4]
    names = ('cat', 'dog', 'owl')
    shown = [panel for panel in figure.axes if panel.images]
    for panel, i in zip(shown, order, strict=True):
        true, taken_for, rest = panel.get_title().split('\n')
        assert (true, taken_for) == (names[said.labels[i]], f'→ {names[said.classes[i]]}')
        assert rest.startswith(f'{said.confidence[i]:.0%}, ') and rest[-3:] in ('1/3', '2/3', '3/3')
        np.testing.assert_allclose(panel.images[0].get_array(), said.inputs[i] / 255, rtol=1e-6)
    assert f'{len(wrong)} of 20 images' in figure.get_supxlabel()


def test_a_net_without_mistakes_is_said(results):
    """As if the labels were what the typical run says."""
    said = results.predict(examples.typical(results, 0).run, which='final')
    splits = {**results.data.splits, 'test': (said.inputs, said.classes)}
    data = dataclasses.replace(results.data, splits=splits)
    figure = examples.misclassified(dataclasses.replace(results, data=data))
    render(figure)
    assert 'no image is misclassified' in all_texts(figure)


def test_a_sample_has_prediction_confidence_and_truth(results):
    figure = feature_maps.sample(results, index=2)
    render(figure)
    said = results.predict(examples.typical(results, 0).run)
    names = ('cat', 'dog', 'owl')
    written = all_texts(figure)
    assert f'predicted: {names[said.classes[2]]} ({said.confidence[2]:.1%})' in written
    assert f'true: {names[said.labels[2]]}' in written
    image, bars = figure.axes
    assert image.images[0].get_array().shape == (4, 4, 3)
    each = [results.predict(run).probabilities[2] for run in range(3)]
    widths = [bar.get_width() for bar in bars.patches]
    np.testing.assert_allclose(widths, 100 * np.median(each, axis=0), rtol=1e-4)


def test_of_many_classes_the_likeliest_and_the_true_one_are_shown():
    config = make_config(epochs=1, split__train='train', split__validation=None)
    results = nnstudy.run(config, data=make_dataset(num_train=200, num_classes=24), quiet=True)
    figure = examples.confusion(results)
    render(figure)
    assert not figure.axes[0].texts and len(figure.axes) == 3  # shades and a colour bar
    figure = feature_maps.sample(results)
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert len(names) in (10, 11)
    assert sum('(true)' in name for name in names) == 1


def test_mistakes_are_said(results, regression):
    with pytest.raises(errors.UserError, match='no test image 20: there are 20, from 0 on'):
        feature_maps.sample(results, index=20)
    config = make_config(loss__name='squared_error', split__train='train', split__validation=None)
    resolved = resolve.study(config).config
    numbers = dataclasses.replace(results, config=resolved, data=regression)
    with pytest.raises(errors.UserError, match="'line' has numbers to predict, not classes"):
        examples.confusion(numbers)
    with pytest.raises(errors.UserError, match="'line' has no images of classes"):
        examples.misclassified(numbers)
