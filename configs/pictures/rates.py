"""The loss of each net against the learning rate, and where its runs begin to diverge."""

import numpy as np
from matplotlib import figure

from nnstudy import Results
from nnstudy.analysis import sensitivity
from nnstudy.report import style

TOP = 4.0  # of the y-axis; a guess has a loss of 2.3
COLUMNS = 4  # panels in a row


def losses(results: Results) -> figure.Figure:
    """Draws the validation loss against the rate, a panel for each `model.name`."""
    runs = results.runs
    finite = runs['validation_loss'].where(np.isfinite(runs['validation_loss']), TOP)
    runs = runs.assign(loss=finite.clip(upper=TOP))
    limits = sensitivity.by_setting(runs, results.history, results.swept)
    limits = limits.set_index('model.name')['median']
    names = runs['model.name'].unique()
    picture, panels = style.wrapped(len(names), COLUMNS, 2.4, 2.2, sharex=True, sharey=True)
    for panel, name in zip(panels, names, strict=True):
        of_net = runs[runs['model.name'] == name]
        table = of_net.pivot(index='seed', columns=sensitivity.RATE, values='loss')
        band = style.band(panel, table.columns, table, 0, 1, marker='o', ms=4)
        diverged = of_net[of_net['status'] == 'diverged']
        look = {'color': style.RED, 'marker': 'x', 's': 18, 'linewidth': 1, 'zorder': 3}
        crosses = panel.scatter(diverged[sensitivity.RATE], diverged['loss'], **look)
        limit = panel.axvline(limits.get(name, np.nan), color=style.GREY, linestyle=':')
        panel.set_title(name, fontsize=10)
        panel.set_xscale('log')
        panel.set_xticks([1e-3, 0.1, 10.0], ['0.001', '0.1', '10'])
        panel.minorticks_off()
    for panel in panels[-COLUMNS:]:
        panel.set_xlabel('learning rate')
    for panel in panels[::COLUMNS]:
        panel.set_ylabel('validation loss')
    band.set_label('median and\ninterquartile range')
    crosses.set_label('diverged run')
    limit.set_label('runs diverge above\n(median of seeds)')
    note = (
        f'{results.config.num_seeds} seeds a point; losses above {TOP:g}, and those that are '
        'not finite, are drawn there.'
    )
    style.finish(picture, 'Loss against the learning rate', [note], [band, crosses, limit])
    return picture
