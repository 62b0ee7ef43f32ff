"""Coarse-to-fine search: stages that are studies, each about the best point of the one before."""

import json

import pandas as pd
import pytest
from small import ROOT, make_config

import nnstudy
from nnstudy import UserError, commands
from nnstudy.analysis import comparison
from nnstudy.running import study
from nnstudy.spec import zoom

RATES = nnstudy.choice('optimizer.learning_rate', [0.001, 0.03, 1.0])
SPLITS = ('train[:16]', 'train[:36]')


@pytest.mark.slow
def test_two_stages_on_digits(tmp_path, monkeypatch, capsys):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    command = ['--config=configs/lr_sweep.py', '--config.num_seeds=2', '--config.epochs=3']
    command += ['--sweep=optimizer.learning_rate=0.001,0.1,10']
    command += ['--config.zoom.train=train[:20%],train[:80%]']
    assert commands.main(['launch', *command, '--dry_run']) == 0
    assert 'this is stage 1 of 2' in capsys.readouterr().out
    assert commands.main(['launch', *command]) == 0
    done = capsys.readouterr()
    assert "stage 2 of 2: 3 points, 6 runs on 'train[:80%]'" in done.err
    (workdir,) = (tmp_path / 'runs').iterdir()
    assert sorted(path.name for path in workdir.iterdir()) == ['stage-1', 'stage-2']
    assert f'{workdir.relative_to(tmp_path)}/stage-2/runs.csv' in done.out
    first, last = (nnstudy.load(workdir / f'stage-{number}') for number in (1, 2))
    assert [r.config.split.train for r in (first, last)] == ['train[:20%]', 'train[:80%]']
    best = first.points[comparison.best(first.runs).point]
    assert best == {'optimizer.learning_rate': 0.1}
    assert last.points == zoom.zoom(first.points, best, seed=1)
    assert commands.main(['launch', *command]) == 0
    again = capsys.readouterr()
    assert again.out == done.out and again.err.count('finished already') == 2
    assert commands.main(['launch', *command, '--part=0/2']) == 2
    assert 'has no parts' in capsys.readouterr().err
    assert commands.main(['launch', *command, f'--workdir={workdir / "stage-1"}']) == 2
    assert 'holds a study' in capsys.readouterr().err


@pytest.mark.slow
def test_resumed_between_stages(dataset, tmp_path, monkeypatch):
    """Died as the second stage began: the first one is read, the end is the same."""
    config = make_config(zoom__train=SPLITS)
    plain = nnstudy.run(config, RATES, data=dataset, quiet=True)
    carry_out, stages = study.carry_out, []

    def dying(plan, *args, **kwargs):
        stages.append(plan)
        if len(stages) == 2:
            raise KeyboardInterrupt
        return carry_out(plan, *args, **kwargs)

    monkeypatch.setattr(study, 'carry_out', dying)
    with pytest.raises(KeyboardInterrupt):
        nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    sessions = tmp_path / 'stage-1' / 'environment.json'
    assert not (tmp_path / 'stage-2').exists()
    resumed = nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    assert len(json.loads(sessions.read_text())['sessions']) == 1
    pd.testing.assert_frame_equal(resumed.history, plain.history)
    assert resumed.points == plain.points == nnstudy.load(tmp_path / 'stage-2').points
    assert resumed.workdir == tmp_path / 'stage-2'


def test_more_data_for_the_config_as_it_is(dataset):
    results = nnstudy.run(make_config(zoom__train=SPLITS), data=dataset, quiet=True)
    assert results.points == [{}] and results.config.split.train == SPLITS[1]


@pytest.mark.parametrize(
    ('splits', 'points', 'message'),
    [
        ((0.1, 0.5), RATES, r'config.zoom.train\[0\] must be text, not 0.1'),
        (('train[:16]', 'train[:40]'), RATES, 'has examples in common'),
        (('train[:16]', 'trian'), RATES, "did you mean 'train'"),
        (SPLITS, nnstudy.choice('split.train', SPLITS), 'config.zoom.train sets it'),
        (SPLITS, nnstudy.choice('zoom.train', [SPLITS]), "cannot sweep 'zoom.train'"),
    ],
)
def test_what_is_wrong_is_said_before_training(splits, points, message, dataset, tmp_path):
    """Of the last stage too."""
    with pytest.raises(UserError, match=message):
        nnstudy.run(make_config(zoom__train=splits), points, tmp_path, dataset, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_looks_at_the_last_stage_too(tmp_path, monkeypatch, capsys):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.chdir(tmp_path)
    command = ['--config=configs/lr_sweep.py', '--config.zoom.train=train[:20%],trian']
    assert commands.main(['launch', *command, '--dry_run']) == 2
    assert "did you mean 'train'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_stage_without_a_best_point(dataset):
    points = nnstudy.choice('optimizer.learning_rate', [1e38, 2e38])
    config = make_config(zoom__train=SPLITS, loss='squared_error')
    with pytest.raises(UserError, match=r"no run on 'train\[:16\]' has a finite"):
        nnstudy.run(config, points, data=dataset, quiet=True)
