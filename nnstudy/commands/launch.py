"""Trains every point of a study with every seed, and shows the results.

Everything is checked before anything is compiled or written.

    python launch.py --config=configs/lr_sweep.py
    python launch.py --config=configs/lr_sweep.py:mnist,lenet --data_dir=data
    python launch.py --config=configs/lr_sweep.py --config.num_seeds=3 --config.epochs=2
    python launch.py --config=configs/lr_sweep.py --sweep=optimizer.learning_rate=1e-3,1e-2,0.1
    python launch.py --config=configs/luck.py --until_decided --max_seeds=50
    python launch.py --config=configs/lr_sweep.py --part=0/4
    python launch.py --config=configs/lr_sweep.py --dry_run
    python launch.py --config=configs/lr_sweep.py --dry_run --target=tpu-v5e
"""

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnstudy import commands, errors
from nnstudy.data import Dataset
from nnstudy.machine import devices, processes
from nnstudy.machine import target as targets
from nnstudy.report import conclusion, tables
from nnstudy.running import overview, rounds, study
from nnstudy.running import plan as plan_lib
from nnstudy.running import workdir as workdir_lib
from nnstudy.spec import study_file, values
from nnstudy.spec import sweep as spec

MAX_SEEDS = 100  # with --until_decided


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = commands.Parser('launch.py', __doc__)
    parser.add_config()
    told = 'sets the values of a swept field; --sweep=none first removes the sweep of the config'
    parser.add_argument('--sweep', action='append', default=[], metavar='FIELD=V1,V2', help=told)
    told = 'working directory of the study; default: runs/<study>-<hash>'
    parser.add_argument('--workdir', type=Path, metavar='DIR', help=told)
    parser.add_data_dir()
    told = 'trains part i of n of the runs, i from 0 to n-1; nnstudy merge joins the parts'
    parser.add_argument('--part', metavar='i/n', help=told)
    told = 'adds seeds of the points that undecided claims speak of, until all are decided'
    parser.add_argument('--until_decided', action='store_true', help=told)
    told = f'with --until_decided, the most seeds of a point; default: {MAX_SEEDS}'
    parser.add_number('--max_seeds', None, told)
    told = (
        'this process is one of several that share the work, such as one on each host; without '
        'Slurm, Open MPI or Cloud TPU, the next three flags are needed too'
    )
    parser.add_argument('--distributed', action='store_true', help=told)
    parser.add_argument('--coordinator', metavar='HOST:PORT', help='address of the first process')
    parser.add_argument('--num_processes', type=int, metavar='N', help='number of processes')
    parser.add_argument('--process_id', type=int, metavar='I', help='of this process, from 0')
    parser.add_argument('--dry_run', action='store_true', help='prints the plan and stops')
    told = 'with --dry_run: compiles for devices that are not there, see docs/accelerators.md'
    parser.add_argument('--target', metavar='NAME', help=f'{told}: {", ".join(targets.NAMES)}')
    args = parser.parse_config(argv)
    given = [args.coordinator, args.num_processes, args.process_id]
    if any(value is not None for value in given) and (not args.distributed or None in given):
        raise errors.UserError(
            '--coordinator, --num_processes and --process_id go together, with --distributed'
        )
    # JAX fails on an address without a port, and waits forever for one that is no number.
    if args.coordinator is not None and not re.fullmatch(r'.+:\d+', args.coordinator):
        raise errors.UserError(
            f'--coordinator={args.coordinator}: write --coordinator=HOST:PORT, such as node1:12345'
        )
    if args.target is not None and not args.dry_run:
        raise errors.UserError(
            f'--target={args.target}: studies are trained on the devices that are there; add '
            '--dry_run to compile for others'
        )
    if args.until_decided and args.distributed:
        raise errors.UserError('--until_decided is for one process, without --distributed')
    if args.max_seeds is not None and not args.until_decided:
        raise errors.UserError(f'--max_seeds={args.max_seeds} goes with --until_decided')
    if not args.config:
        raise errors.UserError('--config=FILE.py is needed, such as --config=configs/lr_sweep.py')
    return args


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    args = _parse(argv)
    logging.getLogger('absl').setLevel(logging.ERROR)  # orbax, on what an interruption left
    said = study_file.load(args.config, args.overrides)
    points = _swept(said.points, args.sweep)
    for field in sorted(args.overrides.keys() & set(spec.swept(points))):
        raise errors.UserError(
            f'--config.{field}: this field is swept; replace its values with --sweep={field}='
            f'{args.overrides[field]} or take it out with --sweep=none'
        )
    devices.setup()
    if args.distributed:
        processes.start(args.coordinator, args.num_processes, args.process_id)
    data = None if said.get_data is None else said.get_data(said.config)
    if said.get_data is not None and not isinstance(data, Dataset):
        raise errors.UserError(f'get_data of {args.config} must return an nnstudy.Dataset')
    plan = plan_lib.make(
        said.config,
        points,
        data=data,
        data_dir=args.data_dir,
        part=args.part,
        target=args.target and targets.named(args.target),
        name=said.name,
        claims=said.claims,
        references=said.references,
    )
    workdir = args.workdir or workdir_lib.default(plan)
    splits = plan.config.zoom.train
    if not splits:
        processes.from_first(lambda: workdir_lib.status(plan, workdir))
    console = tables.console()
    console.print(overview.headline(plan))
    if not plan.groups:
        console.print('nothing to train: there are more parts than runs')
        return
    if args.dry_run:
        console.print(overview.describe(plan))
        if args.target:
            for group in plan.groups:
                console.print(overview.compiled(group))
        console.print(f'working directory: {workdir}')
        if splits:
            console.print(f'this is stage 1 of {len(splits)}; the others follow from it')
        return
    if args.until_decided:
        most = args.max_seeds or MAX_SEEDS
        results = rounds.until_decided(plan, workdir, most, lambda r: conclusion.as_said(r, said))
    else:
        results = study.carry_out(plan, workdir)
    is_first = processes.is_first()
    processes.leave()  # the other processes need not wait for the pictures
    if not is_first:
        return
    conclusion.conclude(results, said, is_whole=plan.part is None)
    if plan.part is not None:
        all_parts = 'DIR...' if args.workdir else workdir.parent
        console.print(
            f'\nThese are the runs of {plan.part} alone; to join all parts:'
            f'\n  nnstudy merge {all_parts} --workdir=OUT',
        )


def _swept(points: Sequence[dict[str, Any]], flags: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the points after the `--sweep` flags."""
    points = list(points)
    for flag in flags:
        field, equals, text = flag.partition('=')
        if flag == 'none':
            points = [{}]
        elif not equals or re.search(r'(^|,)\s*(,|$)', text):
            raise errors.UserError(f'--sweep={flag}: write --sweep=FIELD=V1,V2,... or --sweep=none')
        else:
            points = spec.replace_axis(points, field, _values(text))
    return points


def _values(text: str) -> list[Any]:
    """Splits `'0.1,0.2'`, `'relu,tanh'` or `'(64,),(64, 64)'` into values."""
    literals = values.parse(f'[{text}]')
    if isinstance(literals, list):
        return literals
    parts = re.findall(r'(?:\([^)]*\)|\[[^]]*\]|[^,(\[])+', text)  # commas in brackets stay
    return [values.parse(part) for part in parts]
