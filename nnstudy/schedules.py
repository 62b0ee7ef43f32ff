"""Learning-rate schedules: the factor on `optimizer.learning_rate` at a moment of training.

A schedule is `schedule(step, steps_per_epoch, epochs, **fields) -> factor`: the steps done (int32,
traced), the mini-batches of an epoch, and the epochs that the run trains for. Fields are in units
of epochs, so that one schedule means the same at every batch size. Float fields are dynamic.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from nnstudy import errors


def constant(step: jax.Array, steps_per_epoch: int, epochs: int) -> jax.Array:
    """Returns 1."""
    del steps_per_epoch, epochs
    return jnp.ones_like(step, jnp.float32)


def cosine(
    step: jax.Array, steps_per_epoch: int, epochs: int, *, final_factor: float = 0.0
) -> jax.Array:
    """Falls from 1 to `final_factor` along half a cosine (Loshchilov & Hutter 2017, SGDR)."""
    shape = 0.5 * (1 + jnp.cos(jnp.pi * _progress(step, steps_per_epoch * epochs)))
    return final_factor + (1 - final_factor) * shape


def linear(
    step: jax.Array, steps_per_epoch: int, epochs: int, *, final_factor: float = 0.0
) -> jax.Array:
    """Falls from 1 to `final_factor` along a straight line."""
    return 1 + (final_factor - 1) * _progress(step, steps_per_epoch * epochs)


def exponential(
    step: jax.Array,
    steps_per_epoch: int,
    epochs: int,
    *,
    factor: float = 0.95,
    every_epochs: int = 1,
    staircase: bool = False,
) -> jax.Array:
    """Multiplies by `factor` every `every_epochs` epochs, smoothly or (`staircase`) at once."""
    del epochs
    if every_epochs < 1:
        raise errors.UserError(
            f'config.schedule.every_epochs must be at least 1, not {every_epochs}'
        )
    period = every_epochs * steps_per_epoch
    # Whole numbers: a float quotient may fall just short of the boundary.
    return jnp.power(factor, step // period if staircase else step / period)


def _progress(step: jax.Array, num_steps: int) -> jax.Array:
    """Returns the share of training that is done, at most 1."""
    return jnp.minimum(step / num_steps, 1)


SCHEDULES: dict[str, Callable[..., jax.Array]] = {
    'constant': constant,
    'cosine': cosine,
    'linear': linear,
    'exponential': exponential,
}
