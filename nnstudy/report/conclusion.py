"""How a study ends: its tables in the terminal, verdicts on its claims, pictures on disk."""

from collections.abc import Callable, Mapping
from typing import Any

from nnstudy.report import summary, tables
from nnstudy.results import results as results_lib


def conclude(
    results: results_lib.Results,
    measure: Callable[[Any], Mapping[str, Any]] | None = None,
    pictures: Callable[[Any], Mapping[str, Any]] | None = None,
    *,
    said_of_all: bool = True,
) -> results_lib.Results:
    """Shows the tables of a finished study, and draws its pictures in its working directory.

    Args:
      results: with a working directory.
      measure: of the config file, see `nnstudy.spec.config`.
      pictures: likewise.
      said_of_all: whether these are all runs, so that claims can be judged.

    Returns:
      The results with the columns that were measured.
    """
    # matplotlib and scipy.stats take a second, which training need not wait for.
    from nnstudy.analysis import judging, references
    from nnstudy.report import plots, verdicts

    workdir = results.workdir
    assert workdir is not None
    screen = tables.console()
    if measure is not None:
        results = results_lib.with_columns(results, measure(results))
    screen.print(summary.summarise(results))
    files = ['runs.csv', 'runs.parquet', 'history.parquet']
    for name in ('references.csv', 'claims.csv'):
        (workdir / name).unlink(missing_ok=True)  # what is not judged any more
    if results.references and said_of_all:
        placed = verdicts.places(references.place(results))
        screen.print(verdicts.references_table(placed))
        placed.to_csv(workdir / 'references.csv', index=False)
        files.append('references.csv')
    if results.claims and said_of_all:
        judged = verdicts.verdicts(judging.judge(results))
        screen.print(verdicts.claims_table(judged))
        judged.to_csv(workdir / 'claims.csv', index=False)
        files.append('claims.csv')
    # Last, so that a study with pictures is one that has been judged.
    drawn = {} if pictures is None else pictures(results)
    written = plots.save(results, workdir / 'plots', drawn)
    screen.print(f'\ntables:   {workdir}/{", ".join(files)}', markup=False)
    screen.print(f'pictures: {", ".join(str(path) for path in written)}', markup=False)
    return results
