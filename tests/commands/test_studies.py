"""Studies with claims, as their user runs them: listed, run, run again, on a page."""

import os
import re
import shutil
import subprocess
import sys
import textwrap

import pandas as pd
import pytest
from small import ROOT

import nnstudy
from nnstudy import commands, models
from nnstudy.analysis import judging
from nnstudy.commands import studies
from nnstudy.report import studies_page

CONFIG = '''
    """Which rate is better.

    More is said here.

    Asked: which
    of two rates.
    """

    import nnstudy
    from nnstudy import Claim, Quantity, Reference

    VARIANTS = {'quick': {'num_seeds': 2}, 'reduced': {}, 'small': {}, 'large': {}}
    LOW, HIGH = ({'optimizer.learning_rate': rate} for rate in (0.001, 0.1))


    def get_config():
        config = nnstudy.default_config()
        config.split.train = 'train[:64]'
        config.split.test = 'test[:50]'
        config.split.validation = None
        config.epochs = 2
        config.num_seeds = 10
        return config


    def sweep(config):
        return [LOW, HIGH]


    def claims():
        loss, drop = Quantity('test_loss'), Quantity('drop')
        better = Claim('X1: The high rate is better', loss.where(HIGH) < loss.where(LOW))
        return [better, Claim('X2: It drops', drop.where(LOW) < 100, of='median')]


    def references(config):
        return [Reference('loss', 2.0, Quantity('test_loss').where(HIGH))]


    def measure(results):
        return {'drop': results.runs['test_loss'] - 2.0}
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'rates.py').write_text(textwrap.dedent(CONFIG))
    return tmp_path


def test_listed_run_and_put_on_a_page(folder, capsys):
    assert commands.main(['studies', 'list']) == 0
    listed = capsys.readouterr().out
    assert 'Which rate is better.' in listed

    assert commands.main(['studies', 'page']) == 2
    assert 'no study is recorded in' in capsys.readouterr().err

    assert commands.main(['studies', 'run']) == 0
    printed = capsys.readouterr().out
    assert '10 of 10 seeds' in printed
    claims = pd.read_csv(folder / 'runs/studies/claims.csv')
    assert claims['verdict'].tolist() == ['holds', 'holds']
    assert claims['study'].tolist() == ['rates', 'rates']
    assert 'drop' in pd.read_csv(folder / 'runs/studies/rates/runs.csv')

    # Claims are no part of what is trained: another one is judged anew, and nothing is trained.
    path = folder / 'configs' / 'rates.py'
    path.write_text(path.read_text().replace('< 100', '< -100'))
    assert commands.main(['studies', 'run']) == 0
    assert 'finished already' in capsys.readouterr().err
    claims = pd.read_csv(folder / 'runs/studies/rates/claims.csv')
    assert claims['verdict'].tolist() == ['holds', 'does not hold']
    assert claims['beforehand'].tolist() == [True, False]
    assert judging.judge(nnstudy.load(folder / 'runs/studies/rates')).verdict[1] == 'does not hold'

    assert commands.main(['studies', 'list']) == 0
    assert '1 holds, 1 does not hold' in ' '.join(capsys.readouterr().out.split())
    (folder / 'page').mkdir()
    (folder / 'page/rates.md').write_text('Seen: a valley.\n')
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    page = (folder / 'page.md').read_text()
    assert 'Seen: a valley.' in page
    first = (
        '| X1 | The high rate is better | **holds, more often than not** | 10 of 10 seeds; at least'
    )
    assert first in page
    again = 'It drops. Does not hold (worded afterwards): true of 0 of 10 seeds; of medians'
    assert f'- **X2** (rates): {again}' in page
    assert 'Asked: which of two rates.' in page
    assert '| loss | 2 |' in page
    assert '(page/rates/picture.png)' in page
    assert (folder / 'page/rates/picture.png').is_file()


def test_a_page_keeps_what_ran_on_another_machine(folder, capsys):
    assert commands.main(['studies', 'run']) == 0
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    first = (folder / 'page.md').read_text()
    shutil.rmtree(folder / 'runs')
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    assert (folder / 'page.md').read_text() == first


def test_a_reduced_setting_has_no_quick_one(folder, capsys):
    path = folder / 'configs' / 'rates.py'
    reduced = textwrap.dedent(CONFIG).replace(
        'LOW, HIGH =', "RECORDED = ('', 'reduced')\nLOW, HIGH =", 1
    )
    path.write_text(reduced)
    for quick, names in ((False, ['rates', 'rates:reduced']), (True, ['rates:quick'])):
        found = studies.find(folder / 'configs', folder / 'runs', quick=quick)
        assert [study.name for study in found] == names

    capsys.readouterr()
    for asked in (['rates'], ['rates:reduced'], ['rates', '--quick'], ['rates:quick', '--quick']):
        assert commands.main(['studies', 'list', *asked]) == 0
        assert capsys.readouterr().out.count('Which rate is better.') == 1
    assert commands.main(['studies', 'list', 'rates:reducde']) == 2
    assert "did you mean 'rates:reduced'?" in capsys.readouterr().err
    assert commands.main(['studies', 'list', 'rates:quick']) == 2
    assert 'small versions are those with --quick' in capsys.readouterr().err


def test_a_file_stands_for_its_studies(folder, capsys):
    path = folder / 'configs' / 'rates.py'
    variants = CONFIG.replace('LOW, HIGH =', "RECORDED = ('small', 'large')\n    LOW, HIGH =", 1)
    path.write_text(textwrap.dedent(variants))
    for quick in ([], ['--quick']):
        for asked, listed in (('rates', 2), ('rates:large', 1)):
            assert commands.main(['studies', 'list', asked, *quick]) == 0
            assert capsys.readouterr().out.count('Which rate is better.') == listed


def test_a_study_of_another_config_is_outdated(folder, capsys):
    """Its old outcome is not passed off as that of the new config."""
    assert commands.main(['studies', 'run']) == 0
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    first = (folder / 'page.md').read_text()
    path = folder / 'configs' / 'rates.py'
    path.write_text(path.read_text().replace('config.epochs = 2', 'config.epochs = 3'))
    capsys.readouterr()
    assert commands.main(['studies', 'list']) == 0
    assert 'outdated' in capsys.readouterr().out
    assert commands.main(['studies', 'run']) == 2
    said = capsys.readouterr()
    assert 'it differs in config.epochs' in said.err
    assert 'holds' not in said.out
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    assert 'rates is left as it was recorded' in capsys.readouterr().err
    assert (folder / 'page.md').read_text() == first


def test_a_page_judges_the_claims_of_today(folder, capsys):
    assert commands.main(['studies', 'run']) == 0
    path = folder / 'configs' / 'rates.py'
    text = path.read_text().replace('The high rate is better', 'The low rate is better')
    path.write_text(text.replace('where(HIGH) <', 'where(HIGH) >'))
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    assert 'warning' not in capsys.readouterr().err
    page = (folder / 'page.md').read_text()
    refuted = '**does not hold, more often than not (worded afterwards)** | 0 of 10 seeds;'
    assert f'| X1 | The low rate is better | {refuted}' in page
    assert 'The high rate' not in page


def test_a_study_of_another_net_is_outdated(folder, capsys, monkeypatch):
    monkeypatch.setitem(models.MODELS, 'line', None)  # gone after the test
    path = folder / 'configs' / 'rates.py'
    net = """

class Line(nn.Module):
    num_outputs: int

    @nn.compact
    def __call__(self, inputs, *, train):
        return WIDER * nn.Dense(self.num_outputs)(inputs.reshape(len(inputs), -1))


nnstudy.models.MODELS['line'] = Line


def get_config"""
    text = 'from flax import linen as nn\n\n' + path.read_text().replace('\n\ndef get_config', net)
    text = text.replace('config.epochs = 2', "config.model.name = 'line'\n    config.epochs = 2")
    path.write_text(text.replace('WIDER', '1.0'))
    assert commands.main(['studies', 'run']) == 0
    capsys.readouterr()
    assert commands.main(['studies', 'list']) == 0
    assert 'finished' in capsys.readouterr().out
    path.write_text(text.replace('WIDER', '2.0'))
    assert commands.main(['studies', 'list']) == 0
    assert 'outdated' in capsys.readouterr().out


def test_what_is_filled_in_is_no_difference(folder, capsys):
    """Points that name different fields, stages, and data in memory are kept in another form."""
    path = folder / 'configs' / 'rates.py'
    text = path.read_text().replace("HIGH = ({'", "HIGH = ({'optimizer.name': 'sgd', '")
    text = text.replace('def claims', 'def _claims').replace('def references', 'def _references')
    text = text.replace(
        '[LOW, HIGH]', "[{**LOW, 'optimizer.momentum': None, 'model.activation': 'relu'}, HIGH]"
    )
    path.write_text(text)
    data = "def get_data(config):\n    return nnstudy.data.load('digits')\n\n\ndef measure"
    (path.parent / 'memory.py').write_text(text.replace('def measure', data))
    zoom = "config.zoom.train = ('train[:64]', 'train[:128]')\n    config.epochs = 2"
    (path.parent / 'staged.py').write_text(text.replace('config.epochs = 2', zoom))
    assert commands.main(['studies', 'run']) == 0
    capsys.readouterr()
    assert commands.main(['studies', 'list']) == 0
    listed = capsys.readouterr().out
    assert listed.count('finished') == 3, listed


def test_a_study_that_is_not_judged_to_the_end_is_not_finished(folder, capsys):
    path = folder / 'configs' / 'rates.py'
    right = path.read_text()
    path.write_text(right.replace("Quantity('drop')", "Quantity('drpo')"))
    assert commands.main(['studies', 'run']) == 2
    assert "did you mean 'drop'?" in capsys.readouterr().err
    assert commands.main(['studies', 'list']) == 0
    assert 'begun' in capsys.readouterr().out
    assert commands.main(['studies', 'page', '--out=page.md']) == 2
    path.write_text(right)
    assert commands.main(['studies', 'run']) == 0
    # Claims that are taken away are no more in the folder.
    path.write_text(right.replace('def claims', 'def _claims'))
    assert commands.main(['studies', 'run']) == 0
    assert not (folder / 'runs/studies/rates/claims.csv').exists()


def test_what_is_not_whole_costs_a_line(folder, capsys):
    assert commands.main(['studies', 'run']) == 0
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    told = folder / 'page/rates/claims.csv'
    told.write_text(told.read_text().replace('verdict', 'vredict'))
    (folder / 'runs/studies/rates/runs.parquet').unlink()
    capsys.readouterr()
    assert commands.main(['studies', 'lits']) == 2
    assert "'lits': did you mean 'list'" in capsys.readouterr().err
    for action in ('list', 'page'):
        assert commands.main(['studies', action, '--out=page.md']) == 2
        assert 'is not finished' in capsys.readouterr().err
    shutil.rmtree(folder / 'runs')
    assert commands.main(['studies', 'page', '--out=page.md']) == 2
    assert 'is no table of verdicts' in capsys.readouterr().err
    (folder / 'none').mkdir()
    assert commands.main(['studies', 'run', '--configs=none']) == 2
    assert 'there is no config file in' in capsys.readouterr().err


def test_without_claims_the_page_says_what_was_best(folder, capsys):
    path = folder / 'configs' / 'rates.py'
    path.write_text(path.read_text().replace('def claims', 'def _claims'))
    assert commands.main(['studies', 'run']) == 0
    assert commands.main(['studies', 'page', '--out=page.md']) == 0
    assert '- Best point (*): optimizer.learning_rate = 0.1; ' in (folder / 'page.md').read_text()


def test_claims_are_in_the_order_of_their_names(folder, capsys):
    path = folder / 'configs' / 'rates.py'
    for old, new in (('X1:', 'X10:'), ('X2:', 'X9:')):
        path.write_text(path.read_text().replace(old, new))
    assert commands.main(['studies', 'run']) == 0
    claims = pd.read_csv(folder / 'runs/studies/claims.csv')
    assert claims['claim'].tolist() == ['X9', 'X10']


def test_quick_ones_are_others(folder, capsys):
    assert commands.main(['studies', 'run', '--quick', 'rates']) == 0
    assert re.search(
        r'2 of 2 seeds; \d+ to 100%; \d+ would decide', ' '.join(capsys.readouterr().out.split())
    )
    assert (folder / 'runs/studies/rates-quick/runs.csv').is_file()
    assert not (folder / 'runs/studies/rates').exists()


def test_one_that_fails_does_not_stop_the_others(folder, capsys):
    bad = textwrap.dedent(CONFIG).replace("'train[:64]'", "'trian'")
    (folder / 'configs' / 'bad.py').write_text(bad)
    assert commands.main(['studies', 'run', '--quick']) == 2
    err = capsys.readouterr().err
    assert '1 of 2 failed: bad:quick' in err
    assert (folder / 'runs/studies/rates-quick/claims.csv').is_file()


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['run', 'rats'], "'rates'"),
        (['go'], 'run'),
        (['--configs=nowhere'], 'nowhere'),
    ],
)
def test_bad_input_costs_one_line(folder, argv, message, capsys):
    assert commands.main(['studies', *argv]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count('\n') == 1


def test_conclusions_that_one_seed_may_contradict_are_listed_by_verdict(tmp_path):
    rows = [
        ('Y1', 'a', 'holds', 20, 20),
        ('Y2', 'b', 'holds', 20, 18),
        ('Y4', 'd', 'does not hold', 20, 1),
        ('Y5', 'e', 'undecided', 3, 0),
        ('Y6', 'f (ours)', 'undecided', 3, 1),
    ]
    claims = pd.DataFrame(rows, columns=['claim', 'statement', 'verdict', 'n', 'wins'])
    claims = claims.assign(ties=0, losses=claims['n'] - claims['wins'], share_low=0, share_high=1)
    claims = claims.assign(of='seed', seeds_needed=8, reliability=None, evidence='x')
    claims['beforehand'], claims['conditions'] = True, 1
    claims['e_value'] = [1e4, 1e3, 101, 1, 1]
    recorded = tmp_path / 'page' / 'made'
    recorded.mkdir(parents=True)
    (recorded / 'section.md').write_text('## made\n\nMade.\n')
    claims.to_csv(recorded / 'claims.csv', index=False)
    page = studies_page.write(tmp_path / 'page.md', 'true').read_text()
    parts = [part.partition('\n') for part in page.split('## ')]
    listed = {title: re.findall(r'- \*\*(Y\d)\*\*', text) for title, _, text in parts}
    assert listed['Conclusions of the documents that our seeds contradict'] == ['Y4']
    assert [names for title, names in listed.items() if 'although' in title] == [['Y2']]
    assert [names for title, names in listed.items() if 'undecided' in title] == [['Y5']]
    assert listed['The same of our own claims'] == ['Y6']
    # Of ten statements in all, with an e-value of 10 / (3 · 5%) three are shown together.
    assert 'Of all 3 verdicts here that rest on seeds, all stand' in page
    claims['e_value'] = [1e4, 1e3, 50, 1, 1]
    claims.to_csv(recorded / 'claims.csv', index=False)
    page = studies_page.write(tmp_path / 'page.md', 'true').read_text()
    assert '2 stand if at most 5% of them may be expected to be wrong (e-BH); not Y4.' in page
    assert page.index('our seeds contradict') < page.index('## All claims'), 'first what was found'


def test_all_cores_are_used(folder):
    """Nothing starts JAX before it is told of them."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-W', 'error', '-m', 'nnstudy', 'studies', 'run', '--quick', 'rates']
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    cores = len(os.sched_getaffinity(0))
    assert f'{cores} CPU device' in done.stdout
