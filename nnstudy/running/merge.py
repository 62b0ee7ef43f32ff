"""Joins the parts of a study into one working directory.

    nnstudy merge DIR... --workdir=OUT

What comes out is read by `nnstudy.load` like a study that was trained as a whole. It is written
when all runs are there, beside OUT, and moved there whole.
"""

import dataclasses
import functools
import json
import os
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nnstudy import errors
from nnstudy.results import files
from nnstudy.results import results as results_lib
from nnstudy.running import parts
from nnstudy.running import workdir as workdir_lib
from nnstudy.running.parts import Part

SHOWN_RUNS = 10


@dataclasses.dataclass(frozen=True)
class Folder:
    """A working directory that holds some of a study's runs.

    Attributes:
      workdir: where it is.
      identity: what its `config.json` says.
    """

    workdir: Path
    identity: dict[str, Any]

    @property
    def part(self) -> Part | None:
        part = self.identity.get('part')
        return None if part is None else Part(*part)

    @property
    def is_finished(self) -> bool:
        return files.is_finished(self.workdir)

    @property
    def name(self) -> str:
        return f'{str(self.workdir)!r} ({parts.name(self.part)})'

    @property
    def command(self) -> str:
        """How it was started last."""
        return f'python {shlex.join(self.sessions[-1]["command"])}'

    @functools.cached_property
    def results(self) -> results_lib.Results:
        return results_lib.load(self.workdir)

    @functools.cached_property
    def runs(self) -> set[int]:
        return set(self.results.runs['run'])

    @functools.cached_property
    def sessions(self) -> list[dict[str, Any]]:
        """Where and with what it was trained, see `nnstudy.running.workdir.environment`."""
        return json.loads((self.workdir / 'environment.json').read_text())['sessions']

    @property
    def checkpoints(self) -> list[Path]:
        """The folders of its checkpoints, in their order."""
        paths = [path for path in (self.workdir / 'chunks').iterdir() if path.name.isdigit()]
        return sorted(paths, key=lambda path: int(path.name))


def find(directories: Iterable[Path]) -> list[Folder]:
    """Returns the studies in the directories, or in the folders right in them.

    Raises:
      UserError: there is none in one of them.
    """
    workdirs = []
    for directory in directories:
        within = [directory, *directory.iterdir()] if directory.is_dir() else []
        found = [path for path in within if (path / 'config.json').is_file()]
        if not found:
            raise errors.UserError(
                f'{str(directory)!r} holds no study and no folder with one; name the working '
                'directories of the parts'
            )
        workdirs += found[:1] if found[0] == directory else found
    distinct = {path.resolve(): path for path in workdirs}.values()
    return sorted(map(_folder, distinct), key=lambda folder: (folder.part or (0, 1))[::-1])


def _folder(workdir: Path) -> Folder:
    identity = files.read_identity(workdir)
    if identity is None:
        raise errors.UserError(f'{str(workdir)!r} holds no study: its config.json is another')
    return Folder(workdir, identity)


def problems(folders: Sequence[Folder], out: Path) -> list[str]:
    """Returns why the folders cannot be joined in `out`, a line each; empty if they can."""
    first = folders[0]
    found = [
        f'{folder.name} is of another study than {first.name}: it differs in '
        + ', '.join(workdir_lib.differences(folder.identity, first.identity))
        for folder in folders
        if folder.identity['digest'] != first.identity['digest']
    ]
    if found:
        return found
    finished = [folder for folder in folders if folder.is_finished]
    found += [
        f'{folder.name} is not finished; run it again, it goes on where it stood: {folder.command}'
        for folder in folders
        if folder not in finished
    ]
    found += _contradictions(finished)
    found += _missing(folders)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found.append(f'--workdir {str(out)!r} exists; name an empty or new directory')
    return found


def merge(folders: Sequence[Folder], out: Path) -> results_lib.Results:
    """Writes the study that the folders make up into `out`, and returns its results.

    The checkpoints of their parameters are linked rather than copied where the file system can.

    Args:
      folders: see `find`; between which there are no `problems`.
      out: working directory, new or empty.
    """
    all_results = [folder.results for folder in folders]
    first = all_results[0]
    runs = _joined([results.runs for results in all_results], ['run'])
    results = dataclasses.replace(
        first,
        runs=results_lib.with_settings(runs, first.points),
        history=_joined([results.history for results in all_results], ['run', 'step']),
        steps=_joined([results.steps for results in all_results], ['run', 'step']),
        workdir=out,
    )
    identity = {key: value for key, value in folders[0].identity.items() if key != 'part'}
    sessions = [{'part': f.part, **session} for f in folders for session in f.sessions]
    begun = out.absolute().with_name(f'.{out.name}.merging')
    shutil.rmtree(begun, ignore_errors=True)  # of a merge that was interrupted
    try:
        (begun / 'chunks').mkdir(parents=True)
        files.write_json(begun / 'config.json', identity)
        files.write_json(begun / 'environment.json', {'sessions': sessions})
        checkpoints = [path for folder in folders for path in folder.checkpoints]
        for number, path in enumerate(checkpoints, start=1):
            shutil.copytree(path, begun / 'chunks' / str(number), copy_function=_link)
        results_lib.write(results, begun)
        begun.replace(out)
    except OSError as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise errors.UserError(f'cannot write to --workdir {str(out)!r}: {error}') from error
    return results


def _link(source: str, target: str) -> None:
    """Gives a file another name; copies it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _joined(tables: Sequence[pd.DataFrame | None], keys: list[str]) -> Any:
    """Returns the rows of all tables, each once, or None where there are no tables."""
    present = sorted((t for t in tables if t is not None), key=lambda table: table['run'].min())
    if not present:
        return None
    joined = pd.concat(present, ignore_index=True).drop_duplicates(keys)
    return joined.sort_values(keys, ignore_index=True)


def _contradictions(folders: Sequence[Folder]) -> list[str]:
    """Says which runs are in several folders and did not come out the same."""
    differing: set[int] = set()
    for which, keys in (('runs', ['run']), ('history', ['run', 'step'])):
        tables = [getattr(folder.results, which) for folder in folders]
        rows = pd.concat(tables) if tables else pd.DataFrame(columns=keys)
        rows = rows.drop(columns='seconds', errors='ignore').drop_duplicates()
        differing |= set(rows.loc[rows.duplicated(keys), 'run'])
    if not differing:
        return []
    names = [folder.name for folder in folders if differing & folder.runs]
    return [
        f'{_listed(sorted(differing))} came out differently in {", ".join(names)}; give one of them'
    ]


def is_merged(folders: Sequence[Folder], out: Path) -> bool:
    """Whether `out` is the finished study that the folders are of."""
    if not (out / 'config.json').is_file():
        return False
    there = _folder(out)
    same = there.identity['digest'] == folders[0].identity['digest']
    return same and there.part is None and there.is_finished


def environments(folders: Sequence[Folder]) -> list[str]:
    """Returns what may change the bits of a run and is not the same in all folders."""
    sessions = [session for folder in folders for session in folder.sessions]
    used = {key: [s.get(key) for s in sessions] for key in ('versions', 'backend', 'devices')}
    used['lanes'] = [folder.identity['config']['execution']['lanes'] for folder in folders]
    return [key for key, values in used.items() if any(value != values[0] for value in values)]


def _missing(folders: Sequence[Folder]) -> list[str]:
    """Says which runs no finished folder has, and which parts were not given."""
    identity = folders[0].identity
    total = len(identity['points']) * identity['config']['num_seeds']
    there = {run for folder in folders if folder.is_finished for run in folder.runs}
    runs = sorted(set(range(total)) - there)
    if not runs:
        return []
    given = {folder.part for folder in folders} - {None}
    absent = [
        str(part)
        for n in sorted({part.total for part in given if part})
        for part in (Part(i, n) for i in range(n))
        # Whether a part has any runs shows in the first round of dealing.
        if part not in given and len(part.dealt(0, min(n, total)))
    ]
    whose = f'; not given: {", ".join(absent)}' if absent else ''
    return [f'missing {_listed(runs)} of {total:,}{whose}']


def _listed(runs: Sequence[int]) -> str:
    """Returns how many runs there are, and the first of them."""
    more = ', ...' if len(runs) > SHOWN_RUNS else ''
    shown = ', '.join(map(str, runs[:SHOWN_RUNS]))
    return f'{len(runs):,} run{"s" if len(runs) > 1 else ""} ({shown}{more})'
