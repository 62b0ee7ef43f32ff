"""Pictures of a study: the final metric along each swept field, and the training curves.

Every figure shows medians over seeds and their spread, leaves no run out, says how many there are,
and reads in black and white. Figures are made without pyplot: no global state, no display.
"""

import math
import os
import pathlib
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import axes as mpl_axes
from matplotlib import cm, collections, colors, figure, patches, ticker

from nnstudy import errors
from nnstudy.analysis import axes, comparison, intervals
from nnstudy.report import labels, style

MAX_LINES = 6
MAX_LEGEND = 12
# Points whose curves have bands, beyond which bands would only cover each other.
MAX_BANDS = 40
# Values along a numeric x-axis with medians of their own; of more, neighbours share one.
MAX_PLACES = 100
# Values named along a categorical x-axis.
MAX_NAMED = 40
# A loss beyond this many times that of step 0 (of final losses: the highest of a run that did not
# diverge) is off the picture: exploding runs would press all others flat.
MAX_LOSS_RATIO = 3.0


def save(
    runs: pd.DataFrame,
    history: pd.DataFrame,
    swept: list[str],
    directory: str | os.PathLike,
    others: Mapping[str, figure.Figure] | None = None,
) -> list[pathlib.Path]:
    """Writes `metric_vs_<field>.png` for every swept field, and `curves.png`, to `directory`.

    Args:
      runs: a row a run.
      history: a row a run and evaluation.
      swept: dotted names of the swept fields.
      directory: is made where it is not there.
      others: further figures, by file name with or without `.png`.

    Returns:
      The paths written.

    Raises:
      UserError: a file cannot be written.
    """
    figures = {f'metric_vs_{field}.png': metric_vs(runs, field, swept) for field in swept}
    figures['curves.png'] = curves(history, runs, swept)
    for name, picture in (others or {}).items():
        figures[f'{name.removesuffix(".png")}.png'] = picture
    directory = pathlib.Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f'cannot write to {str(directory)!r}: {error.strerror}') from error
    written = [directory / name for name in figures]
    for path, picture in zip(written, figures.values(), strict=True):
        style.save(picture, path)
    return written


def metric_vs(
    runs: pd.DataFrame, field: str, swept: list[str], metric: str | None = None
) -> figure.Figure:
    """Draws a final metric against one swept field.

    With several swept fields, each setting of the others is a line of its own, up to six; with
    more, the runs of all are pooled, and the note says so. Of more than a hundred numbers along the
    axis, neighbours share a median.

    Args:
      runs: a row a run.
      field: dotted name of the swept field along the x-axis.
      swept: dotted names of all swept fields.
      metric: a metric column of `runs`; the test accuracy (regression: the test loss) by default.

    Raises:
      errors.UserError: the field is not swept, or the metric is no column of `runs`.
    """
    if field not in swept:
        raise errors.unknown('swept field', field, swept)
    metric = metric or f'test_{comparison.headline(runs)}'
    if metric not in comparison.metrics(runs):
        raise errors.unknown('metric', metric, comparison.metrics(runs))

    settings = axes.settings(runs, swept)
    axis = axes.axis(field, settings[field])
    places = _places(axis)
    others = [f for f in swept if f != field]
    series = _series(settings, others)
    many = len(series) > 1
    pooled = bool(others) and not many
    groups = _neighbours(axis)
    shared = groups[-1] + 1 < len(groups)
    spread = pooled or shared or bool((runs.groupby('point').size() > 1).any())
    marks, notes = _marks(runs, metric)
    values = marks['y'].to_numpy()
    index = {v: i for i, v in enumerate(axis.values)}
    indices = pd.Series([index[v] for v in settings[field]], index=settings.index)
    marks['value'] = indices[runs['point']].to_numpy()

    picture = figure.Figure(figsize=(7.2, 4.2), layout='constrained')
    panel = style.dress(picture.subplots())
    size = style.size(len(settings))
    handles: list = []
    for i, (name, points) in enumerate(series.items()):
        color = style.VIRIDIS(0.85 * i / (len(series) - 1)) if many else style.BLUE
        line = marks[runs['point'].isin(points).to_numpy()]
        # [values]
        at = np.array([places[v] for v in axis.values]) + _shift(axis, i, len(series))
        _draw_runs(panel, axis, at, line, color, many, size)
        _draw_medians(panel, axis, at, line, groups, color, i)
        if many:
            dashes = style.DASHES[i] if axis.numbers else ''
            handles.append(style.handle(name, color, dashes, marker=style.MARKERS[i], markersize=5))
    handles += _key(runs, axis, many, spread)

    best = comparison.best(runs)
    if best is not None:
        i = next(i for i, points in enumerate(series.values()) if best.point in points)
        x = places[settings.loc[best.point, field]] + _shift(axis, i, len(series))
        y = intervals.quartiles(values[(runs['point'] == best.point).to_numpy()]).median
        label = f'best on {best.split}:\n{point_names(settings)[best.point]}'
        handles += panel.plot([x], [y], label=label, linestyle='', **style.STAR)

    _scale_x(panel, axis, places)
    finite = values[np.isfinite(values)]
    if not finite.size:
        style.say_empty(panel)
    elif not comparison.higher_is_better(metric) and finite.max() > 20 * finite.min() > 0:
        # Only a log axis shows all of so wide a range.
        style.log_y(panel, finite.min(), finite.max())
    panel.set_xlabel(field)
    panel.set_ylabel(labels.metric(metric))
    over = 'all runs at a value, ' if pooled else ''
    if shared:
        over = 'all runs at neighbouring values, '
    notes = [spread_note(runs, 'band' if axis.numbers else 'bar', over), *notes]
    if pooled:
        notes.append(f'Pooled over {", ".join(others)}; the star is the best point alone.')
    style.caption(picture, f'Final {labels.metric_name(metric)} against {field}', notes)
    style.legend(picture, handles, _wrapped(others) if many else None)
    return picture


def point_names(settings: pd.DataFrame) -> dict[int, str]:
    """Returns the written values of every point's swept fields."""
    texts = []
    for field in settings:
        written = labels.values(axes.axis(field, settings[field]).values)
        texts.append([written[v] for v in settings[field]])
    if not texts:
        return dict.fromkeys(settings.index, '')
    return dict(zip(settings.index, map(', '.join, zip(*texts, strict=True)), strict=True))


def _series(settings: pd.DataFrame, others: list[str]) -> dict[str, list[int]]:
    """Returns the points of every line by the line's name; of a single one if too many."""
    names = point_names(settings[others])
    if not 1 < len(set(names.values())) <= MAX_LINES:
        return {'': list(settings.index)}
    ranks = pd.DataFrame(index=settings.index)
    for field in others:
        rank = {v: i for i, v in enumerate(axes.axis(field, settings[field]).values)}
        ranks[field] = [rank[v] for v in settings[field]]
    series: dict[str, list[int]] = {}
    for point in ranks.sort_values(others, kind='stable').index:
        series.setdefault(names[point], []).append(point)
    return series


def _marks(runs: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, list[str]]:
    """Returns where every run's metric is drawn, and notes on it.

    Returns:
      A row a run: `y`, in the metric's unit, which medians are taken of; `diverged`; and `lost`,
      whether the run has no place on the y-axis and is drawn at the bottom edge: it has no
      accuracy, having ended with weights that predict nothing.
    """
    finite = np.isfinite(runs[metric].to_numpy(np.float64, na_value=np.nan))
    values = comparison.finite_or_worst(runs)[metric].to_numpy() * labels.scale(metric)
    diverged = (runs['status'] == 'diverged').to_numpy()
    marks = pd.DataFrame({'y': values, 'diverged': diverged, 'lost': False})
    without = f'{labels.count(int((~finite).sum()), "run")} without a finite value'
    if comparison.higher_is_better(metric):
        if finite.all():
            return marks, []
        note = f'{without} drawn at the bottom edge'
        if finite.any():
            note += ', counted as the worst finite one'
        return marks.assign(lost=~finite), [f'{note}.']
    calm = values[finite & ~diverged]
    if calm.size and calm.max() > 0:
        ceiling = MAX_LOSS_RATIO * calm.max()
        if (values > ceiling).any():
            beyond = (values > ceiling) | ~finite
            runs_beyond = labels.count(int(beyond.sum()), 'run')
            note = f'{runs_beyond} above {labels.number(ceiling)} drawn at it.'
            return marks.assign(y=np.where(beyond, ceiling, values)), [note]
    if finite.all() or not finite.any():
        return marks, []
    return marks, [f'{without} drawn at the worst finite one.']


def _places(axis: axes.Axis) -> dict[object, float]:
    """Returns where each value of an axis is drawn on the x-axis, in data units."""
    if not axis.numbers:
        return {v: float(i) for i, v in enumerate(axis.values)}
    first, last = axis.scale[0], axis.scale[-1]
    # Values apart from the scale go to its left, one usual step away.
    step = max(0.1, min(0.25, 1 / (len(axis.scale) - 1)))
    places: dict[object, float] = {v: float(v) for v in axis.scale}
    for i, v in enumerate(reversed(axis.apart), start=1):
        if axis.logarithmic:
            places[v] = first * (first / last) ** (i * step)
        else:
            places[v] = first - i * step * (last - first)
    return places


def _shift(axis: axes.Axis, i: int, n: int) -> float:
    """Returns how far line `i` of `n` stands aside on a categorical axis."""
    return 0.0 if axis.numbers or n == 1 else 0.6 * (i / (n - 1) - 0.5)


def _neighbours(axis: axes.Axis) -> np.ndarray:
    """Returns which of an axis's values share a median, as rising numbers of groups `[values]`.

    Each has its own, up to `MAX_PLACES` numbers; a line through the medians of thousands would be
    a stain.
    """
    groups = np.arange(len(axis.values))
    apart, scale = len(axis.apart), len(axis.scale)
    if scale > MAX_PLACES:
        groups[apart:] = apart + np.arange(scale) * MAX_PLACES // scale
    return groups


def _draw_runs(
    panel: mpl_axes.Axes,
    axis: axes.Axis,
    at: np.ndarray,
    line: pd.DataFrame,
    color: tuple,
    many: bool,
    size: float,
) -> None:
    """Draws the runs of a line, those of one value side by side, so that none hides another.

    Args:
      panel: where to.
      axis: the x-axis.
      at: the place of each of its values `[values]`.
      line: the line's `_marks`, with `value`, the index of the run's value.
      color: of the line.
      many: whether there are other lines.
      size: of the marks.
    """
    value = line['value'].to_numpy()
    order, n = line.groupby('value').cumcount().to_numpy(), np.bincount(value)[value]
    x = _aside(axis, at[value], np.where(n > 1, 2 * order / np.maximum(n - 1, 1) - 1, 0.0), many)
    y, lost, diverged = (line[name].to_numpy() for name in ('y', 'lost', 'diverged'))
    red = color if many else style.RED
    for here, shade, mark in (~diverged, color, style.RUN), (diverged, red, style.DIVERGED):
        small = {'markersize': size * mark['markersize']}
        look = {'color': shade, 'linestyle': '', **mark, **small}
        panel.plot(x[here & ~lost], y[here & ~lost], **look)
        if (here & lost).any():
            # Their y is in shares of the panel's height.
            edge: dict[str, Any] = {'transform': panel.get_xaxis_transform(), 'clip_on': False}
            panel.plot(x[here & lost], np.zeros((here & lost).sum()), **edge, **look)


def _aside(axis: axes.Axis, places: np.ndarray, offsets: np.ndarray, many: bool) -> np.ndarray:
    """Returns `places` moved by `offsets`, -1 to 1, of the room that the runs of a value have."""
    if not axis.numbers:
        return places + (0.05 if many else 0.22) * offsets
    # A small part of the step between values, so that the place is still read off rightly.
    scale = np.log(axis.scale) if axis.logarithmic else np.asarray(axis.scale)
    width = 0.12 * min(np.diff(scale).min(), (scale[-1] - scale[0]) / 10)
    return places * np.exp(width * offsets) if axis.logarithmic else places + width * offsets


def _draw_medians(
    panel: mpl_axes.Axes,
    axis: axes.Axis,
    at: np.ndarray,
    line: pd.DataFrame,
    groups: np.ndarray,
    color: tuple,
    i: int,
) -> None:
    """Draws the medians and quartiles of line `i`, one of each of the `groups` of `_neighbours`.

    Medians are joined along a numeric scale; elsewhere each stands alone with a bar. The other
    arguments are those of `_draw_runs`.
    """
    num_groups = groups[-1] + 1
    values = line['value'].to_numpy()
    spread = intervals.quartiles_by(groups[values], line['y'], num_groups)
    # The middle of each group.
    x = intervals.quartiles_by(groups, at, num_groups)[:, 1]
    drawn = np.bincount(groups[values], minlength=num_groups) > 0
    size = style.size(num_groups)
    scaled = np.arange(num_groups) >= (len(axis.apart) if axis.numbers else num_groups)
    own: dict[str, Any] = {'color': color, 'zorder': 4}
    mark = own | {'linestyle': '', 'marker': style.MARKERS[i]}

    if (joined := drawn & scaled).any():
        q25, median, q75 = spread[joined].T
        panel.fill_between(x[joined], q25, q75, color=color, alpha=0.2, linewidth=0, zorder=1)
        panel.plot(x[joined], median, linestyle=style.DASHES[i], linewidth=1.6, **own)
        panel.plot(x[joined], median, markersize=size * 4.5, **mark)
    if (alone := drawn & ~scaled).any():
        q25, median, q75 = spread[alone].T
        # One broken line: its pieces are the bars.
        gap = np.full(len(median), np.nan)
        panel.plot(
            np.repeat(x[alone], 3),
            np.stack([q25, q75, gap], axis=1).ravel(),
            color=color,
            alpha=0.3,
            linewidth=size * 7,
            zorder=1,
        )
        panel.plot(x[alone], median, markersize=size * 6.5, **mark)


def _key(runs: pd.DataFrame, axis: axes.Axis, many: bool, spread: bool) -> list:
    """Returns the legend's entries that say what the marks mean."""
    color = '0.35' if many else style.BLUE
    handles: list = []
    if not many:
        dashes = '-' if axis.numbers else ''
        handles.append(style.handle('median', color, dashes, marker='o', markersize=4.5))
    if spread:
        handles.append(patches.Patch(color=color, alpha=0.25, lw=0, label='interquartile range'))
    handles.append(style.handle('single run', color, '', **style.RUN))
    diverged = int((runs['status'] == 'diverged').sum())
    if diverged:
        label = f'diverged run\n({diverged} of {len(runs)})'
        handles.append(style.handle(label, color if many else style.RED, '', **style.DIVERGED))
    return handles


def _scale_x(panel: mpl_axes.Axes, axis: axes.Axis, places: dict[object, float]) -> None:
    """Names the values along the x-axis, on a log scale if the axis is logarithmic."""
    texts = labels.values(axis.values)
    if not axis.numbers:
        step = math.ceil(len(places) / MAX_NAMED)
        named = {places[v]: texts[v] for v in axis.values[::step]}
        panel.set_xticks(list(named), list(named.values()))
        panel.set_xlim(-0.6, len(places) - 0.4)
        if sum(map(len, named.values())) > 60:
            for label in panel.get_xticklabels():
                label.set(rotation=30, horizontalalignment='right', rotation_mode='anchor')
        return
    ticks = style.log_ticks(axis.scale) if axis.logarithmic else _linear_ticks(axis.scale)
    if axis.logarithmic:
        panel.set_xscale('log')
    named = {places[v]: texts[v] for v in axis.apart}
    named |= {t: texts.get(t, labels.number(t)) for t in ticks}
    panel.set_xticks(list(named), list(named.values()))
    panel.set_xticks([], minor=True)
    if axis.apart:
        first, last = places[axis.apart[-1]], axis.scale[0]
        border = math.sqrt(first * last) if axis.logarithmic else (first + last) / 2
        panel.axvline(border, color=style.GREY, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)


def _linear_ticks(scale: tuple[float, ...]) -> list[float]:
    """Returns the places to name: all values if there is room, else round numbers."""
    first, last = scale[0], scale[-1]
    if len(scale) <= style.MAX_TICKS and np.diff(scale).min() > 0.06 * (last - first):
        return list(scale)
    ticks = ticker.MaxNLocator(style.MAX_TICKS - 1).tick_values(first, last)
    return [float(t) for t in ticks if first <= t <= last]


def curves(history: pd.DataFrame, runs: pd.DataFrame, swept: list[str]) -> figure.Figure:
    """Draws the training curves of all points, coloured by point, against the epoch.

    Left the train loss, right the accuracy (regression: the loss) on the validation split, without
    one on the test split. One swept numeric field gives a colour bar in its units; otherwise points
    are named in a legend, and of more than twelve the best twelve, the others being grey. More than
    forty points coloured by a numeric field have no bands.

    Args:
      history: a row a run and evaluation.
      runs: a row a run.
      swept: dotted names of the swept fields.
    """
    settings = axes.settings(runs, swept)
    axis = axes.axis(swept[0], settings[swept[0]]) if len(swept) == 1 else None
    if axis is not None and axis.numbers:
        looks = _looks_along(axis, settings)
    else:
        axis, looks = None, _looks_named(runs, settings)
    diverged = (runs['status'] == 'diverged').groupby(runs['point']).mean() >= 0.5
    for point in diverged.index[diverged]:
        looks[point]['linestyle'] = (0, (4, 1.5))
    best = comparison.best(runs) if len(looks) > 1 else None
    split = comparison.selection_split(runs)
    metrics = ['train_loss', f'{split}_{comparison.headline(runs)}']
    spread = spread_over_seeds(history, metrics)

    picture = figure.Figure(figsize=(10, 4.2), layout='constrained')
    panels = picture.subplots(1, 2)
    banded = any(look['band'] for look in looks.values())
    notes = [spread_note(runs, 'band' if banded else '')]
    if axis is not None and not all(look['band'] for look in looks.values()):
        notes.append(f'Without bands along {axis.field}: more than {MAX_BANDS} points.')
    if diverged.any():
        points = labels.count(int(diverged.sum()), 'point')
        notes.append(f'Dashed: half or more of the runs diverged ({points}).')
    lost = history.loc[~np.isfinite(history[metrics[1]].astype(np.float64)), 'run'].nunique()
    if comparison.higher_is_better(metrics[1]) and lost:
        some = labels.count(lost, 'run')
        notes.append(
            f'{some} whose accuracy became not finite: then drawn at the worst finite one.'
        )
    for panel, metric in zip(panels, metrics, strict=True):
        star = None if best is None else best.point
        notes += _draw_curves(style.dress(panel), spread, metric, looks, star)
    if best is not None:
        notes.append(f'Star: the best point on {split}.')

    named = [
        style.handle(
            **{k: look[k] for k in ('label', 'color', 'linestyle', 'marker', 'markersize')}
        )
        for look in looks.values()
        if look['label']
    ]
    if axis is not None:
        value = None if best is None else settings.loc[best.point, axis.field]
        _colour_bar(picture, panels, axis, value)
        if named:
            panels[0].legend(handles=named, fontsize=8.5, labelcolor=style.INK, edgecolor='none')
    elif named:
        style.legend(picture, named, _wrapped(swept))
        if len(looks) > len(named):
            grey = len(looks) - len(named)
            notes.append(
                f'Coloured: the best {len(named)} points on {split}; '
                f'grey, without band: the other {grey}.'
            )
    style.caption(picture, f'Training curves of {labels.count(len(looks), "point")}', notes)
    return picture


def _look(**changes) -> dict:
    """Returns how a point's curve is drawn."""
    default = {'color': style.BLUE, 'linestyle': '-', 'marker': '', 'markersize': 4.5}
    return default | {'label': '', 'zorder': 3, 'band': True} | changes


def _looks_along(axis: axes.Axis, settings: pd.DataFrame) -> dict[int, dict]:
    """Returns looks coloured along a numeric axis; values apart are named."""
    texts, field = labels.values(axis.values), axis.field.rpartition('.')[2]
    shades = dict(zip(axis.scale, map(tuple, style.VIRIDIS(_norm(axis)(axis.scale))), strict=True))
    band = len(settings) <= MAX_BANDS
    looks = {}
    for point, v in settings[axis.field].items():
        if v in axis.apart:
            color = style.GREY if v is None else 'black'
            looks[point] = _look(color=color, marker='o', label=f'{field} {texts[v]}')
        else:
            looks[point] = _look(color=shades[v], band=band)
    return looks


def _looks_named(runs: pd.DataFrame, settings: pd.DataFrame) -> dict[int, dict]:
    """Returns looks with a colour, marker and name each, grey and nameless beyond the best few."""
    if settings.columns.empty:
        return {point: _look() for point in settings.index}
    names = point_names(settings)
    ranking = comparison.ranking(runs)
    chosen = sorted(ranking[:MAX_LEGEND])
    looks = {point: _look(color='0.8', zorder=1, band=False) for point in ranking[MAX_LEGEND:]}
    for i, point in enumerate(chosen):
        color = style.VIRIDIS(i / max(1, len(chosen) - 1))
        looks[point] = _look(color=color, marker=style.MARKERS[i], label=names[point])
    return looks


def _norm(axis: axes.Axis) -> colors.Normalize:
    kind = colors.LogNorm if axis.logarithmic else colors.Normalize
    return kind(axis.scale[0], axis.scale[-1])


def spread_over_seeds(history: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Returns the quartiles over seeds of every point and step, in the metrics' units.

    A run that stopped goes on with its last values to the end of its point: else the median after
    the first stop would be that of the survivors.

    Returns:
      A row a point and step: `point`, `epoch`, `<metric>_q25`, `<metric>_median`, `<metric>_q75`.
    """
    history = comparison.finite_or_worst(history[['point', 'run', 'step', 'epoch', *metrics]])
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
        columns = [f'{metric}_{part}' for part in intervals.Quartiles._fields]
        spread[columns] = quartiles * labels.scale(metric)
    return spread.reset_index()


def _draw_curves(
    panel: mpl_axes.Axes,
    spread: pd.DataFrame,
    metric: str,
    looks: dict[int, dict],
    best: int | None,
) -> list[str]:
    """Draws one metric's curves; returns notes on what was cut."""
    panel.set_xlabel('epoch')
    panel.set_ylabel(labels.metric(metric))
    parts = [f'{metric}_{part}' for part in intervals.Quartiles._fields]
    if spread.empty or spread[parts].isna().to_numpy().all():
        style.say_empty(panel)
        return []
    _draw_crowd(panel, spread, metric, {p: look for p, look in looks.items() if not look['band']})
    for point, look in looks.items():
        if not look['band']:
            continue
        rows = spread[spread['point'] == point]
        epoch = rows['epoch'].to_numpy()
        q25, median, q75 = rows[parts].to_numpy().T
        band = {'color': look['color'], 'alpha': 0.15, 'linewidth': 0}
        panel.fill_between(epoch, q25, q75, zorder=look['zorder'] - 1, **band)
        line = {k: v for k, v in look.items() if k not in ('label', 'band')}
        if len(epoch) == 1:
            line['marker'] = line['marker'] or 'o'
        panel.plot(epoch, median, linewidth=1.5, markevery=max(1, len(epoch) // 8), **line)
    notes = [] if comparison.higher_is_better(metric) else limit_loss(panel, spread, metric)
    for _, last in spread[spread['point'] == best].tail(1).iterrows():
        # At the edge if the best point's curve, like all others, has left the panel.
        y = np.clip(last[f'{metric}_median'], *panel.get_ylim())
        panel.plot([last['epoch']], [y], **style.STAR)
    return notes


def _draw_crowd(
    panel: mpl_axes.Axes, spread: pd.DataFrame, metric: str, looks: dict[int, dict]
) -> None:
    """Draws the curves without band, thousands maybe, as one artist."""
    rows = spread[spread['point'].isin(looks)]
    if rows.empty:
        return
    points, first = np.unique(rows['point'], return_index=True)
    curves = np.split(rows[['epoch', f'{metric}_median']].to_numpy(), first[1:])
    chosen = [looks[point] for point in points]
    size = style.size(len(looks))
    lines = collections.LineCollection(
        curves,
        colors=[look['color'] for look in chosen],
        linestyles=[look['linestyle'] for look in chosen],
        linewidths=1.5 * size,
        # Where many lie over each other it shows.
        alpha=max(0.3, size),
        capstyle='projecting',
        joinstyle='round',
        zorder=chosen[0]['zorder'],
    )
    panel.add_collection(lines)
    panel.autoscale_view()
    if single := [i for i, curve in enumerate(curves) if len(curve) == 1]:
        x, y = np.concatenate([curves[i] for i in single]).T
        shades = [chosen[i]['color'] for i in single]
        panel.scatter(x, y, (4.5 * size) ** 2, shades, zorder=chosen[0]['zorder'])


def limit_loss(panel: mpl_axes.Axes, spread: pd.DataFrame, metric: str) -> list[str]:
    """Gives a loss a log axis that ends not far above the loss of step 0; returns notes."""
    first = spread.groupby('point')[f'{metric}_median'].first().max()
    values = spread[[f'{metric}_{part}' for part in intervals.Quartiles._fields]].to_numpy()
    if not (first > 0 and np.nanmin(values) >= 0):
        return []
    top = min(1.15 * np.nanmax(values), MAX_LOSS_RATIO * first)
    # A loss of zero, or nearly so, would stretch the axis over empty decades.
    bottom = max(0.85 * values[values > 0].min(), 1e-6 * first)
    style.log_y(panel, bottom, top)
    panel.set_ylim(bottom, top)
    if spread[f'{metric}_median'].max() <= top:
        return []
    return [
        f'A loss axis ends at {MAX_LOSS_RATIO:g} times the loss of step 0; curves may leave it.'
    ]


def _colour_bar(picture: figure.Figure, panels: np.ndarray, axis: axes.Axis, best: object) -> None:
    mappable = cm.ScalarMappable(_norm(axis), style.VIRIDIS)
    bar = picture.colorbar(mappable, ax=panels, pad=0.01, aspect=28)
    bar.set_label(axis.field, color=style.INK)
    bar.outline.set_visible(False)
    texts = labels.values(axis.values)
    ticks = style.log_ticks(axis.scale) if axis.logarithmic else _linear_ticks(axis.scale)
    bar.set_ticks(ticks, labels=[texts.get(t, labels.number(t)) for t in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=9, labelcolor=style.INK, color=style.GREY, length=3)
    if best in axis.scale:
        bar.ax.plot([0.5], [best], **style.STAR)


def _wrapped(fields: list[str]) -> str:
    return '\n'.join(textwrap.wrap(', '.join(fields), 26))


def spread_note(runs: pd.DataFrame, mark: str, over: str = '') -> str:
    """Returns what medians are over, and what `mark`, if any, shows."""
    counts = runs.groupby('point').size()
    low, high = int(counts.min()), int(counts.max())
    seeds = labels.count(high, 'seed') if low == high else f'{low} to {high} seeds'
    if high == 1 and not over:
        return '1 seed a point: no spread is known.'
    shown = f'; {mark}: interquartile range' if mark else ''
    return f'Median over {over}{seeds} a point{shown}.'
