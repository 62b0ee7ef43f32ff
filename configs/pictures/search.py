"""What each stage of a coarse-to-fine search saw."""

from matplotlib import figure

import nnstudy
from nnstudy.analysis import comparison
from nnstudy.report import style


def stages(results: nnstudy.Results) -> figure.Figure:
    """Draws the validation accuracy of the points of each stage against the rate, a panel each."""
    folders = sorted(results.workdir.parent.glob('stage-*'))
    found = [nnstudy.load(folder) for folder in folders]
    names = found[0].runs['optimizer.name'].unique()
    picture, (panels,) = style.panels(9.6, 3.6, 1, len(found), sharex=True, sharey=True)
    for number, (panel, stage) in enumerate(zip(panels, found, strict=True), start=1):
        table = comparison.by_point(stage.runs, stage.swept)
        if 'optimizer.name' not in table:
            table['optimizer.name'] = stage.config.optimizer.name
        accuracy = 100 * table['validation_accuracy_median']
        rate = table['optimizer.learning_rate'].astype(float)
        look = {'linestyle': '', 'markersize': 5}
        for i, name in enumerate(names):
            chosen = table['optimizer.name'] == name
            look |= {'color': style.VIRIDIS(0.4 * i), 'marker': style.MARKERS[i], 'alpha': 0.7}
            panel.plot(rate[chosen], accuracy[chosen], label=name, **look)
        best = table['point'] == comparison.best(stage.runs).point
        panel.plot(rate[best], accuracy[best], label='best', **style.STAR)
        size = int(stage.config.split.train.removeprefix('train[:').removesuffix(']'))
        panel.set_title(f'stage {number}: {size:,} images, {len(table)} points', fontsize=9)
        panel.set_xscale('log')
        panel.set_xlabel('learning rate')
    panels[0].set_ylabel('validation accuracy (%)')
    note = f'Medians of {results.config.num_seeds} seeds. Star: the best.'
    handles, _ = panels[0].get_legend_handles_labels()
    style.finish(picture, 'Validation accuracy of each point', [note], handles)
    return picture
