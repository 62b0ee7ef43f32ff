"""CIFAR-10 in its binary version: 50,000 + 10,000 colour images of 32x32 pixels in ten classes.

Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html. Six files of 10,000 records each; a record is one
byte of label, then 1,024 bytes of red, of green and of blue, row by row. Archives are read in
memory, member by member: nothing is unpacked to disk.
"""

import functools
import os
import pathlib
import tarfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from nnstudy import errors
from nnstudy.data import dataset, published, splits

FILES = (*(f'data_batch_{number}.bin' for number in range(1, 6)), 'test_batch.bin')
RECORDS_PER_FILE = 10_000
RECORD_BYTES = 1 + 3 * 32 * 32

CLASS_NAMES = (
    'airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck',
)  # fmt: skip


def _unpack(path: pathlib.Path) -> memoryview:
    """Returns the six files, one after the other: the same from any archive.

    Args:
      path: a tar archive, compressed or not, or the folder that holds the six files.
    """
    records = np.empty((len(FILES), RECORDS_PER_FILE, RECORD_BYTES), np.uint8)
    found = set()
    with published.reading(path):
        for name, size, file in _files(path):
            target = records[FILES.index(name)]
            published.check_size(path, name, target.nbytes, size)
            target[:] = np.frombuffer(file.read(), np.uint8).reshape(target.shape)
            found.add(name)
    missing = [name for name in FILES if name not in found]
    if missing:
        raise errors.UserError(f'{path}: has no whole {", ".join(missing)}')
    return records.reshape(-1).data


def _files(path: pathlib.Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yields name, bytes and content of those of the six files that a folder or archive holds."""
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                with open(path / name, 'rb') as file:
                    yield name, os.fstat(file.fileno()).st_size, file
        return
    # As a stream, since looking for members by name would decompress everything twice.
    with tarfile.open(path, 'r|*') as archive:
        for member in archive:
            name = pathlib.PurePosixPath(member.name).name
            # Links and devices have names too; only a regular file is read.
            if member.isreg() and name in FILES:
                content = archive.extractfile(member)
                assert content is not None
                yield name, member.size, content


FILE = published.File(
    'cifar10',
    (
        # The first is the published one; of the others, the quickest to read come first.
        'cifar-10-binary.tar.gz',
        f'cifar-10-batches-bin/{FILES[0]}',
        FILES[0],
        'cifar-10-binary.tar.xz',
    ),
    ('https://www.cs.toronto.edu/~kriz/',),
    sha256='013ba16d14ecc4829da62bf2af648ca30f600491ecb3e7f329c827db0dd17522',
    unpack=_unpack,
)


def load(data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns CIFAR-10: uint8 images `[N, 32, 32, 3]`.

    Takes about 0.5 s from the six `.bin` files, 2 s from `.tar.gz` and 10 s from `.tar.xz`. The
    last archive is kept in memory, and not unpacked again in the same process; unpack an `.xz`
    archive if many processes read it.

    Args:
      data_dir: where `cifar-10-binary.tar.gz`, `cifar-10-binary.tar.xz`, the folder
        `cifar-10-batches-bin` or its files are; see `File.find`.

    Raises:
      errors.UserError: if the files are missing, damaged or not the published ones.
    """
    path = FILE.find(data_dir)
    if path.name == FILES[0]:
        return read(path.parent)
    return _read_archive(path, path.stat().st_mtime_ns)


def read(path: pathlib.Path) -> dataset.Dataset:
    """Returns CIFAR-10 from a tar archive, compressed or not, or the folder that holds its files.

    Raises:
      errors.UserError: if a file is missing, damaged or not the published one.
    """
    records = np.frombuffer(FILE.read(path), np.uint8).reshape(-1, RECORD_BYTES)
    labels, planes = records[:, 0], records[:, 1:].reshape(-1, 3, 32 * 32)
    # With rows and columns as one axis, NumPy moves the channels three times as fast.
    images = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(-1, 32, 32, 3)
    return dataset.Dataset('cifar10', splits.cut(images, labels, 5 * RECORDS_PER_FILE), CLASS_NAMES)


@functools.lru_cache(maxsize=1)  # a study's pictures ask for it again; its arrays are read-only
def _read_archive(path: pathlib.Path, modified: int) -> dataset.Dataset:
    del modified  # another time of change is another archive
    return read(path)
