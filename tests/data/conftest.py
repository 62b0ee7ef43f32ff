"""Files for the readers: tiny ones made here, and the published ones where they are at hand."""

import dataclasses
import hashlib
import os
import pathlib
import struct
from collections.abc import Callable

import numpy as np
import pytest

from nnstudy.data import published as published_lib

CIFAR_FILES = [*(f'data_batch_{n}.bin' for n in range(1, 6)), 'test_batch.bin']
CIFAR_RECORD = 3073  # bytes


@pytest.fixture
def published() -> Callable[..., pathlib.Path]:
    """A function from names of sets to a directory with their files; skips where it has not."""

    def find(*names: str) -> pathlib.Path:
        named = os.environ.get('NNSTUDY_DATA_DIR')
        beside_checkout = pathlib.Path(__file__).parents[3] / 'shared' / 'data'
        folder = pathlib.Path(named) if named else beside_checkout
        for name in names:
            if not (folder / name).is_dir():
                pytest.skip(f'needs the published files of {name}: set NNSTUDY_DATA_DIR')
        return folder

    return find


@pytest.fixture
def replace(monkeypatch) -> Callable[..., None]:
    """A function that changes attributes of the files of a set, each a list with one for each."""

    def change(name: str, **changes: list) -> None:
        made = [
            dataclasses.replace(file, **dict(zip(changes, values, strict=True)))
            for file, *values in zip(published_lib.files(name), *changes.values(), strict=True)
        ]
        others = [file for file in published_lib.FILES if file.dataset != name]
        monkeypatch.setattr(published_lib, 'FILES', [*made, *others])

    return change


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def mnist_files(replace) -> dict[str, bytes]:
    """Filename -> content of an MNIST of 5 + 3 images of 4x2 pixels, made the published one."""
    rng = np.random.default_rng(0)
    files = {}
    for prefix, count in (('train', 5), ('t10k', 3)):
        images = rng.integers(0, 256, (count, 4, 2), np.uint8)
        labels = np.arange(count, dtype=np.uint8)
        for name, array in (('images-idx3', images), ('labels-idx1', labels)):
            header = struct.pack(f'>4B{array.ndim}I', 0, 0, 8, array.ndim, *array.shape)
            files[f'{prefix}-{name}-ubyte'] = header + array.tobytes()
    replace('mnist', sha256=[_sha256(content) for content in files.values()])
    return files


@pytest.fixture
def cifar_files(replace) -> dict[str, bytes]:
    """Filename -> content of a CIFAR-10 of 5 x 4 + 4 images, made the published one."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 4, CIFAR_RECORD), np.uint8)
    records[:, :, 0] %= 10
    replace('cifar10', sha256=[_sha256(records.tobytes())])
    return {name: batch.tobytes() for name, batch in zip(CIFAR_FILES, records, strict=True)}


@pytest.fixture
def sms_spam_file(replace) -> bytes:
    """The content of an SMS spam of five messages, made the published one."""
    texts = ['Olá\u2028"you', 'WIN\tnow', 'ok', '', 'free £1']
    names = ['ham', 'spam', 'ham', 'ham', 'spam']
    lines = [f'{name}\t{text}\n' for name, text in zip(names, texts, strict=True)]
    content = ''.join(lines).encode()
    replace('sms_spam', sha256=[_sha256(content)])
    return content
