"""What every command promises: a user's mistake costs one line on stderr and exit code 2.

Flags are read with argparse, since those of absl exit with 1 and a traceback for a misspelt field.
"""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from nnstudy import config as config_lib
from nnstudy import errors

INTERRUPTED = 130  # exit code: 128 + SIGINT, as shells have it


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UserError, and takes no shortened flags."""

    def __init__(self, **kwargs):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=formatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise errors.UserError(f'{message} (--help lists the flags)')


def run(
    command: Callable[[Sequence[str]], None],
    argv: Sequence[str] | None = None,
    interrupted: str = 'interrupted',
) -> int:
    """Runs a command and returns the exit code: 0, 2 for a user's mistake, 130 if interrupted.

    Args:
      command: takes the arguments; raises UserError for a user's mistake.
      argv: the arguments after the program's name; None for those of the process.
      interrupted: what to say of an interruption.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='replace')  # × on a terminal that has none
    try:
        command(sys.argv[1:] if argv is None else argv)
    except errors.UserError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    return 0


def split_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separates `--config.FIELD=VALUE` and `--config.FIELD VALUE` from the other arguments.

    Returns:
      The other arguments, and the values as text by field.

    Raises:
      UserError: a field has no value, or two.
    """
    others: list[str] = []
    overrides: dict[str, str] = {}
    arguments = iter(argv)
    for argument in arguments:
        if not argument.startswith('--config.'):
            others.append(argument)
            continue
        field, equals, value = argument.removeprefix('--config.').partition('=')
        if not equals:
            value = next(arguments, '--')
            if value.startswith('--'):
                raise errors.UserError(f'--config.{field} needs a value: --config.{field}=VALUE')
        if field in config_lib.OPEN_SECTIONS:
            field += '.name'
        if field in overrides:
            raise errors.UserError(f'--config.{field} is given twice')
        overrides[field] = value
    return others, overrides
