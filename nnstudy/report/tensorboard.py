"""Event files for TensorBoard, from the tables of a finished study.

    nnstudy tensorboard runs/lr_sweep-1a2b3c4d
    tensorboard --logdir runs/lr_sweep-1a2b3c4d/tensorboard

Each run is an entry, in a folder named after its point and seed. The tags are in groups:
`train/loss` and `test/accuracy` at every evaluation, `step/batch_loss` at every logged step
(`config.log_every_steps`), and the histograms of each layer's numbers and of their gradients
(`config.histograms`), all against the step.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.report import labels
from nnstudy.results import Results
from nnstudy.training import histograms

KEYS = ('run', 'point', 'seed', 'group', 'step', 'epoch')  # columns that are not measured
SPLITS = ('train', 'validation', 'test')
EVENTS = 'events.out.tfevents.*'


def write(results: Results, out: Path) -> list[Path]:
    """Writes the event files of every run, and removes older ones in the same folders.

    Args:
      results: of a study.
      out: a folder, which gets one folder a run.

    Returns:
      The folders, in the order of the runs.

    Raises:
      UserError: the folder cannot be written.
    """
    names = labels.points(results.runs, results.swept)
    history = dict(list(results.history.groupby('run')))
    logged = {} if results.steps is None else dict(list(results.steps.groupby('run')))
    folders = []
    for run in results.runs[['run', 'point', 'seed']].itertuples(index=False):
        point = names[run.point].replace('/', '-').replace('\\', '-')
        folder = out / (point or 'study') / f'seed {run.seed}'
        try:
            _write_run(folder, results, run.run, history[run.run], logged.get(run.run))
        except OSError as error:
            raise errors.UserError(f'cannot write to {str(folder)!r}: {error}') from error
        folders.append(folder)
    return folders


def _write_run(
    folder: Path, results: Results, run: int, history: pd.DataFrame, logged: pd.DataFrame | None
) -> None:
    # Imported here, since it takes a quarter of a second. It writes event files without TensorFlow,
    # which clu.metric_writers needs.
    import tensorboardX

    for old in folder.glob(EVENTS):
        old.unlink()
    with tensorboardX.SummaryWriter(str(folder)) as writer:
        for tag, step, value in _scalars(history):
            writer.add_scalar(tag, value, step)
        if logged is not None:
            for tag, step, value in _scalars(logged, 'step'):
                writer.add_scalar(tag, value, step)
        if results.config.histograms:
            spreads = results.histograms(run)
            for kind, group in (('params', 'numbers'), ('grads', 'gradients')):
                for name, counts in spreads[kind].items():
                    for step, row in zip(history['step'], counts, strict=False):
                        if np.isfinite(row).all() and row.any():
                            bins = _bins(row)
                            writer.add_histogram_raw(f'{group}/{name}', **bins, global_step=step)


def _scalars(table: pd.DataFrame, group: str | None = None) -> Iterator[tuple[str, int, float]]:
    """Yields tag, step and value of every measurement of a run; NaN is left out."""
    for column in table.columns.difference(KEYS, sort=False):
        split, _, metric = column.partition('_')
        tag = f'{group}/{column}' if group else f'{split}/{metric}' if split in SPLITS else column
        known = table[table[column].notna()]
        for step, value in zip(known['step'], known[column], strict=True):
            yield tag, int(step), float(value)


def _bins(counts: np.ndarray) -> Mapping[str, Any]:
    """Returns a histogram as TensorBoard has it, without the empty bins on both sides.

    The sums are as if all numbers lay in the middle of their bins. The outermost bins have no outer
    edge, so their numbers count as their inner edge.
    """
    full = np.flatnonzero(counts)
    kept = slice(full[0], full[-1] + 1)
    edges = np.clip(histograms.EDGES, *histograms.EDGES[[1, -2]]).astype(np.float64)
    lower, upper, counts = edges[:-1][kept], edges[1:][kept], counts[kept]
    middles = (lower + upper) / 2
    return {
        'min': lower[0],
        'max': upper[-1],
        'num': counts.sum(),
        'sum': counts @ middles,
        'sum_squares': counts @ middles**2,
        'bucket_limits': upper.tolist(),
        'bucket_counts': counts.tolist(),
    }
