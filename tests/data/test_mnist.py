import gzip
import time

import numpy as np
import pytest

from nnstudy import data as data_lib
from nnstudy import errors
from nnstudy.data import files


def _write(folder, files, pack):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if pack == 'gz':
            (folder / f'{name}.gz').write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize('pack', ['gz', 'plain'])
@pytest.mark.parametrize('own_folder', [True, False])
def test_load(tmp_path, mnist_files, pack, own_folder):
    _write(tmp_path / 'mnist', mnist_files, pack)
    data = data_lib.load('mnist', tmp_path / 'mnist' if own_folder else tmp_path)
    assert data.name == 'mnist'
    assert data.class_names == tuple('0123456789')
    assert {split: x.shape for split, (x, _) in data.splits.items()} == {
        'train': (5, 4, 2, 1),
        'test': (3, 4, 2, 1),
    }
    inputs, labels = data.splits['train']
    assert inputs.tobytes() == mnist_files['train-images-idx3-ubyte'][16:]
    np.testing.assert_array_equal(labels, np.arange(5))


GZIPPED = gzip.compress(bytes(24), mtime=0)  # the same in each process of the tests


@pytest.mark.parametrize(
    ('damaged', 'message'),
    [
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), 'not the published data: exp'),
        (lambda content: gzip.compress(content[:-1]), 'not the published data'),
        (lambda content: content + b'\0', 'not the published data'),
        (lambda content: b'', 'not the published data'),
        (lambda content: b'<html>404</html>', 'not the published data'),
        (lambda content: gzip.compress(content)[:-9], 'truncated or damaged'),
        (lambda content: GZIPPED[:10] + bytes(4) + GZIPPED[14:], 'truncated or damaged'),
        (lambda content: GZIPPED[:-8] + bytes(4) + GZIPPED[-4:], 'truncated or damaged: CRC'),
    ],
)
def test_damage_is_named(tmp_path, mnist_files, damaged, message):
    _write(tmp_path / 'mnist', mnist_files, 'gz')
    path = tmp_path / 'mnist' / 'train-images-idx3-ubyte.gz'
    path.write_bytes(damaged(mnist_files['train-images-idx3-ubyte']))
    with pytest.raises(errors.UserError, match=message) as raised:
        data_lib.load('mnist', tmp_path)
    assert str(raised.value).startswith(f'{path}: ')


def test_unreadable(tmp_path):
    with pytest.raises(errors.UserError, match='cannot be read: .*No such file'):
        files.read(tmp_path / 'absent')


# The means are the constants by which everyone normalises these sets.
@pytest.mark.parametrize(
    ('name', 'train_mean', 'train_counts'),
    [
        ('mnist', 0.1307, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
        ('fashion_mnist', 0.2860, [6000] * 10),
    ],
)
def test_published(published, name, train_mean, train_counts):
    folder = published(name)
    start = time.perf_counter()
    data = data_lib.load(name, folder)
    # Takes 0.2 to 0.3 s; far more would mean that something is read or converted twice.
    assert time.perf_counter() - start < 5
    assert data.splits['train'][0].shape == (60_000, 28, 28, 1)
    assert data.splits['test'][0].shape == (10_000, 28, 28, 1)
    assert data.splits['train'][0].dtype == np.uint8
    assert data.splits['train'][0].mean() / 255 == pytest.approx(train_mean, abs=5e-5)
    assert data.max_value == 255
    assert np.bincount(data.splits['train'][1]).tolist() == train_counts
    assert len(data.class_names) == 10


def test_one_sets_files_are_not_the_others(published):
    folder = published('fashion_mnist') / 'fashion_mnist'
    with pytest.raises(errors.UserError, match='not the published data'):
        data_lib.load('mnist', folder)
