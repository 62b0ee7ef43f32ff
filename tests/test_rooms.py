"""The floor plan of docs/design.md: each room imports only from those before it."""

import ast
import subprocess
import sys

import pytest
from small import ROOT

from nnstudy import commands

ROOMS = (
    *('errors', 'spec', 'machine', 'ops', 'data', 'models', 'training', 'results', 'analysis'),
    *('report', 'running', 'commands', '__main__'),
)
FILES = sorted((ROOT / 'nnstudy').rglob('*.py'))


def room(path):
    return path.relative_to(ROOT / 'nnstudy').parts[0].removesuffix('.py')


def imported(path):
    """Yields the rooms that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{path}: imports are absolute'
            names = [node.module]
            if node.module == 'nnstudy':
                names = [f'nnstudy.{alias.name}' for alias in node.names]
        else:
            continue
        yield from (name.split('.')[1] for name in names if name.startswith('nnstudy.'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT / 'nnstudy')))
def test_a_room_imports_only_from_those_before_it(path):
    own = room(path)
    if own == '__init__':
        return
    assert own in ROOMS, 'a new room needs a place in the order'
    assert all(ROOMS.index(other) <= ROOMS.index(own) for other in imported(path))


def test_all_rooms_are_there():
    assert {room(path) for path in FILES} == {*ROOMS, '__init__'}


def test_the_face_lists_all_commands(capsys):
    assert commands.main(['--help']) == 0
    out = capsys.readouterr().out
    for path in (ROOT / 'nnstudy' / 'commands').glob('[!_]*.py'):
        assert f'\n  {path.stem} ' in out
    assert max(map(len, out.splitlines())) <= 100
    assert commands.main(['lanch']) == 2
    assert "did you mean 'launch'?" in capsys.readouterr().err


@pytest.mark.parametrize('module', ['nnstudy.report.plots', 'nnstudy.commands.launch'])
def test_a_module_is_no_command(module):
    command = [sys.executable, '-m', module]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2 and 'nnstudy --help' in done.stderr
