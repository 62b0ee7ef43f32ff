"""How much accuracy a net keeps on test images that are moved."""

from collections.abc import Sequence

from matplotlib import figure

from nnstudy import Results
from nnstudy.report import style

READS = {'pixels': 'all pixels', 'mean': 'global average', 'max': 'global max'}
HALVINGS = {'stride': 'stride', 'max': 'max-pooling', 'mean': 'average-pooling'}


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
