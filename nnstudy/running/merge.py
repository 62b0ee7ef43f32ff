"""Joins parts of a study, or studies of other seeds, into one working directory.

    nnstudy merge DIR... --workdir=OUT

What comes out is read by `nnstudy.load` like a study that was trained as a whole. It is written
when all runs are there, beside OUT, and moved there whole.
"""

import dataclasses
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nnstudy import errors
from nnstudy.report import labels
from nnstudy.results import Results, files
from nnstudy.results import results as results_lib
from nnstudy.results.checkpoints import Numbering
from nnstudy.running import parts
from nnstudy.running import plan as plan_lib
from nnstudy.running import workdir as workdir_lib
from nnstudy.running.parts import Part

# The tables of a study, and what a row of each is of.
TABLES = {'runs': ['run'], 'history': ['run', 'step'], 'steps': ['run', 'step']}


@dataclasses.dataclass(frozen=True)
class Folder:
    """A working directory that holds some of a study's runs."""

    workdir: Path
    identity: dict[str, Any]  # what its `config.json` says
    part: Part | None  # None for the whole study
    sessions: list[dict[str, Any]]  # see `nnstudy.running.workdir.environment`
    results: Results | None  # None if it is not finished

    def __str__(self) -> str:
        return f'{str(self.workdir)!r} ({parts.name(self.part)})'

    def renumbered(self, numbering: Numbering) -> 'Folder':
        """Returns it with the numbers that its runs have in a study of more seeds."""
        if self.results is None:
            return self

        def renumber(table: pd.DataFrame) -> pd.DataFrame:
            seeds = table['seed'] - numbering.first_seed
            return table.assign(run=table['point'] * numbering.num_seeds + seeds)

        tables = {name: renumber(table) for name, table in self.results.tables.items()}
        return dataclasses.replace(self, results=dataclasses.replace(self.results, **tables))


def merge(directories: Iterable[Path], out: Path) -> Results:
    """Writes the study that several directories make up into `out`, and returns its results.

    Checkpoints are linked rather than copied where the file system can.

    Args:
      directories: working directories, or folders with several of them.
      out: new or empty. If it has this study already, nothing is written.

    Raises:
      UserError: they are of several studies, or do not have all of its runs. If there are several
        such errors, all but the last are printed.
    """
    folders, there = _find(directories), _read(out)
    identity = _joined([folder.identity for folder in folders])
    is_there = there and there.part is None and workdir_lib.is_same(there.identity, identity)
    if there and is_there and there.results is not None:
        print(f'{out} is merged already', file=sys.stderr)
        return there.results
    numbering = _numbering(identity)
    folders = [folder.renumbered(numbering) for folder in folders]
    problems = _problems(folders, numbering, out)
    for problem in problems[:-1]:
        print(f'error: {problem}', file=sys.stderr)
    if problems:
        raise errors.UserError(problems[-1])
    # A session has the lanes of its own groups alone.
    used = [
        {**session, 'lanes': folder.identity['config']['execution']['lanes']}
        for folder in folders
        for session in folder.sessions
    ]
    differing = [k for k in workdir_lib.ROUNDING if any(u.get(k) != used[0].get(k) for u in used)]
    if differing:
        print(
            f'warning: the parts were trained with different {", ".join(differing)}; the same run '
            'may round differently there',
            file=sys.stderr,
        )
    all_results = [folder.results for folder in folders if folder.results is not None]
    tables = {
        name: rows.drop_duplicates(TABLES[name]).sort_values(TABLES[name], ignore_index=True)
        for name, rows in _rows(all_results).items()
    }
    tables['runs'] = results_lib.with_settings(tables['runs'], all_results[0].points)
    config = all_results[0].config.replace({f: identity['config'][f] for f in plan_lib.SEEDS})
    about: dict[str, Any] = {'config': config, 'stated': frozenset(identity['stated'])}
    results = dataclasses.replace(all_results[0], workdir=out, **about, **tables)
    sessions = [{'part': f.part, **session} for f in folders for session in f.sessions]
    found = [path for f in folders for path in sorted((f.workdir / 'chunks').iterdir())]
    chunks = [path for path in found if path.name.isdigit()]
    begun = out.absolute().with_name(f'.{out.name}.merging')
    shutil.rmtree(begun, ignore_errors=True)  # of a merge that was interrupted
    try:
        begun.mkdir(parents=True)
        files.write_json(begun / 'config.json', identity)
        files.write_json(begun / 'environment.json', {'sessions': sessions})
        for number, path in enumerate(chunks, start=1):
            shutil.copytree(path, begun / 'chunks' / str(number), copy_function=_link)
        results_lib.write(results, begun)
        begun.replace(out)
    except OSError as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise errors.UserError(f'cannot write to --workdir {str(out)!r}: {error}') from error
    return results


def _joined(identities: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the identity of the study that has all seeds of several."""
    seeds = [_numbering(one) for one in identities]
    first = min(one.first_seed for one in seeds)
    last = max(one.first_seed + one.num_seeds for one in seeds)
    stated = [set(one['stated']) for one in identities]
    joined = {k: v for k, v in identities[0].items() if k not in ('part', 'seeds')}
    config = {**joined['config'], 'seed': first, 'num_seeds': last - first}
    return {**joined, 'config': config, 'stated': sorted(set.intersection(*stated))}


def _numbering(identity: dict[str, Any]) -> Numbering:
    return Numbering(identity['keys'], *(identity['config'][f] for f in plan_lib.SEEDS))


def _find(directories: Iterable[Path]) -> list[Folder]:
    """Returns the studies in the directories, or in the folders right in them."""
    found: dict[Path, Folder] = {}
    for directory in directories:
        own = _read(directory)
        inside = directory.iterdir() if own is None and directory.is_dir() else ()
        here = [folder for folder in (own, *map(_read, inside)) if folder is not None]
        if not here:
            raise errors.UserError(
                f'{str(directory)!r} holds no study and no folder with one; name the working '
                'directories of the parts'
            )
        found |= {folder.workdir.resolve(): folder for folder in here}
    return sorted(found.values(), key=lambda folder: (folder.part or (0, 1))[::-1])


def _read(workdir: Path) -> Folder | None:
    identity = files.read_identity(workdir)
    if identity is None:
        return None
    part = identity.get('part')
    return Folder(
        workdir=workdir,
        identity=identity,
        part=None if part is None else Part(*part),
        sessions=json.loads((workdir / 'environment.json').read_text())['sessions'],
        results=results_lib.load(workdir) if files.is_finished(workdir) else None,
    )


def _problems(folders: Sequence[Folder], numbering: Numbering, out: Path) -> list[str]:
    """Returns why the folders cannot be joined in `out`, a line each."""
    first = folders[0]
    found = [
        f'{folder} is of another study than {first}: it differs in '
        + ', '.join(workdir_lib.differences(folder.identity, first.identity))
        for folder in folders
        if folder.identity['digest'] != first.identity['digest']
    ] or [
        f'{folder} has other points than {first}'
        for folder in folders
        if folder.identity['keys'] != first.identity['keys']
    ]
    found += [
        f'the points of {folder} have different numbers of seeds'
        for folder in folders
        if 'seeds' in folder.identity
    ]
    if found:
        return found
    found = [
        f'{folder} is not finished; run it again, it goes on where it stood: '
        f'python {shlex.join(folder.sessions[-1]["command"])}'
        for folder in folders
        if folder.results is None
    ]
    finished = {str(f): f.results for f in folders if f.results is not None}
    runs = {name: set(results.runs['run']) for name, results in finished.items()}
    if differing := _contradictions(finished.values()):
        names = [name for name, own in runs.items() if differing & own]
        found.append(
            f'{_listed(differing)} came out differently in {", ".join(names)}; give one of them'
        )
    total = numbering.num_runs
    if missing := set(range(total)).difference(*runs.values()):
        given = {folder.part for folder in folders if folder.part is not None}
        absent = [
            str(part)
            for n in sorted({part.total for part in given})
            for part in (Part(i, n) for i in range(n))
            # Whether a part has any runs shows in the first round of dealing.
            if part not in given and len(part.dealt(0, min(n, total)))
        ]
        whose = f'; not given: {", ".join(absent)}' if absent else ''
        found.append(f'missing {_listed(missing)} of {total:,}{whose}')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found.append(f'--workdir {str(out)!r} exists; name an empty or new directory')
    return found


def _contradictions(all_results: Iterable[Results]) -> set[int]:
    """Returns the runs that several results have, and that did not come out the same."""
    differing: set[int] = set()
    for name, rows in _rows(all_results).items():
        rows = rows.drop(columns='seconds', errors='ignore').drop_duplicates()
        differing |= set(rows.loc[rows.duplicated(TABLES[name]), 'run'])
    return differing


def _rows(all_results: Iterable[Results]) -> dict[str, pd.DataFrame]:
    """Returns the rows of all results together, by the name of the table."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for results in all_results:
        for name, table in results.tables.items():
            tables.setdefault(name, []).append(table)
    return {name: pd.concat(found, ignore_index=True) for name, found in tables.items()}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _listed(runs: set[int]) -> str:
    """Returns how many runs there are, and the first ten of them."""
    shown = [*map(str, sorted(runs)[:10]), *(['...'] if len(runs) > 10 else [])]
    return f'{labels.count(len(runs), "run")} ({", ".join(shown)})'
