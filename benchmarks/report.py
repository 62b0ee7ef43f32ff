"""What was measured, as a table, a chart and JSON."""

import datetime
import json
import platform
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import axes, ticker
from rich import markup
from rich.table import Table

from benchmarks import session, workloads
from benchmarks.session import Measured
from nnstudy import errors
from nnstudy.report import labels, style

# How sides are written and drawn; they differ in brightness and hatching too.
TITLES = {'nnstudy': 'nnstudy', 'pytorch': 'PyTorch', 'keras': 'Keras fit', 'jax': 'JAX loop'}
FACES = {'pytorch': style.RED, 'keras': '#e8b04a', 'jax': style.BLUE}
HATCHES = {'pytorch': None, 'keras': '///', 'jax': '...'}

QUIET = 0.05  # share of the cores

CAPTION = (
    'µs: of a step of one run, the time divided by runs × steps; nnstudy trains all runs at once, '
    'a peer one after the other. Of a core: what all threads together kept cores busy, which other '
    'processes disturb the least. Medians of {repeats} interleaved repeats [min–max]. Ratios: how '
    'many times as long a peer takes, repeat by repeat; × best is against the fastest peer. '
    'Compiling: of the first step, not in the times.'
)


def environment() -> dict[str, Any]:
    """Returns the machine and the time."""
    return {
        'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'cpu': _cpu(),
        'cores': session.num_cores(),
        'platform': platform.platform(),
        'python': platform.python_version(),
    }


def _cpu() -> str:
    path = Path('/proc/cpuinfo')
    lines = path.read_text().splitlines() if path.is_file() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return models[0] if models else platform.processor() or platform.machine()


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Writes a median with its range: `2.1 [2.0–2.4]`."""
    median, low, high = (_number(f(values), digits) for f in (statistics.median, min, max))
    return f'{median} [{low}–{high}]'


def _number(value: float, digits: int) -> str:
    return f'{value:,.0f}' if value >= 10 ** (digits - 1) else labels.number(value, digits)


def as_json(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Returns a workload's measurements as plain data."""
    ours = measured['nnstudy']
    return {
        side: {
            'us_per_run_step': [1e6 * seconds for seconds in m.seconds],
            'core_us_per_run_step': [1e6 * seconds for seconds in m.core_seconds],
            'run_steps': m.run_steps,
            'compile_seconds': m.compile_seconds,
            'ratios': session.ratios(m, ours) if m.seconds else [],
            'losses': m.losses,
            'unfair': m.unfair,
            'settings': m.settings,
            'others': m.others,
        }
        for side, m in measured.items()
    }


def save(results: Mapping[str, Any], folder: Path, name: str = 'results.json') -> None:
    """Writes the results as JSON, to a file of that name.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(results, indent=1) + '\n')
    except OSError as error:
        raise errors.UserError(f'cannot write to --out {str(folder)!r}: {error}') from error


def table(measured: Mapping[str, Mapping[str, Measured]], repeats: int) -> Table:
    """Returns the comparison, a row for each workload and side."""
    result = Table(caption=markup.escape(CAPTION.format(repeats=repeats)), caption_justify='left')
    for name in ('workload', 'side'):
        result.add_column(name)
    for name in ('µs a run-step', 'of a core', 'compiling s', 'ratio to nnstudy'):
        result.add_column(name, justify='right', no_wrap=True)
    result.add_column('how')
    for workload, sides in measured.items():
        title = f'{workload} {workloads.WORKLOADS[workload].title}'
        ours = sides['nnstudy']
        timed = [side for side, m in sides.items() if m.seconds and side != 'nnstudy']
        best = min(timed, key=lambda side: sides[side].median, default=None)
        for side, m in sides.items():
            compiling = '' if m.compile_seconds is None else f'{m.compile_seconds:.1f}'
            how = ', '.join(f'{name} {value}' for name, value in m.settings.items())
            ratio = ''
            if m.seconds and side != 'nnstudy':
                ratio = spread(session.ratios(m, ours)) + (' × best' if side == best else ' ×')
            result.add_row(
                title if side == 'nnstudy' else '',
                TITLES[side],
                spread([1e6 * seconds for seconds in m.seconds]) if m.seconds else 'not timed',
                _number(1e6 * statistics.median(m.core_seconds), 3) if m.seconds else '',
                compiling,
                ratio,
                m.unfair or how,
            )
        result.add_section()
    return result


def crowd_line(measured: Mapping[str, Mapping[str, Measured]]) -> str | None:
    """Says how busy other processes were; None if they hardly were, or if that is not known."""
    shares = [share for sides in measured.values() for m in sides.values() for share in m.others]
    share = statistics.mean(shares) if shares else 0.0
    if share < QUIET:
        return None
    return (
        f'other processes used {share:.0%} of the cores during the timings, and {max(shares):.0%} '
        'in the worst repeat: measure again on a quiet machine'
    )


def chart(measured: Mapping[str, Mapping[str, Measured]], path: Path, note: str) -> None:
    """Draws the ratios of all peers, a group of bars for each workload."""
    peers = [s for s in session.PEERS if any(m.get(s) and m[s].seconds for m in measured.values())]
    height = 0.8 / max(1, len(peers))
    picture, [[panel]] = style.panels(8, 1.3 + 0.6 * len(measured))
    for row, sides in enumerate(measured.values()):
        for place, side in enumerate(peers):
            if side not in sides:
                continue
            y = row + (place - (len(peers) - 1) / 2) * height
            if sides[side].unfair:
                _write(panel, 1, y, f'{TITLES[side]} not timed: other losses')
                continue
            values = session.ratios(sides[side], sides['nnstudy'])
            median, low, high = statistics.median(values), min(values), max(values)
            # From 1 on, to the right where nnstudy is faster.
            panel.barh(
                y,
                median - 1,
                height * 0.9,
                left=1,
                color=FACES[side],
                hatch=HATCHES[side],
                edgecolor='white',
                linewidth=0,
                label=TITLES[side],
            )
            panel.plot([low, high], [y, y], color=style.INK, linewidth=1.1)
            _write(panel, max(high, 1), y, f'{_number(median, 3 if median < 10 else 2)}×')
    panel.set_xscale('log')
    panel.axvline(1, color=style.INK, linewidth=1)
    panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f'{labels.number(x)}×'))
    panel.set_yticks(range(len(measured)))
    titles = [f'{name}  {workloads.WORKLOADS[name].title}' for name in measured]
    panel.set_yticklabels(['\n'.join(textwrap.wrap(title, 34)) for title in titles], fontsize=8.5)
    panel.invert_yaxis()
    panel.grid(visible=False, axis='y')
    panel.margins(x=0.12)
    panel.set_xlabel('time of a run-step ÷ that of nnstudy (log scale)', fontsize=9)
    drawn = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    title = 'How many times as long the usual loops take'
    style.finish(picture, title, [note], list(drawn.values()))
    style.save(picture, path)


def _write(panel: axes.Axes, x: float, y: float, text: str) -> None:
    """Writes to the right of the end of a bar."""
    panel.annotate(
        text,
        (x, y),
        xytext=(4, 0),
        textcoords='offset points',
        va='center',
        fontsize=8,
        color=style.INK,
    )


def machine_line(about: Mapping[str, Any]) -> str:
    """Writes the machine: `AMD EPYC, 2 cores`."""
    return f'{about["cpu"]}, {labels.count(about["cores"], "core")}'


def experiment(rows: Sequence[Any]) -> Table:
    """Returns the rows of `benchmarks.scaling` as a table."""
    result = Table(caption=markup.escape('Medians [min–max].'), caption_justify='left')
    result.add_column('what')
    result.add_column('median', justify='right', no_wrap=True)
    result.add_column('unit')
    result.add_column('about')
    for row in rows:
        result.add_row(row.name, spread(row.samples), row.unit, row.about)
    return result
