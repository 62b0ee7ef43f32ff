"""Maps of two swept fields: every run in its cell, and the right shade on it."""

import numpy as np
import pytest

from nnstudy import UserError
from nnstudy.report import maps

RATE, DECAY = 'optimizer.learning_rate', 'optimizer.weight_decay'


def image_of(picture):
    (image,) = picture.axes[0].get_images()
    return image


def test_cells_are_medians_over_seeds(study):
    results = study({RATE: [0.01, 0.1, 1.0], 'batch_size': [16, 64]}, seeds=5)
    picture = maps.heat_map(results, RATE, 'batch_size')
    expected = results.runs.pivot_table(
        values='test_accuracy', index='batch_size', columns=RATE, aggfunc='median'
    )
    np.testing.assert_allclose(image_of(picture).get_array(), 100 * expected)
    panel = picture.axes[0]
    assert [t.get_text() for t in panel.get_xticklabels()] == ['0.01', '0.1', '1']
    assert [t.get_text() for t in panel.get_yticklabels()] == ['16', '64']
    written = [t.get_text() for t in panel.texts]
    assert len(written) == 6 and written[0] == f'{100 * expected.iloc[0, 0]:.3g}'
    assert 'Median of 5 runs' in picture.get_supxlabel()


def test_values_apart_and_categories(study):
    """Off and names have cells of their own; what is pooled is said."""
    grid = {DECAY: [None, 0.0, 1e-4, 1e-2], 'model.activation': ['relu', 'tanh'], RATE: [0.1, 1.0]}
    results = study(grid, seeds=2)
    picture = maps.heat_map(results, DECAY, 'model.activation', 'test_loss')
    panel = picture.axes[0]
    assert [t.get_text() for t in panel.get_xticklabels()] == ['off', '0', '0.0001', '0.01']
    assert [t.get_text() for t in panel.get_yticklabels()] == ['relu', 'tanh']
    assert image_of(picture).get_array().shape == (2, 4)
    assert f'Pooled over {RATE}' in picture.get_supxlabel()


def test_diverged_cells_are_crossed(study):
    results = study({RATE: [0.1, 1.0, 30.0], 'batch_size': [16, 64]}, seeds=2)
    runs = results.runs
    runs['status'] = np.where(runs[RATE] == 30.0, 'diverged', 'finished')
    panel = maps.heat_map(results, RATE, 'batch_size').axes[0]
    marked = {tuple(np.round(np.ravel(line.get_xydata())).tolist()) for line in panel.lines}
    assert marked == {(2.0, 0.0), (2.0, 1.0)}


def test_exploding_runs_leave_the_others_their_colours(study):
    results = study({RATE: [0.1, 1.0, 30.0], 'batch_size': [16, 64]}, seeds=2)
    runs = results.runs
    is_wild = runs[RATE] == 30.0
    runs['status'] = np.where(is_wild, 'diverged', 'finished')
    runs['test_loss'] = np.where(is_wild, 1e30, 0.5)
    picture = maps.heat_map(results, RATE, 'batch_size', 'test_loss')
    np.testing.assert_allclose(image_of(picture).get_array(), [[0.5, 0.5, 1.5]] * 2)
    assert 'Values above 1.5 are shown as 1.5' in picture.get_supxlabel()


def test_long_axes_name_round_numbers(study):
    results = study(
        {RATE: np.geomspace(1e-4, 1, 30).tolist(), 'batch_size': list(range(1, 31))}, seeds=1
    )
    panel = maps.heat_map(results, RATE, 'batch_size').axes[0]
    texts = [label.get_text() for label in panel.get_xticklabels()]
    named = dict(zip(texts, panel.get_xticks(), strict=True))
    assert named.keys() == {'0.0001', '0.001', '0.01', '0.1', '1'}
    np.testing.assert_allclose([named['0.0001'], named['1'], named['0.01']], [0, 29, 14.5])
    assert not panel.texts


def test_what_cannot_be_drawn_is_refused(study):
    results = study({RATE: [0.01, 0.1], 'batch_size': [16, 64]}, seeds=2)
    with pytest.raises(UserError, match="unknown swept field 'epochs'"):
        maps.heat_map(results, RATE, 'epochs')
    with pytest.raises(UserError, match="unknown metric 'accuracy'"):
        maps.heat_map(results, *results.swept, 'accuracy')
