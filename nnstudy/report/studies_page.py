"""A page of many studies: every claim with its verdict, and a section for each study.

Studies are run on many days and machines, and their tables are too large to keep with the code. So
what the page says of each study is recorded in a small folder:

section.md          its section of the page
claims.csv          its verdicts, if it has claims
picture.png         its main picture

Notes on a study, such as what its picture shows, are written by hand in `<config file>.md` beside
these folders, and the page includes them.
"""

import collections
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from nnstudy import errors
from nnstudy.analysis import comparison, evidence, judging
from nnstudy.report import conclusion, labels, summary, tables
from nnstudy.results import Results

WIDTH = 1000  # pixels of a picture
MAX_POINTS = 30  # in the table of a section
OURS = '(ours'  # in the statement of a claim that no document makes

_EXPLAINED = """\
A claim *holds* if each of its conditions is true more often than not over seeds, and *does not
hold* if one of them is false more often than not. How reliable that is says the least share of all
seeds that the runs leave: *nearly always* is 95%, *mostly* 75%. Over all claims of a study, and
however often one looks while seeds are added, each of the two verdicts is wrongly given with a
probability of at most 5%; *undecided* means that there are too few seeds to say.
[claims.md](claims.md) explains this, and the other kinds of claims: of medians, of some seed, and
facts. What no document says is marked *(ours)*. The quantile of a printed number is the share of
our seeds below it, equal ones counting half: at 0.00 or 1.00 it lies outside of all of them; p is
the probability that another seed lies as far out."""
# The lists of claims that are not true of every seed, by verdict.
_DOUBTED = {
    'does not hold': 'our seeds contradict',
    'holds': 'hold, although some seeds contradict them',
    'undecided': 'are undecided, and not true of every seed',
}


def record(
    folder: Path,
    name: str,
    about: Sequence[str],
    command: str,
    stages: Sequence[Results],
    picture: Path,
) -> None:
    """Records what a page says of a study in its folder, within that of all studies.

    Args:
      folder: of the study.
      name: such as `'lenet_activations:mnist'`.
      about: paragraphs; the first one is the title.
      command: that runs it.
      stages: its results; of a search in stages, the last ones are told.
      picture: the file of its main picture, which may not be there.

    Raises:
      UserError: it cannot be written.
    """
    results, runs = stages[-1], pd.concat([stage.runs for stage in stages])
    num_points = sum(len(stage.points) for stage in stages)
    parts = [f'## {name}', *about, f'```sh\n{command}\n```']
    parts.append(
        f'{labels.count(num_points, "point")}, {labels.count(len(runs), "run")}, '
        f'{runs["steps"].sum():,} run-steps in {duration(runs["seconds"].sum())} of training '
        f'({_machine(results)}).'
    )
    if picture.is_file():
        parts.append(f'![{about[0]}]({folder.parent.name}/{folder.name}/picture.png)')
    parts.append(f'<!-- {name.partition(":")[0]}.md -->')
    if 1 < len(results.points) <= MAX_POINTS:
        points = summary.points(results).rename(columns=lambda column: column.replace('\n', ' '))
        seconds = results.runs.groupby('point')['seconds'].median().map('{:.3g}'.format)
        parts.append(tables.markdown(points.assign(**{'seconds a run': seconds})))
    if results.claims:
        evidence = {'evidence': 'medians over seeds [smallest, largest]'}
        judged = judging.judge(results)
        table = judged[['claim', 'verdict', 'evidence']].rename(columns=evidence)
        parts.append(tables.markdown(table))
    elif results.config.num_seeds > 1:
        parts.append('\n'.join(f'- {sentence}' for sentence in summary.conclusions(results)))
    if results.references:
        parts.append(tables.markdown(conclusion.references_text(judging.place(results))))
    with errors.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'section.md').write_text('\n\n'.join(parts) + '\n')
        (folder / 'claims.csv').unlink(missing_ok=True)
        if results.claims:
            judged.to_csv(folder / 'claims.csv', index=False, float_format='%.9g')
        if picture.is_file():
            with Image.open(picture) as image:
                small = image.convert('RGB')
                if small.width > WIDTH:
                    small = small.resize((WIDTH, round(small.height * WIDTH / small.width)))
                small.quantize(256).save(folder / 'picture.png', optimize=True)


def _machine(results: Results) -> str:
    """Writes what trained a study: `2 cpu devices, jax 0.10.2`."""
    assert results.workdir is not None
    told = json.loads((results.workdir / 'environment.json').read_text())['sessions'][-1]
    kinds = collections.Counter(told['devices'])
    devices = [labels.count(number, f'{kind} device') for kind, number in kinds.items()]
    return f'{", ".join(devices)}, jax {told["versions"]["jax"]}'


def write(path: Path, command: str) -> Path:
    """Writes a page of all studies recorded in the folder of its name; it names its command.

    Raises:
      UserError: nothing is recorded there, or it cannot be written.
    """
    records = path.with_suffix('')
    folders = sorted(found.parent for found in records.glob('*/section.md'))
    if not folders:
        raise errors.UserError(f'no study is recorded in {str(records)!r}')
    sections = [(folder / 'section.md').read_text() for folder in folders]
    names = [section.partition('\n')[0].removeprefix('## ') for section in sections]
    claims = all_claims(dict(zip(names, folders, strict=True)))
    told = f'{labels.count(len(claims), "claim")} of {len(sections)} studies'
    if len(claims):
        told += f': {conclusion.counted(claims)}'
    parts = ['# What the studies found', f'{told}. Written by', f'```sh\n{command}\n```']
    parts += _on_claims(claims) if len(claims) else []

    def notes(found: re.Match) -> str:
        own = records / found[1]
        return own.read_text().strip() + '\n\n' if own.is_file() else ''

    parts += [re.sub(r'<!-- (\S+\.md) -->\n*', notes, section).strip() for section in sections]
    with errors.writing(path):
        path.write_text('\n\n'.join(parts) + '\n')
    return path


def _on_claims(claims: pd.DataFrame) -> list[str]:
    """Returns what a page says of all claims: a table, and lists of those that seeds contradict."""
    listed = conclusion.claims_text(claims)
    listed['verdict'] = '**' + listed['verdict'] + '**'
    anchors = claims['study'].str.lower().str.replace(r'[^\w -]', '', regex=True)
    listed['study'] = '[' + claims['study'] + '](#' + anchors + ')'
    parts = [_EXPLAINED, _all_together(claims)]
    by_luck = claims['of'].isin(('seed', 'median'))
    doubted = by_luck & (claims['wins'] + claims['ties'] < claims['n'])
    in_doubt = claims[doubted | (claims['verdict'] == 'does not hold')]
    ours = in_doubt['statement'].str.contains(OURS, regex=False)
    lists = {
        f'Conclusions of the documents that {what}': in_doubt[
            ~ours & (in_doubt['verdict'] == verdict)
        ]
        for verdict, what in _DOUBTED.items()
    }
    for title, found in {**lists, 'The same of our own claims': in_doubt[ours]}.items():
        sentences = [
            f'- **{claim["claim"]}** ({claim["study"]}): {claim["statement"]}. '
            f'{conclusion.verdict(claim).capitalize()}: true of {conclusion.true_of(claim)}.'
            for claim in found.to_dict('records')
        ]
        parts += [f'## {title}', '\n'.join(sentences)] if sentences else []
    return [*parts, '## All claims', tables.markdown(listed)]


def _all_together(claims: pd.DataFrame) -> str:
    """Says which verdicts stand if all studies are taken together.

    A claim has two directions, of which the one with the smaller e-value is never shown.
    """
    claims = claims[claims['of'] != 'fact']
    shown = evidence.are_shown([*claims['e_value'], *[0.0] * len(claims)], comparison.LEVEL)
    tested = claims['verdict'].isin(('holds', 'does not hold'))
    if not tested.any():
        return 'No verdict rests on seeds.'
    lost = claims.loc[tested & ~shown[: len(claims)], 'claim'].tolist()
    told = (
        f'The 5% are those of one study. Of all {tested.sum():,} verdicts here that rest on seeds, '
        f'{"all" if not lost else f"{tested.sum() - len(lost):,}"} stand if at most 5% of '
        'them may be expected to be wrong (e-BH)'
    )
    return told + (f'; not {", ".join(lost)}.' if lost else '.')


def all_claims(folders: Mapping[str, Path]) -> pd.DataFrame:
    """Reads `claims.csv` of several studies, with the name of each in a further column `study`.

    Claims are sorted by name, with numbers as numbers: B7a, B7b, B10. Folders are by name of the
    study; one without such a file has no claims.

    Raises:
      UserError: a file is not a table of verdicts.
    """
    found = []
    for name, folder in folders.items():
        path = folder / 'claims.csv'
        if path.is_file():
            # Words such as None or NA are words; an empty cell is no number.
            table = pd.read_csv(path, keep_default_na=False, na_values=[''])
            if not {*judging.COLUMNS} <= {*table}:
                raise errors.UserError(f'{str(path)!r} is no table of verdicts; record it again')
            found.append(table.assign(study=name))
    if not found:
        return pd.DataFrame()
    return pd.concat(found).sort_values(
        'claim', key=lambda names: names.map(labels.natural), kind='stable', ignore_index=True
    )


def duration(seconds: float) -> str:
    """Writes a time: `40 s`, `3.2 min`, `1.5 h`."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'
