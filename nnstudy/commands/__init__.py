"""The command line: `nnstudy COMMAND`, or `python -m nnstudy COMMAND`.

Every other module of this folder is a command with its name. The first line of the docstring says
what it does, and `run(argv)` does it. A user's mistake gives one line on stderr and exit code 2.

Flags are parsed with argparse: for a misspelt field, absl exits with 1 and a traceback.
"""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from nnstudy import errors
from nnstudy.spec import config as config_lib

INTERRUPTED = 130  # exit code: 128 + SIGINT, as shells have it


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UserError, and accepts no shortened flags."""

    def __init__(self, prog: str, description: str | None, epilog: str | None = None):
        formatter = argparse.RawDescriptionHelpFormatter
        options: dict[str, Any] = {'formatter_class': formatter, 'allow_abbrev': False}
        super().__init__(prog, description=description, epilog=epilog, **options)

    def error(self, message: str) -> NoReturn:
        raise errors.UserError(f'{message} (--help lists the flags)')

    def add_config(self) -> None:
        """Adds the flags of a config file and its fields, for `parse_config`."""
        told = 'config file of the study (Python code, which is run), and some of its variants'
        self.add_argument('--config', metavar='FILE.py[:VARIANT,...]', help=told)
        told = 'overrides a field of the config, such as --config.optimizer.momentum=0.9'
        self.add_argument('--config.FIELD', metavar='VALUE', help=told)

    def add_data_dir(self) -> None:
        """Adds the flag `--data_dir`."""
        told = (
            'folder of the data sets; default: $NNSTUDY_DATA_DIR; without either, data sets are '
            'downloaded once'
        )
        self.add_argument('--data_dir', type=Path, metavar='DIR', help=told)

    def add_number(self, flag: str, default: int | None, what: str) -> None:
        """Adds a flag for a number of things, 1 or more."""
        what += '' if default is None else '; default: %(default)s'
        self.add_argument(flag, type=_positive, metavar='N', default=default, help=what)

    def add_out(self, name: str) -> None:
        """Adds the flag `--out` of a file that is written."""
        said = 'default: %(default)s'
        self.add_argument('--out', type=Path, metavar='FILE', default=name, help=said)

    def parse_config(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses arguments with `--config.FIELD=VALUE` or `--config.FIELD VALUE`.

        These become a dict `overrides`, the values as text by field.
        """
        others: list[str] = []
        overrides: dict[str, str] = {}
        arguments = iter(argv)
        for argument in arguments:
            if not argument.startswith('--config.'):
                others.append(argument)
                continue
            field, equals, value = argument.removeprefix('--config.').partition('=')
            if not equals and (value := next(arguments, '--')).startswith('--'):
                raise errors.UserError(f'--config.{field} needs a value: --config.{field}=VALUE')
            field = config_lib.full(field)
            if field in overrides:
                raise errors.UserError(f'--config.{field} is given twice')
            overrides[field] = value
        args = self.parse_args(others)
        args.overrides = overrides
        return args


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be a whole number, at least 1, not {text!r}')
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its `exit_code`.

    Args:
      argv: the command and its arguments; None for those of the process.
    """
    command, *rest = (sys.argv[1:] if argv is None else argv) or ['--help']
    known = {path.stem: path for path in sorted(Path(__file__).parent.glob('[!_]*.py'))}

    def act() -> None:
        if command in ('-h', '--help'):
            print('usage: nnstudy COMMAND ...\n')
            for name, path in known.items():
                print(f'  {name:12}' + path.read_text().splitlines()[0].strip('"'))
            print('\nnnstudy COMMAND --help lists its flags.')
        elif command in known:
            importlib.import_module(f'{__name__}.{command}').run(rest)
        else:
            raise errors.unknown('command', command, known)

    return exit_code(act)


def exit_code(act: Callable[[], None]) -> int:
    """Calls a function and returns 0, 2 after a user's mistake, or 130 after an interruption."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='replace')  # × on a terminal that has none
    try:
        act()
    except errors.UserError as error:
        print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or 'interrupted', file=sys.stderr)
        return INTERRUPTED
    return 0


def script(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a command as `main` does, and ends the process with its exit code."""
    code = main(argv)
    sys.stdout.flush()
    if code == INTERRUPTED:
        # Devices may be at work still; an orderly exit would take the memory from under them.
        os._exit(code)
    sys.exit(code)
