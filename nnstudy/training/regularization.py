"""Penalties on parameters: which ones they fall on, and what they add.

The fields of the config's section `regularization`. Weight decay is the optimizer's, and falls on
the same parameters.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nnstudy import errors

Mask = Callable[[Any], Any]  # params -> a tree of bools


def make_mask(include: str | None = None, exclude: str | None = None) -> Mask:
    """Returns what says of each parameter whether it is regularised.

    Args:
      include: regular expression, searched for in a parameter's path such as `'Dense_0/kernel'`;
        None stands for all kernels, which are the parameters of two axes and more, not biases or
        scales.
      exclude: regular expression of paths that are left out of those.

    Raises:
      UserError: an expression is malformed or, when the mask is taken, found in no path.
    """
    patterns = {'include': include, 'exclude': exclude}
    for name, pattern in patterns.items():
        try:
            re.compile(pattern or '')
        except re.error as error:
            raise errors.UserError(
                f'config.regularization.{name} is no regular expression: {pattern!r}: {error}'
            ) from error

    def mask(params: Any) -> Any:
        leaves = jax.tree.leaves_with_path(params)
        paths = {path(keys) for keys, _ in leaves}
        for name, pattern in patterns.items():
            if pattern is not None and not any(re.search(pattern, p) for p in paths):
                raise errors.UserError(
                    f'config.regularization.{name} {pattern!r} is found in no parameter: there '
                    f'are {", ".join(sorted(paths))}'
                )

        def regularised(keys, leaf):
            if include is None:
                chosen = leaf.ndim >= 2
            else:
                chosen = re.search(include, path(keys)) is not None
            return chosen and not (exclude is not None and re.search(exclude, path(keys)))

        chosen = jax.tree.map_with_path(regularised, params)
        if exclude is not None and not any(jax.tree.leaves(chosen)):
            raise errors.UserError(
                f'config.regularization.exclude {exclude!r} leaves no parameter: there are '
                f'{", ".join(sorted(paths))}'
            )
        return chosen

    return mask


def path(keys: Any) -> str:
    """Returns where a parameter is, such as `'Dense_0/kernel'`, from its path in a tree."""
    return jax.tree_util.keystr(keys, simple=True, separator='/')


def penalty(params: Any, mask: Mask, strengths: Mapping[str, jax.Array]) -> jax.Array:
    """Returns l2 Σ w² + l1 Σ |w| over the parameters of the mask, float32 [].

    Without the half that makes weight decay and L2 differ by a factor of 2 for SGD, as in Keras.
    The gradient of |w| is sign(w): no weight becomes exactly zero by it.

    Args:
      params: the parameters.
      mask: see `make_mask`.
      strengths: `'l2'` and `'l1'`, or one, or none of them; others are not read.
    """
    chosen = _chosen(params, mask)
    total = jnp.float32(0)
    if 'l2' in strengths:
        total += strengths['l2'] * sum(jnp.sum(jnp.square(leaf)) for leaf in chosen)
    if 'l1' in strengths:
        # |w| as w sign(w): the gradient that JAX derives of |w| is 1 at zero.
        signs = [lax.stop_gradient(jnp.sign(leaf)) for leaf in chosen]
        total += strengths['l1'] * sum(map(jnp.vdot, signs, chosen))
    return total


def shrink(params: Any, mask: Mask, amount: jax.Array) -> Any:
    """Returns the parameters moved towards zero by `amount`, and to zero if nearer than that.

    The proximal step of L1 with `amount` = learning rate · strength (soft thresholding; Beck and
    Teboulle 2009): weights become exactly zero. With an optimizer that scales its steps, such as
    Adam, it is still the learning rate that counts.
    """

    def one(leaf: jax.Array, chosen: bool) -> jax.Array:
        return jnp.sign(leaf) * jnp.maximum(jnp.abs(leaf) - amount, 0) if chosen else leaf

    return jax.tree.map(one, params, mask(params))


def _chosen(params: Any, mask: Mask) -> list[jax.Array]:
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(mask(params)), strict=True)
    return [leaf for leaf, chosen in pairs if chosen]
