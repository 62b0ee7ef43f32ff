"""Published files: found on this machine or downloaded once, unpacked in memory, and checked.

Files are looked for in the directory that the user names, by `data_dir` or else by the environment
variable `NNSTUDY_DATA_DIR`; nothing is ever written to a directory that was named. Only if none is
named, they come from the user's cache, and are downloaded into it when they are first needed.
"""

import contextlib
import dataclasses
import gzip
import hashlib
import lzma
import os
import pathlib
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from nnstudy import errors

ENVIRONMENT = 'NNSTUDY_DATA_DIR'
TIMEOUT = 30  # seconds without any answer

_GZIP_MAGIC = b'\x1f\x8b'


_DAMAGED = (
    EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Raises `errors.UserError` where a file cannot be read or unpacked."""
    try:
        yield
    except _DAMAGED as error:
        raise errors.UserError(f'{path}: truncated or damaged: {error}') from error
    except OSError as error:
        raise errors.UserError(f'{path}: cannot be read: {error.strerror or error}') from error


def check_size(path: pathlib.Path, member: str, expected: int, found: int) -> None:
    """Raises `errors.UserError` if a member of an archive has another size than expected.

    To be called before it is unpacked: an archive may claim to hold any size.
    """
    if found != expected:
        raise errors.UserError(f'{path}: {member} takes {expected:,} bytes, found {found:,}')


def unpack(path: pathlib.Path) -> bytes:
    """Returns the content of a file, decompressed if it is gzipped.

    Whether it is compressed is seen from its content, since browsers unpack `.gz` files and keep
    their name.

    Raises:
      errors.UserError: if the file cannot be read, or its compressed content is damaged.
    """
    with reading(path):
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content


@dataclasses.dataclass(frozen=True)
class File:
    """A file that a data set is published in.

    Attributes:
      dataset: the data set's name, and that of its folder.
      names: names that the file may have, best first; the first is the published one.
      mirrors: addresses of folders that hold it, tried in turn.
      sha256: hexadecimal, of the unpacked content: the same however the file is packed.
      unpack: returns the content of the file at a path, or raises `errors.UserError`.
    """

    dataset: str
    names: tuple[str, ...]
    mirrors: tuple[str, ...]
    sha256: str
    unpack: Callable[[pathlib.Path], bytes | memoryview] = unpack

    def load(self, data_dir: str | os.PathLike[str] | None = None) -> bytes | memoryview:
        """Returns the content, see `find` and `read`."""
        return self.read(self.find(data_dir))

    def read(self, path: pathlib.Path) -> bytes | memoryview:
        """Returns the content of the file at a path.

        Raises:
          errors.UserError: if the file cannot be read, is damaged, or is not the published one.
        """
        content = self.unpack(path)
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise errors.UserError(
                f'{path}: not the published data: expected content of sha256 '
                f'{self.sha256[:16]}..., found {found[:16]}...; delete the file and get it anew'
            )
        return content

    def find(self, data_dir: str | os.PathLike[str] | None = None) -> pathlib.Path:
        """Returns the path of the file, which is downloaded if need be.

        Args:
          data_dir: a directory that holds `<dataset>/<name>`, or `<name>` itself. By default
            `$NNSTUDY_DATA_DIR`; without that, the user's cache.

        Raises:
          errors.UserError: if the named directory has no such file, or it cannot be downloaded.
        """
        source, named = 'data_dir', data_dir
        if named is None:
            source, named = ENVIRONMENT, os.environ.get(ENVIRONMENT) or None
        if named is None:
            import pooch

            folder = pathlib.Path(pooch.os_cache('nnstudy')) / self.dataset
            return self._first_in(folder) or self._download(folder)
        folder = pathlib.Path(named).expanduser()
        if not folder.is_dir():
            raise errors.UserError(f'{source} {str(named)!r} is not a directory')
        found = self._first_in(folder / self.dataset) or self._first_in(folder)
        if found is None:
            others = f' (nor {", ".join(self.names[1:])})' if self.names[1:] else ''
            raise errors.UserError(
                f'{source} {str(named)!r} has no {self.dataset}/{self.names[0]}{others}; '
                'name no directory to have it downloaded'
            )
        return found

    def _first_in(self, folder: pathlib.Path) -> pathlib.Path | None:
        return next((path for name in self.names if (path := folder / name).is_file()), None)

    def _download(self, folder: pathlib.Path) -> pathlib.Path:
        import pooch
        import requests

        name, failures = self.names[0], []
        for mirror in self.mirrors:
            url = mirror + name
            print(f'nnstudy: downloading {url} to {folder}', file=sys.stderr)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                # The file gets its name when it is whole and checked.
                with pooch.utils.temporary_file(path=str(folder)) as temporary:
                    pooch.HTTPDownloader(timeout=TIMEOUT)(url, temporary, None)
                    self.read(pathlib.Path(temporary))
                    os.replace(temporary, folder / name)
                return folder / name
            except requests.HTTPError as error:
                failures.append(f'{url} ({str(error).partition(" for url")[0]})')
            except requests.RequestException as error:
                failures.append(f'{url} ({type(error).__name__})')  # the text repeats the address
            except errors.UserError as error:
                # Without the temporary name that the line begins with.
                failures.append(f'{url} ({str(error).partition(": ")[2]})')
            except OSError as error:
                raise errors.UserError(
                    f'cannot write {folder / name}: {error.strerror or error}'
                ) from error
        for empty in (folder, folder.parent):
            with contextlib.suppress(OSError):  # there is something in it
                empty.rmdir()
        raise errors.UserError(
            f'cannot download {name} of {self.dataset}: tried {", ".join(failures)}; if you have '
            f'the file, put it at <directory>/{self.dataset}/{name} and give data_dir=<directory> '
            f'or set {ENVIRONMENT}'
        )
