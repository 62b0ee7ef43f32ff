"""IDX files, the format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist/).

A file is two zero bytes, a byte for the type of its values, a byte for the number of axes, one
big-endian 32-bit length per axis, and the values.
"""

import math
import pathlib
import struct

import numpy as np

from nnstudy import errors
from nnstudy.data import files

_DTYPES = {0x08: '>u1', 0x09: '>i1', 0x0B: '>i2', 0x0C: '>i4', 0x0D: '>f4', 0x0E: '>f8'}


def read(path: pathlib.Path) -> np.ndarray:
    """Returns the array in the IDX file at `path`, plain or gzipped.

    Raises:
      errors.UserError: if the file cannot be read or is not a whole IDX file.
    """
    return parse(files.read(path), path)


def parse(content: bytes, path: pathlib.Path) -> np.ndarray:
    """Returns the array that the bytes of an IDX file hold.

    Args:
      content: the file, decompressed.
      path: where it is from, for messages.

    Raises:
      errors.UserError: if the bytes are not a whole IDX file.
    """
    if len(content) < 4 or content[:2] != b'\0\0' or content[2] not in _DTYPES:
        raise errors.UserError(
            f'{path}: not an IDX file: expected a magic number such as 00 00 08 03, '
            f'found {content[:4].hex(" ") or "nothing"}'
        )
    dtype = np.dtype(_DTYPES[content[2]])
    axes = content[3]
    header = 4 + 4 * axes
    if len(content) < header:
        raise errors.UserError(
            f'{path}: truncated IDX file: the header takes {header:,} bytes, found {len(content):,}'
        )
    shape = struct.unpack_from(f'>{axes}I', content, 4)
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise errors.UserError(
            f'{path}: wrong size: an IDX file of shape {list(shape)} takes {expected:,} bytes, '
            f'found {len(content):,}'
        )
    values = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return values.astype(dtype.newbyteorder('='), copy=False)
