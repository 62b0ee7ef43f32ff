"""The pictures of every study: a final metric along each swept field, and the training curves.

Every figure shows all runs, how many there are, and medians and quartiles over seeds. All can be
read in black and white.
"""

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import artist, figure, patches
from matplotlib import axes as mpl_axes

from nnstudy import errors
from nnstudy.analysis import axes, comparison, intervals
from nnstudy.report import histories, labels, style
from nnstudy.results import Results

MAX_LINES = 6
# Up to this many values of a numeric x-axis have a median each; of more, neighbours share one.
MAX_PLACES = 100
# The most names along a categorical x-axis.
MAX_NAMED = 40
# The axis of a final loss ends at this many times the highest loss of a run that did not diverge.
# Otherwise the others could not be told apart beside runs that explode.
MAX_LOSS_RATIO = 3.0


def save(
    results: Results,
    directory: str | os.PathLike,
    others: Mapping[str, figure.Figure] | None = None,
) -> list[pathlib.Path]:
    """Writes `metric_vs_<field>.png` for every swept field, and `curves.png`, to `directory`.

    Fields that only follow another one are left out, see `axes.telling`.

    Args:
      results: of the study.
      directory: is made where it is not there.
      others: further figures, by file name with or without `.png`.

    Returns:
      The paths written.

    Raises:
      UserError: a file cannot be written.
    """
    swept = axes.telling(results.runs, results.swept)
    figures = {f'metric_vs_{field}': metric_vs(results, field, swept=swept) for field in swept}
    figures['curves'] = histories.curves(results, swept)
    figures |= {name.removesuffix('.png'): picture for name, picture in (others or {}).items()}
    directory = pathlib.Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f'cannot write to {str(directory)!r}: {error.strerror}') from error
    written = [directory / f'{name}.png' for name in figures]
    for path, picture in zip(written, figures.values(), strict=True):
        style.save(picture, path)
    return written


def metric_vs(
    results: Results, field: str, metric: str | None = None, swept: Sequence[str] | None = None
) -> figure.Figure:
    """Draws a final metric against one swept field.

    If other fields are swept too, each of their settings is a line. More than six settings are
    pooled into one line, and a note says so. With more than a hundred numbers along the axis,
    neighbours share a median.

    Args:
      results: of the study.
      field: dotted name of the swept field along the x-axis.
      metric: a metric column of `runs`; the test accuracy (regression: the test loss) by default.
      swept: the fields that tell points apart; by default all swept ones.

    Raises:
      UserError: the field is not swept, or the metric is no column of `runs`.
    """
    runs, swept = results.runs, list(results.swept if swept is None else swept)
    if field not in swept:
        raise errors.unknown('swept field', field, swept)
    metric = metric or f'test_{comparison.headline(runs)}'
    if metric not in (known := comparison.metrics(runs, results.directions)):
        raise errors.unknown('metric', metric, known)

    settings = axes.settings(runs, swept)
    others = [f for f in swept if f != field]
    lines = _lines(runs, settings, others)
    x = _X(axes.axis(field, settings[field]), len(lines))
    marks, notes = _marks(results, metric)
    positions = pd.Series(x.axis.positions(settings[field]), settings.index)
    marks['value'] = positions[runs['point']].to_numpy()

    picture, [[panel]] = style.panels(7.2, 4.2)
    best = comparison.best(runs)
    star = None
    handles: list[artist.Artist] = []
    for i, (name, points) in enumerate(lines.items()):
        own = marks[marks['point'].isin(points)]
        _draw_runs(panel, x, i, own, style.size(len(settings)))
        _draw_medians(panel, x, i, own)
        if len(lines) > 1:
            handles.append(style.handle(name, marker=style.MARKERS[i], markersize=5, **x.line(i)))
        if best is not None and best.point in points:
            y = own.loc[own['point'] == best.point, 'y']
            star = x.places(i)[positions[best.point]], np.quantile(y, 0.5)
    pooled, shared = bool(others) and len(lines) == 1, x.groups[-1] + 1 < len(x.groups)
    over = ''
    if pooled or shared:
        over = f'all runs at {"neighbouring values" if shared else "a value"}, '
    spread = bool(over) or bool((runs.groupby('point').size() > 1).any())
    handles += _key(runs, x, spread)
    if star and best:
        label = f'best on {best.split}:\n{labels.points(runs, swept)[best.point]}'
        handles += panel.plot(*star, label=label, linestyle='', **style.STAR)

    _name_values(panel, x)
    if not np.isfinite(marks['y']).any():
        style.say_empty(panel)
    elif not results.higher_is_better(metric) and style.spans(marks['y'].to_numpy()):
        style.log_y(panel)
    panel.set_xlabel(field)
    panel.set_ylabel(labels.metric(metric))
    notes.insert(0, histories.spread_note(runs, 'band' if x.axis.numbers else 'bar', over))
    if pooled:
        notes.append(f'Pooled over {", ".join(others)}; the star shows the best point only.')
    title = f'Final {labels.metric_name(metric)} against {field}'
    style.finish(picture, title, notes, handles, ', '.join(others) if len(lines) > 1 else None)
    return picture


def loss_ceiling(results: Results, metric: str) -> float:
    """Returns the upper end of a picture of a final loss; infinite where nothing is cut."""
    runs = results.runs
    values = runs[metric].to_numpy(np.float64, na_value=np.nan)
    calm = values[np.isfinite(values) & (runs['status'] != 'diverged').to_numpy()]
    if results.higher_is_better(metric) or not calm.size or calm.max() <= 0:
        return math.inf
    return MAX_LOSS_RATIO * calm.max()


def _lines(runs: pd.DataFrame, settings: pd.DataFrame, others: list[str]) -> dict[str, list[int]]:
    """Returns the points of each line by its name; a single line if there would be too many."""
    names = labels.points(runs, others)
    if not 1 < len(set(names.values())) <= MAX_LINES:
        return {'': list(settings.index)}
    ranks = pd.DataFrame(
        {field: axes.axis(field, settings[field]).positions(settings[field]) for field in others},
        settings.index,
    )
    lines: dict[str, list[int]] = {}
    for point in ranks.sort_values(others, kind='stable').index:
        lines.setdefault(names[point], []).append(point)
    return lines


def _marks(results: Results, metric: str) -> tuple[pd.DataFrame, list[str]]:
    """Returns where every run's metric is drawn, and notes on it.

    Returns:
      A row a run: `point`; `y`, in the metric's unit, for marks and medians; `diverged`; and
      `lost`, whether the run is drawn at the bottom edge because it has no finite accuracy.
    """
    runs = results.runs
    finite = np.isfinite(runs[metric].to_numpy(np.float64, na_value=np.nan))
    values = comparison.finite_or_worst(runs, results.directions)[metric].to_numpy() * labels.scale(
        metric
    )
    diverged = (runs['status'] == 'diverged').to_numpy()
    marks = pd.DataFrame(
        {'point': runs['point'].to_numpy(), 'y': values, 'diverged': diverged, 'lost': False}
    )
    without = f'{labels.count(int((~finite).sum()), "run")} without a finite value'
    if results.higher_is_better(metric):
        if finite.all():
            return marks, []
        counted = ', counted as the worst finite one' if finite.any() else ''
        return marks.assign(lost=~finite), [f'{without}: drawn at the bottom edge{counted}.']
    ceiling = loss_ceiling(results, metric)
    if (values > ceiling).any():
        beyond = (values > ceiling) | ~finite
        some = labels.count(int(beyond.sum()), 'run')
        note = f'{some} above {labels.number(ceiling)}: drawn there.'
        return marks.assign(y=np.where(beyond, ceiling, values)), [note]
    if finite.all() or not finite.any():
        return marks, []
    return marks, [f'{without}: drawn at the worst finite one.']


@dataclasses.dataclass(frozen=True)
class _X:
    """The x-axis of `metric_vs`: where the values of a field, its runs and medians are drawn.

    Attributes:
      axis: the values of the field.
      num_lines: number of lines; on a categorical axis they are drawn side by side.
    """

    axis: axes.Axis
    num_lines: int

    def line(self, i: int) -> dict[str, Any]:
        """Returns how line i is drawn; on a categorical axis medians are not joined."""
        dashes = style.DASHES[i] if self.axis.numbers else ''
        return {'color': style.shade(i, self.num_lines), 'linestyle': dashes}

    def places(self, i: int = 0) -> np.ndarray:
        """Returns where each value is drawn in line i, in data units `[values]`."""
        axis = self.axis
        if not axis.numbers:
            middle = np.arange(len(axis.values), dtype=np.float64)
            return middle + (0.6 * (i / (self.num_lines - 1) - 0.5) if self.num_lines > 1 else 0)
        # Values that are not on the scale, such as None, are one step to its left.
        steps = np.arange(-len(axis.apart), 0) * np.clip(1 / (len(axis.scale) - 1), 0.1, 0.25)
        first, last = axis.scale[0], axis.scale[-1]
        if axis.logarithmic:
            return np.append(first * (last / first) ** steps, axis.scale)
        return np.append(first + steps * (last - first), axis.scale)

    def aside(self, places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Returns `places` moved sideways: offsets -1 and 1 are the ends of the room of a value."""
        axis = self.axis
        if not axis.numbers:
            return places + (0.05 if self.num_lines > 1 else 0.22) * offsets
        # A small part of the step between values, so that the value can still be read off.
        scale = np.log(axis.scale) if axis.logarithmic else np.asarray(axis.scale)
        width = 0.12 * min(np.diff(scale).min(), (scale[-1] - scale[0]) / 10)
        return places * np.exp(width * offsets) if axis.logarithmic else places + width * offsets

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """Which values share a median, as rising numbers of groups `[values]`.

        Each value has its own, up to `MAX_PLACES` numbers; a line through thousands of medians
        could not be read.
        """
        apart, scale = len(self.axis.apart), len(self.axis.scale)
        groups = np.arange(len(self.axis.values))
        if scale > MAX_PLACES:
            groups[apart:] = apart + np.arange(scale) * MAX_PLACES // scale
        return groups


def _draw_runs(panel: mpl_axes.Axes, x: _X, i: int, line: pd.DataFrame, size: float) -> None:
    """Draws the runs of line i, those of one value side by side, so that none hides another.

    Args:
      panel: where to.
      x: the x-axis.
      i: number of the line.
      line: its `_marks`, with `value`, the position of the run's value on the axis.
      size: of the marks.
    """
    value = line['value'].to_numpy()
    order, n = line.groupby('value').cumcount().to_numpy(), np.bincount(value)[value]
    offsets = np.where(n > 1, 2 * order / np.maximum(n - 1, 1) - 1, 0.0)
    across = x.aside(x.places(i)[value], offsets)
    color = x.line(i)['color']
    red = color if x.num_lines > 1 else style.RED
    y, lost, diverged = (line[name].to_numpy() for name in ('y', 'lost', 'diverged'))
    for here, shade, mark in (~diverged, color, style.RUN), (diverged, red, style.DIVERGED):
        look = {'color': shade, 'linestyle': '', **mark, 'markersize': size * mark['markersize']}
        panel.plot(across[here & ~lost], y[here & ~lost], **look)
        if (here & lost).any():
            # Their y is in shares of the panel's height.
            edge: dict[str, Any] = {'transform': panel.get_xaxis_transform(), 'clip_on': False}
            panel.plot(across[here & lost], np.zeros((here & lost).sum()), **edge, **look)


def _draw_medians(panel: mpl_axes.Axes, x: _X, i: int, line: pd.DataFrame) -> None:
    """Draws the medians and quartiles of line i, one of each of the groups of values.

    Medians are joined along a numeric scale; elsewhere each stands alone with a bar. The arguments
    are those of `_draw_runs`.
    """
    num_groups = x.groups[-1] + 1
    of_runs = x.groups[line['value']]
    spread = intervals.quartiles_by(of_runs, line['y'], num_groups)
    # The middle of each group.
    across = intervals.quartiles_by(x.groups, x.places(i), num_groups)[:, 1]
    drawn = np.bincount(of_runs, minlength=num_groups) > 0
    size = style.size(num_groups)
    scaled = np.arange(num_groups) >= (len(x.axis.apart) if x.axis.numbers else num_groups)
    look = x.line(i)
    mark = look | {'linestyle': '', 'marker': style.MARKERS[i], 'zorder': 4}
    if (joined := drawn & scaled).any():
        q25, median, q75 = spread[joined].T
        band = {'color': look['color'], 'alpha': 0.2, 'linewidth': 0, 'zorder': 1}
        panel.fill_between(across[joined], q25, q75, **band)
        panel.plot(across[joined], median, linewidth=1.6, zorder=4, **look)
        panel.plot(across[joined], median, markersize=size * 4.5, **mark)
    if (alone := drawn & ~scaled).any():
        q25, median, q75 = spread[alone].T
        bar = {'color': look['color'], 'alpha': 0.3, 'linewidth': size * 7, 'zorder': 1}
        panel.vlines(across[alone], q25, q75, **bar)
        panel.plot(across[alone], median, markersize=size * 6.5, **mark)


def _key(runs: pd.DataFrame, x: _X, spread: bool) -> list[artist.Artist]:
    """Returns the legend's entries that say what the marks mean."""
    many = x.num_lines > 1
    color = '0.35' if many else style.BLUE
    handles: list[artist.Artist] = []
    if not many:
        handles.append(style.handle('median', marker='o', markersize=4.5, **x.line(0)))
    if spread:
        handles.append(patches.Patch(color=color, alpha=0.25, lw=0, label='interquartile range'))
    handles.append(style.handle('single run', color, '', **style.RUN))
    if diverged := int((runs['status'] == 'diverged').sum()):
        label = f'diverged run\n({diverged} of {len(runs)})'
        handles.append(style.handle(label, color if many else style.RED, '', **style.DIVERGED))
    return handles


def _name_values(panel: mpl_axes.Axes, x: _X) -> None:
    """Names the values along the x-axis, on a log scale if the axis is logarithmic."""
    axis, places = x.axis, x.places()
    texts = labels.values(axis.values)
    if not axis.numbers:
        step = math.ceil(len(places) / MAX_NAMED)
        named = [texts[value] for value in axis.values[::step]]
        panel.set_xticks(places[::step], named)
        panel.set_xlim(-0.6, len(places) - 0.4)
        if sum(map(len, named)) > 60:
            panel.tick_params(axis='x', labelrotation=30)
            for label in panel.get_xticklabels():
                label.set(horizontalalignment='right', rotation_mode='anchor')
        return
    if axis.logarithmic:
        panel.set_xscale('log')
    named = [texts[value] for value in axis.apart]
    ticks = style.ticks(axis.scale, axis.logarithmic)
    named += [texts.get(tick, labels.number(tick)) for tick in ticks]
    panel.set_xticks([*places[: len(axis.apart)], *ticks], named)
    panel.set_xticks([], minor=True)
    if axis.apart:
        first, last = places[len(axis.apart) - 1 : len(axis.apart) + 1]
        border = math.sqrt(first * last) if axis.logarithmic else (first + last) / 2
        panel.axvline(border, color=style.GREY, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
