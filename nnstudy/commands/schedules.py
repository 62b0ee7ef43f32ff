"""Draws learning-rate schedules, rate against epoch, in one picture."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib import figure

from nnstudy import commands
from nnstudy.report import labels, style
from nnstudy.spec import components
from nnstudy.training import schedules

LEARNING_RATE = 0.1
STEPS_PER_EPOCH = 100
COLUMNS = 5


class Example(NamedTuple):
    """A panel: a schedule by name, fields of its section, and the epochs at which a phase ends."""

    name: str
    fields: dict[str, Any]
    moments: tuple[float, ...] = ()


def examples(epochs: int) -> list[Example]:
    """Returns the panels; durations are proportional to the number of epochs."""
    boundaries = (epochs / 2, 0.75 * epochs)
    constant = max(1, epochs // 3)
    return [
        Example('constant', {}),
        Example('step', {'boundaries': boundaries, 'factor': 0.5}, boundaries),
        Example('exponential', {'factor': 0.8}),
        Example('exponential', {'factor': 0.8, 'staircase': True}),
        Example('linear', {'final_factor': 0.1}),
        Example('linear_staircase', {'decrement': 0.15, 'final_factor': 0.1}),
        Example('polynomial', {'power': 2.0}),
        Example('cosine', {}),
        Example('cosine', {'warmup_epochs': epochs / 4}, (epochs / 4,)),
        Example('one_cycle', {'rise': 0.3}, (0.3 * epochs,)),
        Example('inverse_sqrt', {'timescale': epochs / 6}, (epochs / 6,)),
        Example('table', {'factors': (0.2, 1.0, 0.5, 0.8, 0.4)}),
        Example('rounded', {'constant_epochs': constant, 'decay': 0.2, 'decimals': 2}, (constant,)),
        Example('reduce_on_plateau', {'factor': 0.5, 'patience': 2}),
    ]


def rates(example: Example, epochs: int) -> np.ndarray:
    """Returns the rates of all steps, float32 [epochs * STEPS_PER_EPOCH]."""
    schedule = schedules.make(
        schedules.SCHEDULES[example.name], example.fields, LEARNING_RATE, STEPS_PER_EPOCH, epochs
    )

    def epoch(state: Any, start_and_loss: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        start, loss = start_and_loss
        state = schedule.observe(state, loss)
        at = jax.vmap(lambda step: jnp.asarray(schedule.rate(state, step), jnp.float32))
        return state, at(start + jnp.arange(STEPS_PER_EPOCH))

    starts = STEPS_PER_EPOCH * jnp.arange(epochs)
    seen = jnp.asarray(losses(epochs)[:-1], jnp.float32)
    return np.ravel(lax.scan(epoch, schedule.init(), (starts, seen))[1])


def losses(epochs: int) -> np.ndarray:
    """Returns a made-up loss of each evaluation, [epochs + 1]: it stalls, falls again, stalls."""
    share = np.arange(epochs + 1) / epochs
    return 0.3 + 0.6 * np.maximum(1 - 4 * share, 0) - 0.2 * np.clip(6 * share - 3.5, 0, 1)


def draw(shown: Sequence[Example], epochs: int) -> figure.Figure:
    """Returns the picture: a panel for each example, all on the same axes."""
    picture, panels = style.wrapped(len(shown), COLUMNS, 2.5, 2.2, sharex=True, sharey=True)
    notes = [f'optimizer.learning_rate = {LEARNING_RATE:g}, {labels.count(epochs, "epoch")}.']
    for panel, example in zip(panels, shown, strict=True):
        fields = ', '.join(f'{name}={_text(value)}' for name, value in example.fields.items())
        title = [example.name, *textwrap.wrap(fields, 34)]
        for moment in example.moments:
            panel.axvline(moment, color=style.GREY, linestyle=(0, (1, 1.5)), linewidth=1)
            notes.append('Dotted: where a phase begins or ends.')
        if example.name == 'reduce_on_plateau':
            title.append('on a made-up loss that stalls')
            look = {'color': style.GREY, 'linestyle': style.DASHES[1], 'marker': '.', 'ms': 4}
            panel.plot(LEARNING_RATE * losses(epochs), linewidth=1, **look)
            notes.append('Grey dashes: the loss, not to scale; an evaluation at each dot.')
        panel.set_title('\n'.join(title), loc='left', fontsize=8.5)
        values = rates(example, epochs)
        edges = np.arange(len(values) + 1) / STEPS_PER_EPOCH
        panel.stairs(values, edges, baseline=None, color=style.BLUE, linewidth=1.6, zorder=3)
    for panel in panels[-COLUMNS:]:
        style.epochs(panel)
    for panel in panels[::COLUMNS]:
        panel.set_ylabel('learning rate')
    panels[0].set(xlim=(0, epochs), ylim=(0, 1.08 * LEARNING_RATE))
    return style.finish(picture, 'Learning-rate schedules', notes)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f'({", ".join(map(labels.value, value))})'
    return labels.value(value)


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy schedules', __doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='schedules; default: all')
    parser.add_number('--epochs', 12, 'number of epochs')
    parser.add_out('schedules.png')
    flags = parser.parse_args(argv)
    for name in flags.names:
        components.get('schedule', schedules.SCHEDULES, name)
    names = flags.names or schedules.SCHEDULES
    shown = [example for example in examples(flags.epochs) if example.name in names]
    style.save(draw(shown, flags.epochs), flags.out)
    print(f'picture: {flags.out}')
