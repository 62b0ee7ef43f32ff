"""Learning-rate schedules: the factor on `optimizer.learning_rate` at a moment of training.

A schedule is `schedule(epoch, epochs, **fields) -> factor`: `epoch` is the fractional number of
epochs done (step / steps per epoch), `epochs` the whole number that the run trains for. Units of
epochs make one schedule mean the same at every batch size. Float fields are dynamic.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def constant(epoch: jax.Array, epochs: int) -> jax.Array:
    """Returns 1."""
    del epochs
    return jnp.ones_like(epoch)


def cosine(epoch: jax.Array, epochs: int, *, final_factor: float = 0.0) -> jax.Array:
    """Falls from 1 to `final_factor` along half a cosine (Loshchilov & Hutter 2017, SGDR)."""
    shape = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(epoch / epochs, 1)))
    return final_factor + (1 - final_factor) * shape


def linear(epoch: jax.Array, epochs: int, *, final_factor: float = 0.0) -> jax.Array:
    """Falls from 1 to `final_factor` along a straight line."""
    return 1 + (final_factor - 1) * jnp.minimum(epoch / epochs, 1)


def exponential(
    epoch: jax.Array,
    epochs: int,
    *,
    factor: float = 0.95,
    every_epochs: int = 1,
    staircase: bool = False,
) -> jax.Array:
    """Multiplies by `factor` every `every_epochs` epochs, smoothly or (`staircase`) at once."""
    del epochs
    exponent = epoch / every_epochs
    return jnp.power(factor, jnp.floor(exponent) if staircase else exponent)


SCHEDULES: dict[str, Callable[..., jax.Array]] = {
    'constant': constant,
    'cosine': cosine,
    'linear': linear,
    'exponential': exponential,
}
