"""Pictures of training: metrics against the epoch, medians over seeds and their spread."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import cm, collections, colors, figure, lines

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


@dataclasses.dataclass(frozen=True)
class Look:
    """How the curve of a point is drawn.

    Attributes:
      color: of the curve and its band.
      linestyle: of the curve.
      marker: along the curve; none by default.
      label: in the legend; '' for none.
      zorder: curves with a higher one are drawn over the others.
      has_band: whether the interquartile range is drawn.
    """

    color: Any = style.BLUE
    linestyle: Any = '-'
    marker: str = ''
    label: str = ''
    zorder: float = 3
    has_band: bool = True

    @property
    def handle(self) -> lines.Line2D:
        """The entry of the legend."""
        return style.handle(
            self.label, self.color, self.linestyle, marker=self.marker, markersize=4.5
        )


def named(names: Sequence[str]) -> list[Look]:
    """Returns a colour and marker for each of a few names."""
    markers = style.MARKERS if len(names) > 1 else ('',)
    return [
        Look(style.shade(i, len(names)), marker=markers[i % len(markers)], label=name)
        for i, name in enumerate(names)
    ]


def curves(results: Results, swept: Sequence[str] | None = None) -> figure.Figure:
    """Draws the training curves of all points, coloured by point, against the epoch.

    On the left is the train loss, on the right the accuracy (regression: the loss) on the
    validation split, or on the test split if there is no validation split. If a single numeric
    field is swept, its values are the colours, and a colour bar explains them; more than forty
    points then have no bands. Otherwise a legend names the points; of more than twelve, only the
    best twelve are coloured and named, the others are grey.

    Args:
      results: of the study.
      swept: the fields that tell points apart; by default all swept ones.
    """
    runs, history = results.runs, results.history
    swept = list(results.swept if swept is None else swept)
    settings = axes.settings(runs, swept)
    axis = axes.axis(swept[0], settings[swept[0]]) if len(swept) == 1 else None
    if axis is not None and axis.numbers:
        looks = _looks_along(axis, settings)
    else:
        axis, looks = None, _looks_named(runs, swept)
    diverged = (runs['status'] == 'diverged').groupby(runs['point']).mean() >= 0.5
    for point in diverged.index[diverged]:
        looks[point] = dataclasses.replace(looks[point], linestyle=(0, (4, 1.5)))
    best = comparison.best(runs) if len(looks) > 1 else None
    split = comparison.selection_split(runs)
    metrics = ['train_loss', f'{split}_{comparison.headline(runs)}']
    spread = spread_over_seeds(results, metrics)

    picture, (panels,) = style.panels(10, 4.2, 1, 2)
    banded = any(look.has_band for look in looks.values())
    notes = [spread_note(runs, 'band' if banded else '')]
    if axis is not None and not all(look.has_band for look in looks.values()):
        notes.append(f'No bands along {axis.field}: more than {MAX_BANDS} points.')
    if diverged.any():
        points = labels.count(int(diverged.sum()), 'point')
        notes.append(f'Dashed: half or more of the runs diverged ({points}).')
    lost = history.loc[~np.isfinite(history[metrics[1]].astype(np.float64)), 'run'].nunique()
    if results.higher_is_better(metrics[1]) and lost:
        some = labels.count(lost, 'run')
        notes.append(
            f'{some} with an accuracy that is not finite: from there on drawn at the worst one.'
        )
    for panel, metric in zip(panels, metrics, strict=True):
        style.epochs(panel)
        panel.set_ylabel(labels.metric(metric))
        notes += _draw_points(panel, spread, metric, looks, not results.higher_is_better(metric))
        if best is not None and not spread.empty:
            last = spread[spread['point'] == best.point].iloc[-1]
            # At the edge of the panel, if the curve has left it.
            y = np.clip(last[f'{metric}_median'], *panel.get_ylim())
            panel.plot(last['epoch'], y, **style.STAR)
    if best is not None:
        notes.append(f'Star: the best point on {split}.')
    handles = [look.handle for look in looks.values() if look.label]
    if axis is not None:
        value = None if best is None else settings.loc[best.point, axis.field]
        _colour_bar(picture, panels, axis, value)
        if handles:
            panels[0].legend(handles=handles, fontsize=8.5, labelcolor=style.INK, edgecolor='none')
    elif handles and len(looks) > len(handles):
        grey = len(looks) - len(handles)
        notes.append(
            f'Coloured: the best {len(handles)} points on {split}; grey, without band: the other '
            f'{grey}.'
        )
    title = f'Training curves of {labels.count(len(looks), "point")}'
    style.finish(picture, title, notes, handles if axis is None else (), ', '.join(swept))
    return picture


def train_and_test(
    results: Results,
    where: Mapping[str, Mapping[str, Any]] | None = None,
    split: str = 'test',
    metric: str | None = None,
) -> figure.Figure:
    """Draws loss and metric of the training split and of another one over the epochs.

    Training curves are solid, the others dashed; each setting has its colour and marker.

    Args:
      results: of the study.
      where: values of fields by name; they choose one point each, and the legend shows the names.
        By default all points, named by their swept fields.
      split: compared with the training split, `'test'` or `'validation'`.
      metric: drawn beside the loss; by default the accuracy, for regression the mean absolute
        error.

    Raises:
      UserError: there are more than six points, a name stands for several, or the split or
        metric is not in the tables.
    """
    points = _compared(results, where)
    history = results.history
    metric = metric or ('accuracy' if 'test_accuracy' in history else 'mae')
    known = comparison.metrics(history, results.directions)
    for name in (f'train_{metric}', f'{split}_{metric}'):
        if name not in known:
            raise errors.unknown('metric', name, known)
    runs = results.runs[results.runs['point'].isin(points.values())]
    dashes = {'train': '-', split: (0, (3, 2))}
    columns = [f'{s}_{what}' for what in ('loss', metric) for s in dashes]
    spread = spread_over_seeds(results, columns)
    looks = named(list(points))

    picture, (panels,) = style.panels(10, 4.2, 1, 2)
    notes = [spread_note(runs, 'band')]
    for panel, what in zip(panels, ('loss', metric), strict=True):
        style.epochs(panel)
        panel.set_ylabel(labels.metric(f' {what}').strip())
        for point, look in zip(points.values(), looks, strict=True):
            rows = spread[spread['point'] == point]
            for s, dash in dashes.items():
                look = dataclasses.replace(look, linestyle=dash)
                draw(panel, rows['epoch'], rows, f'{s}_{what}', look)
        if not results.higher_is_better(what):
            # One scale for both splits, so that the gap between them is seen as it is.
            notes += _loss_axis(panel, spread, [f'{s}_{what}' for s in dashes])
    handles = [look.handle for look in looks if look.label]
    handles += [style.handle(s, '0.35', dash) for s, dash in dashes.items()]
    title = f'Loss and {metric.replace("mae", "MAE")} on training and {split} examples'
    style.finish(picture, title, notes, handles)
    return picture


def _compared(results: Results, where: Mapping[str, Mapping[str, Any]] | None) -> dict[str, int]:
    """Returns the point of every setting by name."""
    if where is None:
        points = {n: point for point, n in labels.points(results.runs, results.swept).items()}
    else:
        points = {}
        for name, fields in where.items():
            found = results.points_with(fields)
            if len(found) > 1:
                raise errors.UserError(f'{name!r} stands for {len(found)} points; name more fields')
            points[name] = found[0]
    if len(points) > MAX_COMPARED:
        raise errors.UserError(
            f'{len(points)} points are too many for one picture of train and test curves: choose '
            f'at most {MAX_COMPARED} with where'
        )
    return points


def traces(results: Results, columns: Sequence[str], x: str = 'step') -> figure.Figure:
    """Draws columns of the history, a panel each: medians over seeds, and every seed thinly.

    Values that are not finite leave gaps.

    Args:
      results: of a study of few points.
      columns: such as `'sharpness'`.
      x: the column along the x-axis: `'step'`, `'epoch'`, or a measured one.

    Raises:
      UserError: there is no such column.
    """
    runs, history = results.runs, results.history
    for name in (x, *columns):
        if name not in history:
            raise errors.unknown('column of the history', name, history.columns)
    table = history.replace([np.inf, -np.inf], np.nan)
    names = labels.points(runs, results.swept)
    looks = named([name or 'all runs' for name in names.values()])
    picture, (panels,) = style.panels(2 + 4.2 * len(columns), 4.2, 1, len(columns))
    for panel, column in zip(panels, columns, strict=True):
        panel.set_xlabel(labels.metric(x))
        panel.set_ylabel(labels.metric(column))
        for point, look in zip(names, looks, strict=True):
            rows = table[table['point'] == point]
            for _, run in rows.groupby('run'):
                panel.plot(run[x], run[column], color=look.color, linewidth=0.6, alpha=0.35)
            median = rows.groupby('step', as_index=False)[list({x, column} - {'step'})].median()
            draw(
                panel, median[x], median.rename(columns={column: f'{column}_median'}), column, look
            )
    seeds = labels.count(int(runs.groupby('point').size().max()), 'seed')
    title = ' and '.join(labels.metric(column) for column in columns)
    style.finish(
        picture,
        f'{title[0].upper()}{title[1:]} during training',
        [f'Thick: median over {seeds} a point; thin: each seed.'],
        [look.handle for look in looks],
        ', '.join(results.swept),
    )
    return picture


def _looks_along(axis: axes.Axis, settings: pd.DataFrame) -> dict[int, Look]:
    """Returns looks coloured along a numeric axis; values apart are named."""
    texts, field = labels.values(axis.values), axis.field.rpartition('.')[2]
    norm, has_band = _norm(axis), len(settings) <= MAX_BANDS
    looks = {}
    for point, v in settings[axis.field].items():
        if v in axis.apart:
            color = style.GREY if v is None else 'black'
            looks[point] = Look(color, marker='o', label=f'{field} {texts[v]}')
        else:
            looks[point] = Look(style.VIRIDIS(norm(v)), has_band=has_band)
    return looks


def _looks_named(runs: pd.DataFrame, swept: list[str]) -> dict[int, Look]:
    """Returns looks: a colour, marker and name for each of the best points, grey for the others."""
    names, ranking = labels.points(runs, swept), comparison.ranking(runs)
    looks = dict.fromkeys(ranking[MAX_LEGEND:], Look('0.8', zorder=1, has_band=False))
    chosen = sorted(ranking[:MAX_LEGEND])
    return looks | dict(zip(chosen, named([names[point] for point in chosen]), strict=True))


def _norm(axis: axes.Axis) -> colors.Normalize:
    kind = colors.LogNorm if axis.logarithmic else colors.Normalize
    return kind(axis.scale[0], axis.scale[-1])


def spread_over_seeds(results: Results, metrics: list[str]) -> pd.DataFrame:
    """Returns the quartiles over seeds of every point and step, in the metrics' units.

    A run that has stopped keeps its last values until all runs of its point have ended. Otherwise
    the median would be over the remaining runs only.

    Returns:
      A row a point and step: `point`, `epoch`, `<metric>_q25`, `<metric>_median`, `<metric>_q75`.
    """
    history = results.history[['point', 'run', 'step', 'epoch', *metrics]]
    history = comparison.finite_or_worst(history, results.directions)
    keys = ['point', 'step']
    spread = history.groupby(keys)[['epoch']].first().astype(np.float64)
    firsts = history[['point', 'run']].drop_duplicates()
    place = firsts.groupby('point').cumcount().set_axis(firsts['run'])
    history = history.assign(place=place.reindex(history['run']).to_numpy())
    for metric in metrics:
        # A row a point and step, a column a run of the point.
        wide = history.pivot(index=keys, columns='place', values=metric)
        values = wide.groupby(level='point').ffill().to_numpy(np.float64)
        known = ~np.isnan(values)
        quartiles = intervals.quartiles_by(np.nonzero(known)[0], values[known], len(values))
        spread[_quartiles(metric)] = quartiles * labels.scale(metric)
    return spread.reset_index()


def _quartiles(metric: str) -> list[str]:
    """Returns the columns of a metric's lower quartile, median and upper quartile."""
    return [f'{metric}_{part}' for part in ('q25', 'median', 'q75')]


def draw(panel: mpl_axes.Axes, x: pd.Series, rows: pd.DataFrame, metric: str, look: Look) -> None:
    """Draws the curve of one point: its medians, and the interquartile range if there is one.

    Args:
      panel: where to.
      x: where each row is drawn.
      rows: of `spread_over_seeds`.
      metric: one of its metrics.
      look: of the curve.
    """
    low, middle, high = _quartiles(metric)
    if look.has_band and low in rows:
        band = {'color': look.color, 'alpha': 0.15, 'linewidth': 0, 'zorder': look.zorder - 1}
        panel.fill_between(x, rows[low], rows[high], **band)
    panel.plot(
        x,
        rows[middle],
        color=look.color,
        linestyle=look.linestyle,
        linewidth=1.5,
        marker=look.marker or ('o' if len(x) == 1 else ''),
        markersize=4.5,
        markevery=max(1, len(x) // 8),
        zorder=look.zorder,
    )


def _draw_points(
    panel: mpl_axes.Axes,
    spread: pd.DataFrame,
    metric: str,
    looks: Mapping[int, Look],
    is_loss: bool,
) -> list[str]:
    """Draws the curves of all points; returns notes on what was cut."""
    if not np.isfinite(spread[_quartiles(metric)].to_numpy()).any():
        style.say_empty(panel)
        return []
    _draw_crowd(panel, spread, metric, {p: look for p, look in looks.items() if not look.has_band})
    for point, look in looks.items():
        if look.has_band:
            rows = spread[spread['point'] == point]
            draw(panel, rows['epoch'], rows, metric, look)
    return _loss_axis(panel, spread, [metric]) if is_loss else []


def _draw_crowd(
    panel: mpl_axes.Axes, spread: pd.DataFrame, metric: str, looks: Mapping[int, Look]
) -> None:
    """Draws all curves without a band as one artist, since there may be thousands."""
    rows = spread[spread['point'].isin(looks)]
    if rows.empty:
        return
    points, first = np.unique(rows['point'], return_index=True)
    curves = np.split(rows[['epoch', f'{metric}_median']].to_numpy(), first[1:])
    chosen = [looks[point] for point in points]
    size = style.size(len(looks))
    panel.add_collection(
        collections.LineCollection(
            curves,
            colors=[look.color for look in chosen],
            linestyles=[look.linestyle for look in chosen],
            linewidths=1.5 * size,
            # Transparent, so that places with many curves are darker.
            alpha=max(0.3, size),
            capstyle='projecting',
            joinstyle='round',
            zorder=chosen[0].zorder,
        )
    )
    panel.autoscale_view()
    if single := [i for i, curve in enumerate(curves) if len(curve) == 1]:
        x, y = np.concatenate([curves[i] for i in single]).T
        shades = [chosen[i].color for i in single]
        panel.scatter(x, y, (4.5 * size) ** 2, shades, zorder=chosen[0].zorder)


def _loss_axis(panel: mpl_axes.Axes, spread: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Gives a panel the y-axis of a loss that the metrics share; returns notes on what was cut."""
    drawn = spread[[column for metric in metrics for column in _quartiles(metric)]].to_numpy()
    first = spread.groupby('point')[[f'{metric}_median' for metric in metrics]].first()
    if not np.isfinite(drawn).any():
        style.say_empty(panel)
    return style.loss_y([panel], drawn, first.to_numpy().max(initial=0.0), MAX_LOSS_RATIO)


def _colour_bar(picture: figure.Figure, panels: np.ndarray, axis: axes.Axis, best: object) -> None:
    """Draws a colour bar with the values of an axis, and a star at the best one."""
    bar = style.colour_bar(
        picture, cm.ScalarMappable(_norm(axis), style.VIRIDIS), panels, axis.field
    )
    texts, ticks = labels.values(axis.values), style.ticks(axis.scale, axis.logarithmic)
    bar.set_ticks(ticks, labels=[texts.get(tick, labels.number(tick)) for tick in ticks])
    bar.ax.minorticks_off()
    if best in axis.scale:
        bar.ax.plot([0.5], [best], **style.STAR)


def spread_note(runs: pd.DataFrame, mark: str, over: str = '') -> str:
    """Returns the note on what the medians are taken over, and on what `mark` shows."""
    counts = runs.groupby('point').size()
    low, high = int(counts.min()), int(counts.max())
    seeds = labels.count(high, 'seed') if low == high else f'{low} to {high} seeds'
    if high == 1 and not over:
        return '1 seed a point: no spread is known.'
    shown = f'; {mark}: interquartile range' if mark else ''
    return f'Median over {over}{seeds} a point{shown}.'
