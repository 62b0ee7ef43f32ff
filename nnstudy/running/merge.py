"""Joins the shards of a study into one working directory.

    nnstudy merge DIR... --workdir=OUT

What comes out is read by `nnstudy.load` like a study that was never sharded. It is written when
all runs are there, beside OUT, and moved there whole.
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
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib
from nnstudy.running import workdir as workdir_lib

SHOWN_RUNS = 10


@dataclasses.dataclass(frozen=True)
class Part:
    """A working directory that holds some of a study's runs.

    Attributes:
      workdir: where it is.
      identity: what its `config.json` says.
      is_finished: whether its tables are written.
    """

    workdir: Path
    identity: dict[str, Any]
    is_finished: bool

    @property
    def shard(self) -> tuple[int, int] | None:
        shard = self.identity.get('shard')
        return None if shard is None else tuple(shard)

    @property
    def name(self) -> str:
        return f'{str(self.workdir)!r} ({plan_lib.shard_name(self.shard)})'

    @functools.cached_property
    def results(self) -> results_lib.Results:
        return results_lib.load(self.workdir)

    @functools.cached_property
    def sessions(self) -> list[dict[str, Any]]:
        """Where and with what it was trained, see `nnstudy.running.workdir.environment`."""
        text = (self.workdir / 'environment.json').read_text()
        return json.loads(text)['sessions']


def find(directories: Iterable[Path]) -> list[Part]:
    """Returns the parts in the directories, or in the folders right in them.

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
                'directories of the shards'
            )
        workdirs += found[:1] if found[0] == directory else found
    distinct = {path.resolve(): path for path in workdirs}.values()
    return sorted(map(_part, distinct), key=lambda part: (part.shard or (0, 1))[::-1])


def _part(workdir: Path) -> Part:
    identity = results_lib.read_identity(workdir)
    if identity is None or 'digest' not in identity:
        raise errors.UserError(f'{str(workdir)!r} holds no study: its config.json is another')
    return Part(workdir, identity, (workdir / 'history.parquet').is_file())


def problems(parts: Sequence[Part], out: Path) -> list[str]:
    """Returns why the parts cannot be joined in `out`, a line each; empty if they can."""
    first = parts[0]
    found = [
        f'{part.name} is of another study than {first.name}: it differs in '
        + ', '.join(workdir_lib.differences(part.identity, first.identity))
        for part in parts
        if part.identity['digest'] != first.identity['digest']
    ]
    if found:
        return found
    found += [
        f'{part.name} is not finished; run it again, it goes on where it stood: {_command(part)}'
        for part in parts
        if not part.is_finished
    ]
    finished = [part for part in parts if part.is_finished]
    found += _contradictions(finished)
    found += _missing(parts)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found.append(f'--workdir {str(out)!r} exists; name an empty or new directory')
    return found


def merge(parts: Sequence[Part], out: Path) -> results_lib.Results:
    """Writes the study that the parts make up into `out`, and returns its results.

    The checkpoints of their parameters are linked rather than copied where the file system can.

    Args:
      parts: see `find`; between which there are no `problems`.
      out: working directory, new or empty.
    """
    first = parts[0].results
    runs = _joined([part.results.runs for part in parts], ['run'])
    results = dataclasses.replace(
        first,
        runs=results_lib.with_settings(runs, first.points),
        history=_joined([part.results.history for part in parts], ['run', 'step']),
        steps=_joined([part.results.steps for part in parts], ['run', 'step']),
        workdir=out,
    )
    identity = {key: value for key, value in parts[0].identity.items() if key != 'shard'}
    sessions = [{'shard': part.shard, **session} for part in parts for session in part.sessions]
    begun = out.absolute().with_name(f'.{out.name}.merging')
    shutil.rmtree(begun, ignore_errors=True)  # of a merge that was interrupted
    try:
        (begun / 'chunks').mkdir(parents=True)
        results_lib.write_text(begun / 'config.json', results_lib.to_json(identity))
        results_lib.write_text(
            begun / 'environment.json', results_lib.to_json({'sessions': sessions})
        )
        chunks = [chunk for part in parts for chunk in _chunks(part)]
        for number, chunk in enumerate(chunks, start=1):
            shutil.copytree(chunk, begun / 'chunks' / str(number), copy_function=_link)
        results_lib.write(results, begun)
        begun.replace(out)
    except OSError as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise errors.UserError(f'cannot write to --workdir {str(out)!r}: {error}') from error
    return results


def _chunks(part: Part) -> list[Path]:
    """Returns the folders of the checkpoints of a part's parameters, in their order."""
    folders = [path for path in (part.workdir / 'chunks').iterdir() if path.name.isdigit()]
    return sorted(folders, key=lambda path: int(path.name))


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


def _contradictions(parts: Sequence[Part]) -> list[str]:
    """Says which runs are in several parts and did not come out the same."""
    seen: set[int] = set()
    twice: set[int] = set()
    for part in parts:
        runs = set(part.results.runs['run'])
        twice |= runs & seen
        seen |= runs
    if not twice:
        return []
    differing: set[int] = set()
    for which, keys in (('runs', ['run']), ('history', ['run', 'step'])):
        tables = [getattr(part.results, which) for part in parts]
        rows = pd.concat([table[table['run'].isin(twice)] for table in tables])
        rows = rows.drop(columns='seconds', errors='ignore').drop_duplicates()
        differing |= set(rows.loc[rows.duplicated(keys), 'run'])
    if not differing:
        return []
    names = [part.name for part in parts if differing & set(part.results.runs['run'])]
    return [
        f'{_listed(sorted(differing))} came out differently in {", ".join(names)}; give one of them'
    ]


def is_merged(parts: Sequence[Part], out: Path) -> bool:
    """Whether `out` is the finished study that the parts are of."""
    if not (out / 'config.json').is_file():
        return False
    there = _part(out)
    same = there.identity['digest'] == parts[0].identity['digest']
    return same and there.shard is None and there.is_finished


def environments(parts: Sequence[Part]) -> list[str]:
    """Returns what may change the bits of a run and is not the same in all parts."""
    sessions = [session for part in parts for session in part.sessions]
    used = {key: [s.get(key) for s in sessions] for key in ('versions', 'backend', 'devices')}
    used['lanes'] = [part.identity['config']['execution']['lanes'] for part in parts]
    return [key for key, values in used.items() if any(value != values[0] for value in values)]


def _missing(parts: Sequence[Part]) -> list[str]:
    """Says which runs no finished part has, and which shards were not given."""
    identity = parts[0].identity
    total = len(identity['points']) * identity['config']['num_seeds']
    there = {run for part in parts if part.is_finished for run in part.results.runs['run']}
    runs = sorted(set(range(total)) - there)
    if not runs:
        return []
    shards = [part.shard for part in parts if part.shard is not None]
    absent = [
        plan_lib.shard_name((i, n))
        for n in sorted({n for _, n in shards})
        for i in range(n)
        # Whether a shard has any shows in the first round of dealing.
        if (i, n) not in shards and len(plan_lib.sharded((i, n), 0, min(n, total)))
    ]
    whose = f'; not given: {", ".join(absent)}' if absent else ''
    return [f'missing {_listed(runs)} of {total:,}{whose}']


def _listed(runs: Sequence[int]) -> str:
    """Returns how many runs there are, and the first of them."""
    more = ', ...' if len(runs) > SHOWN_RUNS else ''
    shown = ', '.join(map(str, runs[:SHOWN_RUNS]))
    return f'{len(runs):,} run{"s" if len(runs) > 1 else ""} ({shown}{more})'


def _command(part: Part) -> str:
    return f'python {shlex.join(part.sessions[-1]["command"])}'
