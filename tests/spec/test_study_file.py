"""What a config file says, with its variants."""

import pytest

from nnstudy import errors
from nnstudy.spec import config, study_file

TEXT = """
import nnstudy
from nnstudy import Claim, Quantity, Reference

VARIANTS = {
    'quick': {'epochs': 2, 'study.rates': (0.1,)},
    'large': {'epochs': 50, 'model.widths': (256,)},
    'wide': {'epochs': 50, 'model.widths': (512,)},
    'linear': {'model.name': 'linear'},
    'hinge': {'loss': 'hinge'},
    'zero_one': {'loss.name': 'zero_one'},
}


def get_config():
    config = nnstudy.default_config()
    config.epochs = 10
    config.study.rates = (0.1, 0.2)
    config.study.level = 0.5
    return config


def sweep(config):
    return nnstudy.choice('optimizer.learning_rate', config.study.rates)


def claims(config):
    return [Claim(f'X: above {config.study.level}', Quantity('test_loss') > config.study.level)]


def references():
    yield Reference('one', 1, Quantity('test_loss'))


def get_data():
    return 'data'
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / 'rates.py').write_text(TEXT)
    return tmp_path / 'rates.py'


def test_variants_set_fields_and_the_sweep_reads_them(path):
    plain, quick = study_file.load(str(path)), study_file.load(f'{path}:quick')
    assert (plain.name, plain.config.epochs, len(plain.points)) == ('rates', 10, 2)
    assert (quick.name, quick.config.epochs, len(quick.points)) == ('rates-quick', 2, 1)
    assert [claim.statement for claim in plain.claims] == ['above 0.5']
    assert [reference.name for reference in plain.references] == ['one']
    assert plain.get_data(plain.config) == 'data'


def test_flags_override_variants(path):
    flags = {'epochs': '7', 'study.level': '0.9', 'study.new': '3'}
    study = study_file.load(f'{path}:quick', flags)
    assert (study.config.epochs, study.config.study.new) == (7, 3)
    assert [claim.statement for claim in study.claims] == ['above 0.9']


@pytest.mark.parametrize('names', ['large,linear,quick', 'quick,linear,large'])
def test_several_variants_may_be_named_in_any_order(path, names):
    """Quick overrides all others; a model that is named has no arguments of another one."""
    config_ = study_file.load(f'{path}:{names}').config
    assert config_.epochs == 2
    assert config.flatten(config_.model) == {'name': 'linear'}


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ('hinge,zero_one', 'hinge and zero_one exclude each other, both set config.loss.name'),
        ('wide,large', 'large and wide exclude each other, both set config.model.widths'),
        (
            'quik',
            r"variant of .*'quik': did you mean 'quick'\? known: hinge, large, linear, quick",
        ),
    ],
)
def test_a_mistake_costs_one_line(path, names, message):
    with pytest.raises(errors.UserError, match=message):
        study_file.load(f'{path}:{names}')


def test_variants_are_fields_by_name(path):
    path.write_text(TEXT.replace("'quick': {", "'quick': 3, 'small': {"))
    with pytest.raises(errors.UserError, match='VARIANTS of .* must be a dict such as'):
        study_file.load(str(path))
    path.write_text(TEXT.replace("'quick': {'epochs'", "'quick': {'epoch'"))
    with pytest.raises(errors.UserError, match="'epoch': did you mean 'epochs'"):
        study_file.load(f'{path}:quick')
