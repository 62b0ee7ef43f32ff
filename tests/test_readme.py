"""What the README shows works as printed."""

import re

import pytest
from small import ROOT

from nnstudy import commands

TEXT = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', TEXT, re.DOTALL)


def test_the_study_of_ones_own(tmp_path, monkeypatch, capsys):
    (tmp_path / 'width.py').write_text(BLOCKS[0])
    monkeypatch.chdir(tmp_path)
    assert commands.main(['launch', '--config=width.py', '--dry_run']) == 0
    assert '21 points × 5 seeds = 105 runs, 3 compiled programs' in capsys.readouterr().out
    small = ['--config.epochs=1', '--config.num_seeds=1', '--sweep=model.widths=(16,)']
    assert commands.main(['launch', '--config=width.py', *small]) == 0


@pytest.mark.filterwarnings('ignore:nnstudy.setup')  # JAX has started here long ago
def test_the_python_face(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS[1:]:
        exec(block, names)
    assert len(names['results'].runs) == 13
    assert names['history']['test_accuracy'].shape[0] == 100


def test_the_commands(tmp_path, monkeypatch, capsys, data_dir):
    """Every launch.py line, as far as its plan; with the data at hand for those that download."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    monkeypatch.setenv('NNSTUDY_DATA_DIR', str(data_dir))
    lines = re.findall(r'^python launch\.py (.*?)(?:\s+#.*)?$', TEXT, re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        arguments = line.replace('DIRECTORY', str(data_dir)).split()
        assert commands.main(['launch', *dict.fromkeys([*arguments, '--dry_run'])]) == 0, line
        assert 'working directory' in capsys.readouterr().out
