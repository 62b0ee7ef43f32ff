"""Pictures of training: metrics against the epoch, medians over seeds and their spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import cm, colors, figure

from nnstudy import errors
from nnstudy.analysis import axes, comparison, intervals
from nnstudy.report import labels, style
from nnstudy.results import Results

MAX_LEGEND = 12
# With more points than this there are no bands, which would only cover each other.
MAX_BANDS = 40
# The axis of a loss ends at this many times the loss of step 0.
MAX_LOSS_RATIO = 3.0
# The most points in a picture of training and test curves.
MAX_COMPARED = 6

Look = dict[str, Any]  # of a line, by matplotlib's names


def curves(results: Results, swept: Sequence[str] | None = None) -> figure.Figure:
    """Draws the training curves of all points, coloured by point, against the epoch.

    On the left is the train loss, on the right the accuracy (regression: the loss) on the
    validation split, or on the test split if there is no validation split. If a single numeric
    field is swept, its values are the colours, and a colour bar explains them; more than forty
    points then have no bands. Otherwise a legend names the points; of more than twelve, only the
    best twelve are coloured and named, the others are grey.

    `swept` are the fields that tell points apart; by default all swept ones.
    """
    runs, history = results.runs, results.history
    swept = list(results.swept if swept is None else swept)
    settings, ranking = axes.settings(runs, swept), comparison.ranking(runs)
    axis = axes.axis(swept[0], settings[swept[0]]) if len(swept) == 1 else axes.Axis('', ())
    split = comparison.selection_split(runs)
    metrics = ['train_loss', f'{split}_{comparison.headline(runs)}']
    best = comparison.best(runs) if len(settings) > 1 else None
    picture, (panels,) = style.panels(10, 4.2, 1, 2)
    if axis.scale:
        values = settings[axis.field]
        shades = _colour_bar(picture, panels, axis, best and values[best.point])
        apart = values.isin(axis.apart)  # from the scale: they are named
        looks: dict[Any, Look] = {
            point: {'color': shades.to_rgba(v)} for point, v in values[~apart].items()
        }
        for point, value in values[apart].items():
            color = style.GREY if value is None else 'black'
            looks[point] = {'color': color, 'marker': 'o', 'label': labels.value(value)}
        crowd = [p for p in looks if 'label' not in looks[p] and len(looks) > MAX_BANDS]
        of_crowd = f'No bands along {axis.field}: more than {MAX_BANDS} points.'
    else:
        chosen, crowd = sorted(ranking[:MAX_LEGEND]), ranking[MAX_LEGEND:]
        names = labels.points(runs, swept)
        looks = dict(zip(chosen, named([names[point] for point in chosen]), strict=True))
        looks |= {point: {'color': '0.8'} for point in crowd}
        of_crowd = f'Coloured: the best {len(chosen)} points on {split}; grey, without band: '
        of_crowd += f'the other {len(crowd)}.'
    notes = [spread_note(runs, 'band' if len(crowd) < len(looks) else '')]
    notes += [of_crowd] if crowd else []
    diverged = (runs['status'] == 'diverged').groupby(runs['point']).mean() >= 0.5
    if diverged.any():
        points = labels.count(diverged.sum(), 'point')
        notes.append(f'Dashed: half or more of the runs diverged ({points}).')
        looks |= {p: looks[p] | {'linestyle': (0, (4, 1.5))} for p in diverged.index[diverged]}
    lost = history.loc[~np.isfinite(history[metrics[1]].astype(np.float64)), 'run'].nunique()
    if results.higher_is_better(metrics[1]) and lost:
        some = labels.count(lost, 'run')
        notes.append(
            f'{some} with an accuracy that is not finite: from there on drawn at the worst one.'
        )
    spread = spread_over_seeds(results, metrics)
    for panel, metric in zip(panels, metrics, strict=True):
        panel.set_ylabel(labels.metric(metric))
        _draw_points(panel, spread[metric], looks, crowd)
        notes += _set_axes(panel, results, spread, [metric])
        if best is not None:
            curve = spread.loc[best.point, (metric, 'median')]
            # At the edge of the panel, if the curve has left it.
            panel.plot(curve.index[-1], np.clip(curve.iloc[-1], *panel.get_ylim()), **style.STAR)
    if best is not None:
        notes.append(f'Star: the best point on {split}.')
    handles = [style.handle(**look) for look in looks.values() if look.get('label')]
    title = f'Training curves of {labels.count(len(looks), "point")}'
    return style.finish(picture, title, notes, handles, ', '.join(swept))


def train_and_test(
    results: Results,
    where: Mapping[str, Mapping[str, Any]] | None = None,
    split: str = 'test',
    metric: str | None = None,
) -> figure.Figure:
    """Draws loss and metric of the training split and of another one over the epochs.

    Training curves are solid, those of the `'test'` or `'validation'` split dashed. Each setting
    has its colour and marker. The metric is by default the accuracy, for regression the mean
    absolute error.

    Args:
      results: of the study.
      where: values of fields by name; they choose one point each, and the legend shows the names.
        By default all points, named by their swept fields.
      split: compared with the training split.
      metric: drawn beside the loss.

    Raises:
      UserError: there are more than six points, a name stands for several, or the split or
        metric is not in the tables.
    """
    points = _compared(results, where)
    metric = metric or ('accuracy' if 'test_accuracy' in results.history else 'mae')
    known = comparison.metrics(results.history, results.directions)
    for name in (f'train_{metric}', f'{split}_{metric}'):
        errors.check_known('metric', name, known)
    dashes = {'train': '-', split: (0, (3, 2))}
    spread = spread_over_seeds(
        results, [f'{s}_{what}' for what in ('loss', metric) for s in dashes]
    )
    looks = named(list(points))
    picture, (panels,) = style.panels(10, 4.2, 1, 2)
    notes = [spread_note(results.only(points.values()).runs, 'band')]
    for panel, what in zip(panels, ('loss', metric), strict=True):
        panel.set_ylabel(labels.metric(what))
        for point, look in zip(points.values(), looks, strict=True):
            rows = spread.loc[point]
            for s, dash in dashes.items():
                style.curve(panel, rows.index, rows[f'{s}_{what}'], **look, linestyle=dash)
        # One scale for both splits, so that the gap between them is seen as it is.
        notes += _set_axes(panel, results, spread, [f'{s}_{what}' for s in dashes])
    handles = [style.handle(**look) for look in looks if look['label']]
    handles += [style.handle(s, color='0.35', linestyle=dash) for s, dash in dashes.items()]
    title = (
        f'Loss and {labels.metric(metric).removesuffix(" (%)")} on training and {split} examples'
    )
    return style.finish(picture, title, notes, handles)


def _compared(results: Results, where: Mapping[str, Mapping[str, Any]] | None) -> dict[str, int]:
    """Returns the point of every setting by name."""
    points = {name: point for point, name in labels.points(results.runs, results.swept).items()}
    if where is not None:
        points = {}
        for name, fields in where.items():
            points[name], *more = results.points_with(fields)
            if more:
                raise errors.UserError(
                    f'{name!r} stands for {1 + len(more)} points; name more fields'
                )
    if len(points) > MAX_COMPARED:
        raise errors.UserError(
            f'{len(points)} points are too many for one picture of train and test curves: choose '
            f'at most {MAX_COMPARED} with where'
        )
    return points


def traces(results: Results, columns: Sequence[str], x: str = 'step') -> figure.Figure:
    """Draws columns of the history, a panel each: medians over seeds, and every seed thinly.

    Along the x-axis is `'step'`, `'epoch'`, or a measured column. Values that are not finite leave
    gaps. It is for a study of few points.

    Raises:
      UserError: there is no such column.
    """
    runs, history = results.runs, results.history
    for name in (x, *columns):
        errors.check_known('column of the history', name, history.columns)
    history = history.replace([np.inf, -np.inf], np.nan)
    names = labels.points(runs, results.swept)
    looks = named([name or 'all runs' for name in names.values()])
    picture, (panels,) = style.panels(2 + 4.2 * len(columns), 4.2, 1, len(columns))
    for panel, column in zip(panels, columns, strict=True):
        panel.set_xlabel(labels.metric(x))
        panel.set_ylabel(labels.metric(column))
        for point, look in zip(names, looks, strict=True):
            rows = history[history['point'] == point]
            each = [run[[x, column]].to_numpy(np.float64) for _, run in rows.groupby('run')]
            style.thin(panel, each, width=0.6, colors=look['color'], alpha=0.35)
            median = rows.groupby('step')[[x, column]].median()
            spaced = {'ms': 4.5, 'markevery': max(1, len(median) // 8)}
            panel.plot(median[x], median[column], **look, **spaced)
    title = ' and '.join(labels.metric(column) for column in columns)
    return style.finish(
        picture,
        f'{title[0].upper()}{title[1:]} during training',
        [spread_note(runs, 'thin lines', 'each seed')],
        [style.handle(**look) for look in looks],
        ', '.join(results.swept),
    )


def named(names: Sequence[str]) -> list[Look]:
    """Returns a colour and marker for each of a few names."""
    markers = style.MARKERS if len(names) > 1 else ('',)
    return [
        {'color': style.shade(i, len(names)), 'marker': markers[i % len(markers)], 'label': name}
        for i, name in enumerate(names)
    ]


def _colour_bar(
    picture: figure.Figure, panels: np.ndarray, axis: axes.Axis, best: object
) -> cm.ScalarMappable:
    """Draws the colours along an axis, with a star at the best value; returns them."""
    kind = colors.LogNorm if axis.logarithmic else colors.Normalize
    shades = cm.ScalarMappable(kind(axis.scale[0], axis.scale[-1]), style.VIRIDIS)
    bar, named = style.colour_bar(picture, shades, panels, axis.field), style.ticks(axis)
    bar.set_ticks([*named], labels=[*named.values()])
    bar.ax.minorticks_off()
    if best in axis.scale:
        bar.ax.plot([0.5], [best], **style.STAR)
    return shades


def spread_over_seeds(results: Results, metrics: list[str]) -> pd.DataFrame:
    """Returns the quartiles over seeds of every point and evaluation, in the metrics' units.

    A run that has stopped keeps its last values until all runs of its point have ended. Otherwise
    the median would be over the remaining runs only. The index is (`point`, `epoch`), the columns
    are (metric, part), the part being `'q25'`, `'median'` or `'q75'`.
    """
    history = comparison.finite_or_worst(results.history, results.directions)
    tables = {}
    for metric in metrics:
        wide = history.pivot(index=['point', 'epoch'], columns='seed', values=metric)
        values = wide.groupby(level='point').ffill().to_numpy(np.float64)
        known = ~np.isnan(values)
        parts = intervals.quartiles_by(np.nonzero(known)[0], values[known], len(values))
        parts *= labels.scale(metric)
        tables[metric] = pd.DataFrame(parts, wide.index, ['q25', 'median', 'q75'])
    return pd.concat(tables, axis=1)


def _draw_points(
    panel: mpl_axes.Axes, spread: pd.DataFrame, looks: Mapping[int, Look], crowd: Sequence[int]
) -> None:
    """Draws a metric's curves of all points; those of a crowd have no bands."""
    if crowd:
        median = spread['median'].reset_index('epoch')
        style.thin(
            panel,
            [median.loc[[point]].to_numpy() for point in crowd],
            width=1.5,
            colors=[looks[point]['color'] for point in crowd],
            linestyles=[looks[point].get('linestyle', '-') for point in crowd],
            # Transparent, so that places with many curves are darker.
            alpha=max(0.3, style.size(len(crowd))),
        )
    for point in sorted(looks.keys() - set(crowd)):
        rows = spread.loc[point]
        style.curve(panel, rows.index, rows, **looks[point])


def _set_axes(
    panel: mpl_axes.Axes, results: Results, spread: pd.DataFrame, metrics: list[str]
) -> list[str]:
    """Sets the axes of a panel in which metrics are drawn; returns notes on what was cut."""
    style.epochs(panel)
    values = spread[metrics]
    if not np.isfinite(values).any(axis=None):
        style.say_empty(panel)
    if results.higher_is_better(metrics[0]):
        return []
    first = values.xs('median', axis=1, level=1).groupby('point').first().max(axis=None)
    return style.loss_y([panel], values.to_numpy(), first, MAX_LOSS_RATIO)


def spread_note(
    runs: pd.DataFrame, mark: str, shown: str = 'interquartile range', over: str = ''
) -> str:
    """Returns the note on what the medians are taken over, and on what `mark` shows."""
    num = runs.groupby('point').size()
    if num.max() == 1 and not over:
        return '1 seed a point: no spread is known.'
    told = f'; {mark}: {shown}' if mark else ''
    return f'Median over {over}{labels.count(num, "seed")} a point{told}.'
