"""Lists and runs all studies of a folder of configs, and writes a page of their claims.

    nnstudy studies                     # lists them, with status and time
    nnstudy studies run --quick         # small versions of all, in half an hour
    nnstudy studies run                 # the full ones, hours; the same command goes on
    nnstudy studies run boston_lr_decay lenet_activations:mnist
    nnstudy studies page                # docs/studies.md from what has been run so far

Every config file is a study, with claims or without. Its constant `RECORDED` lists the variants
that are run; without it, the study is run as it is. With `--quick`, each is run in the variant
`quick` too, in place of `reduced`, which makes a large study fit the machine at hand.
"""

import argparse
import dataclasses
import functools
import inspect
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from nnstudy import commands, errors
from nnstudy.analysis import judging
from nnstudy.machine import devices
from nnstudy.report import conclusion, studies_page, tables
from nnstudy.results import files
from nnstudy.results import results as results_lib
from nnstudy.running import workdir
from nnstudy.spec import study_file
from nnstudy.training import resolve


@dataclasses.dataclass(frozen=True)
class Variant:
    """A study as it is listed and run: a config file with some of its variants."""

    path: Path  # of the config file
    variants: str  # `:a,b`, or nothing for the study as it is
    folder: Path  # where the working directories of all studies are
    about: Sequence[str]  # the first line of its docstring, and its paragraph `Asked: ...`, if any
    picture: str  # the name of its main picture

    @property
    def name(self) -> str:
        return self.path.stem + self.variants

    @property
    def spec(self) -> str:
        """What launch.py takes as `--config`."""
        return f'{self.path}{self.variants}'

    @property
    def workdir(self) -> Path:
        return self.folder / re.sub('[:,]', '-', self.name)

    @property
    def stages(self) -> list[Path]:
        """Where its tables are: of a search in stages, a folder each."""
        stages = sorted(self.workdir.glob('stage-*'), key=lambda stage: int(stage.name[6:]))
        return stages or [self.workdir]

    def results(self) -> list[results_lib.Results]:
        """Returns the results of each stage, with the claims that the config file has now."""
        claims, references = self.said.claims, self.said.references
        loaded = map(results_lib.load, self.stages)
        return [dataclasses.replace(r, claims=claims, references=references) for r in loaded]

    @functools.cached_property
    def said(self) -> study_file.StudyFile:
        """What the config file says now."""
        return study_file.load(self.spec)

    @functools.cached_property
    def outdated(self) -> list[str]:
        """The names of what differs between the config file and the study that was run."""
        stored = files.read_identity(self.stages[0])
        if stored is None:
            return []
        said = self.said
        resolved = resolve.study(said.config, said.points)
        mine = {
            **stored,
            'config': resolved.config.to_dict(),
            'points': resolved.points,
            'sources': {k: v for s in resolved.settings for k, v in resolve.sources(s).items()},
        }
        # A stage has its own split, and data in memory have their own name.
        other = ['config.split.train', 'config.zoom.train'] if said.config.zoom.train else []
        other += ['config.dataset'] if said.get_data else []
        return [name for name in workdir.differences(stored, mine) if name not in other]

    @property
    def status(self) -> str:
        """`'finished'`, `'outdated'`, `'begun'` or `'-'`."""
        if (self.stages[-1] / 'plots').is_dir():  # drawn at the very end
            return 'outdated' if self.outdated else 'finished'
        return 'begun' if self.workdir.is_dir() else '-'


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy studies', __doc__)
    parser.add_argument('action', nargs='?', default='list', help='list, run or page')
    told = 'studies as listed, or config files; default: all'
    parser.add_argument('names', nargs='*', metavar='NAME', help=told)
    parser.add_argument('--quick', action='store_true', help='small versions of the studies')
    for flag, metavar, default, told in (
        ('--configs', 'DIR', 'configs', 'folder of the config files; default: %(default)s'),
        ('--folder', 'DIR', 'runs/studies', 'where they are kept; default: %(default)s'),
        ('--out', 'FILE', None, 'page; default: docs/studies.md, with --quick DIR/quick.md'),
    ):
        parser.add_argument(flag, type=Path, metavar=metavar, default=default, help=told)
    parser.add_data_dir()
    args = parser.parse_intermixed_args(argv)  # names may come after flags
    errors.check_known('action of nnstudy studies', args.action, ('list', 'run', 'page'))
    studies = _chosen(list(find(args.configs, args.folder, quick=args.quick)), args)
    if args.action == 'list':
        tables.console().print(listing(studies))
    elif args.action == 'run':
        devices.setup()  # before anything is printed, which asks JAX for the process
        _carry_out(studies, args)
    else:
        page = args.folder / 'quick.md' if args.quick else Path('docs/studies.md')
        _write_page(studies, args.out or page, quick=args.quick)


def _chosen(studies: list[Variant], args: argparse.Namespace) -> list[Variant]:
    """Returns the studies that are asked for, by default all.

    A name is that of a study, with or without the word quick, or else that of a config file, which
    stands for all of its studies.
    """
    asked: list[Variant] = []
    plain = {study.name: study.name.removesuffix('quick').rstrip(':,') for study in studies}
    for name in args.names:
        found = [study for study in studies if name in (study.name, plain[study.name])]
        found = found or [study for study in studies if study.path.stem == name]
        if not found and name.endswith('quick') and not args.quick:
            raise errors.UserError(f'study {name!r}: small versions are those with --quick')
        if not found:
            raise errors.unknown('study', name, {*plain.values(), *(s.path.stem for s in studies)})
        asked += found
    return [study for study in studies if study in asked] if args.names else studies


def find(configs: Path, folder: Path, *, quick: bool = False) -> Iterator[Variant]:
    """Yields the studies of a folder of configs, by name, or the small versions that they have.

    Raises:
      UserError: there is no config file in the folder, or one fails.
    """
    paths = sorted(configs.glob('*.py'))
    if not paths:
        raise errors.UserError(f'--configs: there is no config file in {str(configs)!r}')
    for path in paths:
        module = study_file.load_module(path)
        title, *rest = (inspect.getdoc(module) or path.stem).split('\n\n')
        asked = [paragraph for paragraph in rest if paragraph.startswith('Asked: ')]
        about = [' '.join(paragraph.split()) for paragraph in (title, *asked[:1])]
        picture = getattr(module, 'PICTURE', 'curves')
        variants = getattr(module, 'RECORDED', ('',))
        if quick:
            if study_file.QUICK not in getattr(module, 'VARIANTS', {}):
                continue
            variants = [variant for variant in variants if variant != 'reduced'] or ['']
        for variant in variants:
            chosen = ','.join(filter(None, (variant, study_file.QUICK if quick else '')))
            yield Variant(path, chosen and f':{chosen}', folder, about, picture)


def listing(studies: Sequence[Variant]) -> Table:
    """Returns the studies with status, number of runs, time and verdicts."""
    rows, right = [], ('runs', 'training', 'verdicts')
    for study in studies:
        row = {'study': study.name, 'status': study.status, 'what': study.about[0]}
        row |= dict.fromkeys(right, '')
        if row['status'] == 'finished':
            stages = study.results()
            runs = pd.concat([stage.runs for stage in stages])
            row['runs'] = f'{len(runs):,}'
            row['training'] = studies_page.duration(runs['seconds'].sum())
            if study.said.claims:
                row['verdicts'] = conclusion.counted(judging.judge(stages[-1]))
        rows.append(row)
    return tables.printed(pd.DataFrame(rows), right=right)


def _carry_out(studies: Sequence[Variant], args: argparse.Namespace) -> None:
    """Runs studies one after the other, and writes a table of all their claims.

    If one fails, the others are run nevertheless.
    """
    failed = []
    for number, study in enumerate(studies, start=1):
        tables.console().rule(f'{number} of {len(studies)}: {study.name}')
        flags = [f'--config={study.spec}', f'--workdir={study.workdir}']
        flags += [f'--data_dir={args.data_dir}'] if args.data_dir else []
        began = time.monotonic()
        code = commands.main(['launch', *flags])
        if code == commands.INTERRUPTED:
            raise KeyboardInterrupt('the same command goes on')
        if code:
            failed.append(study.name)
        tables.console().print(f'{study.name}: {time.monotonic() - began:.0f} s')
    done = {study.name: study.stages[-1] for study in studies if study.status == 'finished'}
    judged = studies_page.all_claims(done)
    if len(judged):
        path = args.folder / ('claims-quick.csv' if args.quick else 'claims.csv')
        listed = conclusion.claims_text(judged)
        listed.insert(0, 'study', judged['study'])
        tables.console().print(tables.printed(listed))
        with errors.writing(path):
            judged.to_csv(path, index=False)
        tables.console().print(f'all claims: {path}')
    if failed:
        raise errors.UserError(f'{len(failed)} of {len(studies)} failed: {", ".join(failed)}')


def _write_page(studies: Sequence[Variant], out: Path, *, quick: bool) -> None:
    """Records the finished studies beside the page, and writes it from all that are recorded."""
    for study in studies:
        if study.status == 'outdated':
            differing = ', '.join(study.outdated)
            print(
                f'warning: {study.name} is left as it was recorded, because what was run differs '
                f'from {study.path} in {differing}; remove {study.workdir} and run it again',
                file=sys.stderr,
            )
        if study.status == 'finished':
            picture = study.stages[-1] / 'plots' / f'{study.picture}.png'
            command = f'python launch.py --config={study.spec}'
            folder = out.with_suffix('') / study.workdir.name
            studies_page.record(folder, study.name, study.about, command, study.results(), picture)
            tables.console().print(f'recorded: {folder}')
    command = ' && '.join(
        f'nnstudy studies {action}' + (' --quick' if quick else '') for action in ('run', 'page')
    )
    tables.console().print(f'written: {studies_page.write(out, command)}')
