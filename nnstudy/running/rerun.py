"""The best point of a study once more, with seeds that it was not chosen by.

The best of many is the best partly by luck, so its own runs flatter it. What is reported should
come from seeds that had no say: the AlgoPerf benchmark sets its targets so, by further runs of the
winner of a search (Dahl et al. 2023, arXiv 2306.07179).
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
    """Trains a point with fresh seeds: those that follow the study's own.

    Args:
      results: of the study.
      num_seeds: number of seeds; None for as many as the study has.
      workdir: see `nnstudy.run`.
      point: its number; None for the best one, chosen as the table of the study does.
      quiet: no progress display on stderr.

    Returns:
      The results of a study of this one point.

    Raises:
      UserError: there is no such point, or none that has finite values to be chosen by.
    """
    if point is None:
        best = comparison.best(results.runs)
        if best is None:
            raise errors.UserError('no run has a finite value to choose the best point by')
        point = best.point
    if not 0 <= point < len(results.points):
        raise errors.UserError(f'no point {point}: there are {len(results.points)}, from 0 on')
    config = config_lib.complete(results.config)
    config.seed += config.num_seeds
    if num_seeds is not None:
        config_lib.override(config, {'num_seeds': num_seeds})
    config.data_seeds = None  # it would bring the same orders again
    config.halving.factor = None  # of one point there is nothing to give up
    return study.run(
        config,
        [results.points[point]],
        workdir,
        results.data,
        name=f'{results.name}-rerun',
        data_dir=results.data_dir,
        quiet=quiet,
    )
