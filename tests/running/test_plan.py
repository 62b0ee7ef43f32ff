"""Plans: what shares a program, how runs are numbered, and what is refused before compiling."""

import dataclasses
import types

import numpy as np
import pytest
from flax import linen as nn
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError, models
from nnstudy.running import cost
from nnstudy.running import plan as plan_lib


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
    traced = cost._trace.cache_info().misses
    plan = make(optimizer__learning_rate=0.3, seed=7, num_seeds=3)
    assert cost._trace.cache_info().misses == traced
    assert make(batch_size=9).groups[0].num_params == plan.groups[0].num_params
    assert cost._trace.cache_info().misses == traced + 1


def test_a_model_of_ones_own_is_traced_anew(monkeypatch):
    """What it reads may have changed, as a global does between two cells of a notebook."""
    widths = [4]

    class Mine(nn.Module):
        num_outputs: int

        @nn.compact
        def __call__(self, x):
            return nn.Dense(self.num_outputs)(nn.Dense(widths[0])(x.reshape(len(x), -1)))

    monkeypatch.setitem(models.MODELS, 'mine', Mine)
    assert make(model__name='mine').groups[0].num_params == 17 * 4 + 5 * 3
    widths[0] = 9
    assert make(model__name='mine').groups[0].num_params == 17 * 9 + 10 * 3


def test_none_is_off_and_static():
    plan = make(nnstudy.choice('optimizer.momentum', [None, 0.0, 0.9]))
    assert [group.runs.tolist() for group in plan.groups] == [[0], [1, 2]]
    assert 'optimizer.momentum' not in plan.groups[0].hparams
    assert plan.groups[0].state_bytes < plan.groups[1].state_bytes  # no momentum buffer


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


BAD_POINTS = [
    ([{'bach_size': 4}], "unknown swept field 'bach_size': did you mean 'batch_size'"),
    ([{'optimizer.learning_rat': 0.1}], "did you mean 'learning_rate'"),
    ([{'optimizer.b1': 0.1}], "unknown field of optimizer 'sgd' 'b1'"),
    ([{'optimizer.learning_rate': 'fast'}], "must be a number, not 'fast'"),
    ([{'optimizer.learning_rate': None}], 'cannot be None'),
    ([{'optimizer.learning_rate': -0.1}], 'at least 0, not -0.1'),
    ([{'optimizer.learning_rate': float('nan')}], 'must be finite in float32, not nan'),
    ([{'batch_size': 2.5}], 'must be a whole number, not 2.5'),
    ([{'batch_size': 0}], 'at least 1, not 0'),
    ([{'seed': 3}], "cannot sweep 'seed'"),
    ([{'execution.lanes': 3}], 'it is the same for the whole study'),
    ([{'halving.factor': 3}], 'it is the same for the whole study'),
    ([{'epochs': 1}, {'epochs': 1}], 'points 0 and 1 of the sweep are equal'),
    ([{'model.name': 'lenett'}], "did you mean 'lenet'"),
    ([{'model.activation': 'rellu'}], "did you mean 'relu'"),
    ([{'model.width': (3,)}], "unknown field of model 'mlp' 'width': did you mean 'widths'"),
]


@pytest.mark.parametrize(('points', 'message'), BAD_POINTS)
def test_bad_points(points, message):
    with pytest.raises(UserError, match=message):
        make(points)


BAD_FIELDS = [
    ({'batch_size': 37}, 'batch_size 37 is larger than the training set .* of 36'),
    ({'epochs': 0}, 'epochs must be at least 1'),
    ({'num_seeds': 0}, 'num_seeds must be at least 1'),
    ({'optimizer__name': 'sdg'}, "unknown optimizer 'sdg': did you mean 'sgd'"),
    ({'schedule__name': 'cosin'}, "unknown schedule 'cosin': did you mean 'cosine'"),
    ({'schedule__factor': 0.1}, "unknown field of schedule 'constant' 'factor'"),
    ({'loss__name': 'hing'}, "unknown loss 'hing'"),
    ({'normalization': 'units'}, "did you mean 'unit'"),
    ({'split.train': 'trian'}, "did you mean 'train'"),
    ({'split.train': 'train[:99]'}, '99'),
    ({'model.name': 'lenet'}, 'at least 12x12 pixels'),
    ({'model.activation': ('relu', 'tanh')}, 'one for each of the 1 hidden layers'),
]


@pytest.mark.parametrize(('fields', 'message'), BAD_FIELDS)
def test_bad_fields(fields, message):
    with pytest.raises(UserError, match=message):
        make(**fields)


def test_classes_and_numbers_are_not_mixed_up(regression):
    with pytest.raises(UserError, match=r'needs class labels.*squared_error'):
        make(dataset=regression, **{'split.train': 'train', 'split.validation': None})


def test_what_is_off_is_no_part_of_the_identity():
    """A study that was begun before there was a field goes on when there is one."""
    plan = plan_lib.make(nnstudy.default_config())

    def with_a_new_field(value):
        flat = {**plan.config.flat, 'new_feature': value}
        config = types.SimpleNamespace(flat=flat, to_dict=plan.config.to_dict)
        return dataclasses.replace(plan, config=config).identity['digest']

    assert with_a_new_field(None) == plan.identity['digest'] != with_a_new_field(0.0)


def test_how_it_is_executed_is_no_part_of_the_identity():
    plan = make()
    assert (
        make(execution__memory_gib=1.0, study__level=0.9).identity['digest']
        == (plan.identity['digest'])
    )
