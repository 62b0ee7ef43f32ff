"""Trains the best point of a finished study with fresh seeds.

nnstudy rerun runs/lr_sweep-1a2b3c4d
nnstudy rerun runs/lr_sweep-1a2b3c4d --num_seeds=20 --point=3 --workdir=again
"""

from collections.abc import Sequence
from pathlib import Path

from nnstudy import commands, errors
from nnstudy.machine import devices
from nnstudy.report import conclusion
from nnstudy.results import files
from nnstudy.results import results as results_lib
from nnstudy.running import study


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy rerun', __doc__)
    parser.add_argument('study', type=Path, metavar='DIR', help='its working directory')
    parser.add_number('--num_seeds', None, 'number of seeds; default: as many as the study has')
    parser.add_argument('--point', type=int, metavar='P', help='default: the best by its table')
    told = 'working directory; default: DIR/rerun-P'
    parser.add_argument('--workdir', type=Path, metavar='OUT', help=told)
    parser.add_data_dir()
    args = parser.parse_args(argv)
    if (files.read_identity(args.study) or {}).get('part'):
        raise errors.UserError(f'{str(args.study)!r} is a part of a study; merge the parts first')
    devices.setup()
    results = results_lib.load(args.study, data_dir=args.data_dir)
    point = study.best_point(results) if args.point is None else args.point
    workdir = args.workdir or args.study / f'rerun-{point}'
    conclusion.conclude(study.rerun(results, args.num_seeds, workdir, point=point))
