"""Results: what is read from a working directory, and the parameters of each run."""

import jax
import numpy as np
import pandas as pd
import pytest
from small import make_config

import nnstudy
from nnstudy import UserError
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib


def test_parameters_are_those_that_training_gives(dataset, tmp_path):
    """From memory and from the directory: those of `make_train` with the keys of the same seed."""
    config = make_config(num_seeds=2)
    points = nnstudy.choice('optimizer.learning_rate', [0.1, 0.3])
    results = nnstudy.run(config, points, tmp_path, dataset, quiet=True)
    (group,) = plan_lib.make(config, points, data=dataset).groups
    train = jax.jit(nnstudy.make_train(config))
    for run, seed, rate in results.runs[['run', 'seed', 'optimizer.learning_rate']].to_numpy():
        hparams = {'optimizer.learning_rate': np.float32(rate)}
        state, _ = train(nnstudy.make_keys(int(seed)), hparams, group.data)
        expected = {'final': state.variables['params'], 'best': state.best.variables['params']}
        for which, params in expected.items():
            for kept in (results, nnstudy.load(tmp_path)):
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
                    dict(kept.params(int(run), which)),
                    dict(params),
                )
    with pytest.raises(UserError, match='no run 4'):
        results.params(4)
    with pytest.raises(UserError, match="did you mean 'best'"):
        results.params(0, 'bets')


def test_load_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match='holds no study'):
        nnstudy.load(tmp_path)
    with pytest.raises(UserError, match='holds no study'):
        nnstudy.load(tmp_path / 'nowhere')
    for text in ('[]', '{"architectures": ["ResNet"]}'):  # of some other program
        (tmp_path / 'config.json').write_text(text)
        with pytest.raises(UserError, match='holds no study'):
            nnstudy.load(tmp_path)
    (tmp_path / 'config.json').write_text('{"digest": "0", "config": {}, "keys": []}')
    with pytest.raises(UserError, match='not finished'):
        nnstudy.load(tmp_path)


def test_measured_columns_are_added_again_and_replace_none_of_the_study(dataset):
    """`measure` is called at every end of a study, also of one that was finished before."""
    study = nnstudy.run(make_config(num_seeds=2), data=dataset, quiet=True)
    ones = [1.0] * len(study.runs)
    once = results_lib.with_columns(study, {'best_margin': ones})
    twice = results_lib.with_columns(once, {'best_margin': ones})
    assert twice.runs['best_margin'].tolist() == ones
    for name in ('test_loss', 'best_test_accuracy', 'best_step', 'status'):
        with pytest.raises(UserError, match=f'has its own column {name!r}'):
            results_lib.with_columns(study, {name: ones})
    for values in (1.0, ones[1:], [ones] * 2, [[1.0], ones], [{}, {}]):
        with pytest.raises(UserError, match="column 'mine' must be a number or a text for each"):
            results_lib.with_columns(study, {'mine': values})
    with pytest.raises(UserError, match='column 1 must be'):
        results_lib.with_columns(study, {1: ones})


def test_a_measured_series_is_read_by_its_index(dataset):
    study = nnstudy.run(make_config(num_seeds=2), data=dataset, quiet=True)
    turned = pd.Series([1.0, 2.0], index=[1, 0])
    assert results_lib.with_columns(study, {'mine': turned}).runs['mine'].tolist() == [2.0, 1.0]
    with pytest.raises(UserError, match='a Series has the index of results.runs'):
        results_lib.with_columns(study, {'mine': turned.set_axis(['a', 'b'])})
