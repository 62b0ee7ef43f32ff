"""Points of two classes in one dimension, and the curve of a logistic regression."""

import numpy as np
from matplotlib import figure

from nnstudy import Results
from nnstudy.report import style


def fitted(results: Results, x: np.ndarray, y: np.ndarray) -> figure.Figure:
    """Draws the points [N] with their classes [N], and the probability of class 1 that is fitted.

    Args:
      results: of a study of one run.
      x: the points.
      y: their classes, 0 or 1.
    """
    (run,) = results.runs['run']
    inputs = np.linspace(x.min() - 0.3, x.max() + 0.3, 200, dtype=np.float32)
    net = results.net(0)
    logits = np.asarray(net.apply(results.variables(run, 'final'), inputs[:, None]))[:, 0]
    picture, [[panel]] = style.panels(6, 3.8)
    panel.plot(inputs, 1 / (1 + np.exp(-logits)), color=style.BLUE, label='fitted curve')
    panel.plot(x, y, 'o', color=style.INK, label='the ten points')
    panel.set_xlabel('x')
    panel.set_ylabel('probability of class 1')
    handles, _ = panel.get_legend_handles_labels()
    style.finish(picture, 'Logistic regression, C = 1', [], handles)
    return picture
