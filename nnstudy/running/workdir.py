"""The working directory of a study: which study it holds, and how that was executed.

config.json         the resolved config, points, claims, references, directions of metrics, digests
environment.json    versions and devices of every session
chunks/             states, parameters and histories, see nnstudy.results.checkpoints
runs.csv, ...       the tables, see nnstudy.results; `history.parquet` comes last
"""

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from nnstudy import errors
from nnstudy.results import files
from nnstudy.running import parts
from nnstudy.running import plan as plan_lib
from nnstudy.running.plan import Plan
from nnstudy.spec import claims, sweep
from nnstudy.spec import config as config_lib
from nnstudy.training import metrics

# Files that are written when a study is finished.
OUTCOMES = [f'{name}.parquet' for name in ('history', 'runs', 'steps')]
OUTCOMES += [f'{name}.csv' for name in ('runs', 'claims', 'references')]
# What of an environment may change the bits of a run.
ROUNDING = ('versions', 'backend', 'devices', 'lanes')


def status(plan: Plan, workdir: Path) -> str:
    """Returns `'new'`, `'begun'` or `'finished'`.

    Raises:
      UserError: the directory holds another study, or other files.
    """
    place = f'--workdir {str(workdir)!r}'
    try:
        stored = files.read_identity(workdir)
        # Other files may be in it, or on the path to it.
        existing = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
        is_free = existing.is_dir() and (existing != workdir or not any(workdir.iterdir()))
    except OSError as error:
        raise errors.UserError(f'cannot read {place}: {error}') from error
    if stored is None and is_free:
        return 'new'
    problem, mine = '', plan.identity
    if stored is None:
        problem = 'exists and holds no study'
        if any(workdir.glob('part-*-of-*/config.json')):
            problem += '; nnstudy merge joins its parts'
    elif stored['digest'] != mine['digest']:
        differing = ', '.join(differences(stored, mine)) or 'what is stored of it'
        problem = f'holds another study, {stored.get("name")!r}: it differs in {differing}'
    elif stored.get('part') != plan.part:
        problem = f'holds {parts.name(stored.get("part"))}, not {parts.name(plan.part)}'
    if problem:
        raise errors.UserError(f'{place} {problem}; name another directory')
    assert stored is not None
    is_finished = is_same(stored, mine) and files.is_finished(workdir)
    return 'finished' if is_finished else 'begun'


def is_same(stored: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Whether two studies have the same runs, see `Plan.identity`."""
    sizes = [
        (
            one['digest'],
            tuple(one['keys']),
            tuple(one.get('seeds', ())),
            *(one['config'][field] for field in plan_lib.SEEDS),
        )
        for one in (stored, mine)
    ]
    return sizes[0] == sizes[1]


def open_session(plan: Plan, workdir: Path) -> str:
    """Creates the directory of a study, or adds a session to it, unless the study is finished.

    Returns and raises what `status` does.

    Raises:
      UserError: the directory cannot be written, or a claim has a value that JSON does not know.
    """
    found = status(plan, workdir)
    if found == 'finished':
        return found
    session, path = environment(plan), workdir / 'environment.json'
    about = {name: claims.to_dict(getattr(plan, name)) for name in ('name', 'claims', 'references')}
    stored = files.read_identity(workdir)
    # Claims of a study that was begun may have been worded by what it showed.
    stated = [*map(claims.digest, plan.claims)] if stored is None else stored.get('stated', ())
    content = {**plan.identity, **about, 'stated': stated, 'directions': metrics.directions()}
    with errors.writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        # What is of a larger or smaller study; `chunks` has all of its runs.
        for name in OUTCOMES:
            (workdir / name).unlink(missing_ok=True)
        shutil.rmtree(workdir / 'plots', ignore_errors=True)
        sessions = json.loads(path.read_text())['sessions'] if path.is_file() else []
        files.write_json(workdir / 'config.json', content)
        files.write_json(path, {'sessions': [*sessions, session]})
    last = {**session, **sessions[-1]} if sessions else session
    if len(last['lanes']) != len(session['lanes']):  # of other points
        last['lanes'] = session['lanes']
    changed = [k for k in ROUNDING if last[k] != session[k]]
    if changed:
        print(
            f'warning: this study was begun with other {", ".join(changed)}; the remaining '
            'runs may round differently',
            file=sys.stderr,
        )
    return found


def default(plan: Plan) -> Path:
    """Returns `runs/<name>-<hash>`: the same config and swept fields give the same directory.

    A part has the folder `part-<i>-of-<n>` in there.
    """
    whole = Path('runs') / f'{plan.name}-{plan.identity["digest"][:8]}'
    return whole if plan.part is None else whole / 'part-{}-of-{}'.format(*plan.part)


def differences(stored: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """Returns the names of the fields in which two identities differ."""
    mine = files.with_tuples(mine)
    swept = [sweep.swept(one['points']) for one in (stored, mine)]
    # With halving, which points go on is decided over all runs, so a study cannot grow.
    is_fixed = any(one['config']['halving']['factor'] for one in (stored, mine))
    grown = () if is_fixed else (*plan_lib.SEEDS, *swept[0], *swept[1])
    both = [config_lib.flatten(identity['config']) for identity in (stored, mine)]
    fields = [
        f'config.{field}'
        for field in sorted(both[0].keys() | both[1].keys())
        if not field.startswith(plan_lib.NOT_IDENTITY)
        and field not in grown
        and both[0].get(field) != both[1].get(field)
    ]
    for name, text in (('data', 'data'), ('sources', 'the code of its components')):
        common = stored[name].keys() & mine[name].keys()
        if any(stored[name][key] != mine[name][key] for key in common):
            fields.append(text)
    if is_fixed:
        return fields + ['points'] * (stored['points'] != mine['points'])
    return fields + ['the swept fields'] * (swept[0] != swept[1])


def environment(plan: Plan) -> dict[str, Any]:
    """Returns the versions, devices and the command of this session."""
    packages = ('nnstudy', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')
    versions = {
        name: next((found.version for found in importlib.metadata.distributions(name=name)), None)
        for name in packages
    }
    return {
        'versions': {'python': platform.python_version(), **versions},
        'platform': platform.platform(),
        'backend': jax.default_backend(),
        'devices': [device.device_kind for device in jax.devices()],
        'lanes': [group.layout.lanes for group in plan.groups],
        'git_commit': _git_commit(),
        'command': sys.argv,
    }


def _git_commit() -> str | None:
    """Returns the commit of nnstudy's code, if it is in a git checkout."""
    command = ['git', '-C', str(Path(__file__).parent), 'rev-parse', 'HEAD']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
