"""The files of a working directory: each is written as a whole or not at all.

config.json         see `read_identity`
runs.parquet        a row for each run; runs.csv has the same
history.parquet     a row for each run and evaluation
steps.parquet       a row for each run and logged step, with `config.log_every_steps`
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nnstudy import errors


def is_finished(workdir: Path) -> bool:
    """Whether a working directory has the tables of a study."""
    return all((workdir / f'{name}.parquet').is_file() for name in ('runs', 'history'))


def read_identity(workdir: Path) -> dict[str, Any] | None:
    """Returns the content of `config.json`; None if there is none, or it is not of a study.

    Raises:
      UserError: it is no JSON.
    """
    path = workdir / 'config.json'
    if not path.is_file():
        return None
    try:
        identity = with_tuples(json.loads(path.read_text()))
    except ValueError as error:
        raise errors.UserError(f'{str(path)!r} is not readable: {error}') from error
    is_study = isinstance(identity, dict) and {'digest', 'config'} <= identity.keys()
    return identity if is_study else None


def read_table(workdir: Path, name: str) -> pd.DataFrame | None:
    """Returns a table, or None if there is no such file."""
    path = workdir / f'{name}.parquet'
    return pd.read_parquet(path) if path.is_file() else None


def write_table(workdir: Path, name: str, table: pd.DataFrame) -> None:
    """Writes a table."""
    with _whole(workdir / f'{name}.parquet') as path:
        table.to_parquet(path, index=False)


def write_csv(workdir: Path, name: str, table: pd.DataFrame) -> None:
    """Writes a table for people and other programs; it is not read here."""
    with _whole(workdir / f'{name}.csv') as path:
        table.to_csv(path, index=False)


def write_json(path: Path, data: Any) -> None:
    """Writes data as a JSON file, see `to_json`."""
    with _whole(path) as temporary:
        temporary.write_text(to_json(data))


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, and moves the file from there when it is whole."""
    temporary = path.with_name('.' + path.name)
    yield temporary
    temporary.replace(path)


def to_json(data: Any) -> str:
    """Returns data as JSON text; non-finite floats become text, since JSON does not have them.

    Raises:
      TypeError: something in it is not plain data.
    """
    return json.dumps(plain(data), indent=2) + '\n'


def plain(data: Any) -> Any:
    """Returns data as JSON has it: text for non-finite floats, lists for tuples."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    return data


def with_tuples(data: Any) -> Any:
    """Returns plain data with tuples in place of lists: JSON has no tuples, configs no lists."""
    if isinstance(data, dict):
        return {key: with_tuples(item) for key, item in data.items()}
    return tuple(map(with_tuples, data)) if isinstance(data, list) else data
