"""Learning-rate schedules: the rate at each step.

A component makes a schedule, which as in optax is a function of the number of steps taken:

    component(learning_rate, clock, **fields) -> (step -> rate)

`learning_rate` (float32 []), the float fields and `step` (int32 []) may be traced. A schedule that
depends on the past is a `Schedule` instead.

Durations are in epochs, so that a schedule means the same at every batch size, and factors are
relative to `learning_rate`.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nnstudy import errors
from nnstudy.spec import components, values
from nnstudy.spec.values import Count, Fraction, NonNegative, Positive, Range

Rate = Callable[[jax.Array], jax.Array]
Whole = Annotated[int, Range(0)]

# What training gives a schedule itself, so that a config cannot.
RESERVED = ('learning_rate', 'clock')


class Clock(NamedTuple):
    """How steps make epochs, and how long a schedule lasts."""

    steps_per_epoch: int
    epochs: int | jax.Array  # of the schedule; after a warm-up traced, and perhaps not whole
    max_epochs: int  # of the whole run

    @property
    def num_steps(self) -> int | jax.Array:
        """Duration of the schedule in steps."""
        return self.steps_per_epoch * self.epochs

    def steps(self, epochs: float) -> int:
        """Returns the number of steps closest to a duration; no run gets beyond int32."""
        return min(round(epochs * self.steps_per_epoch), 2**31 - 1)

    def progress(self, step: jax.Array) -> jax.Array:
        """Returns the share of the schedule that is done, at most 1."""
        return _share(step, self.num_steps)

    def pick(self, values: jax.Array, step: jax.Array) -> jax.Array:
        """Returns the value of a step's epoch, from one value an epoch; the last one goes on."""
        return values[jnp.minimum(step // self.steps_per_epoch, len(values) - 1)]


class Schedule(NamedTuple):
    """A schedule with a state, a tree of arrays that is part of the run's state."""

    rate: Callable[[Any, jax.Array], jax.Array]  # (state, step) -> rate, float32 []
    init: Callable[[], Any] = lambda: ()  # () -> state
    # (state, loss) -> state: called after each evaluation, that of step 0 included, with the loss
    # on the split that selects.
    observe: Callable[[Any, jax.Array], Any] = lambda state, loss: state


def make(
    component: Callable[..., Rate | Schedule],
    arguments: Mapping[str, Any],
    learning_rate: jax.typing.ArrayLike,
    steps_per_epoch: int,
    epochs: int,
) -> Schedule:
    """Returns the schedule of a run, after a warm-up if there is one (Goyal et al. 2017).

    In a warm-up the rate rises linearly from 0 to the schedule's first rate. Then the schedule
    begins to count steps, and lasts for those that are left, so that `cosine` ends with the run.
    It observes the evaluations during the warm-up too.

    `component` is a value of `SCHEDULES`, its arguments are the section's fields, of which dynamic
    ones may be traced. The learning rate is the optimizer's, the epochs are those of the run.
    """
    own = dict(arguments)
    warmup_epochs = own.pop('warmup_epochs', None)
    clock = Clock(steps_per_epoch, epochs, epochs)
    if warmup_epochs is not None:
        num_warmup = jnp.round(warmup_epochs * steps_per_epoch).astype(int)
        epochs_left = jnp.maximum(clock.num_steps - num_warmup, 1) / steps_per_epoch
        clock = clock._replace(epochs=epochs_left)
    made = component(jnp.asarray(learning_rate, jnp.float32), clock, **own)
    schedule = made if isinstance(made, Schedule) else Schedule(lambda state, step: made(step))
    if warmup_epochs is None:
        return schedule

    def rate(state: Any, step: jax.Array) -> jax.Array:
        ramp = jnp.where(step < num_warmup, step / jnp.maximum(num_warmup, 1), 1)
        return ramp * schedule.rate(state, jnp.maximum(step - num_warmup, 0))

    return schedule._replace(rate=rate)


def constant(learning_rate: jax.Array, clock: Clock) -> Rate:
    """Stays at `learning_rate`."""
    return lambda step: learning_rate


def step_decay(
    learning_rate: jax.Array,
    clock: Clock,
    boundaries: tuple[float, ...] = (),
    factor: NonNegative = 0.1,
) -> Rate:
    """Multiplies by `factor` at each of the epochs `boundaries`, to the nearest step."""
    is_increasing = all(a < b for a, b in itertools.pairwise((0, *boundaries)))
    if not boundaries or not is_increasing:
        raise _bad('boundaries', boundaries, 'increasing epochs above 0, such as (5, 8)')
    steps = jnp.array([clock.steps(epoch) for epoch in boundaries])
    return lambda step: learning_rate * jnp.power(factor, (steps <= step).sum())


def exponential(
    learning_rate: jax.Array,
    clock: Clock,
    factor: NonNegative = 0.95,
    every_epochs: Count = 1,
    staircase: bool = False,
) -> Rate:
    """Multiplies by `factor` every `every_epochs` epochs, smoothly or (`staircase`) at once."""
    period = clock.steps(every_epochs)
    # Integer division: a float quotient may fall just short of the boundary.
    return lambda step: (
        learning_rate * jnp.power(factor, step // period if staircase else step / period)
    )


def linear(learning_rate: jax.Array, clock: Clock, final_factor: NonNegative = 0.0) -> Rate:
    """Falls from 1 to `final_factor` along a straight line, until the last step."""
    return lambda step: learning_rate * (1 + (final_factor - 1) * clock.progress(step))


def linear_staircase(
    learning_rate: jax.Array,
    clock: Clock,
    decrement: NonNegative = 0.1,
    every_epochs: Count = 1,
    final_factor: NonNegative = 0.0,
) -> Rate:
    """Subtracts `decrement` every `every_epochs` epochs, at once, down to `final_factor`."""
    period = clock.steps(every_epochs)
    return lambda step: learning_rate * jnp.maximum(1 - decrement * (step // period), final_factor)


def polynomial(
    learning_rate: jax.Array,
    clock: Clock,
    power: NonNegative = 2.0,
    final_factor: NonNegative = 0.0,
) -> Rate:
    """Falls from 1 to `final_factor` as the `power` of the share of the steps that is left."""
    return lambda step: (
        learning_rate
        * (final_factor + (1 - final_factor) * jnp.power(1 - clock.progress(step), power))
    )


def cosine(learning_rate: jax.Array, clock: Clock, final_factor: NonNegative = 0.0) -> Rate:
    """Falls from 1 to `final_factor` along half a cosine (Loshchilov & Hutter 2017, SGDR)."""
    return lambda step: learning_rate * _cosine(1, final_factor, clock.progress(step))


def one_cycle(
    learning_rate: jax.Array,
    clock: Clock,
    rise: Fraction = 0.3,
    start_factor: NonNegative = 0.04,
    final_factor: NonNegative = 4e-6,
) -> Rate:
    """Rises from `start_factor` to 1, then falls to `final_factor`, both along half a cosine.

    The share `rise` of the steps is spent rising. As `optax.cosine_onecycle_schedule`, after Smith
    & Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates".
    """
    num_steps = jnp.round(clock.num_steps)
    # 0.01 more, because a whole number may come out of float32 slightly too small.
    peak = jnp.floor(rise * num_steps + 0.01)

    def rate(step: jax.Array) -> jax.Array:
        rising = _cosine(start_factor, 1, _share(step, peak))
        falling = _cosine(1, final_factor, _share(step - peak, num_steps - peak))
        return learning_rate * jnp.where(step < peak, rising, falling)

    return rate


def inverse_sqrt(learning_rate: jax.Array, clock: Clock, timescale: Positive = 1.0) -> Rate:
    """Stays at 1 for `timescale` epochs, then falls as sqrt(timescale / epoch).

    Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
    Transformer" (T5), section 3.1.2.
    """
    return lambda step: (
        learning_rate * jnp.sqrt(timescale / jnp.maximum(step / clock.steps_per_epoch, timescale))
    )


def table(learning_rate: jax.Array, clock: Clock, factors: tuple[float, ...] = ()) -> Rate:
    """Takes its factor for each epoch from `factors`; the last one goes on."""
    if not factors:
        raise _bad('factors', factors, 'a number for each epoch, such as (1, 0.1)')
    values = jnp.array(factors, jnp.float32)
    return lambda step: learning_rate * clock.pick(values, step)


def rounded(
    learning_rate: jax.Array,
    clock: Clock,
    constant_epochs: Whole = 1,
    decay: float = 0.1,
    decimals: Annotated[int, Range(0, 20)] = 4,
) -> Schedule:
    """Multiplies the rate by exp(-decay) each epoch and rounds it to `decimals` decimals.

    The first `constant_epochs` epochs keep `learning_rate` (0: even the first one has less). Each
    rate follows from the rounded one before it, as in a Keras callback that returns
    `round(rate * math.exp(-decay), decimals)`, and stops falling once it rounds to itself.
    """

    def init() -> jax.Array:
        """Returns the rates of all epochs, float32 [max_epochs]."""
        # Without the barrier XLA multiplies by 1 / scale, and 0.0027 comes out one bit off.
        scale = lax.optimization_barrier(jnp.float32(10**decimals))

        def of_epoch(rate: jax.Array, epoch: jax.Array) -> tuple[jax.Array, jax.Array]:
            lower = jnp.round(rate * jnp.exp(-decay) * scale) / scale
            rate = jnp.where(epoch < constant_epochs, rate, lower)
            return rate, rate

        return lax.scan(of_epoch, learning_rate, jnp.arange(clock.max_epochs))[1]

    return Schedule(clock.pick, init)


class Plateau(NamedTuple):
    """State of `reduce_on_plateau`."""

    scale: jax.Array  # the factor on the rate, float32 []
    best: jax.Array  # the lowest loss seen, float32 []
    num_bad: jax.Array  # evaluations since then, or since the rate was lowered, int32 []
    cooldown: jax.Array  # further evaluations that will not count, int32 []


def reduce_on_plateau(
    learning_rate: jax.Array,
    clock: Clock,
    factor: NonNegative = 0.1,
    patience: Count = 10,
    cooldown: Whole = 0,
    min_factor: NonNegative = 0.0,
    threshold: NonNegative = 1e-4,
) -> Schedule:
    """Multiplies by `factor` after `patience` evaluations in a row without a better loss.

    A loss is better if it is below the best one by the share `threshold` of it; NaN never is. The
    `cooldown` evaluations after a reduction do not count, and the factor never falls below
    `min_factor`. As `optax.contrib.reduce_on_plateau`, which takes no traced numbers, and as Keras;
    PyTorch waits for one evaluation more.
    """
    # Not infinity: infinity minus a share of itself is NaN.
    best = jnp.finfo(jnp.float32).max

    def observe(state: Plateau, loss: jax.Array) -> Plateau:
        better = loss < state.best - threshold * jnp.abs(state.best)
        num_bad = jnp.where(better | (state.cooldown > 0), 0, state.num_bad + 1)
        lowers = num_bad >= patience
        lower = jnp.maximum(state.scale * factor, min_factor)
        return Plateau(
            scale=jnp.where(lowers, lower, state.scale),
            best=jnp.where(better, loss, state.best),
            num_bad=jnp.where(lowers, 0, num_bad),
            cooldown=jnp.where(lowers, cooldown, jnp.maximum(state.cooldown - 1, 0)),
        )

    return Schedule(
        lambda state, step: learning_rate * state.scale,
        lambda: Plateau(jnp.float32(1), jnp.float32(best), jnp.int32(0), jnp.int32(0)),
        observe,
    )


def _cosine(start: float, end: float, progress: jax.Array) -> jax.Array:
    """Returns the value between `start` and `end` along half a cosine."""
    return end + (start - end) * 0.5 * (1 + jnp.cos(jnp.pi * progress))


def _share(step: jax.Array, num_steps: int | jax.Array) -> jax.Array:
    return jnp.minimum(step / jnp.maximum(num_steps, 1), 1)


def _bad(field: str, value: tuple, rule: str) -> errors.UserError:
    return errors.UserError(f'config.schedule.{field} must be {rule}, not {value!r}')


_NAMED: tuple[Callable[..., Rate | Schedule], ...] = (
    *(constant, exponential, linear, linear_staircase, polynomial, cosine, one_cycle),
    *(inverse_sqrt, table, rounded, reduce_on_plateau),
)
SCHEDULES = {schedule.__name__: schedule for schedule in _NAMED}
SCHEDULES['step'] = step_decay
# Every schedule takes the length of a warm-up too, in epochs.
SHARED = {'warmup_epochs': values.read(NonNegative | None, None)}
SLOT = components.Slot('schedule', SCHEDULES, RESERVED, shared=lambda schedule: SHARED)
