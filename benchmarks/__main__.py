"""Times nnstudy beside PyTorch, Keras and a JAX loop: python -m benchmarks"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import accelerator, layouts, report, scaling, session, workloads
from nnstudy import commands, errors

EXPERIMENTS = {'scaling': scaling.measure, 'layouts': layouts.measure}
NAMES = (*workloads.WORKLOADS, *EXPERIMENTS)

EPILOG = f"""
workloads:
{chr(10).join(f'  {name}  {w.title}' for name, w in workloads.WORKLOADS.items())}
experiments:
  scaling  a sweep against single runs, two cores against one, start-up, matmul rate
  layouts  numbers of lanes side by side, and what the rule loses to the best

On a GPU or TPU:
  python -m benchmarks accelerator --help

A peer needs `pip install -e ".[bench]"`, or an interpreter that has it:
  python -m benchmarks --python pytorch=torch-venv/bin/python --python keras=keras-venv/bin/python
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmarks; returns the exit code, see `nnstudy.commands.exit_code`."""
    argv = sys.argv[1:] if argv is None else argv
    run = _run if argv[:1] != ['accelerator'] else lambda argv: accelerator.main(argv[1:])
    return commands.exit_code(lambda: run(argv))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = commands.Parser(prog='python -m benchmarks', description=__doc__, epilog=EPILOG)
    parser.add_argument(
        '--only', metavar='NAME[,NAME]', help='of those below; default: all workloads and scaling'
    )
    parser.add_argument('--quick', action='store_true', help='fewer repeats of fewer steps')
    parser.add_argument(
        '--out', type=Path, default=Path('build/benchmarks'), help='default: %(default)s'
    )
    parser.add_argument(
        '--data_dir',
        metavar='DIR',
        help='of the data sets; default: $NNSTUDY_DATA_DIR, else random numbers',
    )
    parser.add_argument(
        '--python',
        action='append',
        default=[],
        metavar='SIDE=PATH',
        help=f'interpreter of a side ({", ".join(session.PEERS)}); default: this one',
    )
    args = parser.parse_args(argv)
    args.names = (*workloads.WORKLOADS, 'scaling') if args.only is None else args.only.split(',')
    for name in args.names:
        if name not in NAMES:
            raise errors.unknown('name in --only', name, NAMES)
    pythons = {}
    for flag in args.python:
        side, equals, path = flag.partition('=')
        if not equals or not path:
            raise errors.UserError(f'--python={flag}: write --python SIDE=PATH')
        if side not in session.PEERS:
            raise errors.unknown('side in --python', side, session.PEERS)
        pythons[side] = path
    args.python = pythons
    return args


def _run(argv: Sequence[str]) -> None:
    args = _parse(argv)
    console = Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False)
    data_dir = workloads.data_dir(args.data_dir)
    about = report.environment()
    source = 'real' if data_dir else 'random numbers of the same shapes'
    results: dict = {**about, 'quick': args.quick, 'data': source}
    console.print(f'{report.machine_line(about)}; data: {source}', markup=False)
    report.save(results, args.out)  # to fail now, if it must

    chosen = [name for name in args.names if name in workloads.WORKLOADS]
    if chosen:
        measured = {}
        with session.Session(args.python, data_dir, args.quick) as sides:
            for side, package in sides.missing.items():
                console.print(f'{side} is skipped: {package} is not installed', markup=False)
            results['versions'], results['missing'] = sides.versions, sides.missing
            for name in chosen:
                print(f'{name} ...', file=sys.stderr, flush=True)
                measured[name] = sides.measure(workloads.WORKLOADS[name])
                results.setdefault('workloads', {})[name] = report.as_json(measured[name])
                report.save(results, args.out)
            console.print(report.table(measured, sides.repeats))
            for side, message in sides.failed.items():
                console.print(f'{side} has failed: {message}', markup=False)
            results['failed'] = sides.failed
        crowd = report.crowd_line(measured)
        if crowd:
            console.print(crowd, markup=False)
        versions = ', '.join(f'{name} {v}' for name, v in results['versions'].items())
        note = f'{report.machine_line(about)}; data: {source}; {versions}.'
        report.chart(measured, args.out / 'chart.png', note)
    for name in args.names:
        if name in EXPERIMENTS:
            print(f'{name} ...', file=sys.stderr, flush=True)
            rows = []
            for row in EXPERIMENTS[name](data_dir, args.quick):
                print(f'{row.name}: {row.median:.3g} {row.unit}', file=sys.stderr, flush=True)
                rows.append(row)
                results[name] = [dataclasses.asdict(row) for row in rows]
                report.save(results, args.out)
            console.print(report.experiment(rows))
    console.print(f'written: {args.out}/results.json', markup=False)


if __name__ == '__main__':
    sys.exit(main())
