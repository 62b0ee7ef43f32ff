"""The end of a study: prints its tables, judges its claims, and saves its pictures."""

from collections.abc import Callable, Mapping
from typing import Any

from nnstudy.report import summary, tables
from nnstudy.results import results as results_lib


def conclude(
    results: results_lib.Results,
    measure: Callable[[Any], Mapping[str, Any]] | None = None,
    pictures: Callable[[Any], Mapping[str, Any]] | None = None,
    *,
    is_whole: bool = True,
) -> results_lib.Results:
    """Shows the tables of a finished study, and draws its pictures in its working directory.

    Args:
      results: with a working directory.
      measure: of the config file, see `nnstudy.spec.study_file`.
      pictures: likewise.
      is_whole: whether all runs of the study are here; claims of a part are not judged.

    Returns:
      The results with the columns that were measured.
    """
    # Imported late: matplotlib and scipy.stats take a second, and training does not need them.
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
        (workdir / name).unlink(missing_ok=True)  # of an earlier call
    if results.references and is_whole:
        placed = verdicts.places(references.place(results))
        screen.print(verdicts.references_table(placed))
        placed.to_csv(workdir / 'references.csv', index=False)
        files.append('references.csv')
    if results.claims and is_whole:
        judged = verdicts.verdicts(judging.judge(results))
        screen.print(verdicts.claims_table(judged))
        judged.to_csv(workdir / 'claims.csv', index=False)
        files.append('claims.csv')
    # Pictures come last: a study that has them has been judged too.
    drawn = {} if pictures is None else pictures(results)
    written = plots.save(results, workdir / 'plots', drawn)
    screen.print(f'\ntables:   {workdir}/{", ".join(files)}', markup=False)
    screen.print(f'pictures: {", ".join(str(path) for path in written)}', markup=False)
    return results
