"""The benchmarks time the same thing on all sides, and say so when a side does not."""

import ast
import dataclasses
import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import pytest
from small import ROOT

from benchmarks import __main__ as command
from benchmarks import accelerator, report, session, worker, workloads
from benchmarks import problem as problem_lib
from benchmarks.sides import jax_loop, sweep
from nnstudy import models
from nnstudy.spec import config as config_lib

# Every kind of layer, of a size that compiles soon.
SMALL = workloads.Workload(
    'small',
    'VGG-like with batch norm and augmentation',
    workloads.named(
        [
            workloads.conv(4, 3, norm=True),
            workloads.pool('max_pool'),
            dict(op='flatten', shape=[4, 4, 4]),
            dict(op='dropout', rate=0.2),
            workloads.dense(8, 'relu'),
            dict(op='dropout', rate=0.5),
            workloads.dense(10),
        ]
    ),
    shape=(8, 8, 1),
    fields={
        'split.train': 'train[:48]',
        'batch_size': 8,
        'epochs': 2,
        'model.name': 'vgg',
        'model.groups': ((4,),),
        'model.dense_widths': (8,),
        'model.batch_norm': 'before',
        'model.flatten_dropout': 0.2,
        'model.dense_dropout': 0.5,
        'augmentation.horizontal_flip': 0.5,
        'augmentation.shift': 0.1,
        'augmentation.rotation': 15.0,
        'optimizer.name': 'adam',
        'optimizer.learning_rate': 1e-3,
        'optimizer.eps': 1e-7,
    },
    rates=(1e-3, 1e-2),
    num_seeds=2,
    quick={},
)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """nnstudy's side, and the folder that it has written for the peers."""
    trainer = sweep.Trainer(SMALL, SMALL.study(), None)
    folder = tmp_path_factory.mktemp('problem')
    problem_lib.save(trainer.problem(), folder)
    return trainer, folder


@pytest.mark.parametrize('name', workloads.WORKLOADS)
def test_a_net_is_that_of_nnstudy(name):
    """In plain layers it has the same weights and, from them, the same outputs."""
    workload = workloads.WORKLOADS[name]
    fields = config_lib.flatten(workload.study().config)
    arguments = {
        field.removeprefix('model.'): value
        for field, value in fields.items()
        if field.startswith('model.') and field != 'model.name' and 'dropout' not in field
    }
    num_outputs = workload.net[-1]['features']
    model = models.make(models.MODELS[fields['model.name']], num_outputs, **arguments)
    x = jax.random.normal(jax.random.key(0), (2, *workload.shape))
    variables = jax.jit(model.init)(jax.random.key(1), x)
    expected, _ = jax.jit(functools.partial(model.apply, train=True))(variables, x)

    flat = {
        f'{layer}/{name}': weight
        for collection in variables.values()
        for layer, weights in collection.items()
        for name, weight in weights.items()
    }
    inputs = x.reshape(2, -1) if workload.net[0]['op'] == 'dense' else x
    outputs = jax.jit(functools.partial(jax_loop.forward, workload.net, rng=None))(
        flat, inputs, dict(flat)
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    used = {layer.partition('/')[0] for layer in flat}
    assert used == set(_names(workload.net))


def _names(net):
    for layer in net:
        if 'name' in layer:
            yield layer['name']
        if layer.get('norm'):
            yield layer['norm']['name']
        for part in (layer.get('body', []), layer.get('shortcut', []), *layer.get('branches', [])):
            yield from _names(part)


@pytest.mark.slow
@pytest.mark.parametrize(('side', 'package'), [('jax', 'jax'), ('pytorch', 'torch')])
def test_sides_reach_the_same_losses(side, package, trained):
    """From the same weights and batches, by the programs that are timed."""
    pytest.importorskip(package)
    trainer, folder = trained
    peer = importlib.import_module(worker.MODULES[side]).prepare(str(folder), seconds=0.01)
    assert len(set(peer.losses)) == len(peer.losses)
    np.testing.assert_allclose(peer.losses, trainer.losses, rtol=1e-4)
    run_steps, seconds = peer.repeat()
    assert run_steps % trainer.group.num_steps == 0 and seconds > 0


@pytest.mark.slow
def test_the_sweep_counts_its_steps(trained):
    """4 runs of 2 epochs of 6 batches, and a clock that ran."""
    trainer, _ = trained
    run_steps, seconds = trainer.repeat()
    assert run_steps == 4 * 12 and seconds > 0
    assert trainer.settings['runs'] == 4


def test_a_problem_survives_its_files(trained, tmp_path):
    trainer, _ = trained
    problem = trainer.problem()
    problem_lib.save(problem, tmp_path)
    again = problem_lib.load(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, dataclasses.asdict(problem), vars(again))
    assert again.steps_per_epoch == 6
    test = again.split_rows()[1]
    assert (test.start, test.stop) == (48, 56)


def test_flops_of_lenet():
    """By hand; no gradient of the images is needed."""
    first = 28 * 28 * 6 * 25
    rest = 10 * 10 * 16 * 25 * 6 + 400 * 120 + 120 * 84 + 84 * 10
    assert workloads.flops(workloads.lenet(), (28, 28, 1)) == 2 * (2 * first + 3 * rest)


def test_peers_need_only_themselves():
    """Their interpreters may have neither nnstudy nor, but for the JAX loop, JAX."""
    allowed = {
        'worker': set(),
        'problem': {'numpy'},
        'sides/loop': set(),
        'sides/pytorch': {'numpy', 'torch'},
        'sides/keras_fit': {'keras', 'tensorflow'},
        'sides/jax_loop': {'numpy', 'jax', 'optax'},
    }
    known = {*sys.stdlib_module_names, 'benchmarks'}
    for name, packages in allowed.items():
        tree = ast.parse((ROOT / 'benchmarks' / f'{name}.py').read_text())
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported |= {f'{node.module}.{alias.name}' for alias in node.names}
        roots = {module.split('.')[0] for module in imported}
        assert roots <= known | packages, name
        ours = {module for module in imported if module.startswith('benchmarks.')}
        assert {module.split('.')[1] for module in ours} <= {'problem', 'sides'}, name


REAL_WORKER = session.Worker


class FakeWorker:
    """Answers at once; Keras computes something else, PyTorch is three times as slow as nnstudy."""

    asked: list = []  # noqa: RUF012 - of all of them together, in order

    def __init__(self, side, python=sys.executable, cores=None):
        self.side, self.versions = side, {side: '1'}
        self.missing = 'jax' if side == 'jax' else None

    def ask(self, do, **request):
        if do == 'prepare':
            loss = 2.0 if self.side == 'keras' else 1.0
            return {'losses': [1.0, loss], 'compile_seconds': None, 'settings': {'threads': 2}}
        self.asked.append(self.side)
        slow = {'nnstudy': 1.0, 'pytorch': 3.0}[self.side]
        return {'run_steps': 10, 'seconds': slow * len(self.asked), 'process_seconds': slow}

    def close(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(session, 'Worker', FakeWorker)
    monkeypatch.setattr(FakeWorker, 'asked', [])


def test_only_fair_sides_are_timed_in_turn(fake):
    with session.Session({}, None, quick=True) as sides:
        measured = sides.measure(workloads.WORKLOADS['W2'])
    assert FakeWorker.asked == ['nnstudy', 'pytorch'] * (1 + session.QUICK_REPEATS)
    assert measured['keras'].seconds == []
    assert measured['keras'].unfair == 'loss 2 in step 1, where nnstudy has 1'
    # The machine gets slower from request to request; neighbours are compared.
    ratios = session.ratios(measured['pytorch'], measured['nnstudy'])
    np.testing.assert_allclose(ratios, [3 * 4 / 3, 3 * 6 / 5, 3 * 8 / 7])


def test_what_is_written(fake, tmp_path, capsys):
    """A table with all sides, JSON with all samples, and a chart."""
    assert command.main(['--only=W2,W5', '--quick', f'--out={tmp_path}']) == 0
    out = capsys.readouterr().out
    assert 'jax is skipped: jax is not installed' in out
    assert '3.6 [3.43–4] × best' in out and 'not timed' in out
    results = json.loads((tmp_path / 'results.json').read_text())
    assert results['missing'] == {'jax': 'jax'}
    assert len(results['workloads']['W5']['pytorch']['us_per_run_step']) == session.QUICK_REPEATS
    assert (tmp_path / 'chart.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
    ('argv', 'says'),
    [
        (['--only=W9'], "unknown name in --only 'W9'"),
        (['--python=torch=python'], "unknown side in --python 'torch'"),
        (['--python=jax'], 'write --python SIDE=PATH'),
        (['--fast'], 'unrecognized arguments: --fast'),
    ],
)
def test_mistakes_cost_one_line(argv, says, capsys):
    assert command.main(argv) == 2
    err = capsys.readouterr().err
    assert says in err and err.count('\n') == 1


def test_a_peer_that_is_not_there(tmp_path):
    """Its worker names what is missing; an interpreter that is none is the user's mistake."""
    bare = tmp_path / 'python'
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    started = session.Worker('pytorch', str(bare))
    assert started.missing == 'numpy'
    started.close()
    with pytest.raises(ValueError, match=r'--python jax=.*cannot be started'):
        session.Worker('jax', str(tmp_path / 'nothing'))


def test_a_peer_that_fails(tmp_path, fake):
    """Its log's last line is kept, and the others go on."""
    broken = tmp_path / 'python'
    broken.write_text('#!/bin/sh\necho \'{"versions": {}}\'\necho "MemoryError: all gone" >&2\n')
    broken.chmod(0o755)
    with session.Session({}, None, quick=True) as sides:
        sides.workers['keras'] = REAL_WORKER('keras', str(broken))
        measured = sides.measure(workloads.WORKLOADS['W2'])
        assert sides.failed == {'keras': 'keras: MemoryError: all gone'}
    assert set(measured) == {'nnstudy', 'pytorch'}
    assert len(measured['pytorch'].seconds) == session.QUICK_REPEATS


def test_a_spread_is_legible():
    assert report.spread([1234.5, 1100.0, 2000.0]) == '1,234 [1,100–2,000]'
    assert report.spread([2.0, 1.9, 2.128]) == '2 [1.9–2.13]'


@pytest.mark.slow
def test_the_whole_command(tmp_path):
    """As a person starts it, with random data."""
    environment = {k: v for k, v in os.environ.items() if k != 'NNSTUDY_DATA_DIR'}
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks', '--only=W1,scaling', '--quick', f'--out={tmp_path}'],
        cwd=ROOT,
        env={**environment, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'random numbers' in done.stdout
    results = json.loads((Path(tmp_path) / 'results.json').read_text())
    assert not results['workloads']['W1']['jax']['unfair']
    assert any('launch' in row['name'] or 'start' in row['name'] for row in results['scaling'])


class InstantWorker:
    """Answers at once; with some options it dies, as where memory is too small."""

    asked: ClassVar[list] = []
    device = 'a fast one'

    def __init__(self, side, python, environment):
        self.side, self.environment = side, environment
        self.missing = 'torch' if side == 'pytorch' else None
        self.versions = {'device': self.device}

    def ask(self, do, **request):
        if do == 'time':
            return {'run_steps': 100, 'seconds': 0.01}
        self.asked.append(request)
        if request.get('precision') == 'tensorfloat32':
            raise session.WorkerError('nnstudy: there is none')
        return {'settings': {}, 'compile_seconds': 1.0, 'losses': [1.0]}

    def close(self):
        pass


def test_figures_of_an_accelerator_are_kept_one_by_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(accelerator, 'Worker', InstantWorker)
    out = tmp_path / 'figures.json'
    argv = ['accelerator', '--quick', '--only=W1,W5', f'--out={out}']
    assert command.main([*argv, '--minutes=0']) == 0
    assert 'the same command goes on from here' in capsys.readouterr().out and not out.exists()
    assert command.main(argv) == 0
    kept = json.loads(out.read_text())
    assert kept['device'] == 'a fast one'
    assert kept['figures']['W1 nnstudy']['µs'] == [100.0] * accelerator.REPEATS
    assert kept['figures']['W1 PyTorch']['missing'] == 'torch'
    assert kept['figures']['W5 tensorfloat32']['failed'] == 'nnstudy: there is none'
    assert {'W5 8 lanes', 'W5 1 runs', 'W5 command buffers on'} < set(kept['figures'])

    del kept['figures']['W5 8 lanes']
    out.write_text(json.dumps(kept))
    InstantWorker.asked.clear()
    assert command.main(argv) == 0
    again = [request.get('lanes', request.get('precision')) for request in InstantWorker.asked]
    assert again == [8, 'tensorfloat32', 'tensorfloat32']  # the last ones had failed
    assert command.main(['accelerator', '--only=W9']) == 2
    assert command.main(['accelerator', '--torch=no/python']) == 2
    assert '--torch=no/python' in capsys.readouterr().err
    monkeypatch.setattr(InstantWorker, 'device', 'another one')
    assert command.main(argv) == 2
    assert "has figures of device 'a fast one', not 'another one'" in capsys.readouterr().err
    assert json.loads(out.read_text())['device'] == 'a fast one'


@pytest.mark.slow
def test_an_accelerator_is_measured(tmp_path):
    """Here it is the CPU, which has no TensorFloat-32."""
    out = tmp_path / 'figures.json'
    assert command.main(['accelerator', '--quick', '--only=W1', f'--out={out}']) == 0
    figures = json.loads(out.read_text())['figures']
    failed = {name for name, figure in figures.items() if 'failed' in figure}
    assert failed == {'W1 tensorfloat32'}
    ours, peer = (figures[f'W1 {name}'] for name in ('nnstudy', 'JAX loop'))
    np.testing.assert_allclose(ours['losses'], peer['losses'], rtol=1e-3)
    assert all(0 < sample < 1e6 for sample in ours['µs'] + peer['µs'])
