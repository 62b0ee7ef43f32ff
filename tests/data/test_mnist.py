import gzip
import time

import numpy as np
import pytest

from nnstudy import errors
from nnstudy.data import mnist


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
    data = mnist.load('mnist', tmp_path / 'mnist' if own_folder else tmp_path)
    assert data.name == 'mnist'
    assert data.class_names == tuple('0123456789')
    assert {split: x.shape for split, (x, _) in data.splits.items()} == {
        'train': (5, 4, 2, 1),
        'test': (3, 4, 2, 1),
    }
    inputs, labels = data.splits['train']
    assert inputs.tobytes() == mnist_files['train-images-idx3-ubyte'][16:]
    np.testing.assert_array_equal(labels, np.arange(5))


def test_another_number_of_images_is_refused(tmp_path, mnist_files):
    content = mnist_files['t10k-labels-idx1-ubyte']
    mnist_files['t10k-labels-idx1-ubyte'] = content[:7] + b'\x02' + content[8:-1]
    _write(tmp_path / 'mnist', mnist_files, 'gz')
    with pytest.raises(errors.UserError, match=r'has shape \[3\], found \[2\]'):
        mnist.load('mnist', tmp_path)


def test_other_content_is_refused(tmp_path, mnist_files):
    content = mnist_files['train-images-idx3-ubyte']
    mnist_files['train-images-idx3-ubyte'] = content[:-1] + bytes([content[-1] ^ 1])
    _write(tmp_path / 'mnist', mnist_files, 'gz')
    with pytest.raises(errors.UserError, match=r'ubyte\.gz: not the published data: expected con'):
        mnist.load('mnist', tmp_path)


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
    data = mnist.load(name, folder)
    # Takes 0.2 to 0.3 s; far more would mean that something is read or converted twice.
    assert time.perf_counter() - start < 5
    assert data.splits['train'][0].shape == (60_000, 28, 28, 1)
    assert data.splits['test'][0].shape == (10_000, 28, 28, 1)
    assert data.splits['train'][0].dtype == np.uint8
    assert data.splits['train'][0].mean() / 255 == pytest.approx(train_mean, abs=5e-5)
    assert data.max_value == 255
    assert np.bincount(data.splits['train'][1]).tolist() == train_counts
    assert data.num_classes == 10


def test_one_sets_files_are_not_the_others(published):
    folder = published('fashion_mnist') / 'fashion_mnist'
    with pytest.raises(errors.UserError, match='not the published data'):
        mnist.load('mnist', folder)
