"""Files for the readers: tiny ones made here, and the published ones where they are at hand."""

import dataclasses
import hashlib
import os
import pathlib
import struct
from collections.abc import Callable

import numpy as np
import pytest

from nnstudy.data import cifar, mnist, sms_spam


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
def mnist_files(monkeypatch) -> dict[str, bytes]:
    """Filename -> content of an MNIST of 5 + 3 images of 4x2 pixels, made the published one."""
    rng = np.random.default_rng(0)
    files = {}
    for prefix, count in (('train', 5), ('t10k', 3)):
        images = rng.integers(0, 256, (count, 4, 2), np.uint8)
        labels = np.arange(count, dtype=np.uint8)
        for name, array in (('images-idx3', images), ('labels-idx1', labels)):
            header = struct.pack(f'>4B{array.ndim}I', 0, 0, 8, array.ndim, *array.shape)
            files[f'{prefix}-{name}-ubyte'] = header + array.tobytes()
    made = [
        dataclasses.replace(file, sha256=hashlib.sha256(files[file.names[1]]).hexdigest())
        for file in mnist.FILES['mnist']
    ]
    monkeypatch.setitem(mnist.FILES, 'mnist', tuple(made))
    return files


@pytest.fixture
def cifar_files(monkeypatch) -> dict[str, bytes]:
    """Filename -> content of a CIFAR-10 of 5 x 4 + 4 images, made the published one."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 4, cifar.RECORD_BYTES), np.uint8)
    records[:, :, 0] %= 10
    monkeypatch.setattr(cifar, 'RECORDS_PER_FILE', 4)
    checksum = hashlib.sha256(records.tobytes()).hexdigest()
    monkeypatch.setattr(cifar, 'FILE', dataclasses.replace(cifar.FILE, sha256=checksum))
    return {name: batch.tobytes() for name, batch in zip(cifar.FILES, records, strict=True)}


@pytest.fixture
def sms_spam_file(monkeypatch) -> bytes:
    """The content of an SMS spam of five messages, made the published one."""
    texts = ['Olá\u2028"you', 'WIN\tnow', 'ok', '', 'free £1']
    names = ['ham', 'spam', 'ham', 'ham', 'spam']
    lines = [f'{name}\t{text}\n' for name, text in zip(names, texts, strict=True)]
    content = ''.join(lines).encode()
    monkeypatch.setattr(sms_spam, 'BYTES', len(content))
    checksum = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(sms_spam, 'FILE', dataclasses.replace(sms_spam.FILE, sha256=checksum))
    return content
