"""Finds the published files of a data set on this machine, or fetches them once.

Files are looked for in the directory that the user names, by `data_dir` or else by the environment
variable `NNSTUDY_DATA_DIR`; a directory that was named is never written to. Only if none is named,
they come from the user's cache, and are downloaded into it when first asked for.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from nnstudy import errors

ENVIRONMENT = 'NNSTUDY_DATA_DIR'
TIMEOUT = 30  # seconds without any answer

# Folders that hold the files, tried in turn.
MIRRORS: dict[str, tuple[str, ...]] = {
    'mnist': (
        'https://storage.googleapis.com/cvdf-datasets/mnist/',
        'https://ossci-datasets.s3.amazonaws.com/mnist/',
    ),
    'fashion_mnist': ('http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',),
    'cifar10': ('https://www.cs.toronto.edu/~kriz/',),
    'boston_housing': ('https://archive.ics.uci.edu/ml/machine-learning-databases/housing/',),
    'sms_spam': ('https://archive.ics.uci.edu/ml/machine-learning-databases/00228/',),
}


def find(
    dataset: str,
    filenames: Sequence[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    check: Callable[[pathlib.Path], object],
) -> pathlib.Path:
    """Returns the path of a file of a data set, downloading it if need be.

    Args:
      dataset: the key of `MIRRORS`, and the name of the set's own folder.
      filenames: names that the file may have, best first; the first is the published one.
      data_dir: a directory that holds `<dataset>/<filename>`, or `<filename>` itself. By default
        `$NNSTUDY_DATA_DIR`; without that, the user's cache.
      check: raises `errors.UserError` on a path whose content is not the published one; called on
        a download before it gets its final name.

    Raises:
      errors.UserError: if the named directory has no such file, or it cannot be downloaded.
    """
    if data_dir is not None:
        return _find_in('data_dir', data_dir, dataset, filenames)
    if named := os.environ.get(ENVIRONMENT):
        return _find_in(ENVIRONMENT, named, dataset, filenames)
    import pooch

    folder = pathlib.Path(pooch.os_cache('nnstudy')) / dataset
    return _first_file([folder], filenames) or _download(dataset, filenames[0], folder, check)


def check_sha256(path: pathlib.Path, content: bytes | memoryview, expected: str) -> None:
    """Raises `errors.UserError` if `content`, read from `path`, is not what was published.

    Args:
      path: for the message.
      content: what is compared: decompressed, so that it does not matter how it was packed.
      expected: hexadecimal sha256.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise errors.UserError(
            f'{path}: not the published data: expected content of sha256 {expected[:16]}..., '
            f'found {found[:16]}...; delete the file and get it anew'
        )


def _find_in(
    source: str, data_dir: str | os.PathLike[str], dataset: str, filenames: Sequence[str]
) -> pathlib.Path:
    folder = pathlib.Path(data_dir).expanduser()
    if not folder.is_dir():
        raise errors.UserError(f'{source} {str(data_dir)!r} is not a directory')
    found = _first_file([folder / dataset, folder], filenames)
    if found is None:
        others = f' (nor {", ".join(filenames[1:])})' if filenames[1:] else ''
        raise errors.UserError(
            f'{source} {str(data_dir)!r} has no {dataset}/{filenames[0]}{others}; '
            'name no directory to have it downloaded'
        )
    return found


def _first_file(folders: Sequence[pathlib.Path], filenames: Sequence[str]) -> pathlib.Path | None:
    paths = (folder / filename for folder in folders for filename in filenames)
    return next((path for path in paths if path.is_file()), None)


def _download(
    dataset: str, filename: str, folder: pathlib.Path, check: Callable[[pathlib.Path], object]
) -> pathlib.Path:
    import pooch
    import requests

    def checked(url: str, output_file: str, pooch_object: object) -> None:
        notice = _Notice(f'nnstudy: downloading {url} to {folder}')
        pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=notice)(url, output_file, pooch_object)
        check(pathlib.Path(output_file))

    failures = []
    for base_url in MIRRORS[dataset]:
        url = base_url + filename
        try:
            with _quiet(pooch.get_logger()):
                # Under a temporary name until `checked` has returned.
                return pathlib.Path(
                    pooch.retrieve(
                        url, known_hash=None, fname=filename, path=folder, downloader=checked
                    )
                )
        except requests.HTTPError as error:
            failures.append(f'{url} ({str(error).partition(" for url")[0]})')
        except requests.RequestException as error:
            # Their text is long and repeats the address.
            failures.append(f'{url} ({type(error).__name__})')
        except errors.UserError as error:
            # Without the temporary name that it begins with.
            failures.append(f'{url} ({str(error).partition(": ")[2]})')
        except OSError as error:
            raise errors.UserError(
                f'cannot write {folder / filename}: {error.strerror or error}'
            ) from error
    for empty in (folder, folder.parent):
        with contextlib.suppress(OSError):  # there is something in it
            empty.rmdir()
    raise errors.UserError(
        f'cannot download {filename} of {dataset}: tried {", ".join(failures)}; if you have the '
        f'file, put it at <directory>/{dataset}/{filename} and give data_dir=<directory> or set '
        f'{ENVIRONMENT}'
    )


class _Notice:
    """Says that a download goes on once the first bytes are there; as pooch drives a tqdm bar."""

    def __init__(self, text: str):
        self._text: str | None = text
        self.total = 0.0

    def update(self, size: int) -> None:
        if size and self._text:
            print(self._text, file=sys.stderr)
            self._text = None

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    # Pooch would print the hash of the packed file and advise to put it in the code.
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
