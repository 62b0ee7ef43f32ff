"""Parts: what each trains, and that joined they are one study."""

import itertools
import json
import shutil

import jax
import numpy as np
import pandas as pd
import pytest
from small import ROOT, make_config

import nnstudy
from nnstudy import UserError, commands
from nnstudy.running import plan as plan_lib
from nnstudy.running.parts import Part

RATES = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1.0])
# Two groups: of nine runs, and of three.
POINTS = nnstudy.chain(RATES, nnstudy.grid(nnstudy.choice('model.widths', [(4, 4)]), RATES[:1]))
EMPTY = next(i for i in range(50) if not len(Part(i, 50).dealt(0, 12)))  # of 12 runs


@pytest.fixture(scope='module')
def config():
    return make_config(num_seeds=3, epochs=3, log_every_steps=2)


@pytest.fixture(scope='module')
def studies(config, dataset, tmp_path_factory):
    """The study in one job, and in three parts beside it in one folder."""
    folder = tmp_path_factory.mktemp('studies')
    nnstudy.run(config, POINTS, folder / 'whole', dataset, name='mine', quiet=True)
    for i in range(3):
        workdir = folder / 'parts' / str(i)
        part = (i, 3)
        nnstudy.run(config, POINTS, workdir, dataset, part=part, name='mine', quiet=True)
    return folder


@pytest.fixture
def parts(studies, tmp_path):
    """A copy of the parts that a test may spoil."""
    return shutil.copytree(studies / 'parts', tmp_path / 'parts')


def merged(*argv):
    return commands.main(['merge', *map(str, argv)])


def test_parts_share_the_runs_out_evenly(dataset):
    plans = [
        plan_lib.make(make_config(num_seeds=4), POINTS, data=dataset, part=(i, 3)) for i in range(3)
    ]
    whole = plan_lib.make(make_config(num_seeds=4), POINTS, data=dataset)
    rows = {}
    for plan in plans:
        assert plan.identity['digest'] == whole.identity['digest']
        assert abs(plan.num_runs - whole.num_runs / 3) < 1
        for group in plan.groups:
            own = whole.groups[group.index]
            assert abs(len(group.runs) - len(own.runs) / 3) < 2
            assert group.layout.lanes == own.layout.lanes
            rates = group.hparams['optimizer.learning_rate']
            for row in zip(group.runs, group.points, group.seeds, rates, strict=True):
                assert rows.setdefault(row[0], row) is row
    expected = [
        row
        for group in whole.groups
        for row in zip(
            group.runs,
            group.points,
            group.seeds,
            group.hparams['optimizer.learning_rate'],
            strict=True,
        )
    ]
    assert sorted(rows.values()) == sorted(expected)


@pytest.mark.parametrize('num_parts', [1, 2, 3, 8, 50])
def test_every_run_is_in_one_part(num_parts):
    """Over groups of any size; equal up to one run."""
    edges = [0, 1, 4, 5, 29, 40]
    found = [
        [low + Part(i, num_parts).dealt(low, high) for low, high in itertools.pairwise(edges)]
        for i in range(num_parts)
    ]
    sizes = [sum(map(len, part)) for part in found]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate([run for part in found for run in part])) == list(range(40))


def test_no_axis_keeps_in_step_with_the_parts():
    """The half of four rates that diverges is spread over four parts, whatever lies inside it."""
    for inner in (1, 2, 3, 4, 5):
        for i in range(4):
            runs = Part(i, 4).dealt(0, 400)
            diverging = np.mean(runs // inner % 4 >= 2)
            assert 0.35 < diverging < 0.65


def test_joined_parts_are_one_study(studies, tmp_path, capsys):
    """Tables, parameters, config: all but the time that it took."""
    out = tmp_path / 'new' / 'joined'
    assert merged(studies / 'parts', f'--workdir={out}') == 0
    assert 'Best point (*)' in capsys.readouterr().out
    ours, whole = nnstudy.load(out), nnstudy.load(studies / 'whole')
    for name in ('history', 'steps'):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(whole, name))
    tables = [result.runs.drop(columns='seconds') for result in (ours, whole)]
    pd.testing.assert_frame_equal(*tables)
    lines = [pd.read_csv(path / 'runs.csv', dtype=str) for path in (out, studies / 'whole')]
    pd.testing.assert_frame_equal(*(table.drop(columns='seconds') for table in lines))
    for which in ('final', 'best'):
        for run in whole.runs['run']:
            both = (result.params(run, which) for result in (ours, whole))
            jax.tree.map(np.testing.assert_array_equal, *both)
    assert (out / 'config.json').read_text() == (studies / 'whole' / 'config.json').read_text()
    sessions = json.loads((out / 'environment.json').read_text())['sessions']
    assert [session['part'] for session in sessions] == [[0, 3], [1, 3], [2, 3]]
    assert (out / 'plots' / 'curves.png').is_file()
    assert sorted(path.name for path in out.parent.iterdir()) == ['joined']
    # The command of the whole study finds it finished, and so does another merge.
    assert merged(studies / 'parts', f'--workdir={out}') == 0
    assert 'merged already' in capsys.readouterr().err


def test_a_joined_study_needs_its_parts_no_more(parts, dataset, config, tmp_path, capsys):
    assert merged(*parts.iterdir(), f'--workdir={tmp_path / "out"}') == 0
    shutil.rmtree(parts)
    assert nnstudy.load(tmp_path / 'out').params(run=5)
    nnstudy.run(config, POINTS, tmp_path / 'out', dataset)
    assert 'finished already' in capsys.readouterr().err


def test_a_part_keeps_to_its_directory(config, dataset, studies, tmp_path):
    for part, held in (((1, 3), '0/3'), (None, '0/3')):
        with pytest.raises(UserError, match=f'holds part {held}, not '):
            nnstudy.run(config, POINTS, studies / 'parts' / '0', dataset, part=part)
    with pytest.raises(UserError, match='holds the whole study, not part 0/3'):
        nnstudy.run(config, POINTS, studies / 'whole', dataset, part=(0, 3))


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        ((3, 3), 'numbered from 0 to n - 1'),
        ((-1, 3), r'part \(-1, 3\): write'),
        ((0, 0), r'part \(0, 0\): write'),
        ((0.0, 3), r'part \(0.0, 3\): write'),
        ('0.0/3', 'write .*--part=i/n'),
        ((EMPTY, 50), 'has no runs: there are more parts than runs'),
    ],
)
def test_parts_that_cannot_be(part, message, config, dataset):
    with pytest.raises(UserError, match=message):
        nnstudy.run(config, POINTS, data=dataset, part=part)


def refused(capsys, *argv):
    """Returns the lines that say why, after exit code 2."""
    assert merged(*argv) == 2
    out, err = capsys.readouterr()
    assert out == '' and all(line.startswith('error: ') for line in err.splitlines())
    return err.splitlines()


def test_what_is_missing_is_named(parts, tmp_path, capsys):
    out = tmp_path / 'out'
    (line,) = refused(capsys, parts / '1', f'--workdir={out}')
    assert 'missing 8 runs' in line and 'of 12; not given: part 0/3, part 2/3' in line
    runs = set(nnstudy.load(parts / '1').runs['run'])
    assert f'({", ".join(str(n) for n in range(12) if n not in runs)}'[:20] in line
    (parts / '0' / 'history.parquet').unlink()
    unfinished, missing = refused(capsys, parts, f'--workdir={out}')
    assert 'part 0/3) is not finished; run it again' in unfinished and 'python ' in unfinished
    assert 'missing 4 runs' in missing and 'not given' not in missing
    assert not out.exists() and sorted(tmp_path.iterdir()) == [parts]


def test_parts_of_different_machines(parts, tmp_path, capsys):
    path = parts / '2' / 'environment.json'
    path.write_text(path.read_text().replace('"backend": "cpu"', '"backend": "gpu"'))
    assert merged(parts, f'--workdir={tmp_path / "out"}') == 0
    assert 'warning: the parts were trained with different backend;' in capsys.readouterr().err


@pytest.mark.slow
def test_what_does_not_belong_is_named(parts, studies, config, dataset, tmp_path, capsys):
    other = make_config(num_seeds=3, epochs=1)
    nnstudy.run(other, POINTS, parts / 'other', dataset, part=(0, 9), quiet=True)
    (line,) = refused(capsys, parts, f'--workdir={tmp_path / "out"}')
    assert "other' (part 0/9) is of another study" in line
    assert 'config.epochs, config.log_every_steps' in line
    shutil.rmtree(parts / 'other')

    # The same runs twice are welcome while they are the same.
    assert merged(parts, studies / 'whole', f'--workdir={tmp_path / "twice"}') == 0
    twice, whole = (nnstudy.load(path) for path in (tmp_path / 'twice', studies / 'whole'))
    pd.testing.assert_frame_equal(twice.history, whole.history)
    path = parts / '1' / 'history.parquet'
    history = pd.read_parquet(path)
    history.loc[0, 'train_loss'] += 1e-6
    history.to_parquet(path)
    capsys.readouterr()
    (line,) = refused(capsys, parts, studies / 'whole', f'--workdir={tmp_path / "out"}')
    assert f'1 run ({history["run"][0]}) came out differently' in line

    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'file').write_text('mine')
    line = refused(capsys, parts, f'--workdir={tmp_path / "mine"}')[-1]
    assert 'exists; name an empty or new directory' in line
    (line,) = refused(capsys, tmp_path / 'mine', '--workdir=out')
    assert 'holds no study' in line


def test_parts_from_the_command_line(tmp_path, monkeypatch, capsys):
    """A job array of more tasks than runs, and the merge after it."""
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    study = ['--config=configs/lr_sweep.py', '--config.num_seeds=1', '--config.epochs=2']
    study += ['--sweep=optimizer.learning_rate=0.01,0.1,1']
    for i in range(4):
        assert commands.main(['launch', *study, f'--part={i}/4']) == 0
    out = capsys.readouterr().out
    assert '3 points × 1 seed = 3 runs, 1 of them in part 0/4' in out
    assert out.count('nothing to train: there are more parts than runs') == 1
    (folder,) = (tmp_path / 'runs').iterdir()
    assert len(list(folder.iterdir())) == 3
    assert f'nnstudy merge runs/{folder.name} --workdir=OUT' in out
    assert commands.main(['launch', *study, '--part=0/4']) == 0
    assert 'finished already' in capsys.readouterr().err
    assert commands.main(['launch', *study]) == 2
    assert 'nnstudy merge joins its parts' in capsys.readouterr().err
    assert merged(f'runs/{folder.name}', '--workdir=runs/joined') == 0
    assert commands.main(['launch', *study, '--workdir=runs/joined']) == 0
    assert 'finished already' in capsys.readouterr().err
    for text in ('1', '1/', 'a/b', '-1/3', '0/4/5', '1.0/3'):
        assert commands.main(['launch', *study, f'--part={text}']) == 2
        assert '--part=i/n' in capsys.readouterr().err
    assert commands.main(['launch', *study, '--part=4/4']) == 2
    assert 'numbered from 0 to n - 1' in capsys.readouterr().err
