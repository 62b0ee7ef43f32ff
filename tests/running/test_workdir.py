"""Working directories: one study each, and which one it is."""

import importlib.util
import shutil

import pytest
from small import make_config

import nnstudy
from nnstudy import UserError, models
from nnstudy.running import plan as plan_lib
from nnstudy.running import program, workdir

RATES = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1.0])


class Interrupt(Exception):
    pass


def test_a_directory_keeps_one_study(dataset, tmp_path):
    config = make_config()
    nnstudy.run(config, RATES, tmp_path / 'a', dataset, quiet=True)
    files = sorted(tmp_path.rglob('*'))
    config.epochs = 5
    with pytest.raises(UserError, match=r'another study.*differs in config\.epochs'):
        nnstudy.run(config, RATES, tmp_path / 'a', dataset, quiet=True)
    config.epochs = 2
    other = nnstudy.choice('optimizer.momentum', [0.5, 0.9])
    with pytest.raises(UserError, match='differs in .*the swept fields'):
        nnstudy.run(config, other, tmp_path / 'a', dataset, quiet=True)
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'thesis.txt').write_text('mine')
    with pytest.raises(UserError, match='holds no study'):
        nnstudy.run(config, RATES, tmp_path / 'b', dataset, quiet=True)
    shutil.rmtree(tmp_path / 'b')
    assert sorted(tmp_path.rglob('*')) == files


def test_execution_is_no_part_of_the_identity(dataset):
    config = make_config()
    one = workdir.default(plan_lib.make(config, RATES, data=dataset))
    config.execution.lanes, config.execution.memory_gib = 1, 1.0
    assert workdir.default(plan_lib.make(config, RATES, data=dataset)) == one
    config.epochs = 7
    assert workdir.default(plan_lib.make(config, RATES, data=dataset)) != one


@pytest.mark.parametrize('place', ['file/sub', 'file', '/proc/nope'])
def test_a_directory_that_cannot_be(place, dataset, tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(UserError, match=place):
        nnstudy.run(make_config(), RATES, tmp_path / place, dataset, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_changed_code_is_another_study(dataset, tmp_path, monkeypatch):
    """A model of one's own that was edited must not be taken for the one that was trained."""
    source = 'from nnstudy import models\n\ndef model(num_outputs):\n    width = {}\n'
    source += "    return models.MODELS['mlp'](num_outputs=num_outputs, widths=(width,))\n"

    def interrupt(*args, **kwargs):
        raise Interrupt

    monkeypatch.setattr(program, 'for_group', interrupt)  # what is begun is known already
    config = make_config(model__name='mine')
    for width, error, message in (
        (4, Interrupt, None),
        (5, UserError, 'differs in the code of its components'),
    ):
        path = tmp_path / f'mine{width}.py'
        path.write_text(source.format(width))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(models.MODELS, 'mine', module.model)
        with pytest.raises(error, match=message):
            nnstudy.run(config, workdir=tmp_path / 'study', data=dataset, quiet=True)
