"""From checkpoints to the tables of a study: one row for each run, and the history of each run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nnstudy.results import files
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib
from nnstudy.running.records import Records
from nnstudy.spec import claims
from nnstudy.training import metrics


def results(
    plan: plan_lib.Plan, records: Records, workdir: Path | None = None, epochs: int | None = None
) -> results_lib.Results:
    """Returns the results of a study. It writes nothing.

    Args:
      plan: of the study.
      records: of all its runs.
      workdir: the working directory of the study.
      epochs: as they were after so many epochs, where all runs were evaluated; None for the end.
    """
    runs, history, steps = [], [], []
    for group in plan.groups:
        evaluations, config = group.evaluation_steps, group.config
        times = pd.DataFrame({'step': evaluations})
        times['epoch'] = evaluations / max(group.num_steps, 1) * config.epochs
        for rows, items in records.newest(group.runs, 'history', 'log', 'outcome'):
            kept, outcome = items['history'], items['outcome']
            if epochs is not None:
                outcome = _as_of(outcome, group.step_of(epochs))
            numbers = pd.DataFrame(
                {'run': group.runs[rows], 'point': group.points[rows], 'seed': group.seeds[rows]}
            )
            measured = _columns(group, kept, outcome['frozen_at'])
            of_training = {name: kept[name] for name in ('batch_loss', 'learning_rate', 'l2_grads')}
            history.append(_long(numbers, times, {**measured, **of_training}, outcome['at']))
            if log := items['log']:
                logged = np.arange(0, group.num_steps, config.log_every_steps)
                steps.append(_long(numbers, pd.DataFrame({'step': logged}), log, outcome['at']))
            runs.append(_runs(numbers, group, measured, outcome))
    stored = {} if workdir is None else files.read_identity(workdir) or {}
    return results_lib.Results(
        name=plan.name,
        config=plan.config,
        points=plan.points,
        runs=results_lib.with_settings(_sorted(runs, 'run'), plan.points),
        history=_sorted(history, 'run', 'step'),
        steps=_sorted(steps, 'run', 'step') if steps else None,
        claims=list(plan.claims),
        references=list(plan.references),
        keys=plan.keys,
        stated=frozenset(stored.get('stated', map(claims.digest, plan.claims))),
        workdir=workdir,
        data=plan.data,
        data_dir=plan.data_dir,
    )


def _as_of(outcome: Mapping[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """Returns an outcome as it was at an evaluation step.

    After an interruption, decisions at rungs are taken again, and must come out the same.
    """
    is_later = outcome['frozen_at'] > step
    return {
        **outcome,
        'at': np.minimum(outcome['at'], step),
        'frozen_at': np.where(is_later, -1, outcome['frozen_at']),
        'stopped': outcome['stopped'] & ~is_later,
    }


def _runs(
    numbers: pd.DataFrame,
    group: plan_lib.Group,
    measured: Mapping[str, np.ndarray],
    outcome: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    (metric,) = metrics.select((), group.data)
    evaluations, each = group.evaluation_steps, np.arange(len(numbers))
    at, frozen_at, stopped = outcome['at'], outcome['frozen_at'], outcome['stopped']
    last, best = (np.searchsorted(evaluations, steps) for steps in (at, outcome['best_step']))
    up_to_last = np.minimum(np.arange(len(evaluations)), last[:, None])
    train_loss = measured['train_loss'][each[:, None], up_to_last]
    diverged = _diverged_steps(train_loss, evaluations, np.where(stopped, -1, frozen_at))
    columns = {
        'group': group.index,
        'status': np.select(
            [diverged >= 0, stopped, at < group.num_steps],
            ['diverged', 'stopped', 'pruned'],
            'finished',
        ),
        'diverged_step': pd.Series(diverged, dtype='Int64').where(diverged >= 0),
        'steps': np.where(frozen_at >= 0, frozen_at, at),
        'num_params': group.layout.num_params,
        'seconds': np.round(outcome['seconds'], 4),
        **{name: column[each, last] for name, column in measured.items()},
        f'best_test_{metric}': measured[f'test_{metric}'][each, best],
        'best_step': outcome['best_step'],
    }
    return pd.concat([numbers, pd.DataFrame(columns)], axis=1)


def measures(group: plan_lib.Group) -> list[str]:
    """Returns the names of the losses, metrics and diagnostics, in the order of the tables."""
    measured = ['loss', *metrics.select(group.config.metrics, group.data)]
    of_splits = [f'{split}_{what}' for split, _ in group.data.sizes for what in measured]
    return [*of_splits, *group.config.diagnostics]


def _columns(
    group: plan_lib.Group, history: Mapping[str, np.ndarray], frozen_at: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the `measures` of a group, [R, E]; one [R, E, K] becomes `<name>_0`, `<name>_1`, ...

    A run that is over keeps its last values: the host stops evaluating it a little later than it
    was frozen, int [R] or -1, and how much later depends on the segments.
    """
    evaluations, columns = group.evaluation_steps, {}
    ends = np.searchsorted(evaluations, np.where(frozen_at < 0, evaluations[-1], frozen_at))
    places = np.minimum(np.arange(len(evaluations)), ends[:, None])
    for name in measures(group):
        held = history[name][np.arange(len(ends))[:, None], places]
        for index in np.ndindex(held.shape[2:]):
            columns['_'.join([name, *map(str, index)])] = held[:, :, *index]
    return columns


def _diverged_steps(
    train_loss: np.ndarray, evaluation_steps: np.ndarray, not_finite_at: np.ndarray
) -> np.ndarray:
    """Returns the step at which each run diverged, int [R], or -1.

    That is the first step with a non-finite loss, int [R] or -1, or if the train loss [R, E] ended
    above that of step 0, the first evaluation from which it stays above.
    """
    is_fine = train_loss <= train_loss[:, :1]  # NaN is not
    # From the end: how many evaluations in a row are above.
    above = np.logical_and.accumulate(~is_fine[:, ::-1], axis=1).sum(axis=1)
    first = np.where(above > 0, evaluation_steps[-above], -1)
    return np.where(not_finite_at >= 0, not_finite_at, first)


def _long(
    numbers: pd.DataFrame, times: pd.DataFrame, columns: Mapping[str, np.ndarray], at: np.ndarray
) -> pd.DataFrame:
    """Returns a row for every run and time, up to step `at` of each run, from columns [R, T]."""
    table = numbers.merge(times, how='cross')
    flat = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
    reached = np.ravel(times['step'].to_numpy() <= at[:, None])
    return pd.concat([table, flat], axis=1)[reached]


def _sorted(parts: Sequence[pd.DataFrame], *by: str) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True).sort_values([*by], ignore_index=True)
