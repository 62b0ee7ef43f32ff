"""Joins the parts of a study into one working directory.

nnstudy merge runs/lr_sweep-1a2b3c4d --workdir=runs/lr_sweep
nnstudy merge first second third --workdir=joined
"""

from collections.abc import Sequence
from pathlib import Path

from nnstudy import commands
from nnstudy.report import conclusion
from nnstudy.running import merge


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy merge', __doc__)
    told = 'working directory of a part, or a folder with several of them'
    parser.add_argument('directories', nargs='+', type=Path, metavar='DIR', help=told)
    told = 'new working directory of the whole study'
    parser.add_argument('--workdir', required=True, type=Path, metavar='OUT', help=told)
    args = parser.parse_args(argv)
    conclusion.conclude(merge.merge(args.directories, args.workdir))
