"""The one exception for a user's mistake: a line that says what is wrong and what is accepted."""

import contextlib
import difflib
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path


class UserError(ValueError):
    """A mistake in a config, a flag or a file; the command line prints it and exits with 2."""


@contextlib.contextmanager
def within(where: str) -> Iterator[None]:
    """Begins the lines of errors that are raised inside with where they come from."""
    try:
        yield
    except UserError as error:
        raise UserError(f'{where}: {error}') from error.__cause__


@contextlib.contextmanager
def writing(path: object) -> Iterator[None]:
    """Makes it a user's mistake if what is done inside cannot write a file or folder."""
    try:
        yield
    except OSError as error:
        raise UserError(f'cannot write {str(path)!r}: {error.strerror or error}') from error


def line_in(path: str | Path, error: BaseException) -> int | None:
    """Returns the last line of a file of Python code that an error came through."""
    stack, path = traceback.extract_tb(error.__traceback__), Path(path).resolve()
    lines = [frame.lineno for frame in stack if Path(frame.filename).resolve() == path]
    if isinstance(error, SyntaxError) and Path(error.filename or '').resolve() == path:
        lines.append(error.lineno or 1)
    return lines[-1] if lines else None


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """Returns the error for a name, of a kind such as `'model'`, that is not a known one."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    if not near:  # of a dotted name the last part may have been meant
        last = {one.rpartition('.')[2]: one for one in known}
        near = [last[one] for one in difflib.get_close_matches(str(name), last, n=1)]
    hint = f'did you mean {near[0]!r}? ' if near else ''
    return UserError(f'unknown {kind} {name!r}: {hint}known: {", ".join(known) or "none"}')


def check_known(kind: str, name: object, known: Iterable[str]) -> None:
    """Raises the error of `unknown` if a name is not among the known ones."""
    if name not in (known := list(known)):
        raise unknown(kind, name, known)
