"""Configs: types, overrides, and the file that holds them."""

import pytest
from flax import traverse_util
from ml_collections import ConfigDict
from small import ROOT

import nnstudy
from nnstudy import UserError
from nnstudy.spec import config as config_lib
from nnstudy.spec import study_file


def test_the_default_config_is_locked():
    with pytest.raises(AttributeError):
        nnstudy.default_config().bach_size = 3


@pytest.mark.parametrize(
    ('field', 'text', 'value'),
    [
        ('epochs', '3', 3),
        ('optimizer.learning_rate', '1', 1.0),
        ('optimizer.learning_rate', '1e-3', 1e-3),
        ('optimizer.momentum', 'None', None),
        ('stop.target', '1', 1.0),
        ('shuffle', 'false', False),
        ('shuffle', 'True', True),
        ('dataset', 'mnist', 'mnist'),
        ('dataset', '7', '7'),
        ('split.validation', 'None', None),
        ('eval_train_examples', '100', 100),
        ('model.widths', '64,32', (64, 32)),
        ('model.widths', '[64]', (64,)),
        ('model.activation', "('relu', 'tanh')", ('relu', 'tanh')),
        ('execution.lanes', '4', 4),
    ],
)
def test_overrides_from_text(field, text, value):
    config = config_lib.override({}, {field: text})
    got = config_lib.flatten(config)[field]
    assert got == value and type(got) is type(value)


def test_a_section_set_to_a_name():
    config = config_lib.override({}, {'loss': 'squared_error'})
    assert config.loss.name == 'squared_error'


@pytest.mark.parametrize(
    ('field', 'value', 'message'),
    [
        ('epochs', 'ten', "whole number, not 'ten'"),
        ('epochs', 1.5, 'whole number, not 1.5'),
        ('epochs', True, 'whole number, not True'),
        ('optimizer.learning_rate', 'fast', "a number, not 'fast'"),
        ('shuffle', 1, 'True or False, not 1'),
        ('dataset', 3, 'text, not 3'),
        ('split.tets', 'x', "did you mean 'split.test'"),
        ('lerning_rate', 1, 'unknown field of config'),
    ],
)
def test_wrong_values(field, value, message):
    with pytest.raises(UserError, match=message):
        config_lib.override(nnstudy.default_config(), {field: value})


def test_flatten_and_back():
    config = nnstudy.default_config()
    flat = config_lib.flatten(config)
    assert flat['optimizer.learning_rate'] == 0.1
    nested = traverse_util.unflatten_dict(flat, sep='.')
    assert config_lib.complete(nested) == config_lib.flatten(config)


def test_a_config_of_a_few_fields_gets_the_defaults():
    partial = ConfigDict({'epochs': 3, 'optimizer': {'name': 'adam', 'learning_rate': 1e-3}})
    config = config_lib.override(partial, {})
    assert (config.epochs, config.batch_size, config.shuffle) == (3, 64, True)
    # An open section is the caller's own: sgd's momentum does not leak into adam.
    assert config.optimizer.to_dict() == {'name': 'adam', 'learning_rate': 1e-3}


def test_another_component_starts_its_section_anew():
    config = config_lib.override({}, {'optimizer.momentum': 0.9, 'optimizer.learning_rate': 0.3})
    config = config_lib.override(config, {'optimizer': 'adam'})
    assert config.optimizer.to_dict() == {'name': 'adam', 'learning_rate': 0.3}
    config = config_lib.override(config, {'optimizer.b1': 0.8})
    # Its own fields survive completion, in whatever order they come.
    assert config_lib.complete(config)['optimizer.b1'] == 0.8
    flat = config_lib.merge(config_lib.flatten(config), {'optimizer.name': 'sgd'})
    assert 'optimizer.b1' not in flat and flat['optimizer.learning_rate'] == 0.3


def test_loading_a_config_file():
    study = study_file.load(
        str(ROOT / 'configs' / 'lr_sweep.py') + ':mnist,lenet', {'epochs': '2', 'seed': 3}
    )
    assert study.name == 'lr_sweep-mnist-lenet'
    assert (study.config.dataset, study.config.model.name) == ('mnist', 'lenet')
    assert (study.config.epochs, study.config.seed) == (2, 3)
    assert len(study.points) == 19


def test_the_sweep_sees_the_overrides(tmp_path):
    path = tmp_path / 'study.py'
    path.write_text(
        'import nnstudy\n'
        'def get_config():\n    return nnstudy.default_config()\n'
        'def sweep(config):\n'
        "    return nnstudy.choice('batch_size', [config.epochs, 2 * config.epochs])\n"
        "def claims():\n    return [nnstudy.Claim('X: x', nnstudy.Quantity('a') < 1)]\n"
    )
    study = study_file.load(str(path), {'epochs': 4})
    assert study.points == [{'batch_size': 4}, {'batch_size': 8}]
    assert [claim.name for claim in study.claims] == ['X']
