"""The training loss against the depth, with residual connections and without."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure

from nnstudy.report import style


def losses(depths: Sequence[int], of: Mapping[str, np.ndarray]) -> figure.Figure:
    """Draws the training loss of each kind of net.

    Args:
      depths: in layers.
      of: losses [seeds, depths] by the kind's name; two kinds.
    """
    picture, [[panel]] = style.panels(6.4, 4)
    lines = []
    for i, (name, values) in enumerate(of.items()):
        line = style.band(panel, depths, values, i, 2, label=name, marker=style.MARKERS[i])
        lines.append(line)
        aside = np.array(depths) * (0.97, 1.03)[i]  # so that both are seen
        for seed in values:
            panel.plot(aside, seed, '.', color=line.get_color(), markersize=4, alpha=0.6)
    panel.set_xscale('log', base=2)
    panel.set_xticks(depths, labels=map(str, depths))
    style.log_y(panel)
    panel.set_xlabel('depth (layers)')
    panel.set_ylabel('training loss')
    note = f'Median, interquartile range and each of {len(values)} seeds.'
    style.finish(picture, 'Training loss after 8 epochs, at the better of two rates', [note], lines)
    return picture
