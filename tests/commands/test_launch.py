"""The command line as a person uses it, and what it says when something is wrong."""

import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from small import ROOT, launch

from nnstudy import commands

CONFIG = 'configs/lr_sweep.py'
SMALL = ('--config.num_seeds=2', '--sweep=optimizer.learning_rate=0.01,0.1')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to stand in, from which the configs are in reach."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_main_job(folder, capsys):
    """Trains, shows, writes; a second time it only reads; another study keeps away."""
    arguments = [f'--config={CONFIG}', *SMALL]
    done = launch(*arguments, '--config.epochs=2', cwd=folder, env={'XLA_FLAGS': ''})
    assert done.returncode == 0, done.stderr
    out = done.stdout
    assert '2 points × 2 seeds = 4 runs, 1 compiled program' in out
    assert 'validation' in out and '[IQR]' in out and '0/2' in out
    assert 'no interval, n = 2 seeds' in out
    (workdir,) = (folder / 'runs').iterdir()
    assert workdir.name.startswith('lr_sweep-')
    files = {path.name for path in workdir.iterdir()}
    assert {'config.json', 'environment.json', 'runs.csv', 'runs.parquet'} < files
    pictures = {path.name for path in (workdir / 'plots').iterdir()}
    assert pictures == {'metric_vs_optimizer.learning_rate.png', 'curves.png'}
    assert len(pd.read_csv(workdir / 'runs.csv')) == 4

    assert commands.main(['launch', *arguments, '--config.epochs=2']) == 0
    again = capsys.readouterr()
    assert 'finished already' in again.err
    assert again.out == out

    other = ['launch', *arguments, '--config.epochs=3', '--workdir', str(workdir)]
    assert commands.main(other) == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1 and 'differs in config.epochs' in err


@pytest.mark.slow
def test_killed_and_resumed(folder):
    """SIGKILL in the middle; the same command ends with the table of an uninterrupted study."""
    slow = (*SMALL, '--config.epochs=200', '--config.eval_every=10')
    slow += ('--config.execution.checkpoint_seconds=0',)
    command = [sys.executable, str(ROOT / 'launch.py'), f'--config={CONFIG}', *slow]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        [*command, '--workdir=killed'], env=environment, stderr=subprocess.PIPE
    )
    checkpoints = folder / 'killed' / 'chunks'
    deadline = time.monotonic() + 120
    while not any(checkpoints.glob('[2-9]/commit_success.txt')):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not (folder / 'killed' / 'runs.csv').exists()
    resumed = launch(*command[2:], '--workdir=killed', cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert 'resuming' in resumed.stderr
    plain = launch(*command[2:], '--workdir=plain', cwd=folder)
    assert plain.returncode == 0
    a, b = (pd.read_csv(folder / name / 'runs.csv') for name in ('killed', 'plain'))
    pd.testing.assert_frame_equal(a.drop(columns='seconds'), b.drop(columns='seconds'))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(number, folder):
    """Ctrl-C: stops after the segment, says so, leaves a checkpoint to go on from."""
    slow = (f'--config={CONFIG}', *SMALL, '--config.epochs=100000', '--workdir=stopped')
    command = [sys.executable, str(ROOT / 'launch.py'), *slow]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline() == 'compiling\n'
    assert 'starting' in process.stderr.readline()
    time.sleep(1)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    # On a slow machine, lines of progress come before.
    assert [line for line in err.splitlines() if '%' not in line] == [
        'stopping after this segment; interrupt again to stop at once',
        'interrupted; the same command resumes it',
    ]
    assert list((folder / 'stopped' / 'chunks').glob('*/commit_success.txt'))


def test_dry_run_shows_the_plan_and_writes_nothing(folder, capsys):
    assert commands.main(['launch', f'--config={CONFIG}', '--dry_run']) == 0
    out = capsys.readouterr().out
    for text in ('19 points × 8 seeds = 152 runs', 'swept optimizer.learning_rate', '1,080 steps'):
        assert text in out
    for text in ('Dense_2', '8,970', 'memory', 'lanes', 'working directory: runs/lr_sweep-'):
        assert text in out
    assert not (folder / 'runs').exists()


def test_sweep_flags(folder, capsys):
    def plan(*flags):
        assert commands.main(['launch', f'--config={CONFIG}', '--dry_run', *flags]) == 0
        return capsys.readouterr().out

    assert '1 point × 8 seeds' in plan('--sweep=none')
    assert '1 point × 8 seeds' in plan('--sweep=none', '--config.optimizer.learning_rate=0.2')
    both = plan('--sweep=optimizer.learning_rate=1e-3,0.1', '--sweep=model.activation=relu,tanh')
    assert '4 points × 8 seeds = 32 runs, 2 compiled programs' in both
    assert '2 compiled programs' in plan('--sweep=none', '--sweep=model.widths=(8,),(8, 4)')
    assert '1 compiled program,' in plan(
        '--sweep=none',
        '--config.optimizer=adam',
        '--sweep=optimizer.b1=0,0.5',
    )
    # Another component leaves the fields of the old one behind, in a flag and in a sweep.
    assert '3 compiled' in plan('--sweep=none', '--sweep=optimizer.name=sgd,adam,lion')
    assert '1 point' in plan('--sweep=none', '--config.schedule=cosine')
    assert '2 compiled programs' in plan(
        '--sweep=none', '--sweep=model.activation=("relu","tanh"),tanh'
    )


HEAD = 'import nnstudy\n\ndef get_config():\n    return nnstudy.default_config()\n'
BROKEN = {
    'syntax.py': 'def get_config(:\n',
    'raises.py': 'import nnstudy\n\ndef get_config():\n    return 1 / 0\n',
    'nothing.py': 'x = 1\n',
    'wrong.py': 'def get_config():\n    return {}\n',
    'noarg.py': 'import nnstudy\n\ndef get_config():\n    return nnstudy.default_config()\n',
    'badsweep.py': HEAD + 'def sweep(config):\n    return 3\n',
    'badfield.py': HEAD + 'def sweep(config):\n    return [{1: 2}]\n',
    'nosweep.py': HEAD + 'def sweep(config):\n    return []\n',
    'nodata.py': HEAD + 'def get_data():\n    return None\n',
    'listsweep.py': HEAD + "sweep = [{'epochs': 2}]\n",
    'exits.py': 'import sys\nsys.exit(3)\n',
    'badclaims.py': HEAD + 'def claims():\n    return 3\n',
    'noclaims.py': HEAD + 'def claims():\n    return [True]\n',
    'badclaim.py': HEAD + 'nnstudy.Claim("X: x", of="mean")\n',
    'badjson.py': HEAD + 'import json\n\njson.loads("{")\n',
    'misspelt.py': (
        'import nnstudy\n\ndef get_config():\n    config = nnstudy.default_config()\n'
        '    config.bach_size = 3\n    return config\n'
    ),
}

RATE = 'optimizer.learning_rate'
BAD_INPUT = [
    ([], '--config=FILE.py is needed'),
    (['--config=configs/lr_swep.py'], "did you mean 'configs/lr_sweep.py'"),
    (['--config=syntax.py'], 'syntax.py, line 1: SyntaxError'),
    (['--config=linked.py'], 'linked.py, line 1: SyntaxError'),
    (['--config=raises.py'], 'raises.py, line 4: ZeroDivisionError'),
    (['--config=nothing.py'], 'needs a function get_config'),
    (['--config=wrong.py'], 'must return an ml_collections.ConfigDict'),
    (
        ['--config=noarg.py:mnist'],
        "(after the colon of --config) 'mnist': known: none",
    ),
    (['--config=badsweep.py'], 'must return a list of points'),
    (['--config=misspelt.py'], "misspelt.py, line 5: 'bach_size': did you mean 'batch_size'"),
    (['--config=badfield.py'], 'a list of dicts'),
    (['--config=nosweep.py'], 'no points'),
    (['--config=listsweep.py'], 'sweep must be a function'),
    (['--config=nodata.py'], 'get_data of nodata.py must return an nnstudy.Dataset'),
    ([f'--config={CONFIG}:digits,mnist'], 'digits and mnist exclude each other'),
    ([f'--config={CONFIG}', '--config.epochs=1000000000'], 'makes 36,000,000,000 steps'),
    ([f'--config={CONFIG}', '--config.stop.patience=9999999999'], 'must be below 2**31'),
    ([f'--config={CONFIG}', f'--sweep={RATE}=1' + 400 * '0'], 'must be finite in float32'),
    ([f'--config={CONFIG}', '--workdir=' + 300 * 'a'], 'cannot read --workdir'),
    ([f'--config={CONFIG}', '--config.num_seeds=100000000'], 'a study may have 10,000,000'),
    ([f'--config={CONFIG}', '--config.model.widths=(100000,100000)'], 'GiB of memory'),
    ([f'--config={CONFIG}', '--config.model.widths=-5'], 'must be at least 1, not -5'),
    ([f'--config={CONFIG}', '--config.split.validation='], 'config.split.validation: '),
    ([f'--config={CONFIG}', f'--sweep={RATE}=1e-50'], '0 or at least 1.1754944e-38 in size'),
    ([f'--config={CONFIG}', f'--sweep={RATE}=0.1000000001,0.1'], 'are equal'),
    (
        [f'--config={CONFIG}', '--config.schedule=exponential', '--config.schedule.every_epochs=0'],
        'every_epochs must be at least 1, not 0',
    ),
    ([f'--config={CONFIG}:mnits'], "did you mean 'mnist'"),
    ([f'--config={CONFIG}:lenet'], 'at least 12x12 pixels'),
    ([f'--config={CONFIG}', 'epochs=3'], 'unrecognized arguments: epochs=3'),
    ([f'--config={CONFIG}', '--workdri=x'], 'unrecognized arguments: --workdri=x'),
    ([f'--config={CONFIG}', '--config.epochs'], '--config.epochs needs a value'),
    ([f'--config={CONFIG}', '--config.epoch=3'], "did you mean 'epochs'"),
    ([f'--config={CONFIG}', '--config.epochs=0'], 'config.epochs must be at least 1, not 0'),
    ([f'--config={CONFIG}', '--config.epochs=two'], "whole number, not 'two'"),
    ([f'--config={CONFIG}', '--config.num_seeds=0'], 'config.num_seeds must be at least 1'),
    ([f'--config={CONFIG}', '--config.batch_size=0'], 'config.batch_size must be at least 1'),
    ([f'--config={CONFIG}', '--config.batch_size=9999'], 'larger than the training set'),
    ([f'--config={CONFIG}', '--config.model.name=lenett'], "did you mean 'lenet'"),
    ([f'--config={CONFIG}', '--config.model.withs=3'], "did you mean 'widths'"),
    ([f'--config={CONFIG}', '--config.optimizer.name=adm'], "did you mean 'adam'"),
    ([f'--config={CONFIG}', '--config.schedule.name=cosin'], "did you mean 'cosine'"),
    ([f'--config={CONFIG}', '--config.dataset=digit'], "did you mean 'digits'"),
    ([f'--config={CONFIG}', '--config.split.train=trian'], "did you mean 'train'"),
    ([f'--config={CONFIG}', '--config.split.train=train[:9999]'], '9999'),
    ([f'--config={CONFIG}', f'--config.{RATE}=0.1'], f'--sweep={RATE}=0.1'),
    ([f'--config={CONFIG}', f'--config.{RATE}=0.1', f'--config.{RATE}=1'], 'given twice'),
    ([f'--config={CONFIG}', '--sweep=optimizer.name=sgd,adam', '--config.optimizer=lion'], 'swept'),
    ([f'--config={CONFIG}', '--config.split.train=train'], 'has examples in common'),
    ([f'--config={CONFIG}', '--config.seed=4294967290'], 'beyond the last seed'),
    ([f'--config={CONFIG}', f'--sweep={RATE}=1e39'], 'must be finite in float32'),
    (['--config=exits.py'], 'exits.py, line 2: SystemExit: 3'),
    (['--config=badclaims.py'], 'must return a list of nnstudy.Claim, not of '),
    (['--config=noclaims.py'], 'must return a list of nnstudy.Claim, not of True'),
    (['--config=badclaim.py'], "badclaim.py, line 5: unknown kind of claim (of) 'mean'"),
    (['--config=badjson.py'], 'badjson.py, line 7: JSONDecodeError: '),
    ([f'--config={CONFIG}', '--workdir=full/file.txt/sub'], 'holds no study'),
    ([f'--config={CONFIG}', '--sweep=learning_rate=1'], f"did you mean '{RATE}'"),
    ([f'--config={CONFIG}', f'--sweep={RATE}'], 'write --sweep=FIELD=V1,V2,...'),
    ([f'--config={CONFIG}', f'--sweep={RATE}=0.1,,0.2'], 'write --sweep=FIELD=V1,V2,...'),
    ([f'--config={CONFIG}', '--config.optimzer.momentum=0'], "did you mean 'optimizer'?"),
    ([f'--config={CONFIG}', f'--sweep={RATE}=fast'], "must be a number, not 'fast'"),
    ([f'--config={CONFIG}', f'--sweep={RATE}=0.1,-1'], 'at least 0, not -1'),
    ([f'--config={CONFIG}', f'--sweep={RATE}=0.1,nan'], 'must be finite in float32, not nan'),
    ([f'--config={CONFIG}', '--sweep=batch_size=2.5'], 'must be a whole number, not 2.5'),
    ([f'--config={CONFIG}', '--sweep=num_seeds=2,3'], "cannot sweep 'num_seeds'"),
    ([f'--config={CONFIG}:mnist', '--data_dir=nowhere'], 'nowhere'),
    ([f'--config={CONFIG}:mnist', '--data_dir=empty'], 'train-images-idx3-ubyte'),
    ([f'--config={CONFIG}', '--workdir=full'], 'holds no study'),
    ([f'--config={CONFIG}', '--workdir=full/file.txt'], 'holds no study'),
    *(
        ([f'--config={CONFIG}', *(f'--config.{field}' for field in fields.split())], message)
        for fields, message in [
            ('model=lenet model.dropout=0.1', "unknown field of model 'lenet' 'dropout'"),
            ('model=vgg16', 'takes images of at least 32x32 pixels with these fields, not 8x8'),
            ('model=embedding', "'embedding' does not take numbers, which 'digits' has"),
            ('model=resnet model.depth=8.0', 'config.model.depth must be a whole number, not 8.0'),
            ('model.batch_norm_momentum=0.5', 'needs config.model.batch_norm, which is None'),
            ('model.dropout=1.0', 'config.model.dropout must be below 1, not 1.0'),
            ('model.activation=relu,tanhh', "did you mean 'tanh'"),
            ('loss=binary_hinge', 'is for two classes'),
            ('loss=huber loss.delta=0', 'config.loss.delta must be above 0, not 0'),
            ('execution.memory_gib=0', 'config.execution.memory_gib must be above 0, not 0'),
            ('metrics=r2', "config.metrics: 'r2' is for regression"),
            ('metrics=confusion stop.metric=test_confusion stop.target=1', 'config.stop.metric'),
            ('optimizer=lbfgs', "'lbfgs' needs the whole training set in each step"),
            ('optimizer=lbfgs optimizer.linesearch=x', "field of optimizer 'lbfgs' 'linesearch'"),
            ('optimizer.nesterov=True', 'needs config.optimizer.momentum, which is None'),
            ('optimizer=adam optimizer.mu_dtype=float31', "did you mean 'float32'"),
            ('optimizer=rmsprop optimizer.decay=2', 'config.optimizer.decay must be at most 1'),
            ('schedule=one_cycle schedule.rise=2', 'config.schedule.rise must be at most 1'),
            ('schedule.warmup_epochs=-1', 'config.schedule.warmup_epochs must be at least 0'),
            ('schedule=reduce_on_plateau schedule.patience=1.5', 'a whole number, not 1.5'),
            ('regularization.l2=0.1 regularization.exclude=.*', "exclude '.*' leaves no parameter"),
            ('regularization.include=kernel', 'has no effect: set config.optimizer'),
            ('augmentation.rotation=181', 'config.augmentation.rotation must be at most 180'),
            ('augmentation.rotate=1', "did you mean 'augmentation.rotation'"),
            ('image_size=100000', 'config.image_size 100000 makes'),
            ('text.padding=before', "config.text.padding 'before' is for texts"),
            ('normalization=standart', "did you mean 'standard'"),
            ('dataset=csv:', "config.dataset 'csv:' needs a file"),
            ('dataset=csv:full/file.txt', 'full/file.txt'),
            ('init_scale=-1', 'config.init_scale must be at least 0'),
            ('model=', "unknown model ''"),
            ('precision=float16', "config.precision 'float16': did you mean 'bfloat16'?"),
            (
                'precision=tensorfloat32',
                "'tensorfloat32' is not there on a device of the kind 'cpu'",
            ),
        ]
    ),
    (
        [f'--config={CONFIG}', '--target=tpu-v5e'],
        'trained on the devices that are there; add --dry_run',
    ),
    (
        [f'--config={CONFIG}', '--dry_run', '--target=tpu-v5'],
        "unknown --target 'tpu-v5': did you mean 'tpu-v5e'?",
    ),
]


@pytest.mark.parametrize(('argv', 'message'), BAD_INPUT)
def test_bad_input_costs_one_line(argv, message, folder, capsys, recwarn):
    """Exit code 2, one line on stderr that says what to do, nothing created or changed."""
    for name, text in BROKEN.items():
        (folder / name).write_text(text)
    (folder / 'linked.py').symlink_to(folder / 'syntax.py')
    (folder / 'empty').mkdir()
    (folder / 'full').mkdir()
    (folder / 'full' / 'file.txt').write_text('mine')
    before = sorted(folder.rglob('*'))
    assert commands.main(['launch', *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('error: ') and err.count('\n') == 1
    assert message in err
    assert [p for p in sorted(folder.rglob('*')) if '__pycache__' not in p.parts] == before


def test_bad_input_as_a_process(folder):
    """The same through launch.py: nothing else on stderr, and no traceback."""
    done = launch(f'--config={CONFIG}', '--config.epochs=0', cwd=folder)
    assert done.returncode == 2
    assert done.stderr == 'error: config.epochs must be at least 1, not 0\n'
    assert done.stdout == ''


@pytest.mark.parametrize(
    'fields',
    [
        'model=linear',
        'model=lenet image_size=12',
        'model=resnet20 model.depth=8 model.batch_norm=None',  # off where it is on by default
        'model=mlp dataset=csv:two.csv loss=binary_cross_entropy batch_size=4',  # one output
        'model=embedding dataset=sms_spam',
    ],
)
def test_a_dry_run_shows_the_layers_that_are_trained(fields, folder, capsys, request):
    """As many parameters in the table of layers as a run has."""
    arguments = [f'--config.{field}' for field in fields.split()]
    if 'sms_spam' in fields:
        arguments.append(f'--data_dir={request.getfixturevalue("data_dir")}')
    (folder / 'two.csv').write_text('x,y,kind\n' + '1.5,2.5,a\n2,3,b\n' * 20)
    assert (
        commands.main(['launch', f'--config={CONFIG}', '--sweep=none', '--dry_run', *arguments])
        == 0
    )
    out = capsys.readouterr().out
    (each,) = re.findall(r'([\d,]+) parameters each', out)
    (total,) = re.findall(r'Total Parameters: ([\d,]+)', out)
    assert each.replace(',', '') == total.replace(',', '')


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        commands.main(['launch', '--help'])
    assert stopped.value.code == 0
    assert '--sweep' in capsys.readouterr().out
