"""Whether more is better is asked of the metric itself, and kept with the results."""

import jax.numpy as jnp
import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy import Quantity, metrics
from nnstudy.analysis.quantities import values


@pytest.mark.parametrize('is_higher', [True, False])
def test_an_own_metric_is_read_the_right_way_around(is_higher, monkeypatch, tmp_path):
    """From the working directory alone, where the metric itself is not known any more."""

    def own(outputs, labels):  # its name ends like that of a metric of which more is better
        return jnp.square(outputs[:, 0] - labels)

    metric = metrics.Metric(own, higher_is_better=is_higher)
    monkeypatch.setitem(metrics.METRICS, 'my_accuracy', metric)
    config = make_config(num_seeds=2, epochs=3, metrics=('my_accuracy',))
    config.stop.metric, config.stop.target = 'test_my_accuracy', 1e9 if is_higher else -1e9
    points = nnstudy.choice('optimizer.learning_rate', [0.01])
    nnstudy.run(config, points, tmp_path, make_dataset(), quiet=True)
    monkeypatch.delitem(metrics.METRICS, 'my_accuracy')

    results = nnstudy.load(tmp_path)
    history = results.history[results.history['step'] > 0]
    assert history['step'].nunique() > 1, 'the target is not reached'
    by_seed = history.groupby('seed')['test_my_accuracy']
    measured = Quantity('test_my_accuracy')
    highest, lowest = by_seed.max().tolist(), by_seed.min().tolist()
    best, worst = (highest, lowest) if is_higher else (lowest, highest)
    assert values(results, measured.at('best')).tolist() == best
    assert values(results, measured.at('worst')).tolist() == worst
    level = 1e9 if is_higher else -1e9
    assert np.isinf(values(results, measured.reaches(level))).all()
    assert (values(results, measured.reaches(-level)) == history['epoch'].min()).all()
    results.runs['test_my_accuracy'] = np.nan
    assert (values(results, measured) == (-np.inf if is_higher else np.inf)).all()


def test_columns_have_the_direction_of_their_metric():
    up = ['test_accuracy', 'best_test_accuracy', 'test_class_accuracy_3', 'moved_2_accuracy']
    down = ['test_loss', 'batch_loss', 'train_zero_one', 'test_confusion_0_1', 'sharpness']
    assert all(metrics.higher_is_better(column) for column in [*up, 'test_r2', 'accuracy'])
    assert not any(metrics.higher_is_better(column) for column in [*down, 'test_mae', 'loss'])
