"""Event files for TensorBoard, read back record by record."""

import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

import nnstudy
from nnstudy import commands
from nnstudy.report import tensorboard


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    config = nnstudy.default_config()
    config.split.train, config.split.test, config.split.validation = 'train[:64]', 'test[:50]', None
    config.batch_size, config.epochs, config.num_seeds = 32, 2, 2
    config.histograms = True
    config.log_every_steps, config.model.widths = 1, (4,)
    points = nnstudy.choice('optimizer.learning_rate', [0.1, 0.2])
    return nnstudy.run(config, points, tmp_path_factory.mktemp('study'), quiet=True)


def events(folder: Path) -> list:
    """Reads the one event file of a folder: records of length, checksum, data, checksum."""
    (path,) = folder.iterdir()
    rest, read = path.read_bytes(), []
    while rest:
        (size,) = struct.unpack('<Q', rest[:8])
        read.append(event_pb2.Event.FromString(rest[12 : 12 + size]))
        rest = rest[16 + size :]
    return read


def values(folder: Path) -> dict[str, dict[int, object]]:
    """Returns what was measured, by tag and step."""
    found: dict[str, dict[int, object]] = {}
    for event in events(folder):
        for value in event.summary.value:
            what = value.histo if value.HasField('histo') else value.simple_value
            found.setdefault(value.tag, {})[event.step] = what
    return found


def test_the_tables_are_in_the_files(results, tmp_path):
    folders = tensorboard.write(results, tmp_path)
    assert len(folders) == 4 == len(set(folders))
    for run, folder in zip(results.runs['run'], folders, strict=True):
        found = values(folder)
        history = results.history[results.history['run'] == run]
        for tag, column in (('train/loss', 'train_loss'), ('test/accuracy', 'test_accuracy')):
            assert list(found[tag]) == history['step'].tolist() == [0, 2, 4]
            np.testing.assert_allclose(list(found[tag].values()), history[column], rtol=1e-6)
        assert list(found['batch_loss']) == [2, 4], 'there is none before the first step'
        steps = results.steps[results.steps['run'] == run]
        logged = found['step/batch_loss']
        np.testing.assert_allclose(list(logged.values()), steps['batch_loss'], rtol=1e-6)
        assert list(logged) == [0, 1, 2, 3]


def test_histograms_are_of_all_numbers(results, tmp_path):
    found = values(tensorboard.write(results, tmp_path)[0])
    kernel = results.params(0, 'final')['Dense_0']['kernel']
    last = found['numbers/Dense_0/kernel'][4]
    assert sum(last.bucket) == last.num == kernel.size
    assert last.min <= kernel.min() and kernel.max() <= last.max
    # Bins are 12% wide, so the sums are about those of the numbers.
    np.testing.assert_allclose(last.sum_squares, (kernel.astype(float) ** 2).sum(), rtol=0.02)
    counts = np.histogram(kernel, [-np.inf, *last.bucket_limit])[0]
    np.testing.assert_array_equal(counts, last.bucket)
    assert set(found['gradients/Dense_1/bias']) == {0, 2, 4}


def test_again_writes_the_same_files(results, tmp_path, capsys):
    assert commands.main(['tensorboard', str(results.workdir)]) == 0
    assert commands.main(['tensorboard', str(results.workdir), f'--out={tmp_path}']) == 0
    assert capsys.readouterr().out.endswith(f'4 runs: tensorboard --logdir {tmp_path}\n')
    (tmp_path / '0.1' / 'seed 0' / 'notes.txt').write_text('kept')
    assert commands.main(['tensorboard', str(results.workdir), f'--out={tmp_path}']) == 0
    for path in sorted(results.workdir.glob('tensorboard/*/*')):
        again = sorted(file.name for file in (tmp_path / path.parent.name / path.name).iterdir())
        assert len([name for name in again if 'tfevents' in name]) == 1
    assert (tmp_path / '0.1' / 'seed 0' / 'notes.txt').read_text() == 'kept'


def test_what_cannot_be_done_is_said(results, tmp_path, capsys):
    assert commands.main(['tensorboard', str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith('error: ')
    (tmp_path / 'file').write_text('')
    assert commands.main(['tensorboard', str(results.workdir), f'--out={tmp_path / "file"}']) == 2
    assert 'cannot write ' in capsys.readouterr().err
