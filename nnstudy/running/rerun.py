"""The best point of a study again, with new seeds.

The best of many points is the best partly by luck, so the runs that it was chosen by are too good.
A result should come from other seeds. The AlgoPerf benchmark sets its targets in this way, by
further runs of the winner of a search (Dahl et al. 2023, arXiv 2306.07179).
"""

import os

from nnstudy import errors
from nnstudy.analysis import comparison
from nnstudy.results import Results
from nnstudy.running import study
from nnstudy.spec import config as config_lib


def rerun(
    results: Results,
    num_seeds: int | None = None,
    workdir: str | os.PathLike | None = None,
    *,
    point: int | None = None,
    quiet: bool = False,
) -> Results:
    """Trains a point with new seeds: those that follow the seeds of the study.

    Args:
      results: of the study.
      num_seeds: number of seeds; None for that of the study.
      workdir: see `nnstudy.run`.
      point: its number; None for the best one by the table of the study.
      quiet: no progress display on stderr.

    Returns:
      The results of a study of this one point.

    Raises:
      UserError: there is no such point, or no run has a finite value to choose the best by.
    """
    if point is None:
        best = comparison.best(results.runs)
        if best is None:
            raise errors.UserError('no run has a finite value to choose the best point by')
        point = best.point
    if not 0 <= point < len(results.points):
        raise errors.UserError(f'no point {point}: there are {len(results.points)}, from 0 on')
    old = results.config
    changes = {
        'seed': old.seed + old.num_seeds,
        'num_seeds': old.num_seeds if num_seeds is None else num_seeds,
        'data_seeds': None,  # it would give the same orders again
        'halving.factor': None,  # one point cannot be pruned
    }
    return study.run(
        config_lib.override(old.flat, changes),
        [results.points[point]],
        workdir,
        results.data,
        name=f'{results.name}-rerun',
        data_dir=results.data_dir,
        quiet=quiet,
    )
