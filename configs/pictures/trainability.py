"""The boundary of trainability: which runs converge, a pixel a run, and how fast."""

import numpy as np
import pandas as pd
from matplotlib import colors, figure
from scipy import stats

from nnstudy import Results, errors
from nnstudy.report import maps, style

# A loss beyond this many times that of step 0 is as good as infinite.
MAX_RATIO = 1e6
# Converged runs are bright and diverged ones dark: this reads in black and white too.
SHADES = {
    0.0: ('#14060c', 'diverges fast'),
    0.48: ('#a2431a', 'diverges slowly'),
    0.52: ('#5aa6ad', 'converges slowly'),
    1.0: ('#fbf8d0', 'converges fast'),
}


def convergence(history: pd.DataFrame) -> pd.Series:
    """Returns how fast each run's training loss falls, or explodes, by run.

    Let v be the loss divided by that of step 0, at most a million, and a million where it is not
    finite. A run converges if the mean of v over the last tenth of its evaluations is below 1. Then
    it has 1 / mean(v), the larger the faster; otherwise -1 / mean(1 / v), the smaller the faster.
    After Sohl-Dickstein (2024), arXiv 2402.06184, who sums over all steps.

    Args:
      history: one row per run and evaluation.
    """
    losses = history.pivot(index='run', columns='step', values='train_loss').ffill(axis=1)
    ratios = losses.to_numpy(np.float64) / losses.to_numpy(np.float64)[:, :1]
    ratios = np.clip(np.where(np.isfinite(ratios), ratios, MAX_RATIO), 1 / MAX_RATIO, MAX_RATIO)
    last = ratios[:, -max(1, ratios.shape[1] // 10) :].mean(axis=1)
    speed = np.where(last < 1, 1 / ratios.mean(axis=1), -1 / (1 / ratios).mean(axis=1))
    return pd.Series(speed, losses.index)


def boundary(results: Results, x: str, y: str) -> figure.Figure:
    """Draws which runs converge, and how fast they do so or diverge.

    Within each of the two, shades follow the rank, so that they show structure at any scale.

    Args:
      results: of a study of two swept fields and one seed.
      x: the field along the x-axis.
      y: the field along the y-axis.

    Raises:
      UserError: a field is not swept, or a pixel has several runs.
    """
    runs = results.runs
    columns, rows, cells = maps.grid(results, x, y)
    if len(np.unique(cells, axis=1).T) < len(runs):
        raise errors.UserError(
            f'the picture has a pixel for each run, and several have the same {x} and {y}'
        )
    speed = convergence(results.history).reindex(runs['run']).to_numpy()
    converged = speed > 0
    # Of runs that explode between the same evaluations, the later is the slower.
    pairs = np.stack([speed, runs['steps']], axis=1)
    order = np.unique(pairs, axis=0, return_inverse=True)[1]
    shades = np.full((len(rows.values), len(columns.values)), np.nan)
    for group, start in ((converged, 0), (~converged, -1)):
        ranks = stats.rankdata(order[group]) - 0.5
        shades[*cells[:, group]] = start + ranks / max(1, group.sum())

    picture, [[panel]] = style.panels(7.4, 6.0)
    image = maps.draw(panel, columns, rows, shades, _shades(), colors.Normalize(-1, 1))
    bar = style.colour_bar(picture, image, panel)
    bar.set_ticks([2 * place - 1 for place in SHADES], labels=[name for _, name in SHADES.values()])
    bar.ax.tick_params(length=0)
    for label, where in zip(bar.ax.get_yticklabels(), ('bottom', 'top') * 2, strict=True):
        label.set_verticalalignment(where)
    note = (
        f'{len(runs):,} runs of {results.history["step"].max()} steps, {converged.sum():,} of '
        'which converge: they end below the loss of step 0. Shades: ranks within each of the two.'
    )
    style.finish(picture, 'The boundary of trainability', [note])
    return picture


def _shades() -> colors.Colormap:
    places = (0.0, 0.5, 0.5, 1.0)
    stops = [(place, shade) for place, (shade, _) in zip(places, SHADES.values(), strict=True)]
    return colors.LinearSegmentedColormap.from_list('trainability', stops, N=1024)
