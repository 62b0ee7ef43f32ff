import gzip
import struct

import numpy as np
import pytest

from nnstudy import errors
from nnstudy.data import idx


def _bytes(code: int, array: np.ndarray) -> bytes:
    header = struct.pack(f'>4B{array.ndim}I', 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder('>')).tobytes()


@pytest.mark.parametrize('pack', [bytes, gzip.compress])
@pytest.mark.parametrize(
    ('code', 'dtype'),
    [(0x08, 'u1'), (0x09, 'i1'), (0x0B, 'i2'), (0x0C, 'i4'), (0x0D, 'f4'), (0x0E, 'f8')],
)
@pytest.mark.parametrize('shape', [(5,), (2, 3, 4)])
def test_read(tmp_path, pack, code, dtype, shape):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    # The name says nothing: a plain file may end in .gz.
    path = tmp_path / 'file.gz'
    path.write_bytes(pack(_bytes(code, array)))
    result = idx.read(path)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype


WHOLE = _bytes(0x08, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
GZIPPED = gzip.compress(WHOLE, mtime=0)  # the same in each process of the tests
HTML = b'<html>404</html>'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'expected a magic number such as 00 00 08 03, found nothing'),
        (HTML, 'expected a magic number such as 00 00 08 03, found 3c 68 74 6d'),
        (b'\0\0\x07\x01' + WHOLE[4:], 'found 00 00 07 01'),
        (WHOLE[:9], 'the header takes 16 bytes, found 9'),
        (WHOLE[:-1], r'shape \[2, 3, 4\] takes 40 bytes, found 39'),
        (WHOLE + b'\0', r'shape \[2, 3, 4\] takes 40 bytes, found 41'),
        (b'\0\0\x08\x03' + b'\xff' * 12, 'bytes, found 16'),
        (GZIPPED[:-9], 'truncated or damaged gzip file'),
        (GZIPPED[:20] + bytes(4) + GZIPPED[24:], 'truncated or damaged gzip file'),
        (GZIPPED[:-8] + bytes(4) + GZIPPED[-4:], 'truncated or damaged gzip file: CRC'),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    path = tmp_path / 'train-images-idx3-ubyte.gz'
    path.write_bytes(content)
    with pytest.raises(errors.UserError, match=message) as raised:
        idx.read(path)
    assert str(raised.value).startswith(f'{path}: ')


def test_unreadable(tmp_path):
    with pytest.raises(errors.UserError, match='cannot be read: No such file'):
        idx.read(tmp_path / 'absent')
