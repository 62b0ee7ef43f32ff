"""The winner once more: the same point, and seeds that had no say in its choice."""

import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy.analysis import comparison


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    points = nnstudy.choice('optimizer.learning_rate', [1e-4, 0.1, 0.3])
    config = make_config(num_seeds=3, seed=4)
    workdir = tmp_path_factory.mktemp('study')
    return nnstudy.run(config, points, workdir, make_dataset(), quiet=True)


def test_the_best_point_with_fresh_seeds(results):
    again = nnstudy.rerun(results, 5, quiet=True)
    assert again.runs['seed'].tolist() == [7, 8, 9, 10, 11]
    assert not set(again.runs['seed']) & set(results.runs['seed'])
    assert again.points == [results.points[comparison.best(results.runs).point]]
    unchanged = again.config.replace({'seed': 4, 'num_seeds': 3})
    assert unchanged.flat == results.config.flat
    # A run is what it would have been in the study.
    config = make_config(num_seeds=4, seed=4)
    longer = nnstudy.run(config, again.points, data=make_dataset(), quiet=True).runs
    np.testing.assert_array_equal(again.runs['test_loss'][0], longer['test_loss'][3])


def test_from_a_working_directory(results):
    loaded = nnstudy.load(results.workdir, data=make_dataset())
    again = nnstudy.rerun(loaded, point=0, quiet=True)
    assert again.points == [results.points[0]]
    assert again.runs['seed'].tolist() == [7, 8, 9]
    with pytest.raises(nnstudy.UserError, match='no point 3: there are 3'):
        nnstudy.rerun(loaded, point=3)
