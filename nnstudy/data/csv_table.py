"""A table from a CSV file: a header with the names of the columns, then one row for each example.

Numbers stay numbers, and a column of texts becomes one column of 0 and 1 for each different text.
The task is classification if the column to predict holds texts or whole numbers, and regression if
any of its numbers has a decimal point.
"""

import io
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.data import dataset, files, splits

MAX_CATEGORIES = 100  # different texts of a column, and classes


def load(spec: str, data_dir: files.DataDir = None) -> dataset.Dataset:
    """Returns the table in a CSV file: float32 inputs `[N, F]`, numbers first and then texts.

    The rows are shuffled, always in the same way, and the last 20% are the test split; see
    `splits.shuffled`. Class names are the texts, or the numbers as text, in sorted order. A first
    row that cannot be a header is refused: a name is a number, is missing or repeats another one.

    Args:
      spec: the path of the file, plain or gzipped, in UTF-8 and with commas between values. After a
        `#`, the name of the column to predict; by default the last one.
      data_dir: what a relative path starts from; by default the current directory.

    Raises:
      errors.UserError: the file cannot be read or is not a table with a header, a value is missing,
        or a column cannot be used.
    """
    name, mark, target = spec.rpartition('#') if '#' in spec else (spec, '', '')
    if not name:
        raise errors.UserError("config.dataset 'csv:' needs a file: csv:FILE or csv:FILE#COLUMN")
    path = pathlib.Path(data_dir or '').expanduser() / pathlib.Path(name).expanduser()
    with errors.within(str(path)):
        frame = _table(files.read(path))
        if not mark:
            target = frame.columns[-1]
        errors.check_known('column', target, frame.columns)
        labels, class_names = _labels(frame.pop(target))
        inputs = pd.get_dummies(frame, dtype=np.float32).to_numpy(np.float32)
        return dataset.Dataset(f'csv:{spec}', splits.shuffled(inputs, labels), class_names)


def _table(content: bytes) -> pd.DataFrame:
    """Returns the rows, with the names of their columns: numbers, and texts of few kinds."""
    try:
        text = content.decode('utf-8-sig').lstrip('\r\n')  # Excel begins with a mark
        # On its own: pandas would repair a header that repeats a name or has too few of them.
        names = _csv(text, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist()
        _check_header(names)
        frame = _csv(text, skiprows=1, low_memory=False)
    except UnicodeDecodeError as error:
        raise errors.UserError(f'is not text in UTF-8: {error}') from error
    except pd.errors.EmptyDataError as error:
        raise errors.UserError('needs a header and rows below it') from error
    except pd.errors.ParserError as error:
        reason = str(error).strip().removeprefix('Error tokenizing data. C error: ')
        raise errors.UserError(f'is not a table: {reason}') from error
    if frame.shape[1] != len(names):
        raise errors.UserError(
            f'the header has {len(names)} names, but row 1 below it {frame.shape[1]} values'
        )
    frame.columns = pd.Index(names)
    return frame.apply(_checked)


def _csv(text: str, **options) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), header=None, skipinitialspace=True, **options)


def _check_header(names: Sequence[str]) -> None:
    if len(names) == 1:
        raise errors.UserError(
            f'has one column, {names[0]!r}; it needs two or more, with commas between them'
        )
    for number, name in enumerate(names):
        if not name or _is_number(name) or name in names[:number]:
            raise errors.UserError(
                'the first row must be a header with a name of its own for each column, but name '
                f'{number + 1} is {name!r}; remove a column that only numbers the rows'
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _checked(column: pd.Series) -> pd.Series:
    """Returns a column of numbers that are finite in float32, or of texts."""
    _refuse(column, column.isna(), 'has no value')
    if column.dtype.kind not in 'biuf':
        texts = column.astype(str)
        is_number = texts.map(_is_number)
        if is_number.mean() <= 0.5:
            _check_count(column, 'texts', 'can be told apart; remove it')
            return texts
        _refuse(column, ~is_number, 'is not a number, as most of the column are')
        column = column.astype(float)  # whole numbers of more than 64 bits
    with np.errstate(over='ignore'):
        _refuse(column, ~np.isfinite(column.astype(np.float32)), 'is not finite in float32')
    return column


def _labels(column: pd.Series) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Returns labels `[N]`, and the classes' names or None for regression."""
    if column.dtype.kind == 'f':
        return column.to_numpy(np.float32), None
    amount = f'can be classes; write one with a decimal point (such as {column.iloc[0]}.0) to '
    _check_count(column, 'whole numbers', f'{amount}predict amounts')
    classes = pd.Categorical(column)
    return classes.codes.astype(np.int32), tuple(str(name) for name in classes.categories)


def _check_count(column: pd.Series, what: str, which: str) -> None:
    count = column.nunique()
    if count > MAX_CATEGORIES:
        raise errors.UserError(
            f'column {column.name!r} has {count:,} different {what} (row 1 below the header is '
            f'{column.iloc[0]!r}), and at most {MAX_CATEGORIES} {which}'
        )


def _refuse(column: pd.Series, wrong: pd.Series, what: str) -> None:
    """Raises UserError if any row of the column is wrong, naming the first."""
    if wrong.any():
        row = int(np.argmax(wrong))
        value = '' if pd.isna(column[row]) else f' {str(column[row])!r}'
        where = f'column {column.name!r}, row {row + 1} below the header'
        raise errors.UserError(f'{where}: the cell{value} {what}')
