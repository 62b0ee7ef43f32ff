"""How much accuracy a net keeps on test images that are moved."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import figure

from nnstudy import Results
from nnstudy.report import style

READS = {'pixels': 'all pixels', 'mean': 'global average', 'max': 'global max'}
HALVINGS = {'stride': 'stride', 'max': 'max-pooling', 'mean': 'average-pooling'}


def moved(images: np.ndarray, shift: int) -> np.ndarray:
    """Returns images [N, H, W, C] moved up, down, left and right by `shift` pixels, [4 N, ...]."""
    around = np.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)])
    _, height, width, _ = images.shape
    starts = [(0, shift), (2 * shift, shift), (shift, 0), (shift, 2 * shift)]
    return np.concatenate([around[:, i : i + height, j : j + width] for i, j in starts])


def accuracies(results: Results, shifts: Sequence[int], num_images: int) -> dict[int, pd.Series]:
    """Returns the accuracy of each run on moved test images, by the pixels that they are moved."""
    by_run: dict[int, dict[int, float]] = {shift: {} for shift in shifts}
    for point, runs in results.runs.groupby('point'):
        net = results.net(point)
        images, labels = net.examples('test', num_images)
        inputs = {shift: moved(images, shift) if shift else images for shift in shifts}
        for run in runs['run']:
            variables = results.variables(run, 'final')
            for shift, x in inputs.items():
                # One direction at a time: all calls have one shape, so a net is compiled once.
                ways = [net.apply(variables, way) for way in np.split(x, len(x) // len(labels))]
                by_run[shift][run] = np.mean(np.argmax(ways, axis=-1) == labels)
    return {shift: results.runs['run'].map(accuracy) for shift, accuracy in by_run.items()}


def accuracy(results: Results, shifts: Sequence[int], num_images: int) -> figure.Figure:
    """Draws the accuracy against the move, a panel for each way that the dense layer reads.

    Args:
      results: with a column `moved_<shift>_accuracy` of the runs for each shift.
      shifts: how far the images are moved, in pixels.
      num_images: how many there are.
    """
    runs = results.runs
    reads = runs['model.read'].unique()
    picture, (panels,) = style.panels(9.6, 3.8, 1, len(reads), sharey=True)
    columns = [f'moved_{shift}_accuracy' for shift in shifts]
    for panel, read in zip(panels, reads, strict=True):
        lines = []
        for i, (by, name) in enumerate(HALVINGS.items()):
            chosen = runs[(runs['model.read'] == read) & (runs['model.halved_by'] == by)]
            look = {'label': name, 'marker': style.MARKERS[i]}
            lines.append(style.band(panel, shifts, 100 * chosen[columns], i, 3, **look))
        panel.set_title(READS[read])
        panel.set_xlabel('move (pixels)')
        panel.set_xticks(shifts)
    panels[0].set_ylabel('accuracy on moved test images (%)')
    seeds = results.config.num_seeds
    note = f'Median and interquartile range over {seeds} seeds, {num_images} images.'
    style.finish(picture, 'Test accuracy of images that are moved', [note], lines, 'halved by')
    return picture
