"""The content of a file in memory, whether or not the file is compressed."""

import gzip
import pathlib
import zlib

from nnstudy import errors

_GZIP_MAGIC = b'\x1f\x8b'


def read(path: pathlib.Path) -> bytes:
    """Returns the content of a file, decompressed if it is gzipped.

    Whether it is compressed is seen from its content, since browsers unpack `.gz` files and keep
    their name.

    Raises:
      errors.UserError: if the file cannot be read, or its compressed content is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.UserError(f'{path}: cannot be read: {error.strerror}') from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise errors.UserError(f'{path}: truncated or damaged gzip file: {error}') from error
