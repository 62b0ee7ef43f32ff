"""Every study in configs/ loads and plans, its claims fit its runs; one runs, shrunk."""

import json

import numpy as np
import pytest
from small import ROOT

import nnstudy
from nnstudy import data as data_lib
from nnstudy import models
from nnstudy.analysis import judging
from nnstudy.results import checkpoints
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib
from nnstudy.running import tables
from nnstudy.running.records import Records
from nnstudy.spec import claims, study_file
from nnstudy.training import losses, optimizers, schedules

# The small version of each study; the full ones, and those of CIFAR-10, whose archive takes 10 s to
# unpack, or of many layers, are slow.
ARGUMENTS = {
    'batch_noise': ['quick'],
    'boston_batch_size': ['quick'],
    'boston_lr_decay': ['quick'],
    'coarse_to_fine': ['quick'],
    'edge_of_stability': ['quick'],
    'fashion_cnn': ['quick'],
    'fitting': ['quick'],
    'lenet_activations': ['mnist,quick'],
    'logistic_losses': ['quick'],
    'loss_choice': ['classes,quick', 'numbers,quick'],
    'lr_sweep': ['', 'quick'],
    'luck': ['quick'],
    'mlp_grid': ['quick'],
    'rates': ['quick'],
    'regularization': ['quick'],
    'schedules': ['quick'],
    'trainability': ['quick'],
}
SLOW_ARGUMENTS = {
    'batch_noise': [''],
    'boston_batch_size': [''],
    'boston_lr_decay': [''],
    'cifar10_cnn': ['', 'quick'],
    'cifar10_vgg': ['', 'reduced', 'quick'],
    'coarse_to_fine': [''],
    'depth': ['', 'quick'],
    'edge_of_stability': [''],
    'fashion800_architectures': ['', 'quick'],
    'fashion_cnn': [''],
    'fitting': [''],
    'lenet_activations': ['mnist', 'cifar10', 'cifar10,quick'],
    'loss_choice': ['classes', 'numbers'],
    'lr_sweep': ['mnist', 'fashion_mnist', 'mnist,lenet', 'cifar10', 'cifar10,lenet'],
    'luck': [''],
    'mlp_grid': ['', 'reduced'],
    'optimizers': ['', 'quick'],
    'pooling': ['', 'quick'],
    'rates': [''],
    'regularization': [''],
    'schedules': [''],
    'text_embedding': ['', 'quick'],
    'trainability': [''],  # 65,536 points
}
# Those that are trained too, shrunk.
SHRUNK = ['', 'mnist']
SLOW_SHRUNK = ['fashion_mnist', 'mnist,lenet', 'cifar10', 'cifar10,lenet']
NO_DATA = {'edge_of_stability', 'logistic_losses', 'trainability'}


@pytest.fixture(autouse=True)
def registries():
    """What a config file registers for itself is gone after its test."""
    parts = (
        data_lib.DATASETS,
        models.MODELS,
        losses.LOSSES,
        optimizers.OPTIMIZERS,
        schedules.SCHEDULES,
    )
    before = [dict(part) for part in parts]
    yield
    for part, entries in zip(parts, before, strict=True):
        for name in part.keys() - entries.keys():
            del part[name]


def cases(fast, slow):
    return [*fast, *(pytest.param(*case, marks=pytest.mark.slow) for case in slow)]


def pairs(arguments):
    return [(name, arg) for name, args in arguments.items() for arg in args]


def load(name, arg, overrides=None):
    spec = str(ROOT / 'configs' / f'{name}.py') + (f':{arg}' if arg else '')
    study = study_file.load(spec, overrides)
    return study, study.get_data and study.get_data(study.config)


def test_every_config_is_here():
    assert {path.stem for path in (ROOT / 'configs').glob('*.py')} == {*ARGUMENTS, *SLOW_ARGUMENTS}


def planned(study, data, data_dir):
    """Plans a study as it is, and judges its claims on runs of random numbers."""
    plan = plan_lib.make(
        study.config,
        study.points,
        data=data,
        data_dir=data_dir,
        claims=study.claims,
        references=study.references,
    )
    rng = np.random.default_rng(0)
    records = Records(plan.numbering, checkpoints.Memory())
    for group in plan.groups:
        count, steps = len(group.runs), group.evaluation_steps
        measures = tables.measures(group)
        shapes = dict.fromkeys((*measures, 'batch_loss', 'learning_rate', 'l2_grads'), ())
        shapes |= {m: (group.data.num_outputs,) for m in measures if 'class_accuracy' in m}
        shapes |= {m: (group.data.num_outputs,) * 2 for m in measures if 'confusion' in m}
        history = {m: rng.random((count, len(steps), *shape)) for m, shape in shapes.items()}
        outcome = {
            'at': np.full(count, group.num_steps),
            'best_step': np.full(count, group.num_steps),
            'frozen_at': np.full(count, -1),
            'stopped': np.zeros(count, bool),
            'seconds': np.ones(count),
        }
        about = {'runs': group.runs.tolist(), 'steps': outcome['at'].tolist()}
        items = {'history': history, 'log': {}, 'outcome': outcome}
        records.keep(checkpoints.Checkpoint(about, items))
    results = tables.results(plan, records)
    for what in quantities_of(study):
        if study.measure is not None and what not in results.runs:
            results.runs[what] = rng.random(len(results.runs))
    json.dumps(claims.to_dict([study.claims, study.references]))
    return judging.judge(results), judging.place(results)


def quantities_of(study):
    """Returns the columns that claims and references name."""

    def named(data):
        if isinstance(data, list):
            return set().union(*map(named, data))
        if not isinstance(data, dict):
            return set()
        own = {data['metric'], data['minus']} if 'metric' in data else set()
        return own.union(*map(named, data.values()))

    return named(claims.to_dict([study.claims, study.references])) - {None}


def run_shrunk(name, arg, data_dir):
    small = {'epochs': 1, 'num_seeds': 1, 'eval_train_examples': 50, 'batch_size': 16}
    small |= {f'split.{split}': f'{split}[:50]' for split in ('train', 'test')}
    small |= {'split.validation': 'train[50:80]'}
    study, data = load(name, arg, small)
    assert study.config.batch_size == 16  # overrides reach the sweep
    points = study.points[:: max(1, len(study.points) // 2)]
    results = nnstudy.run(study.config, points, data=data, data_dir=data_dir, quiet=True)
    assert len(results.runs) == len(points)
    assert results.runs['status'][0] == 'finished'  # the lowest rate
    assert results.runs['test_loss'].notna()[0]
    return study, results


@pytest.mark.parametrize(('name', 'arg'), cases(pairs(ARGUMENTS), pairs(SLOW_ARGUMENTS)))
def test_plan_and_claims(name, arg, request):
    is_offline = name in NO_DATA or (name, arg) == ('lr_sweep', '')
    data_dir = None if is_offline else request.getfixturevalue('data_dir')
    study, data = load(name, arg)
    verdicts, places = planned(study, data, data_dir)
    assert verdicts['claim'].tolist() == [claim.name for claim in study.claims]
    assert len(places) == len(study.references)


@pytest.mark.parametrize('arg', cases(SHRUNK, [(arg,) for arg in SLOW_SHRUNK]))
def test_config_runs(arg, request):
    run_shrunk('lr_sweep', arg, request.getfixturevalue('data_dir') if arg else None)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['pooling', 'regularization'])
def test_what_claims_are_about_is_measured(name, data_dir):
    study, results = run_shrunk(name, 'quick', data_dir)
    spoken_of = sorted(quantities_of(study))
    measured = results_lib.with_columns(results, study.measure(results)).runs
    assert np.isfinite(measured[spoken_of]).all(axis=None)
