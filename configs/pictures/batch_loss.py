"""The running training loss of a few nets: means over the batches of an epoch."""

from collections.abc import Mapping
from typing import Any

from matplotlib import figure

from nnstudy import Results
from nnstudy.report import style


def losses(results: Results, nets: Mapping[str, Mapping[str, Any]]) -> figure.Figure:
    """Draws the training loss of each net over the epochs.

    Args:
      results: of a study that logs every step.
      nets: values of fields, which choose one point each, by the name of the net.
    """
    epochs = results.config.epochs
    an_epoch = results.runs['steps'].max() // (2 * epochs)  # the longest run has twice as many
    steps = results.steps.assign(epoch=results.steps['step'] // an_epoch + 1)
    steps = steps[steps['epoch'] <= epochs]
    picture, [[panel]] = style.panels(6.4, 4)
    lines = []
    for i, (name, where) in enumerate(nets.items()):
        (point,) = results.points_with(where)
        of_net = steps[steps['point'] == point]
        table = of_net.groupby(['seed', 'epoch'])['batch_loss'].mean().unstack()  # [seeds, epochs]
        lines.append(style.band(panel, table.columns, table, i, len(nets), label=name))
    style.log_y(panel)
    style.epochs(panel)
    panel.set_ylabel('training loss')
    seeds = results.config.num_seeds
    note = f'Means over the batches of an epoch; median and interquartile range of {seeds} seeds.'
    num = results.config.split.train.removeprefix('train[:').removesuffix(']')
    style.finish(picture, f'Training loss on {num} images', [note], lines)
    return picture
