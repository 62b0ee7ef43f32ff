"""Writes event files for TensorBoard from a finished study."""

from collections.abc import Sequence
from pathlib import Path

from nnstudy import commands, results
from nnstudy.report import labels, tensorboard


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy tensorboard', __doc__)
    parser.add_argument('workdir', type=Path, metavar='DIR', help='working directory of the study')
    parser.add_argument('--out', type=Path, help='folder; default: tensorboard in DIR')
    args = parser.parse_args(argv)
    out = args.out or args.workdir / 'tensorboard'
    folders = tensorboard.write(results.load(args.workdir), out)
    print(f'{labels.count(len(folders), "run")}: tensorboard --logdir {out}')
