"""Event files for TensorBoard, from the tables of a finished study.

    nnstudy tensorboard runs/lr_sweep-1a2b3c4d
    tensorboard --logdir runs/lr_sweep-1a2b3c4d/tensorboard

Each run is an entry, in a folder named after its point and seed. The tags are in groups:
`train/loss` and `test/accuracy` at every evaluation, `step/batch_loss` at every logged step
(`config.log_every_steps`), and the histograms of each layer's numbers and of their gradients
(`config.histograms`), all against the step.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.report import labels
from nnstudy.results import Results
from nnstudy.training import histograms

KEYS = ('run', 'point', 'seed', 'group', 'step', 'epoch')  # columns that are not measured
EVENTS = 'events.out.tfevents.*'


def write(results: Results, out: Path) -> list[Path]:
    """Writes the event files of every run into a folder of its own in `out`; returns the folders.

    Older event files in the same folders are removed.

    Raises:
      UserError: the folder cannot be written.
    """
    # Imported here, since it takes a quarter of a second. It writes event files without TensorFlow,
    # which clu.metric_writers needs.
    import tensorboardX

    names = labels.points(results.runs, results.swept)
    history = dict(list(results.history.groupby('run')))
    logged = {} if results.steps is None else dict(list(results.steps.groupby('run')))
    folders = []
    for run, point, seed in results.runs[['run', 'point', 'seed']].itertuples(index=False):
        name = names[point].replace('/', '-').replace('\\', '-')
        folder = out / (name or 'study') / f'seed {seed}'
        with errors.writing(folder):
            for old in folder.glob(EVENTS):
                old.unlink()
            with tensorboardX.SummaryWriter(str(folder)) as writer:
                _add_scalars(writer, history[run])
                if run in logged:
                    _add_scalars(writer, logged[run].add_prefix('step/'), 'step/step')
                if results.config.histograms:
                    _add_histograms(writer, results.histograms(run), history[run]['step'])
        folders.append(folder)
    return folders


def _add_scalars(writer: Any, table: pd.DataFrame, step: str = 'step') -> None:
    """Adds every measurement of a run; NaN is left out."""
    for column in table:
        if column.removeprefix('step/') not in KEYS:
            known = table[table[column].notna()]
            tag = re.sub('^(train|validation|test)_', r'\1/', column)
            for at, value in zip(known[step], known[column], strict=True):
                writer.add_scalar(tag, float(value), int(at))


def _add_histograms(writer: Any, spreads: Mapping[str, Mapping], steps: pd.Series) -> None:
    """Adds the histograms of a run, without the empty bins on both sides.

    The sums are as if all numbers lay in the middle of their bins. The outermost bins have no outer
    edge, so their numbers count as their inner edge.
    """
    edges = np.clip(histograms.EDGES, *histograms.EDGES[[1, -2]]).astype(np.float64)
    middles = (edges[:-1] + edges[1:]) / 2
    for kind, group in (('params', 'numbers'), ('grads', 'gradients')):
        for name, table in spreads[kind].items():
            for step, counts in zip(steps, table, strict=False):
                if not np.isfinite(counts).all() or not counts.any():
                    continue
                first, *_, last = np.flatnonzero(counts).repeat(2)
                writer.add_histogram_raw(
                    f'{group}/{name}',
                    min=edges[first],
                    max=edges[last + 1],
                    num=counts.sum(),
                    sum=counts @ middles,
                    sum_squares=counts @ middles**2,
                    bucket_limits=edges[first + 1 : last + 2].tolist(),
                    bucket_counts=counts[first : last + 1].tolist(),
                    global_step=step,
                )
