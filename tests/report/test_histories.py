import io

import numpy as np
import pytest

from nnstudy import errors
from nnstudy.report import histories

RATES = {'optimizer.learning_rate': [0.1, 0.5]}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(('regression', 'second'), [(False, 'accuracy (%)'), (True, 'MAE')])
def test_train_and_test_curves_of_each_setting(study, regression, second):
    results = study(RATES, seeds=4, regression=regression)
    names = {f'rate {r}': {'optimizer.learning_rate': r} for r in (0.5, 0.1)}
    figure = histories.train_and_test(results, names)
    loss, other = figure.axes
    assert (loss.get_ylabel(), other.get_ylabel()) == ('loss', second)
    assert legend(figure) == ['rate 0.5', 'rate 0.1', 'train', 'test']
    history = results.history[results.history['point'] == 1]  # rate 0.5, drawn first
    for line, split in zip(loss.lines[:2], ('train', 'test'), strict=True):
        expected = history.groupby('epoch')[f'{split}_loss'].median()
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert (line.get_linestyle() == '-') == (split == 'train')
    assert '4 seeds' in figure.get_supxlabel()
    figure.savefig(io.BytesIO(), dpi=40)


def test_points_are_named_by_their_fields_by_default(study):
    results = study(RATES, seeds=2)
    assert legend(histories.train_and_test(results, split='validation')) == [
        *('0.1', '0.5', 'train', 'validation')
    ]


def test_mistakes_are_said(study):
    results = study({'optimizer.learning_rate': np.geomspace(0.01, 1, 7).tolist()})
    with pytest.raises(errors.UserError, match='7 points are too many'):
        histories.train_and_test(results)
    with pytest.raises(errors.UserError, match="'all' stands for 7 points"):
        histories.train_and_test(results, {'all': {}})
    one = {'low': {'optimizer.learning_rate': 0.01}}
    with pytest.raises(errors.UserError, match="unknown metric 'train_r2'"):
        histories.train_and_test(results, one, metric='r2')


def test_traces_have_a_thick_line_of_medians(study):
    results = study(RATES, seeds=3)
    history = results.history
    history['sharpness'] = np.arange(len(history), dtype=float)
    picture = histories.traces(results, ['train_loss', 'sharpness'])
    for panel, column in zip(picture.axes, ('train_loss', 'sharpness'), strict=True):
        thick, thin = panel.lines, panel.collections
        assert len(thick) == 2 and [len(runs.get_paths()) for runs in thin] == [3, 3]
        rows = history[history['point'] == 1].groupby('step')[column].median()
        np.testing.assert_allclose(thick[1].get_ydata(), rows)
        np.testing.assert_array_equal(thick[1].get_xdata(), rows.index)
    with pytest.raises(errors.UserError, match="unknown column of the history 'hardness'"):
        histories.traces(results, ['hardness'])
