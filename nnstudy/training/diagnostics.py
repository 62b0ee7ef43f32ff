"""Diagnostics of one run: the shape of its training loss at the parameters where it stands.

They are measured at every evaluation if `config.diagnostics` names them, on the first
`config.diagnostic_examples` training examples. All they know of a run is its objective:
`objective(params, rows, mask) -> []` is what training minimises on the examples `rows`, int [B],
penalties and label smoothing included; only those count for which `mask`, bool [B], is True (None:
all). It is in evaluation mode, without dropout or augmentation. A new diagnostic is an entry in
`DIAGNOSTICS`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import flatten_util, lax

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.spec.fields import Config

Objective = Callable[[Any, jax.Array, jax.Array | None], jax.Array]

# The error of the eigenvalue falls with (λ₂ / λ₁)^(2 · iterations).
NUM_ITERATIONS = 30
HESSIAN_BATCH_SIZE = 256  # examples of one Hessian-vector product, for memory
SMALL_BATCH_SIZE = 32  # the smaller of the two batches that the noise scale is taken from


def sharpness(objective: Objective, params: Any, num_examples: int, key: jax.Array) -> jax.Array:
    """Returns the largest eigenvalue of the objective's Hessian, float32 [].

    Gradient descent on a quadratic diverges where it is above 2 / learning rate (Cohen et al. 2021,
    "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability", arXiv
    2103.00065).

    It is the Rayleigh quotient v'Hv after a fixed number of power iterations: mostly 0.5% below the
    eigenvalue, and up to 5% where several are close together. Power iteration finds the eigenvalue
    of largest magnitude; if it is negative, the Hessian is shifted so that this is the largest one.

    It is measured at `params`, on the first `num_examples` training examples; the first vector is
    random, from `key`.
    """
    flat, unravel = flatten_util.ravel_pytree(params)
    batch_size = min(HESSIAN_BATCH_SIZE, num_examples)

    def product(vector: jax.Array) -> jax.Array:
        """Returns the Hessian times a vector, [P]."""

        def add(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
            rows = start + jnp.arange(batch_size)
            mask = rows < num_examples
            rows = jnp.minimum(rows, num_examples - 1)
            gradient = jax.grad(lambda flat: objective(unravel(flat), rows, mask))
            # Reverse over reverse: the Hessian is symmetric, and convolutions have no forward mode.
            (part,) = jax.vjp(gradient, flat)[1](vector)
            return total + mask.sum() / num_examples * part, None

        starts = jnp.arange(0, num_examples, batch_size)
        return lax.scan(add, jnp.zeros_like(flat), starts)[0]

    def iterate(_, carry: tuple[jax.Array, jax.Array, jax.Array]):
        vector, shift, _ = carry
        image = product(vector)
        quotient = jnp.vdot(vector, image)
        shift = jnp.maximum(shift, -quotient)
        return _unit(image + shift * vector), shift, quotient

    start = _unit(jax.random.normal(key, flat.shape, flat.dtype))
    zero = jnp.zeros((), flat.dtype)
    return lax.fori_loop(0, NUM_ITERATIONS, iterate, (start, zero, zero))[2]


def _unit(vector: jax.Array) -> jax.Array:
    """Returns a vector scaled to length 1; the zero vector, of a flat loss, stays as it is."""
    return vector / jnp.maximum(jnp.linalg.norm(vector), jnp.finfo(vector.dtype).tiny)


def noise_scale(objective: Objective, params: Any, num_examples: int, key: jax.Array) -> jax.Array:
    """Returns the simple gradient noise scale tr(Σ) / |G|², in examples, float32 [].

    The batch size about which the noise of a mini-batch's gradient is as large as the gradient
    itself (McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", arXiv 1812.06162,
    appendix A.1). The gradient of b examples has the expected squared norm |G|² + tr(Σ) / b, which
    is measured for small batches and for all of them together; examples that do not fill a small
    batch are left out. Infinite if they are too few to tell the gradient from zero. Arguments as of
    `sharpness`; the key is not used.
    """
    flat, unravel = flatten_util.ravel_pytree(params)
    count, size = num_examples // SMALL_BATCH_SIZE, SMALL_BATCH_SIZE
    gradient = jax.grad(lambda flat, rows: objective(unravel(flat), rows, None))

    def add(carry: tuple[jax.Array, jax.Array], batch: jax.Array):
        total, squares = carry
        small = gradient(flat, batch * size + jnp.arange(size))
        return (total + small, squares + jnp.vdot(small, small)), None

    zeros = jnp.zeros_like(flat), jnp.zeros((), flat.dtype)
    (total, squares), _ = lax.scan(add, zeros, jnp.arange(count))
    mean, squares = total / count, squares / count
    whole = jnp.vdot(mean, mean)
    noise = (squares - whole) / (1 / size - 1 / (count * size))
    signal = (count * size * whole - size * squares) / (count * size - size)
    return jnp.where(signal > 0, noise / signal, jnp.inf)


class Diagnostic(NamedTuple):
    """A function such as `sharpness`, what it costs and what it needs."""

    measure: Callable[[Objective, Any, int, jax.Array], jax.Array]
    passes: int  # its cost in forward passes over the examples; a gradient costs three
    min_examples: int = 1


DIAGNOSTICS = {
    'sharpness': Diagnostic(sharpness, passes=6 * NUM_ITERATIONS),
    'noise_scale': Diagnostic(noise_scale, passes=3, min_examples=2 * SMALL_BATCH_SIZE),
}


def num_examples(config: Config, data: Data) -> int:
    """Returns how many training examples diagnostics are measured on."""
    return min(config.diagnostic_examples or data.num_train, data.num_train)


def check(config: Config, data: Data) -> None:
    """Raises UserError if a diagnostic is unknown, or cannot be measured on so few examples."""
    count = num_examples(config, data)
    for name in config.diagnostics:
        errors.check_known('diagnostic in config.diagnostics', name, DIAGNOSTICS)
        if count < DIAGNOSTICS[name].min_examples:
            raise errors.UserError(
                f'config.diagnostics: {name!r} needs at least {DIAGNOSTICS[name].min_examples} '
                f'examples, and config.diagnostic_examples and the training set leave it {count}'
            )
