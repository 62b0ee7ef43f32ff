"""A page of many studies: every claim with its verdict, every printed number with its place.

Studies are run on many days and machines, and their tables are too large to keep with the code. So
what a page says of a study is recorded in a small folder of its own, and a page is written from
these:

study.json        what was run, and for how long
points.csv        what each point reached, if they are few
claims.csv        verdicts, if it has claims
references.csv    printed numbers with their place, if it has any
picture.png       its main picture

What a person has to add, such as what the picture shows or how the claims came about, is written by
hand in `<config file>.md` beside these folders; the page takes it in.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from rich import box
from rich.table import Table

from nnstudy import errors
from nnstudy.analysis.judging import MOST
from nnstudy.report import labels, verdicts

WIDTH = 1000  # pixels of a picture
# Of each verdict, how it is said of several claims.
VERDICTS = {
    'holds': 'hold',
    'does not hold': 'do not hold',
    'depends on the seed': 'depend on the seed',
    'undecided': 'undecided',
}
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
      conclusions: sentences on its best point, see `table.conclusions`; of one without claims.
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
    """Writes what a page says of a study into its folder in `records`, anew; returns the folder.

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
    """Returns the tables of an entry as a folder has them, None for what is not there."""
    tables = dict.fromkeys(_TABLES)
    for name in _TABLES:
        if (path := folder / f'{name}.csv').is_file():
            dtype = str if name == 'points' else None  # these are texts, such as 0.10 and True
            # Words such as None or NA are words; an empty cell is no number.
            tables[name] = pd.read_csv(path, dtype=dtype, keep_default_na=False, na_values=[''])
    return tables


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
    lines = [
        '# What the studies found',
        '',
        f'{labels.count(len(claims), "claim")} of {len(entries)} studies: {counted(claims)}. '
        'Written by',
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
        *_table(
            ['claim', 'statement', 'verdict', 'true of', 'study'],
            [
                (
                    row.claim,
                    row.statement,
                    f'**{row.verdict}**',
                    _true_of(row),
                    f'[{row.study}](#{_anchor(row.study)})',
                )
                for row in claims.itertuples()
            ],
        ),
        '',
    ]
    for title, rows in _doubted(claims).items():
        if rows:
            lines += [
                f'## {title}',
                '',
                *(
                    f'- **{row.claim}** ({row.study}): {row.statement}. '
                    f'{row.verdict.capitalize()}: true of {_true_of(row)}.'
                    for row in rows
                ),
                '',
            ]
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
        lines += [*_table(list(entry.points), entry.points.to_numpy().tolist()), '']
    if entry.conclusions:
        lines += [*(f'- {sentence}' for sentence in entry.conclusions), '']
    if entry.claims is not None:
        judged = [(row.claim, row.verdict, row.evidence) for row in entry.claims.itertuples()]
        header = ['claim', 'verdict', 'medians over seeds [smallest, largest]']
        lines += [*_table(header, judged), '']
    if entry.references is not None:
        rows = [
            (
                row.reference,
                f'{row.printed:,.10g}',
                '{} [{}, {}]'.format(*map(verdicts.number, (row.median, row.min, row.max))),
                row.n,
                f'{row.quantile:.2f}' + (' (outside)' if row.quantile in (0, 1) else ''),
            )
            for row in entry.references.itertuples()
        ]
        header = ['printed number', 'document', 'ours: median [min, max]', 'seeds', 'quantile']
        lines += [*_table(header, rows), '']
    return lines


def all_claims(entries: Sequence[Entry]) -> pd.DataFrame:
    """Returns the verdicts of all studies in one table, with a column `study`.

    They are in order of their names, of which numbers count as numbers: B7a, B7b, B10.
    """
    tables = [e.claims.assign(study=e.name) for e in entries if e.claims is not None]
    if not tables:
        return pd.DataFrame({'claim': [], 'verdict': []})
    table = pd.concat(tables, ignore_index=True)
    order = sorted(table.index, key=lambda row: _natural(table.at[row, 'claim']))
    return table.loc[order].reset_index(drop=True)


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts names as people do."""
    parts = re.split(r'(\d+)', name)  # every second one is a number
    return [(int(part), '') if i % 2 else (0, part) for i, part in enumerate(parts)]


def claims_table(entries: Sequence[Entry]) -> Table:
    """Returns all claims of all studies, ready to be printed in a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ('study', 'claim', 'statement', 'verdict', 'true of'):
        table.add_column(header)
    for entry in entries:
        for row in () if entry.claims is None else entry.claims.itertuples():
            table.add_row(entry.name, row.claim, row.statement, row.verdict, _true_of(row))
    return table


def counted(claims: pd.DataFrame) -> str:
    """Writes how many claims have which verdict: `3 hold, 1 undecided`."""
    counts = claims['verdict'].value_counts()
    return ', '.join(
        f'{counts[one]} {one if counts[one] == 1 else several}'
        for one, several in VERDICTS.items()
        if one in counts
    )


def duration(seconds: float) -> str:
    """Writes a time: `40 s`, `3.2 min`, `1.5 h`."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


def _doubted(claims: pd.DataFrame) -> dict[str, list]:
    """Returns, by title, the claims of which one seed may well say the opposite, or all do."""
    doubted: dict[str, list] = {
        'Conclusions of the documents that depend on the seed': [],
        'Conclusions of the documents that our seeds contradict': [],
        'Conclusions of the documents that hold, although some seeds contradict them': [],
        'Conclusions of the documents that are undecided, and not true of every seed': [],
        'The same of our own claims': [],
    }
    depends, contradicted, mostly, undecided, own = doubted.values()
    of_documents = {
        'depends on the seed': depends,
        'does not hold': contradicted,
        'holds': mostly,
        'undecided': undecided,
    }
    for row in claims.itertuples():
        luck = row.of in ('seed', 'median') and row.successes < MOST * row.n
        if not luck and row.verdict != 'does not hold':
            continue
        (own if OURS in row.statement else of_documents[row.verdict]).append(row)
    return doubted


def _true_of(row) -> str:
    if row.of == 'fact':
        return 'a fact'
    text = f'{row.successes:,} of {row.n:,} seeds'
    if row.of == 'median':
        text += f'; {100 * row.resampled_medians:.0f}% of resampled medians'
    if row.of == 'some':
        text += '; one is enough'
    if row.verdict == 'undecided' and pd.notna(row.seeds_needed):
        text += f'; {row.seeds_needed:,.0f} would decide'
    return text


def _table(header: Sequence[str], rows: Sequence[Sequence]) -> list[str]:
    lines = ['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)]
    cells = [[str(cell).replace('|', '\\|').replace('\n', ' ') for cell in row] for row in rows]
    return lines + ['| ' + ' | '.join(row) + ' |' for row in cells]


def _anchor(name: str) -> str:
    return ''.join(c for c in name.lower() if c.isalnum() or c in '-_ ')
