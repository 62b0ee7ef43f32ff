"""Studies that grow: more seeds, more points, and rounds of seeds until claims are decided."""

import numpy as np
import pandas as pd
import pytest
from small import make_config

import nnstudy
from nnstudy import Claim, Quantity, UserError, commands
from nnstudy.running import plan as plan_lib
from nnstudy.running import rounds, study

RATES = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1.0])
WIDER = nnstudy.grid(nnstudy.choice('optimizer.learning_rate', [1.0, 0.01, 0.1, 0.3]))


def config(num_seeds, **more):
    return make_config(num_seeds=num_seeds, epochs=3, log_every_steps=2, **more)


def assert_same(a, b):
    """Two studies are equal, bit for bit, but for the time they took."""
    assert a.points == b.points
    for name, table in a.tables.items():
        other = b.tables[name]
        pd.testing.assert_frame_equal(
            *(t.drop(columns='seconds', errors='ignore') for t in (table, other))
        )
    for run in a.runs['run']:
        for which in ('final', 'best'):
            x, y = a.params(run, which), b.params(run, which)
            np.testing.assert_equal(x, y)


@pytest.fixture(scope='module')
def whole(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    return nnstudy.run(config(8), RATES, folder, dataset, quiet=True)


@pytest.fixture
def trained(monkeypatch):
    """Counts the runs that are trained, chunk by chunk."""
    counted = []
    train = study._Loop._train_chunk

    def counting(self, program, runs, until, where):
        counted.append(len(runs))
        return train(self, program, runs, until, where)

    monkeypatch.setattr(study._Loop, '_train_chunk', counting)
    return counted


def test_a_study_grown_in_seeds_is_the_whole_one(dataset, tmp_path, whole, trained):
    for num_seeds in (2, 4, 8):
        grown = nnstudy.run(config(num_seeds), RATES, tmp_path, dataset, quiet=True)
        assert len(grown.runs) == 3 * num_seeds
    assert sum(trained) == 24, 'each run once'
    assert_same(grown, whole)
    assert_same(nnstudy.load(tmp_path), nnstudy.load(whole.workdir))


def test_a_study_grown_in_points(dataset, tmp_path, trained):
    """In another order, too."""
    nnstudy.run(config(2), RATES, tmp_path / 'a', dataset, quiet=True)
    grown = nnstudy.run(config(2), WIDER, tmp_path / 'a', dataset, quiet=True)
    assert sum(trained) == 8
    assert_same(grown, nnstudy.run(config(2), WIDER, tmp_path / 'b', dataset, quiet=True))


def test_fewer_seeds_are_a_view(dataset, tmp_path, whole, trained):
    nnstudy.run(config(8), RATES, tmp_path, dataset, quiet=True)
    trained.clear()
    fewer = nnstudy.run(config(2), RATES[1:], tmp_path, dataset, quiet=True)
    assert fewer.runs['seed'].tolist() == [0, 1, 0, 1]
    assert_same(nnstudy.run(config(8), RATES, tmp_path, dataset, quiet=True), whole)
    assert not trained, 'nothing was deleted'


def test_other_seeds_too(dataset, tmp_path, whole):
    nnstudy.run(config(4, seed=4), RATES, tmp_path, dataset, quiet=True)
    assert_same(nnstudy.run(config(8), RATES, tmp_path, dataset, quiet=True), whole)


def test_grown_in_memory_of_an_interrupted_study(dataset, tmp_path, whole, monkeypatch):
    """Killed while it grows, it goes on, also as the smaller one."""
    nnstudy.run(config(2), RATES, tmp_path, dataset, quiet=True)
    train = study._Loop._train_chunk

    def stopping(self, *arguments):
        train(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study._Loop, '_train_chunk', stopping)
        with pytest.raises(KeyboardInterrupt):
            nnstudy.run(config(8, execution__lanes=2), RATES, tmp_path, dataset, quiet=True)
    with pytest.raises(UserError, match='not finished'):
        nnstudy.load(tmp_path)
    assert len(nnstudy.run(config(2), RATES, tmp_path, dataset, quiet=True).runs) == 6
    assert_same(nnstudy.run(config(8), RATES, tmp_path, dataset, quiet=True), whole)


@pytest.mark.parametrize(
    ('changes', 'points', 'message'),
    [
        ({'batch_size': 3}, RATES, 'it differs in config.batch_size;'),
        ({}, nnstudy.choice('optimizer.momentum', [0.5, 0.9]), 'it differs in .*the swept fields'),
    ],
)
def test_what_makes_another_study_is_refused(dataset, tmp_path, changes, points, message):
    nnstudy.run(config(2), RATES, tmp_path, dataset, quiet=True)
    with pytest.raises(UserError, match=message):
        nnstudy.run(config(4, **changes), points, tmp_path, dataset, quiet=True)
    assert len(nnstudy.load(tmp_path).runs) == 6


def test_with_halving_a_study_cannot_grow(dataset, tmp_path):
    halving = {'halving__factor': 2, 'halving__min_epochs': 1}
    nnstudy.run(config(2, **halving), RATES, tmp_path, dataset, quiet=True)
    with pytest.raises(UserError, match='it differs in config.num_seeds'):
        nnstudy.run(config(4, **halving), RATES, tmp_path, dataset, quiet=True)
    with pytest.raises(UserError, match='it differs in points'):
        nnstudy.run(config(2, **halving), RATES[1:], tmp_path, dataset, quiet=True)


def test_halves_are_merged(dataset, tmp_path, whole):
    for name, seed in (('a', 0), ('b', 4)):
        nnstudy.run(config(4, seed=seed), RATES, tmp_path / name, dataset, quiet=True)
    arguments = [str(tmp_path / name) for name in 'ba']
    assert commands.main(['merge', *arguments, f'--workdir={tmp_path / "both"}']) == 0
    assert_same(nnstudy.load(tmp_path / 'both'), nnstudy.load(whole.workdir))


LOSS = Quantity('test_loss')
CLEAR = Claim('X1: It learns', LOSS.where(RATES[1]) < LOSS.where(RATES[1]).at(0))
UNCLEAR = Claim('X2: It is odd', Quantity('odd').where(RATES[2]) > 0)


def test_rounds_until_claims_are_decided(dataset, tmp_path, capsys, trained):
    def measured(results):
        odd = results.runs['seed'] % 4 != 3  # of 4 seeds in 3
        return nnstudy.results.results.with_columns(results, {'odd': odd.astype(float) - 0.5})

    claims = [CLEAR, UNCLEAR]
    plan = plan_lib.make(config(4), RATES, data=dataset, claims=claims)
    results = rounds.until_decided(plan, tmp_path, 200, measured)
    judged = nnstudy.analysis.judging.judge(measured(results))
    assert judged['verdict'].tolist() == ['holds', 'holds']
    counts = results.runs.groupby('point').size()
    assert counts[0] == 4, 'no claim speaks of it'
    assert 4 < counts[1] < counts[2] < 200
    assert sum(trained) == counts.sum()
    assert 'undecided: X2; next, ' in capsys.readouterr().err
    # The same command finds all that it needs.
    trained.clear()
    assert_same(rounds.until_decided(plan, tmp_path, 200, measured, quiet=True), results)
    assert not trained


def test_rounds_end_at_the_most_seeds(dataset, tmp_path):
    coin = Claim('X: Even', Quantity('seed').where(RATES[0]) < 2.5)
    plan = plan_lib.make(config(2), RATES, data=dataset, claims=[coin])
    results = rounds.until_decided(plan, tmp_path, 5, quiet=True)
    assert results.runs.groupby('point').size().tolist() == [5, 2, 2]
    for changes, most, message in (
        ({'claims': []}, 5, 'no claims to decide'),
        ({}, 1, 'config.num_seeds 2 is more than 1'),
        ({'part': (0, 2)}, 5, 'decides nothing'),
    ):
        about = {'claims': [coin], **changes}
        plan = plan_lib.make(config(2), RATES, data=dataset, **about)
        with pytest.raises(UserError, match=message):
            rounds.until_decided(plan, tmp_path, most, quiet=True)


def test_rounds_of_a_claim_that_nobody_can_decide(dataset, tmp_path):
    """Of ties alone there is no number of seeds that would do."""
    tie = Claim('X: x', LOSS.where(RATES[0]) < LOSS.where(RATES[0]).over('max'))
    plan = plan_lib.make(config(2), RATES, data=dataset, claims=[tie])
    results = rounds.until_decided(plan, tmp_path, 6, quiet=True)
    assert results.runs.groupby('point').size().tolist() == [6, 2, 2]


def test_a_study_grows_in_data_sets(tmp_path):
    digits = nnstudy.choice('dataset', ['digits'])
    halves = nnstudy.choice('dataset', ['digits', 'linear'])
    nnstudy.data.DATASETS['linear'] = nnstudy.data.DATASETS['digits']
    try:
        small = {'epochs': 1, 'split.train': 'train[:5%]', 'num_seeds': 1}
        nnstudy.run(small, digits, tmp_path, quiet=True)
        assert len(nnstudy.run(small, halves, tmp_path, quiet=True).runs) == 2
    finally:
        del nnstudy.data.DATASETS['linear']


def test_no_table_of_the_smaller_study_is_left(dataset, tmp_path, monkeypatch):
    nnstudy.run(config(2), RATES, tmp_path, dataset, quiet=True)
    (tmp_path / 'claims.csv').write_text('old')

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(study._Loop, '_train_chunk', fail)
    with pytest.raises(KeyboardInterrupt):
        nnstudy.run(config(3), RATES, tmp_path, dataset, quiet=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {'config.json', 'environment.json', 'chunks'}


def test_an_earlier_version_is_told(dataset, tmp_path, capsys):
    nnstudy.run(config(2), RATES, tmp_path / 'a', dataset, quiet=True)
    path = tmp_path / 'a' / 'config.json'
    path.write_text(path.read_text().replace('"keys"', '"names"'))
    for argv in (
        ['rerun', str(path.parent)],
        ['merge', str(path.parent), f'--workdir={tmp_path}/b'],
    ):
        assert commands.main(argv) == 2
        assert 'by an earlier version' in capsys.readouterr().err


def test_the_best_point_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {'epochs': 1, 'split.train': 'train[:5%]', 'num_seeds': 2}
    results = nnstudy.run(small, RATES, 'w', quiet=True)
    assert commands.main(['rerun', 'w', '--num_seeds=3']) == 0
    best = study.best_point(results)
    again = nnstudy.load(f'w/rerun-{best}')
    assert again.runs['seed'].tolist() == [2, 3, 4]
    assert again.points == [results.points[best]]
    assert commands.main(['rerun', 'w', '--point=9']) == 2
    assert 'no point 9' in capsys.readouterr().err
