"""A page of many studies: every claim with its verdict, every printed number with its place.

Studies are run on many days and machines, and their tables are too large to keep with the code. So
what the page needs of each study is recorded in a small folder, and the page is written from these
folders:

study.json        what was run, and for how long
points.csv        what each point reached, if they are few
claims.csv        verdicts, if it has claims
references.csv    printed numbers with their place, if it has any
picture.png       its main picture

Notes on a study, such as what its picture shows, are written by hand in `<config file>.md` beside
these folders, and the page includes them.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from nnstudy import errors
from nnstudy.analysis.judging import MOST
from nnstudy.report import labels, tables, verdicts

WIDTH = 1000  # pixels of a picture
OURS = '(ours'  # in the statement of a claim that no document makes


@dataclasses.dataclass(frozen=True)
class Entry:
    """A finished study.

    Attributes:
      name: such as `'lenet_activations:mnist'`.
      title: in words.
      asked: what is asked, a paragraph; may be empty.
      command: that runs it.
      num_points: of the sweep.
      num_runs: points times seeds.
      num_run_steps: steps of all runs.
      seconds: of training, compiling left out.
      claims: see `verdicts.verdicts`; None if it has none.
      references: see `verdicts.places`; None if it has none.
      machine: what trained it: `'2 cpu devices, jax 0.10.2'`.
      conclusions: sentences on its best point, see `summary.conclusions`; of one without claims.
      picture: the file of its main picture, or None.
      notes: what a person wrote about it, Markdown; may be empty.
      points: a row a point, as text; None if they are many.
    """

    name: str
    title: str
    asked: str
    command: str
    num_points: int
    num_runs: int
    num_run_steps: int
    seconds: float
    machine: str
    conclusions: Sequence[str]
    claims: pd.DataFrame | None
    references: pd.DataFrame | None
    picture: Path | None
    notes: str = ''
    points: pd.DataFrame | None = None

    @property
    def folder(self) -> str:
        """The name of the folder that it is recorded in."""
        return self.name.replace(':', '-').replace(',', '-')


_TABLES = ('points', 'claims', 'references')  # of an entry; a file each


def record(entry: Entry, records: Path) -> Path:
    """Records what a page needs of a study in its folder in `records`; returns the folder.

    Raises:
      UserError: it cannot be written.
    """
    folder = records / entry.folder
    frames = {f'{name}.csv': getattr(entry, name) for name in _TABLES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        elsewhere = (*_TABLES, 'picture', 'notes')
        told = {name: value for name, value in vars(entry).items() if name not in elsewhere}
        (folder / 'study.json').write_text(json.dumps(told, indent=2) + '\n')
        for name, frame in frames.items():
            (folder / name).unlink(missing_ok=True)
            if frame is not None:
                frame.to_csv(folder / name, index=False, float_format='%.9g')
        if entry.picture is not None:
            _shrink(entry.picture, folder / 'picture.png')
    except OSError as error:
        raise errors.UserError(f'cannot write to {str(folder)!r}: {error}') from error
    return folder


def recorded(folder: Path) -> Entry:
    """Returns what was recorded of a study.

    Raises:
      UserError: it is not whole, or of another version.
    """
    picture = folder / 'picture.png'
    try:
        told: dict[str, Any] = json.loads((folder / 'study.json').read_text()) | _tables(folder)
        notes = folder.parent / f'{told["name"].partition(":")[0]}.md'
        return Entry(
            **told,
            picture=picture if picture.is_file() else None,
            notes=notes.read_text().strip() if notes.is_file() else '',
        )
    except (KeyError, TypeError, ValueError) as error:
        raise errors.UserError(
            f'{str(folder)!r} does not hold what is recorded of a study ({error}); record it again'
        ) from error


def _tables(folder: Path) -> dict[str, pd.DataFrame | None]:
    """Returns the tables of an entry, None for those that are not in its folder."""
    found = dict.fromkeys(_TABLES)
    for name in _TABLES:
        if (path := folder / f'{name}.csv').is_file():
            dtype = str if name == 'points' else None  # these are texts, such as 0.10 and True
            # Words such as None or NA are words; an empty cell is no number.
            found[name] = pd.read_csv(path, dtype=dtype, keep_default_na=False, na_values=[''])
    return found


def write(path: Path, command: str) -> Path:
    """Writes a page of all studies that are recorded in the folder of its name, beside it.

    Args:
      path: of the page.
      command: that makes it, which it names.

    Raises:
      UserError: nothing is recorded there, or it cannot be written.
    """
    records = path.with_suffix('')
    entries = [recorded(found.parent) for found in sorted(records.glob('*/study.json'))]
    if not entries:
        raise errors.UserError(f'no study is recorded in {str(records)!r}')
    try:
        path.write_text(page(entries, records.name, command))
    except OSError as error:
        raise errors.UserError(f'cannot write to --out {str(path)!r}: {error}') from error
    return path


def _shrink(picture: Path, path: Path) -> None:
    with Image.open(picture) as image:
        small = image.convert('RGB')
        if small.width > WIDTH:
            small = small.resize((WIDTH, round(small.height * WIDTH / small.width)))
        small.quantize(256).save(path, optimize=True)


def page(entries: Sequence[Entry], records: str, command: str) -> str:
    """Returns the page as Markdown.

    Args:
      entries: the studies, in order, as recorded.
      records: the name of the folder they are recorded in.
      command: that makes it.
    """
    claims = all_claims(entries)
    listed = verdicts.claims_text(claims)
    listed['verdict'] = '**' + listed['verdict'] + '**'
    listed['study'] = [f'[{study}](#{_anchor(study)})' for study in claims['study']]
    lines = [
        '# What the studies found',
        '',
        f'{labels.count(len(claims), "claim")} of {len(entries)} studies: '
        f'{verdicts.counted(claims)}. Written by',
        '',
        '```sh',
        command,
        '```',
        '',
        'Most claims are true or false of each seed. One *holds* if it is true of more than half '
        'of all seeds (sign test), *does not hold* if of less than half, and *depends on the seed* '
        'if the share is certainly neither above 95% nor below 5%; all at 5%, corrected over the '
        'claims of a study (Holm). *Undecided*: too few seeds. A claim of medians holds if it is '
        'true of the medians in 95% of bootstrap resamples of the seeds; of one that says what can '
        'happen one seed is enough; a fact has no luck in it and is not tested. See '
        '`docs/claims.md`. What no document says is marked *(ours)*. A quantile is the share of '
        "our seeds that lie below the document's number, equal ones counting half: 0.00 or 1.00, "
        'and it is outside of all of them.',
        '',
        '## All claims',
        '',
        *tables.markdown(listed),
        '',
    ]
    for title, doubted in _doubted(claims).items():
        if len(doubted):
            lines += [f'## {title}', '']
            lines += [
                f'- **{claim["claim"]}** ({claim["study"]}): {claim["statement"]}. '
                f'{claim["verdict"].capitalize()}: true of {verdicts.true_of(claim)}.'
                for claim in doubted.to_dict('records')
            ]
            lines.append('')
    for entry in entries:
        lines += _section(entry, records)
    return '\n'.join(lines).rstrip() + '\n'


def _section(entry: Entry, records: str) -> list[str]:
    lines = [
        f'## {entry.name}',
        '',
        entry.title,
        '',
        *([entry.asked, ''] if entry.asked else []),
        '```sh',
        entry.command,
        '```',
        '',
        f'{labels.count(entry.num_points, "point")}, {labels.count(entry.num_runs, "run")}, '
        f'{entry.num_run_steps:,} run-steps in {duration(entry.seconds)} of training '
        f'({entry.machine}).',
        '',
    ]
    if entry.picture is not None:
        lines += [f'![{entry.title}]({records}/{entry.folder}/{entry.picture.name})', '']
    if entry.notes:
        lines += [entry.notes, '']
    if entry.points is not None:
        lines += [*tables.markdown(entry.points), '']
    if entry.conclusions:
        lines += [*(f'- {sentence}' for sentence in entry.conclusions), '']
    if entry.claims is not None:
        judged = entry.claims[['claim', 'verdict', 'evidence']]
        name = 'medians over seeds [smallest, largest]'
        lines += [*tables.markdown(judged.rename(columns={'evidence': name})), '']
    if entry.references is not None:
        lines += [*tables.markdown(verdicts.references_text(entry.references)), '']
    return lines


def all_claims(entries: Sequence[Entry]) -> pd.DataFrame:
    """Returns the verdicts of all studies in one table, with a column `study`.

    They are sorted by name, with numbers as numbers: B7a, B7b, B10.
    """
    judged = [e.claims.assign(study=e.name) for e in entries if e.claims is not None]
    if not judged:
        return verdicts.verdicts([]).assign(study=[])
    table = pd.concat(judged, ignore_index=True)
    order = sorted(table.index, key=lambda row: labels.natural(table.at[row, 'claim']))
    return table.loc[order].reset_index(drop=True)


def duration(seconds: float) -> str:
    """Writes a time: `40 s`, `3.2 min`, `1.5 h`."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


def _doubted(claims: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns, by title, the claims that do not hold, and those that some seeds contradict."""
    by_luck = claims['of'].isin(('seed', 'median')) & (claims['successes'] < MOST * claims['n'])
    claims = claims[by_luck | (claims['verdict'] == 'does not hold')]
    ours = claims['statement'].str.contains(OURS, regex=False)
    documents = {
        'depend on the seed': 'depends on the seed',
        'our seeds contradict': 'does not hold',
        'hold, although some seeds contradict them': 'holds',
        'are undecided, and not true of every seed': 'undecided',
    }
    doubted = {
        f'Conclusions of the documents that {what}': claims[~ours & (claims['verdict'] == verdict)]
        for what, verdict in documents.items()
    }
    return doubted | {'The same of our own claims': claims[ours]}


def _anchor(name: str) -> str:
    return ''.join(c for c in name.lower() if c.isalnum() or c in '-_ ')
