"""The pictures of every study: a final metric along each swept field, and the training curves.

Every figure shows all runs, how many there are, and medians and quartiles over seeds. All can be
read in black and white.
"""

import dataclasses
import functools
import math
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
    results: Results, directory: pathlib.Path, others: Mapping[str, figure.Figure] = {}
) -> list[pathlib.Path]:
    """Writes `metric_vs_<field>.png` for every swept field, `curves.png`, and `others` by name.

    Fields that only follow another one are left out, see `axes.telling`. Returns the paths.

    Raises:
      UserError: a file cannot be written, or `others` are no figures by name.
    """
    is_by_name = isinstance(others, Mapping)
    if not is_by_name or not all(isinstance(one, figure.Figure) for one in others.values()):
        raise errors.UserError(
            f'pictures must return matplotlib figures by file name, not {others!r}'
        )
    swept = axes.telling(results.runs, results.swept)
    figures = {f'metric_vs_{field}': metric_vs(results, field, swept=swept) for field in swept}
    figures['curves'] = histories.curves(results, swept)
    figures |= {name.removesuffix('.png'): picture for name, picture in others.items()}
    with errors.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    return [style.save(picture, directory / f'{name}.png') for name, picture in figures.items()]


def metric_vs(
    results: Results, field: str, metric: str | None = None, swept: Sequence[str] | None = None
) -> figure.Figure:
    """Draws a final metric against one swept field.

    If other fields tell points apart too (`swept`, by default all swept ones), each of their
    settings is a line. More than six settings are pooled into one line, and a note says so. With
    more than a hundred numbers along the axis, neighbours share a median. The metric is a column of
    `runs`, by default the test accuracy (regression: the test loss).

    Raises:
      UserError: the field is not swept, or the metric is no column of `runs`.
    """
    runs, swept = results.runs, list(results.swept if swept is None else swept)
    errors.check_known('swept field', field, swept)
    metric = metric or f'test_{comparison.headline(runs)}'
    errors.check_known('metric', metric, comparison.metrics(runs, results.directions))

    settings, others = axes.settings(runs, swept), [f for f in swept if f != field]
    lines = _lines(runs, others)
    x = _X(axes.axis(field, settings[field]), len(lines))
    marks, notes = _marks(results, metric)
    values = pd.Series(x.axis.positions(settings[field]), settings.index)
    marks['value'] = values[runs['point']].to_numpy()
    best, star = comparison.best(runs), []

    picture, [[panel]] = style.panels(7.2, 4.2)
    handles: list[artist.Artist] = []
    for i, (name, points) in enumerate(lines.items()):
        own = marks[marks['point'].isin(points)]
        _draw_runs(panel, x, i, own, style.size(len(settings)))
        _draw_medians(panel, x, i, own)
        handles.append(style.handle(name or 'median', marker=style.MARKERS[i], **x.line(i)))
        if best is not None and best.point in points:
            y = np.quantile(own.loc[own['point'] == best.point, 'y'], 0.5)
            label = f'best on {best.split}:\n{labels.points(runs, swept)[best.point]}'
            star = panel.plot(x.places(values[best.point], i), y, label=label, **style.STAR)
    pooled, over = len(lines) == 1 and bool(others), ''
    if pooled or len(set(x.groups)) < len(x.groups):
        over = (
            f'all runs at {"a value" if len(x.groups) <= MAX_PLACES else "neighbouring values"}, '
        )
    is_spread = bool(over) or len(runs) > len(settings)
    handles += [*_key(runs, len(lines) > 1, is_spread), *star]

    _name_values(panel, x)
    if not np.isfinite(marks['y']).any():
        style.say_empty(panel)
    elif not results.higher_is_better(metric) and style.spans(marks['y'].to_numpy()):
        style.log_y(panel)
    panel.set_xlabel(field)
    panel.set_ylabel(labels.metric(metric))
    notes.insert(0, histories.spread_note(runs, 'band' if x.axis.scale else 'bar', over=over))
    if pooled:
        notes.append(f'Pooled over {", ".join(others)}; the star shows the best point only.')
    title = f'Final {labels.metric(metric).removesuffix(" (%)")} against {field}'
    legend_title = ', '.join(others) if len(lines) > 1 else None
    return style.finish(picture, title, notes, handles, legend_title)


def loss_ceiling(results: Results, metric: str) -> float:
    """Returns the upper end of a picture of a final loss; infinite where nothing is cut."""
    runs = results.runs
    values = runs[metric].to_numpy(np.float64, na_value=np.nan)
    calm = values[np.isfinite(values) & (runs['status'] != 'diverged').to_numpy()]
    if results.higher_is_better(metric) or not calm.size or calm.max() <= 0:
        return math.inf
    return MAX_LOSS_RATIO * calm.max()


def _lines(runs: pd.DataFrame, others: list[str]) -> dict[str, list[int]]:
    """Returns the points of each line by its name; a single line if there would be too many."""
    names, lines = labels.points(runs, others), dict[str, list[int]]()
    are_few = 1 < len(set(names.values())) <= MAX_LINES
    for point, name in names.items():
        lines.setdefault(name if are_few else '', []).append(point)
    return lines


def _marks(results: Results, metric: str) -> tuple[pd.DataFrame, list[str]]:
    """Returns where every run's metric is drawn, a row a run, and notes on it.

    `y` is in the metric's unit; a run that is `lost` is drawn at the bottom edge, because it has
    no finite accuracy.
    """
    runs, higher = results.runs, results.higher_is_better(metric)
    finite = np.isfinite(runs[metric].to_numpy(np.float64, na_value=np.nan))
    y = comparison.finite_or_worst(runs, results.directions)[metric].to_numpy()
    y, ceiling, notes = y * labels.scale(metric), loss_ceiling(results, metric), []
    if (y > ceiling).any():
        beyond = (y > ceiling) | ~finite
        y = np.where(beyond, ceiling, y)
        notes = [
            f'{labels.count(beyond.sum(), "run")} above {labels.number(ceiling)}: drawn there.'
        ]
    elif finite.any() and not finite.all():
        where = 'the bottom edge, counted as the worst finite one' if higher else 'the worst one'
        some = labels.count((~finite).sum(), 'run')
        notes = [f'{some} without a finite value: drawn at {where}.']
    diverged, lost = runs['status'] == 'diverged', higher & ~finite
    return runs[['point']].assign(y=y, diverged=diverged, lost=lost), notes


@dataclasses.dataclass(frozen=True)
class _X:
    """The x-axis of `metric_vs`: where the values of a field, its runs and medians are drawn.

    On a categorical axis, the `num_lines` lines are side by side, and medians are not joined.
    """

    axis: axes.Axis
    num_lines: int

    def line(self, i: int) -> dict[str, Any]:
        """Returns how line i is drawn."""
        dashes = style.DASHES[i] if self.axis.scale else ''
        return {'color': style.shade(i, self.num_lines), 'linestyle': dashes}

    def places(self, values: Any, i: float, offsets: Any = 0.0) -> np.ndarray:
        """Returns where values, given by their positions on the axis, are drawn in line i.

        Offsets are to the side: -1 and 1 are the ends of the room that a value has.
        """
        if not self.axis.scale:
            aside = 0.6 * (i / (self.num_lines - 1) - 0.5) if self.num_lines > 1 else 0
            return values + aside + (0.05 if self.num_lines > 1 else 0.22) * offsets
        warp, unwarp = (np.log, np.exp) if self.axis.logarithmic else (np.asarray, np.asarray)
        scale = warp(self.axis.scale)
        length = scale[-1] - scale[0]
        # Values that are not on the scale, such as None, are one step to its left.
        step = length * np.clip(1 / (len(scale) - 1), 0.1, 0.25)
        apart = scale[0] + step * np.arange(-len(self.axis.apart), 0)
        # A small part of the step between values, so that the value can still be read off.
        room = 0.12 * min(np.diff(scale).min(), length / 10)
        return unwarp(np.append(apart, scale)[values] + room * offsets)

    @functools.cached_property
    def groups(self) -> np.ndarray:
        """Which values share a median, as rising numbers of groups `[values]`.

        Each has its own, up to `MAX_PLACES` numbers; a line through more could not be read.
        """
        values = np.arange(len(self.axis.values))
        apart, scale = len(self.axis.apart), len(self.axis.scale)
        shared = apart + (values - apart) * MAX_PLACES // max(1, scale)
        return np.where(values < apart, values, shared) if scale > MAX_PLACES else values


def _draw_runs(panel: mpl_axes.Axes, x: _X, i: int, line: pd.DataFrame, size: float) -> None:
    """Draws the runs of line i, those of one value side by side, so that none hides another.

    `line` has its `_marks`, with `value`, the position of the run's value on the axis.
    """
    of_value = line.groupby('value')['y']
    last = of_value.transform('size') - 1
    line = line.assign(offset=2 * of_value.cumcount() / last.clip(lower=1) - last.clip(upper=1))
    for (diverged, lost), some in line.groupby(['diverged', 'lost']):
        look = {**(style.DIVERGED if diverged else style.RUN), 'color': x.line(i)['color']}
        if diverged and x.num_lines == 1:
            look['color'] = style.RED
        if lost:  # their y is in shares of the panel's height
            look |= {'transform': panel.get_xaxis_transform(), 'clip_on': False}
        look['ms'] *= size
        across = x.places(some['value'], i, some['offset'])
        panel.plot(across, some['y'] * (not lost), linestyle='', **look)


def _draw_medians(panel: mpl_axes.Axes, x: _X, i: int, line: pd.DataFrame) -> None:
    """Draws the medians and quartiles of line i, one of each of the groups of values.

    Medians are joined along a numeric scale; elsewhere each stands alone with a bar.
    """
    num_groups = x.groups[-1] + 1
    of_runs = x.groups[line['value']]
    spread = intervals.quartiles_by(of_runs, line['y'], num_groups)
    # The middle of each group.
    places = x.places(np.arange(len(x.groups)), i)
    across = intervals.quartiles_by(x.groups, places, num_groups)[:, 1]
    drawn = np.unique(of_runs)
    num_apart = len(x.axis.apart) if x.axis.scale else num_groups
    joined, alone = drawn[drawn >= num_apart], drawn[drawn < num_apart]
    size, look = style.size(num_groups), x.line(i)
    if joined.size:
        style.curve(panel, across[joined], spread[joined], linewidth=1.6, **look)
    bar = {'color': look['color'], 'alpha': 0.3, 'linewidth': size * 7, 'zorder': 1}
    panel.vlines(across[alone], spread[alone, 0], spread[alone, 2], **bar)
    look |= {'linestyle': '', 'marker': style.MARKERS[i], 'zorder': 4}
    panel.plot(across[drawn], spread[drawn, 1], ms=size * (4.5 if joined.size else 6.5), **look)


def _key(runs: pd.DataFrame, many: bool, is_spread: bool) -> list[artist.Artist]:
    """Returns the legend's entries that say what the marks of one or many lines mean."""
    color, red = ('0.35', '0.35') if many else (style.BLUE, style.RED)
    handles: list[artist.Artist] = []
    if is_spread:
        handles.append(patches.Patch(color=color, alpha=0.25, lw=0, label='interquartile range'))
    handles.append(style.handle('single run', color=color, linestyle='', **style.RUN))
    if diverged := int((runs['status'] == 'diverged').sum()):
        label = f'diverged run\n({diverged} of {len(runs)})'
        handles.append(style.handle(label, color=red, linestyle='', **style.DIVERGED))
    return handles


def _name_values(panel: mpl_axes.Axes, x: _X) -> None:
    """Names the values along the x-axis, on a log scale if the axis is logarithmic."""
    axis, texts = x.axis, [*labels.values(x.axis.values).values()]
    places, apart = x.places(np.arange(len(texts)), (x.num_lines - 1) / 2), len(x.axis.apart)
    look: dict[str, Any] = {}
    if axis.scale:
        named = dict(zip(places[:apart], texts, strict=False)) | style.ticks(axis)
        panel.set_xscale('log' if axis.logarithmic else 'linear')
    else:
        step = math.ceil(len(places) / MAX_NAMED)
        named = dict(zip(places[::step], texts[::step], strict=True))
        panel.set_xlim(-0.6, len(places) - 0.4)
        if sum(map(len, named.values())) > 60:
            look = {'rotation': 30, 'ha': 'right', 'rotation_mode': 'anchor'}
    panel.set_xticks([*named], [*named.values()], **look)
    panel.set_xticks([], minor=True)
    if apart:
        last, first = places[apart - 1 : apart + 1]
        border = math.sqrt(first * last) if axis.logarithmic else (first + last) / 2
        panel.axvline(border, color=style.GREY, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
