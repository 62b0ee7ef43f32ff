"""Plans: what shares a program, how runs are numbered, and what is refused before compiling."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError, models
from nnstudy.running import layout
from nnstudy.running import plan as plan_lib
from nnstudy.training import metrics


def make(points=None, dataset=None, **fields):
    return plan_lib.make(make_config(**fields), points, data=dataset or make_dataset())


def test_floats_share_a_program_and_the_rest_does_not():
    points = nnstudy.grid(
        nnstudy.choice('model.widths', [(4,), (8, 8)]),
        nnstudy.choice('optimizer.learning_rate', [0.1, 0.2, 1]),
    )
    plan = make(points, num_seeds=2, seed=5)
    assert plan.num_runs == 12
    assert [group.runs.tolist() for group in plan.groups] == [list(range(6)), list(range(6, 12))]
    first = plan.groups[0]
    assert first.points.tolist() == [0, 0, 1, 1, 2, 2]
    assert first.seeds.tolist() == [5, 6] * 3
    rates = first.hparams['optimizer.learning_rate']
    assert rates.dtype == np.float32
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.2, 0.2, 1, 1], rtol=1e-6)


def test_a_program_is_traced_once_for_all_plans_of_it():
    make(optimizer__learning_rate=0.1)
    traced = layout._trace.cache_info().misses
    plan = make(optimizer__learning_rate=0.3, seed=7, num_seeds=3)
    assert layout._trace.cache_info().misses == traced
    assert make(batch_size=9).groups[0].layout.num_params == plan.groups[0].layout.num_params
    assert layout._trace.cache_info().misses == traced + 1


def test_a_model_of_ones_own_is_traced_anew(monkeypatch):
    """What it reads may have changed, as a global does between two cells of a notebook."""
    widths = [4]

    class Mine(nn.Module):
        num_outputs: int

        @nn.compact
        def __call__(self, x):
            return nn.Dense(self.num_outputs)(nn.Dense(widths[0])(x.reshape(len(x), -1)))

    monkeypatch.setitem(models.MODELS, 'mine', Mine)
    assert make(model__name='mine').groups[0].layout.num_params == 17 * 4 + 5 * 3
    widths[0] = 9
    assert make(model__name='mine').groups[0].layout.num_params == 17 * 9 + 10 * 3


def test_none_is_off_and_static():
    plan = make(nnstudy.choice('optimizer.momentum', [None, 0.0, 0.9]))
    assert [group.runs.tolist() for group in plan.groups] == [[0], [1, 2]]
    assert 'optimizer.momentum' not in plan.groups[0].hparams
    assert (
        plan.groups[0].layout.state_bytes < plan.groups[1].layout.state_bytes
    )  # no momentum buffer


def test_fields_of_components_may_be_swept_without_being_in_the_config():
    points = nnstudy.choice('optimizer.b1', [0, 0.5, 0.9])
    plan = make(points, optimizer__name='adam')
    assert len(plan.groups) == 1
    assert plan.groups[0].hparams['optimizer.b1'].tolist() == pytest.approx([0, 0.5, 0.9])


def test_whole_numbers_are_floats_where_the_component_says_so():
    plan = make(nnstudy.choice('optimizer.momentum', [0, 1]), optimizer__momentum=None)
    assert len(plan.groups) == 1
    assert plan.points == [{'optimizer.momentum': 0.0}, {'optimizer.momentum': 1.0}]


def test_weight_decay_of_adamw_shows_in_the_config():
    """optax's default is in force where the config is silent, and so it is written down."""
    assert make(optimizer__name='adamw').config.optimizer.arguments['weight_decay'] == 1e-4
    assert 'weight_decay' not in make(optimizer__name='adam').config.optimizer.arguments


def test_splits_and_batch_sizes_may_be_swept():
    points = nnstudy.choice('split.train', ['train[:16]', 'train[:36]'])
    plan = make(points)
    assert [group.data.num_train for group in plan.groups] == [16, 36]
    assert [group.num_steps for group in plan.groups] == [4, 10]


@pytest.mark.parametrize(
    ('points', 'fields', 'message'),
    [
        ([{'model.activation': 'rellu'}], {}, "did you mean 'relu'"),
        (None, {'model.activation': ('relu', 'tanh')}, 'one for each of the 1 hidden layers'),
        (None, {'model.name': 'lenet'}, 'at least 12x12 pixels'),
        ([{'batch_size': 8}, {'batch_size': 37}], {}, 'batch_size 37 is larger than'),
    ],
)
def test_what_a_model_refuses_is_known_before_compiling(points, fields, message):
    """A plan traces each group; what is wrong with fields alone is in test_resolve.py."""
    with pytest.raises(UserError, match=message):
        make(points, **fields)


def test_what_is_off_is_no_part_of_the_identity():
    """A study that was begun before there was a field goes on when there is one."""
    config = plan_lib.make(nnstudy.default_config()).config

    def with_a_new_field(value):
        flat = {**config.flat, 'new_feature': value}
        return plan_lib.identified(types.SimpleNamespace(flat=flat, components=config.components))

    assert with_a_new_field(None) == plan_lib.identified(config) != with_a_new_field(0.0)


def test_what_is_on_by_default_and_taken_away_is_part_of_the_identity():
    """Nothing in place of the default's hidden layers, or of its validation split."""
    digest = make().identity['digest']
    assert make(model__widths=()).identity['digest'] != digest
    off = make_config(normalization=None)
    assert plan_lib.make(off, data=make_dataset()).identity['digest'] != digest


def test_another_metric_of_the_same_name_is_another_program(monkeypatch, dataset):
    """Its code is part of the identity, and what was compiled of the first does not serve it."""
    for value in (1.0, 2.0):
        metric = metrics.Metric(lambda outputs, labels, v=value: jnp.full(len(labels), v))
        monkeypatch.setitem(metrics.METRICS, 'mine', metric)
        config = make_config(metrics=('mine',), epochs=1)
        assert nnstudy.run(config, data=dataset, quiet=True).runs['test_mine'].tolist() == [value]
    assert 'metric mine' in plan_lib.make(config, data=dataset).sources


def test_how_it_is_executed_is_no_part_of_the_identity():
    plan = make()
    assert (
        make(execution__memory_gib=1.0, study__level=0.9).identity['digest']
        == (plan.identity['digest'])
    )
