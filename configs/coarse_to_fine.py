"""Coarse to fine: optimizer, rate, momentum and batch size, first on few examples (exercise B5).

    python launch.py --config=configs/coarse_to_fine.py           # 6 seeds, about 2 min
    python launch.py --config=configs/coarse_to_fine.py:quick     # 3 seeds, about a minute

Stage 1 looks at a coarse grid on 1,000 images: SGD with three momenta, Adam and RMSprop, each at
rates over three decades and with two batch sizes. Stage 2 looks closer about the best point, on
4,000 images; stage 3 closer still, on 12,000. The best point of each stage is the one with the
highest median accuracy on the same 2,000 validation images.

What comes out: a table for each stage, in `stage-1`, `stage-2` and `stage-3` of the working
directory, and the test accuracy of the last winner.

The picture: in stage 1 each optimizer comes near 78% at some rate: Adam and RMSprop from 0.0003 to
0.003, where SGD is good or poor, by its momentum and batch size, and SGD at its best from 0.01 to
0.1, where the other two fall off. Stages 2 and 3 look closer at a small part of that range, and
gain by more images rather than by better points.

Ours: all of it, since the exercise only names the steps: Fashion-MNIST, an MLP of 64 and 64 units,
10 epochs in each stage. There is no claim to test: the exercise makes none.
"""

from matplotlib import figure

import nnstudy
from nnstudy.analysis import comparison
from nnstudy.report import style

PICTURE = 'search'


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'fashion_mnist'
    stages = (500, 1_000) if quick else (1_000, 4_000, 12_000)
    config.zoom.train = tuple(f'train[:{size}]' for size in stages)
    config.split.validation = 'train[50000:52000]'
    config.split.test = 'test[:2000]' if quick else 'test'
    config.model.widths = (64, 64)
    config.epochs = 5 if quick else 10
    config.eval_every = 5
    config.eval_train_examples = 1_000
    config.num_seeds = 3 if quick else 6
    return config


def sweep(config):
    quick = config.epochs == 5
    sizes = nnstudy.choice('batch_size', [16, 64])
    momenta = nnstudy.choice('optimizer.momentum', [0.0, 0.9] if quick else [0.0, 0.5, 0.9])
    rates = nnstudy.logspace('optimizer.learning_rate', 1e-3, 1.0, 4 if quick else 7)
    lower = nnstudy.logspace('optimizer.learning_rate', 1e-4, 0.1, 4 if quick else 7)
    adaptive = nnstudy.choice('optimizer.name', ['adam'] if quick else ['adam', 'rmsprop'])
    return nnstudy.chain(
        nnstudy.grid([{'optimizer.name': 'sgd'}], sizes, momenta, rates),
        nnstudy.grid(adaptive, sizes, lower),
    )


def pictures(results):
    """Draws what each stage saw: the validation accuracy of its points against the rate."""
    folders = sorted(results.workdir.parent.glob('stage-*'))
    picture = figure.Figure(figsize=(9.6, 3.6), layout='constrained')
    panels = picture.subplots(1, len(folders), sharex=True, sharey=True)
    names = nnstudy.load(folders[0]).runs['optimizer.name'].unique()
    for number, (panel, folder) in enumerate(zip(panels, folders, strict=True), start=1):
        stage = nnstudy.load(folder)
        table = comparison.by_point(stage.runs, stage.swept)
        if 'optimizer.name' not in table:
            table['optimizer.name'] = stage.config['optimizer']['name']
        accuracy = 100 * table['validation_accuracy_median']
        rate = table['optimizer.learning_rate'].astype(float)
        style.dress(panel)
        for i, name in enumerate(names):
            of_it = table['optimizer.name'] == name
            look = {'color': style.VIRIDIS(0.4 * i), 'marker': style.MARKERS[i], 'alpha': 0.7}
            panel.plot(rate[of_it], accuracy[of_it], linestyle='', markersize=5, **look)
        best = table['point'] == comparison.best(stage.runs).point
        panel.plot(rate[best], accuracy[best], linestyle='', **style.STAR)
        size = int(stage.config['split']['train'].removeprefix('train[:').removesuffix(']'))
        panel.set_title(f'stage {number}: {size:,} images, {len(table)} points', fontsize=9)
        panel.set_xscale('log')
        panel.set_xlabel('learning rate')
    panels[0].set_ylabel('validation accuracy (%)')
    handles = [
        style.handle(name, style.VIRIDIS(0.4 * i), '', marker=style.MARKERS[i])
        for i, name in enumerate(names)
    ]
    handles.append(style.handle('best', linestyle='', **style.STAR))
    seeds = results.config['num_seeds']
    style.caption(
        picture, 'Validation accuracy of each point', [f'Medians of {seeds} seeds. Star: the best.']
    )
    style.legend(picture, handles, None)
    return {'search': picture}
