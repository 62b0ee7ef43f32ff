"""A study over several processes is the study of one, bit for bit."""

import os
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
from small import ROOT, launch

from nnstudy import commands

ARGS = (
    '--config=configs/lr_sweep.py',
    '--config.epochs=3',
    '--config.num_seeds=2',
    '--config.model.widths=(8,)',
    '--sweep=optimizer.learning_rate=0.001,0.01,0.1,1.0,1e30',
    '--config.execution.checkpoint_seconds=0',
)

ON_A_CORE = (
    'import os, runpy, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); '
    "sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def start(workdir, number, port, *args):
    """Starts one of two processes, on a core of its own, which is a device of its own."""
    cores = sorted(os.sched_getaffinity(0))
    return subprocess.Popen(
        [
            *(sys.executable, '-c', ON_A_CORE, str(cores[number]), str(ROOT / 'launch.py')),
            *(*ARGS, *args, f'--workdir={workdir}'),
            *('--distributed', f'--coordinator=127.0.0.1:{port}'),
            *('--num_processes=2', f'--process_id={number}'),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )


def start_both(workdir, *args):
    if not hasattr(os, 'sched_setaffinity') or len(os.sched_getaffinity(0)) != 2:
        pytest.skip('compares two processes of one core with one process of two cores')
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]
    return [start(workdir, number, port, *args) for number in (0, 1)]


def ends(processes):
    """Returns exit code, output and errors of each."""
    return [(process, *process.communicate(timeout=240)) for process in processes]


def tables(workdir):
    runs = pd.read_parquet(workdir / 'runs.parquet').drop(columns='seconds')
    return runs, pd.read_parquet(workdir / 'history.parquet')


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('alone') / 'study'
    assert launch(*ARGS, f'--workdir={workdir}').returncode == 0
    return tables(workdir)


@pytest.mark.slow
def test_two_processes_are_one(alone, tmp_path):
    """Stopped at the second process's signal, and gone on with."""
    first = start_both(tmp_path / 'study')
    for _ in range(2000):
        if any((tmp_path / 'study' / 'chunks').glob('[0-9]*')):
            break
        time.sleep(0.05)
    first[1].send_signal(signal.SIGTERM)
    codes = {process.returncode for process, *_ in ends(first)}
    assert codes <= {0, 130}  # both stop, or the signal came too late for both
    again = ends(start_both(tmp_path / 'study'))
    for process, output, error in again:
        assert process.returncode == 0, error
        assert 'Traceback' not in error
        assert ('points of' in output) == (process is again[0][0])  # the first one speaks
    for own, other in zip(tables(tmp_path / 'study'), alone, strict=True):
        pd.testing.assert_frame_equal(own, other)


@pytest.mark.slow
def test_processes_of_different_studies_say_so(tmp_path):
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip('two processes on a core each')
    both = [start(tmp_path / 'study', n, port, f'--config.seed={n}') for n in (0, 1)]
    for process, _, error in ends(both):
        assert process.returncode == 2
        assert 'error: --distributed: the processes have different studies' in error
    assert not (tmp_path / 'study').exists()


@pytest.mark.parametrize(
    'flags', [['--num_processes=2'], ['--distributed', '--coordinator=127.0.0.1:1']]
)
def test_flags_go_together(flags):
    done = launch(*ARGS, *flags)
    assert done.returncode == 2
    assert 'go together, with --distributed' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize('address', ['node1', 'node1:', 'node1:port'])
def test_an_address_has_a_port(address, capsys):
    flags = ['--distributed', f'--coordinator={address}', '--num_processes=2', '--process_id=0']
    assert commands.main(['launch', *ARGS, *flags]) == 2
    assert f'--coordinator={address}: write --coordinator=HOST:PORT' in capsys.readouterr().err


def test_nobody_to_find():
    done = launch(*ARGS, '--distributed')
    assert done.returncode == 2
    assert 'give --coordinator=HOST:PORT' in done.stderr.splitlines()[-1]
