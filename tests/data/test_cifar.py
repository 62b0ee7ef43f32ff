import io
import pathlib
import tarfile

import numpy as np
import pytest
from conftest import CIFAR_RECORD

from nnstudy import data as data_lib
from nnstudy import errors

FOLDER = 'cifar-10-batches-bin'
ARCHIVE = 'cifar-10-binary.tar.gz'


def _archive(path: pathlib.Path, files: dict[str, bytes], mode: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f'{FOLDER}/{name}')
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _folder(path: pathlib.Path, files: dict[str, bytes]) -> None:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_bytes(content)


def _check(data, files):
    assert data.name == 'cifar10'
    assert data.class_names[0] == 'airplane' and data.class_names[9] == 'truck'
    train, train_labels = data.splits['train']
    test, test_labels = data.splits['test']
    assert train.shape == (20, 32, 32, 3) and test.shape == (4, 32, 32, 3)
    # Record 1 of the second file: a label, then planes of red, green and blue, row by row.
    record = files['data_batch_2.bin'][CIFAR_RECORD : 2 * CIFAR_RECORD]
    assert train_labels[5] == record[0]
    for row, column, channel in ((0, 0, 0), (3, 7, 1), (31, 30, 2)):
        expected = record[1 + channel * 1024 + row * 32 + column]
        assert train[5, row, column, channel] == expected
    assert test_labels[0] == files['test_batch.bin'][0]


@pytest.mark.parametrize('packing', ['gz', 'xz'])
@pytest.mark.parametrize('own_folder', [True, False])
def test_archives(tmp_path, cifar_files, packing, own_folder):
    # Members may come in any order, among others.
    files = dict(reversed([*cifar_files.items(), ('readme.html', b'<html>')]))
    _archive(tmp_path / 'cifar10' / f'cifar-10-binary.tar.{packing}', files, f'w:{packing}')
    _check(data_lib.load('cifar10', tmp_path / 'cifar10' if own_folder else tmp_path), cifar_files)


def test_an_archive_is_unpacked_once_and_anew_if_it_changed(tmp_path, cifar_files):
    path = tmp_path / 'cifar-10-binary.tar.gz'
    _archive(path, cifar_files, 'w:gz')
    first = data_lib.load('cifar10', tmp_path)
    assert data_lib.load('cifar10', tmp_path) is first
    path.write_bytes(b'damaged')
    with pytest.raises(errors.UserError, match='truncated or damaged'):
        data_lib.load('cifar10', tmp_path)


@pytest.mark.parametrize('data_dir', ['.', 'cifar10', f'cifar10/{FOLDER}'])
def test_folder(tmp_path, cifar_files, data_dir):
    _folder(tmp_path / 'cifar10' / FOLDER, cifar_files)
    _check(data_lib.load('cifar10', tmp_path / data_dir), cifar_files)


def test_files_without_a_folder_of_their_own(tmp_path, cifar_files):
    _folder(tmp_path / 'cifar10', cifar_files)
    _check(data_lib.load('cifar10', tmp_path), cifar_files)


def test_nothing_is_written(tmp_path, cifar_files):
    _archive(tmp_path / 'cifar10' / 'cifar-10-binary.tar.gz', cifar_files, 'w:gz')
    data_lib.load('cifar10', tmp_path)
    assert [path.name for path in (tmp_path / 'cifar10').iterdir()] == ['cifar-10-binary.tar.gz']


def test_links_are_not_followed(tmp_path, cifar_files):
    with tarfile.open(tmp_path / ARCHIVE, 'w') as archive:
        for name in cifar_files:
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE
            member.linkname = '/etc/passwd'
            archive.addfile(member)
    with pytest.raises(errors.UserError, match='has no data_batch_1.bin'):
        data_lib.load('cifar10', tmp_path)


@pytest.mark.parametrize('packed', [True, False])
def test_missing_and_damaged_members(tmp_path, cifar_files, packed):
    def load(name, files):
        if packed:
            _archive(tmp_path / name / ARCHIVE, files, 'w:gz')
        else:
            _folder(tmp_path / name, files)
        return data_lib.load('cifar10', tmp_path / name)

    short = {**cifar_files, 'data_batch_3.bin': cifar_files['data_batch_3.bin'][:-1]}
    with pytest.raises(errors.UserError, match='not the published data'):
        load('short', short)
    swapped = {**cifar_files, 'data_batch_3.bin': cifar_files['data_batch_4.bin']}
    with pytest.raises(errors.UserError, match='not the published data'):
        load('swapped', swapped)
    del cifar_files['data_batch_5.bin']
    with pytest.raises(errors.UserError, match=r'has no data_batch_5|No such file.*data_batch_5'):
        load('missing', cifar_files)


@pytest.mark.parametrize('packing', ['gz', 'xz', ''])
def test_truncated_archive(tmp_path, cifar_files, packing):
    path = tmp_path / ARCHIVE
    _archive(path, cifar_files, f'w:{packing}')
    content = path.read_bytes()
    for size in (len(content) // 2, len(content) // 20, 100, 0):
        path.write_bytes(content[:size])
        with pytest.raises(errors.UserError) as raised:
            data_lib.load('cifar10', tmp_path)
        assert str(raised.value).startswith(f'{path}: ')


@pytest.mark.parametrize('packing', ['gz', 'xz'])
def test_corrupt_archive(tmp_path, cifar_files, packing):
    path = tmp_path / ARCHIVE
    _archive(path, cifar_files, f'w:{packing}')
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=r'damaged|not the published|has no'):
        data_lib.load('cifar10', tmp_path)


def test_no_archive_at_all(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b'<html>not found</html>' * 100)
    with pytest.raises(errors.UserError, match='truncated or damaged'):
        data_lib.load('cifar10', tmp_path)


@pytest.mark.slow  # 10 s of xz
def test_published(published):
    data = data_lib.load('cifar10', published('cifar10'))
    train, labels = data.splits['train']
    assert train.shape == (50_000, 32, 32, 3) and train.dtype == np.uint8
    assert data.splits['test'][0].shape == (10_000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [5000] * 10
    # The constants by which everyone normalises CIFAR-10.
    mean = train.mean((0, 1, 2), dtype=np.float64) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
