"""Diagnostics of one run: the shape of its training loss at the parameters where it stands.

They are measured at every evaluation if `config.diagnostics` names them, on the first
`config.diagnostic_examples` training examples. All they know of a run is its objective:
`objective(params, rows, mask) -> []` is what training minimises, on the examples `rows`, int [B];
only those count for which `mask`, bool [B], is True (None: all). Penalties and label smoothing are
part of it, because whether a step is stable depends on the curvature of all that is minimised. It
is deterministic, in evaluation mode: no dropout, no augmentation, and batch normalisation by its
running statistics. A new diagnostic is an entry in `DIAGNOSTICS`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import flatten_util, lax

from nnstudy import errors

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

    Measured by a fixed number of power iterations, and the Rayleigh quotient v'Hv of the last unit
    vector, which is at most the eigenvalue: mostly 0.5% below it, and up to 5% at the edge of
    stability, where several eigenvalues are close together. Power iteration alone finds the
    eigenvalue of largest magnitude; if the quotient is negative, the Hessian is shifted by it, so
    that the largest eigenvalue is also the one of largest magnitude.

    Args:
      objective: see above.
      params: the parameters at which it is measured.
      num_examples: how many training examples it is measured on, the first ones.
      key: for the random vector to start from.
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


def noise_scale(objective: Objective, params: Any, num_examples: int, key: jax.Array) -> jax.Array:
    """Returns the simple gradient noise scale tr(Σ) / |G|², in examples, float32 [].

    The batch size about which the noise of a mini-batch's gradient is as large as the gradient
    itself (McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", arXiv 1812.06162).
    Estimated by `noise_from_norms` from the mean squared norm of the gradients of small batches and
    the squared norm of the gradient of all of them together. Infinite if the examples are too few
    to tell the gradient from zero.

    Args:
      objective: see above.
      params: the parameters at which it is measured.
      num_examples: how many training examples it is measured on, the first ones, in random order;
        those that do not fill a small batch are left out.
      key: not used.
    """
    del key
    flat, unravel = flatten_util.ravel_pytree(params)
    count = num_examples // SMALL_BATCH_SIZE
    gradient = jax.grad(lambda flat, rows: objective(unravel(flat), rows, None))

    def add(carry: tuple[jax.Array, jax.Array], batch: jax.Array):
        total, squares = carry
        small = gradient(flat, batch * SMALL_BATCH_SIZE + jnp.arange(SMALL_BATCH_SIZE))
        return (total + small, squares + jnp.vdot(small, small)), None

    zeros = jnp.zeros_like(flat), jnp.zeros((), flat.dtype)
    (total, squares), _ = lax.scan(add, zeros, jnp.arange(count))
    big = total / count
    noise, signal = noise_from_norms(
        squares / count, jnp.vdot(big, big), SMALL_BATCH_SIZE, count * SMALL_BATCH_SIZE
    )
    return jnp.where(signal > 0, noise / jnp.where(signal > 0, signal, 1), jnp.inf)


def noise_from_norms(
    small_norm: jax.Array, big_norm: jax.Array, small: int, big: int
) -> tuple[jax.Array, jax.Array]:
    """Returns unbiased estimates of tr(Σ) and |G|², from McCandlish et al. (2018), appendix A.1.

    The gradient of b examples has the expected squared norm |G|² + tr(Σ) / b.

    Args:
      small_norm: the squared norm of the gradient of `small` examples.
      big_norm: that of `big` examples.
      small: number of examples.
      big: number of examples, larger.
    """
    noise = (small_norm - big_norm) / (1 / small - 1 / big)
    signal = (big * big_norm - small * small_norm) / (big - small)
    return noise, signal


def _unit(vector: jax.Array) -> jax.Array:
    """Returns a vector scaled to length 1; the zero vector, of a flat loss, stays as it is."""
    return vector / jnp.maximum(jnp.linalg.norm(vector), jnp.finfo(vector.dtype).tiny)


class Diagnostic(NamedTuple):
    """A diagnostic.

    Attributes:
      measure: `measure(objective, params, num_examples, key) -> []`, see `sharpness`.
      passes: its cost in forward passes over the examples; a gradient costs three.
      min_examples: how many examples it needs.
    """

    measure: Callable[[Objective, Any, int, jax.Array], jax.Array]
    passes: int
    min_examples: int = 1


DIAGNOSTICS = {
    'sharpness': Diagnostic(sharpness, passes=6 * NUM_ITERATIONS),
    'noise_scale': Diagnostic(noise_scale, passes=3, min_examples=2 * SMALL_BATCH_SIZE),
}


def num_examples(asked: int | None, num_train: int) -> int:
    """Returns how many training examples diagnostics are measured on."""
    return min(asked or num_train, num_train)


def num_passes(names: tuple[str, ...]) -> int:
    """Returns about how many forward passes over their examples diagnostics cost."""
    return sum(DIAGNOSTICS[name].passes for name in names)


def check(names: tuple[str, ...], asked: int | None, num_train: int) -> None:
    """Raises UserError if a diagnostic is unknown, or cannot be measured on so few examples.

    Args:
      names: `config.diagnostics`.
      asked: `config.diagnostic_examples`.
      num_train: number of training examples.
    """
    if asked is not None and not names:
        raise errors.UserError(
            f'config.diagnostic_examples {asked} has no effect: name one of '
            f'{", ".join(DIAGNOSTICS)} in config.diagnostics too'
        )
    count = num_examples(asked, num_train)
    for name in names:
        errors.check_known('diagnostic in config.diagnostics', name, DIAGNOSTICS)
        if count < DIAGNOSTICS[name].min_examples:
            raise errors.UserError(
                f'config.diagnostics: {name!r} needs at least {DIAGNOSTICS[name].min_examples} '
                f'examples, and config.diagnostic_examples and the training set leave it {count}'
            )
