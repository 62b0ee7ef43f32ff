"""Every study in configs/ loads, plans and runs, shrunk."""

import pytest
from small import ROOT

import nnstudy
from nnstudy import config as config_lib
from nnstudy.sweep import plan as plan_lib

ARGUMENTS = {
    'lr_sweep': ['', 'mnist', 'fashion_mnist', 'mnist,lenet', 'fashion_mnist,lenet'],
}
SLOW_ARGUMENTS = {'lr_sweep': ['cifar10', 'cifar10,lenet']}  # the archive takes 10 s to unpack


def cases(arguments):
    return [(path, arg) for path, args in arguments.items() for arg in args]


def test_every_config_is_here():
    assert {path.stem for path in (ROOT / 'configs').glob('*.py')} == set(ARGUMENTS)


def run_shrunk(name, arg, data_dir):
    spec = str(ROOT / 'configs' / f'{name}.py') + (f':{arg}' if arg else '')
    study = config_lib.load(spec)
    plan_lib.make(study.config, study.points, data_dir=data_dir)  # as it is
    small = {'epochs': 1, 'num_seeds': 1, 'eval_train_examples': 50, 'batch_size': 16}
    small |= {f'split.{split}': f'{split}[:50]' for split in ('train', 'test')}
    small |= {'split.validation': 'train[50:80]'}
    study = config_lib.load(spec, small)
    assert study.config.batch_size == 16  # overrides reach the sweep
    points = study.points[:: max(1, len(study.points) // 2)]
    results = nnstudy.run(study.config, points, data_dir=data_dir, quiet=True)
    assert len(results.runs) == len(points)
    assert results.runs['status'][0] == 'finished'  # the lowest rate
    assert results.runs['test_loss'].notna()[0]


@pytest.mark.parametrize(('name', 'arg'), cases(ARGUMENTS))
def test_config_runs(name, arg, request):
    data_dir = request.getfixturevalue('data_dir') if arg else None
    run_shrunk(name, arg, data_dir)


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'arg'), cases(SLOW_ARGUMENTS))
def test_slow_config_runs(name, arg, data_dir):
    run_shrunk(name, arg, data_dir)
