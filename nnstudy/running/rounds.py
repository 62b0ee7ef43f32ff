"""Rounds of more seeds, until the claims of a study are decided.

It is allowed to look after each round: see `nnstudy.analysis.evidence`.
"""

import os
import sys
from collections.abc import Callable

import pandas as pd

from nnstudy import errors
from nnstudy.analysis import judging
from nnstudy.report import labels
from nnstudy.results import Results
from nnstudy.running import study
from nnstudy.running.plan import Plan


def until_decided(
    plan: Plan,
    workdir: str | os.PathLike | None,
    max_seeds: int,
    measured: Callable[[Results], Results] = lambda results: results,
    *,
    quiet: bool = False,
) -> Results:
    """Trains a study, and further seeds of the points that undecided claims speak of.

    Each round has as many seeds as are likely to decide one of them, at most twice as many as the
    round before. What was trained before is taken from the working directory.

    Args:
      plan: of the study as it begins, with claims.
      workdir: see `study.run`; None trains each round from the start.
      max_seeds: of a point.
      measured: adds columns that claims speak of.
      quiet: see `study.run`.

    Raises:
      UserError: the study has no claims, cannot grow, or begins with more seeds.
    """
    config = plan.config
    for field in ('halving.factor', 'zoom.train'):
        if config.flat[field] is not None:
            raise errors.UserError(f'a study with config.{field} cannot grow')
    if not plan.claims:
        raise errors.UserError('the study has no claims to decide')
    if plan.part is not None:
        raise errors.UserError(f'{plan.part} alone decides nothing; merge the parts first')
    if config.num_seeds > max_seeds:
        raise errors.UserError(
            f'config.num_seeds {config.num_seeds} is more than {max_seeds}, the most seeds'
        )
    seeds = [config.num_seeds] * len(plan.points)
    while True:
        results = measured(study.carry_out(plan, workdir, quiet=quiet))
        judged = judging.judge(results)
        is_open = judged['verdict'] == 'undecided'
        spoken = [
            (claim.name, judging.points(results, claim))
            for claim, still in zip(results.claims, is_open, strict=True)
            if still
        ]
        # Of a claim with a point at the limit, no further seed is common to all of its points.
        left = [(name, own) for name, own in spoken if max(seeds[p] for p in own) < max_seeds]
        if not left:
            return results
        points = set().union(*(own for _, own in left))
        most = max(seeds[point] for point in points)
        enough = judged.loc[is_open, 'seeds_needed'].min()
        wanted = 2 * most if pd.isna(enough) else min(2 * most, max(int(enough), most + 1))
        wanted = min(wanted, max_seeds)
        if not quiet:
            print(
                f'undecided: {", ".join(name for name, _ in left)}; next, '
                f'{labels.count(wanted, "seed")} of {labels.count(len(points), "point")}',
                file=sys.stderr,
            )
        seeds = [wanted if point in points else own for point, own in enumerate(seeds)]
        plan = plan.with_seeds(seeds)
