"""From checkpoints to the tables of a study: one row for each run, and the history of each run."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from nnstudy.results import checkpoints
from nnstudy.results import results as results_lib
from nnstudy.running import plan as plan_lib
from nnstudy.spec import sweep as spec
from nnstudy.training import metrics

ITEMS = ('history', 'log', 'outcome')  # the items of a checkpoint that the tables need


def results(
    plan: plan_lib.Plan,
    chunks: Sequence[checkpoints.Checkpoint],
    workdir: Path | None = None,
) -> results_lib.Results:
    """Returns the results of a study, see `build`. It writes nothing.

    Args:
      plan: of the study.
      chunks: the checkpoints, the newest first.
      workdir: the working directory of the study.
    """
    runs, history, steps = build(plan.groups, plan.points, chunks)
    return results_lib.Results(
        name=plan.about.name,
        config=plan.config,
        points=plan.points,
        runs=runs,
        history=history,
        steps=steps,
        claims=list(plan.about.claims),
        references=list(plan.about.references),
        workdir=workdir,
        data=plan.data,
        data_dir=plan.data_dir,
    )


def build(
    groups: Sequence[plan_lib.Group],
    points: Sequence[dict[str, Any]],
    chunks: Sequence[checkpoints.Checkpoint],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Returns runs, history and steps as tables, sorted by run.

    Args:
      groups: of the plan.
      points: of the plan.
      chunks: the checkpoints, the newest first. Of a run that is in several, the newest counts.
    """
    by_index = {group.index: group for group in groups}
    runs, history, steps = [], [], []
    seen: set[int] = set()
    for chunk in chunks:
        group = by_index[chunk.about['group']]
        kept = [row for row, run in enumerate(chunk.about['runs']) if run not in seen]
        seen.update(chunk.about['runs'])
        items = jax.tree.map(lambda leaf, kept=kept: leaf[kept], chunk.items)
        outcome = items['outcome']
        rows = np.searchsorted(group.runs, np.array(chunk.about['runs'], int)[kept])
        numbers = pd.DataFrame(
            {'run': group.runs[rows], 'point': group.points[rows], 'seed': group.seeds[rows]}
        )
        evaluations = group.evaluation_steps
        epochs = evaluations / max(group.num_steps, 1) * group.config.epochs
        times = pd.DataFrame({'step': evaluations, 'epoch': epochs})
        measured = {name: items['history'][name] for name in measures(group)}
        measured = _columns(_held(measured, evaluations, outcome['frozen_at']))
        of_training = {
            name: items['history'][name] for name in ('batch_loss', 'learning_rate', 'l2_grads')
        }
        history.append(_long(numbers, times, {**measured, **of_training}, outcome['at']))
        if items['log']:
            every = group.config.log_every_steps
            logged = pd.DataFrame({'step': np.arange(0, group.num_steps, every)})
            steps.append(_long(numbers, logged, items['log'], outcome['at']))
        runs.append(_runs(numbers, group, measured, outcome))
    runs = pd.concat(runs, ignore_index=True).sort_values('run', ignore_index=True)
    for place, field in enumerate(spec.swept(points)):
        runs.insert(4 + place, field, results_lib.column([points[p][field] for p in runs['point']]))
    return runs, _sorted(history), _sorted(steps) if steps else None


def as_of(chunk: checkpoints.Checkpoint, step: int) -> checkpoints.Checkpoint:
    """Returns a checkpoint as it was when its runs were at an evaluation step.

    After an interruption, a study takes the decisions at its rungs again. It must take them with
    the same information as the first time, without what was measured later.
    """
    outcome = chunk.items['outcome']
    is_later = outcome['frozen_at'] > step
    outcome = {
        **outcome,
        'at': np.minimum(outcome['at'], step),
        'frozen_at': np.where(is_later, -1, outcome['frozen_at']),
        'stopped': outcome['stopped'] & ~is_later,
    }
    return dataclasses.replace(chunk, items={**chunk.items, 'outcome': outcome})


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
        'diverged_step': pd.array(np.where(diverged_step >= 0, diverged_step, 0), 'Int64'),
        'steps': np.where(frozen_at >= 0, frozen_at, outcome['at']),
        'num_params': group.num_params,
        'seconds': np.round(outcome['seconds'], 4),
        **{name: column[each, last] for name, column in measured.items()},
        f'best_test_{metric}': measured[f'test_{metric}'][each, best],
        'best_step': outcome['best_step'],
    }
    columns['diverged_step'][diverged_step < 0] = pd.NA
    return pd.concat([numbers, pd.DataFrame(columns)], axis=1)


def _held(
    measured: Mapping[str, np.ndarray], evaluation_steps: np.ndarray, frozen_at: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns histories in which a run that is over keeps the values of its last evaluation.

    The host stops evaluating such a run a little later than it ended, and how much later depends on
    the segments. Without this, so would the tables.

    Args:
      measured: [R, E, ...] each.
      evaluation_steps: int [E].
      frozen_at: the step from which on nothing changed, or -1: int [R].
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
    """Returns the step at which each run diverged, or -1.

    A run has diverged if its loss became non-finite (the first such step), or if it ended with a
    train loss above that of step 0 (the first evaluation from which it stays above).

    Args:
      train_loss: [R, E].
      evaluation_steps: int [E].
      not_finite_at: int [R], the first step with a non-finite loss, or -1.
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


def _sorted(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True).sort_values(['run', 'step'], ignore_index=True)
