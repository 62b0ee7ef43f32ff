"""A page of many studies: every claim with its verdict, every printed number with its place."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image
from rich import box
from rich.table import Table

from nnstudy import errors
from nnstudy.report import labels

WIDTH = 1000  # pixels of a picture
VERDICTS = ('holds', 'does not hold', 'depends on the seed', 'undecided')


@dataclasses.dataclass(frozen=True)
class Entry:
    """A finished study.

    Attributes:
      name: such as `'lenet_activations:mnist'`.
      title: in words.
      command: that runs it.
      num_points: of the sweep.
      num_runs: points times seeds.
      num_run_steps: steps of all runs.
      seconds: of training, compiling left out.
      claims: see `verdicts.verdicts`; None if it has none.
      references: see `verdicts.places`; None if it has none.
      picture: the file of its main picture, or None.
    """

    name: str
    title: str
    command: str
    num_points: int
    num_runs: int
    num_run_steps: int
    seconds: float
    claims: pd.DataFrame | None
    references: pd.DataFrame | None
    picture: Path | None


def write(entries: Sequence[Entry], path: Path) -> Path:
    """Writes the page, and its pictures into `images/studies` beside it.

    Raises:
      UserError: it cannot be written.
    """
    images = path.parent / 'images' / 'studies'
    try:
        images.mkdir(parents=True, exist_ok=True)
        names = {entry.name: _picture(entry, images) for entry in entries}
        path.write_text(page(entries, {n: f'images/studies/{f}' for n, f in names.items() if f}))
    except OSError as error:
        raise errors.UserError(f'cannot write to --out {str(path)!r}: {error}') from error
    return path


def _picture(entry: Entry, images: Path) -> str | None:
    if entry.picture is None:
        return None
    name = entry.name.replace(':', '-').replace(',', '-') + '.png'
    with Image.open(entry.picture) as picture:
        small = picture.convert('RGB')
        if small.width > WIDTH:
            small = small.resize((WIDTH, round(small.height * WIDTH / small.width)))
        small.quantize(128).save(images / name, optimize=True)
    return name


def page(entries: Sequence[Entry], pictures: dict[str, str]) -> str:
    """Returns the page as Markdown.

    Args:
      entries: the studies, in order.
      pictures: the path of each one's picture, by name.
    """
    said = [e.claims.assign(study=e.name) for e in entries if e.claims is not None]
    claims = pd.concat(said, ignore_index=True)
    doubted = claims[claims['verdict'].isin(('depends on the seed', 'does not hold'))]
    lines = [
        '# What the studies found',
        '',
        f'{labels.count(len(claims), "claim")} of {len(entries)} studies: {counted(claims)}. '
        'Written by',
        '',
        '```sh',
        'python -m nnstudy.studies run && python -m nnstudy.studies page',
        '```',
        '',
        'A claim is true or false of each seed. It *holds* if it is true of more than half of all '
        'seeds (sign test), *does not hold* if of less than half, and *depends on the seed* if the '
        'share is certainly neither above 95% nor below 5%; all at 5%, corrected over the claims '
        'of a study (Holm). *Undecided*: too few seeds. See `nnstudy/analysis/claims.py`.',
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
        '## What would have been the luck of one seed',
        '',
        'Conclusions that another seed contradicts, or that do not hold over seeds:',
        '',
        *[
            f'- **{row.claim}** ({row.study}): {row.statement}. {row.verdict.capitalize()}: '
            f'true of {_true_of(row)}.'
            for row in doubted.itertuples()
        ],
        '',
    ]
    for entry in entries:
        lines += _section(entry, pictures.get(entry.name))
    return '\n'.join(lines).rstrip() + '\n'


def _section(entry: Entry, picture: str | None) -> list[str]:
    lines = [
        f'## {entry.name}',
        '',
        entry.title,
        '',
        '```sh',
        entry.command,
        '```',
        '',
        f'{labels.count(entry.num_points, "point")}, {labels.count(entry.num_runs, "run")}, '
        f'{entry.num_run_steps:,} run-steps in {duration(entry.seconds)} of training.',
        '',
    ]
    if picture is not None:
        lines += [f'![{entry.title}]({picture})', '']
    if entry.claims is not None:
        judged = [(row.claim, row.verdict, row.evidence) for row in entry.claims.itertuples()]
        header = ['claim', 'verdict', 'medians over seeds [smallest, largest]']
        lines += [*_table(header, judged), '']
    if entry.references is not None:
        rows = [
            (
                row.reference,
                _number(row.printed),
                f'{_number(row.median)} [{_number(row.min)}, {_number(row.max)}]',
                row.n,
                f'{row.quantile:.2f}',
            )
            for row in entry.references.itertuples()
        ]
        header = ['printed number', 'document', 'ours: median [min, max]', 'seeds', 'quantile']
        lines += [*_table(header, rows), '']
    return lines


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
    """Writes how many claims have which verdict: `3 holds, 1 undecided`."""
    counts = claims['verdict'].value_counts()
    return ', '.join(f'{counts[v]} {v}' for v in VERDICTS if v in counts)


def duration(seconds: float) -> str:
    """Writes a time: `40 s`, `3.2 min`, `1.5 h`."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


def _true_of(row) -> str:
    if row.of == 'fact':
        return 'a fact'
    text = f'{row.successes:,} of {row.n:,} seeds'
    if row.of == 'median':
        text += f'; {100 * row.resampled_medians:.0f}% of resampled medians'
    return text


def _number(value: float) -> str:
    return labels.number(value, 4) if abs(value) != float('inf') else '∞'


def _table(header: Sequence[str], rows: Sequence[Sequence]) -> list[str]:
    lines = ['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)]
    cells = [[str(cell).replace('|', '\\|').replace('\n', ' ') for cell in row] for row in rows]
    return lines + ['| ' + ' | '.join(row) + ' |' for row in cells]


def _anchor(name: str) -> str:
    return ''.join(c for c in name.lower() if c.isalnum() or c in '-_ ')
