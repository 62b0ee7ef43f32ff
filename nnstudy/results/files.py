"""The files of a working directory: each is written as a whole or not at all.

config.json         see `read_identity`
runs.parquet        a row for each run; runs.csv has the same
history.parquet     a row for each run and evaluation
steps.parquet       a row for each run and logged step, with `config.log_every_steps`
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnstudy import errors


def is_finished(workdir: Path) -> bool:
    """Whether a working directory has the tables of a study."""
    return all((workdir / f'{name}.parquet').is_file() for name in ('runs', 'history'))


def read_identity(workdir: Path) -> dict[str, Any] | None:
    """Returns the content of `config.json`; None if there is none, or it is not of a study.

    Raises:
      UserError: it is no JSON, or of an earlier version.
    """
    path = workdir / 'config.json'
    if not path.is_file():
        return None
    try:
        identity = with_tuples(json.loads(path.read_text()))
    except ValueError as error:
        raise errors.UserError(f'{str(path)!r} is not readable: {error}') from error
    if not isinstance(identity, dict) or not {'digest', 'config'} <= identity.keys():
        return None
    if 'keys' not in identity:
        raise errors.UserError(
            f'the study in {str(workdir)!r} was written by an earlier version of nnstudy, which '
            'this one cannot read'
        )
    return identity


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, and moves the file from there when it is whole."""
    temporary = path.parent / f'.{path.name}.{os.getpid()}.tmp'
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Writes plain data as a JSON file."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + '\n')


def with_tuples(data: Any) -> Any:
    """Returns plain data with tuples in place of lists: JSON has no tuples, configs no lists."""
    if isinstance(data, dict):
        return {key: with_tuples(item) for key, item in data.items()}
    return tuple(map(with_tuples, data)) if isinstance(data, (list, tuple)) else data
