"""Dropout at a rate that each run may have its own value of."""

import jax
import jax.numpy as jnp


def dropout(x: jax.Array, rate: jax.Array | float, rng: jax.Array) -> jax.Array:
    """Sets a share of the elements to zero and scales the others up, so that the mean stays.

    Srivastava et al. 2014, in the inverted form: nothing is left to do in evaluation, where this
    is not called. `flax.linen.Dropout` compares its rate in Python and so takes no traced one.

    Args:
      x: `[B, ...]`, floating point.
      rate: the share, in [0, 1); may be traced. At 0 the result is `x`, bit for bit.
      rng: random key.
    """
    keep = 1 - rate
    return jnp.where(jax.random.uniform(rng, x.shape) < keep, x / keep, 0)
