"""Files that data sets are published in: found or downloaded once, unpacked in memory, and checked.

Files are looked for in the directory that the user names, by `data_dir` or else by the environment
variable `NNSTUDY_DATA_DIR`; nothing is ever written to a directory that was named. Only if none is
named, they come from the user's cache, and are downloaded into it when they are first needed.
"""

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
from collections.abc import Sequence

from nnstudy import errors

ENVIRONMENT = 'NNSTUDY_DATA_DIR'
TIMEOUT = 30  # seconds without any answer

DataDir = str | os.PathLike[str] | None

_GZIP_MAGIC = b'\x1f\x8b'
_DAMAGED = (
    EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


def read(path: pathlib.Path, members: Sequence[str] = ()) -> bytes:
    """Returns the unpacked content of a file.

    How it is packed is seen from its content: browsers unpack `.gz` files and keep their name.

    It is plain or gzipped; or, with the names of members, whose contents are joined, an archive
    that holds them, or the first of them beside the others.

    Raises:
      errors.UserError: the file cannot be read, is damaged, or has not all of the members. The
        caller says which file, by `errors.within`.
    """
    try:
        if path.name in members:
            return b''.join((path.parent / name).read_bytes() for name in members)
        if members:
            found = _in_archive(path, members)
            return b''.join(found[name] for name in members)
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_MAGIC) else content
    except KeyError as error:
        raise errors.UserError(f'has no {error.args[0]}') from error
    except _DAMAGED as error:
        raise errors.UserError(f'truncated or damaged: {error}') from error
    except OSError as error:
        raise errors.UserError(f'cannot be read: {error}') from error


def _in_archive(path: pathlib.Path, members: Sequence[str]) -> dict[str, bytes]:
    """Returns those of the members that a zip or tar archive has."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name in members}
    found = {}
    # As a stream, since looking for members by name would decompress everything twice.
    with tarfile.open(path, 'r|*') as stream:
        for member in stream:
            name = pathlib.PurePosixPath(member.name).name
            # Links and devices have names too; only of a regular file there is a content.
            if name in members and member.isreg() and (content := stream.extractfile(member)):
                found[name] = content.read()
    return found


@dataclasses.dataclass(frozen=True)
class File:
    """A file that a data set is published in."""

    dataset: str  # the data set's name, and that of its folder
    # Names that the file may have, best first; the first is the published one.
    names: tuple[str, ...]
    mirrors: tuple[str, ...]  # addresses of folders that hold it, tried in turn
    sha256: str  # hexadecimal, of the unpacked content: the same however the file is packed
    members: tuple[str, ...] = ()  # of an archive, see `read`

    def load(self, data_dir: DataDir = None) -> bytes:
        """Returns the content, see `find` and `read`."""
        path = self.find(data_dir)
        with errors.within(str(path)):
            return self.read(path)

    def read(self, path: pathlib.Path) -> bytes:
        """Returns the content of the file at a path; UserError if it is not the published one."""
        content = read(path, self.members)
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise errors.UserError(
                f'not the published data: expected content of sha256 {self.sha256[:16]}..., found '
                f'{found[:16]}...; delete the file and get it anew'
            )
        return content

    def find(self, data_dir: DataDir = None) -> pathlib.Path:
        """Returns the path of the file, which is downloaded if need be.

        `data_dir` holds `<dataset>/<name>`, or `<name>` itself. By default it is
        `$NNSTUDY_DATA_DIR`; without that, the user's cache.

        Raises:
          errors.UserError: the named directory has no such file, or it cannot be downloaded.
        """
        source, named = 'data_dir', data_dir
        if named is None:
            source, named = ENVIRONMENT, os.environ.get(ENVIRONMENT) or None
        if named is None:
            import pooch

            folder = pathlib.Path(pooch.os_cache('nnstudy'))
        else:
            folder = pathlib.Path(named).expanduser()
            if not folder.is_dir():
                raise errors.UserError(f'{source} {str(named)!r} is not a directory')
        for place in (folder / self.dataset, folder):
            for name in self.names:
                if (place / name).is_file():
                    return place / name
        if named is None:
            return self._download(folder / self.dataset)
        raise errors.UserError(
            f'{source} {str(named)!r} has no {self.dataset}/{" or ".join(self.names)}; '
            'name no directory to have it downloaded'
        )

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
            except requests.RequestException as error:
                # Its text repeats the address.
                reason = getattr(error.response, 'reason', None) or type(error).__name__
                failures.append(f'{url} ({reason})')
            except errors.UserError as error:
                failures.append(f'{url} ({error})')
            except OSError as error:
                raise errors.UserError(
                    f'cannot write {folder / name}: {error.strerror or error}'
                ) from error
        raise errors.UserError(
            f'cannot download {name} of {self.dataset}: tried {", ".join(failures)}; if you have '
            f'the file, put it at <directory>/{self.dataset}/{name} and give data_dir=<directory> '
            f'or set {ENVIRONMENT}'
        )
