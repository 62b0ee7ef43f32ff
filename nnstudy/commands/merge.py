"""Joins the parts of a study into one working directory."""

import sys
from collections.abc import Sequence
from pathlib import Path

from nnstudy import commands, errors
from nnstudy.report import conclusion
from nnstudy.results import results as results_lib
from nnstudy.running import merge

EXAMPLES = """
examples:
  nnstudy merge runs/lr_sweep-1a2b3c4d --workdir=runs/lr_sweep
  nnstudy merge first second third --workdir=joined
"""


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser(prog='nnstudy merge', description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        'directories',
        nargs='+',
        type=Path,
        metavar='DIR',
        help='working directory of a part, or a folder with several of them',
    )
    parser.add_argument(
        '--workdir',
        required=True,
        type=Path,
        metavar='OUT',
        help='new working directory of the whole study',
    )
    args = parser.parse_args(argv)
    folders = merge.find(args.directories)
    if merge.is_merged(folders, args.workdir):
        print(f'{args.workdir} is merged already', file=sys.stderr)
        conclusion.conclude(results_lib.load(args.workdir))
        return
    found = merge.problems(folders, args.workdir)
    for problem in found[:-1]:
        print(f'error: {problem}', file=sys.stderr)
    if found:
        raise errors.UserError(found[-1])
    if differing := merge.environments(folders):
        print(
            f'warning: the parts were trained with different {", ".join(differing)}; the same run '
            'may round differently there',
            file=sys.stderr,
        )
    conclusion.conclude(merge.merge(folders, args.workdir))
