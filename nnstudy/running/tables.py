"""From checkpoints to the tables of a study: one row for each run, and the history of each run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nnstudy.results import checkpoints
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib
from nnstudy.training import metrics

ITEMS = ('history', 'log', 'outcome')  # the items of a checkpoint that the tables need


def results(
    plan: plan_lib.Plan,
    chunks: Iterable[checkpoints.Checkpoint],
    workdir: Path | None = None,
    epochs: int | None = None,
) -> results_lib.Results:
    """Returns the results of a study. It writes nothing.

    Args:
      plan: of the study.
      chunks: checkpoints, each run in one of them.
      workdir: the working directory of the study.
      epochs: as they were after so many epochs, where all runs were evaluated; None for the end.
    """
    by_index = {group.index: group for group in plan.groups}
    runs, history, steps = [], [], []
    for chunk in chunks:
        group = by_index[chunk.about['group']]
        outcome = chunk.items['outcome']
        if epochs is not None:
            outcome = _as_of(outcome, group.step_of(epochs))
        rows = np.searchsorted(group.runs, chunk.about['runs'])
        numbers = pd.DataFrame(
            {'run': group.runs[rows], 'point': group.points[rows], 'seed': group.seeds[rows]}
        )
        at, evaluations = outcome['at'], group.evaluation_steps
        times = pd.DataFrame({'step': evaluations})
        times['epoch'] = evaluations / max(group.num_steps, 1) * group.config.epochs
        kept = chunk.items['history']
        measured = {name: kept[name] for name in measures(group)}
        measured = _columns(_held(measured, evaluations, outcome['frozen_at']))
        of_training = {name: kept[name] for name in ('batch_loss', 'learning_rate', 'l2_grads')}
        history.append(_long(numbers, times, {**measured, **of_training}, at))
        if log := chunk.items['log']:
            logged = np.arange(0, group.num_steps, group.config.log_every_steps)
            steps.append(_long(numbers, pd.DataFrame({'step': logged}), log, at))
        runs.append(_runs(numbers, group, measured, outcome))
    return results_lib.Results(
        name=plan.name,
        config=plan.config,
        points=plan.points,
        runs=results_lib.with_settings(_sorted(runs, 'run'), plan.points),
        history=_sorted(history, 'run', 'step'),
        steps=_sorted(steps, 'run', 'step') if steps else None,
        claims=list(plan.claims),
        references=list(plan.references),
        workdir=workdir,
        data=plan.data,
        data_dir=plan.data_dir,
    )


def _as_of(outcome: Mapping[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """Returns an outcome as it was at an evaluation step.

    After an interruption, a study takes the decisions at its rungs again, and must not know more
    than the first time.
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
    last, best = (np.searchsorted(evaluations, outcome[key]) for key in ('at', 'best_step'))
    frozen_at, stopped = outcome['frozen_at'], outcome['stopped']
    not_finite_at = np.where(stopped, -1, frozen_at)
    train_loss = measured['train_loss']
    reached = np.where(
        evaluations <= outcome['at'][:, None], train_loss, train_loss[each, last, None]
    )
    diverged_step = _diverged_steps(reached, evaluations, not_finite_at)
    status = np.where(outcome['at'] < group.num_steps, 'pruned', 'finished')
    status = np.where(stopped, 'stopped', status)
    columns = {
        'group': group.index,
        'status': np.where(diverged_step >= 0, 'diverged', status),
        'diverged_step': pd.Series(diverged_step, dtype='Int64').where(diverged_step >= 0),
        'steps': np.where(frozen_at >= 0, frozen_at, outcome['at']),
        'num_params': group.layout.num_params,
        'seconds': np.round(outcome['seconds'], 4),
        **{name: column[each, last] for name, column in measured.items()},
        f'best_test_{metric}': measured[f'test_{metric}'][each, best],
        'best_step': outcome['best_step'],
    }
    return pd.concat([numbers, pd.DataFrame(columns)], axis=1)


def _held(
    measured: Mapping[str, np.ndarray], evaluation_steps: np.ndarray, frozen_at: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns histories [R, E, ...] in which a run that is over keeps its last values.

    The host stops evaluating such a run a little later than it was frozen, int [R] or -1. How much
    later depends on the segments. Without this, so would the tables.
    """
    ends = np.searchsorted(evaluation_steps, frozen_at)
    ends = np.where(frozen_at < 0, len(evaluation_steps), ends)
    columns = np.minimum(np.arange(len(evaluation_steps)), ends[:, None])
    rows = np.arange(len(frozen_at))[:, None]
    return {name: values[rows, columns] for name, values in measured.items()}


def measures(group: plan_lib.Group) -> list[str]:
    """Returns the names of the losses, metrics and diagnostics, in the order of the tables."""
    measured = ['loss', *metrics.select(group.config.metrics, group.data)]
    of_splits = [f'{split}_{what}' for split, _ in group.data.sizes for what in measured]
    return [*of_splits, *group.config.diagnostics]


def _columns(measured: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns columns [R, E]; a metric [R, E, K] becomes K of them, `<name>_0`, `<name>_1`, ..."""
    columns = {}
    for name, values in measured.items():
        for index in np.ndindex(values.shape[2:]):
            columns['_'.join([name, *map(str, index)])] = values[:, :, *index]
    return columns


def _diverged_steps(
    train_loss: np.ndarray, evaluation_steps: np.ndarray, not_finite_at: np.ndarray
) -> np.ndarray:
    """Returns the step at which each run diverged, int [R], or -1.

    That is the first step with a non-finite loss, int [R] or -1, or if the train loss [R, E] ended
    above that of step 0, the first evaluation from which it stays above.
    """
    above = ~(train_loss <= train_loss[:, :1])  # NaN is above
    # True from the first evaluation on after which all are above.
    stays = np.cumprod(above[:, ::-1], axis=1)[:, ::-1].astype(bool)
    first = np.where(stays.any(axis=1), evaluation_steps[stays.argmax(axis=1)], -1)
    return np.where(not_finite_at >= 0, not_finite_at, first)


def _long(
    numbers: pd.DataFrame,
    times: pd.DataFrame,
    columns: Mapping[str, np.ndarray],
    at: np.ndarray,
) -> pd.DataFrame:
    """Returns a row for every run and time, up to step `at` of each run, from columns [R, T]."""
    table = numbers.merge(times, how='cross')
    flat = pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})
    reached = np.ravel(times['step'].to_numpy() <= at[:, None])
    return pd.concat([table, flat], axis=1)[reached]


def _sorted(parts: Sequence[pd.DataFrame], *by: str) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True).sort_values([*by], ignore_index=True)
