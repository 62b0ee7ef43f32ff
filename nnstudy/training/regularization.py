"""Penalties on parameters, by the fields of the config's section `regularization`.

Weight decay belongs to the optimizer, and applies to the same parameters.
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
    """Returns a function that says for each parameter whether it is regularised.

    Args:
      include: regular expression, searched for in a parameter's path such as `'Dense_0/kernel'`;
        None for all kernels: the parameters with two axes or more, not biases or scales.
      exclude: regular expression of paths that are left out of those.

    Raises:
      UserError: when the mask is called: an expression is malformed or matches no path, or no
        parameter is left.
    """

    def mask(params: Any) -> Any:
        paths = jax.tree.map_with_path(lambda keys, _: path(keys), params)

        def refuse_none(chosen: Any, what: str) -> None:
            if not any(jax.tree.leaves(chosen)):
                known = ', '.join(sorted(jax.tree.leaves(paths)))
                raise errors.UserError(f'config.regularization.{what}: there are {known}')

        def found(name: str, pattern: str) -> Any:
            try:
                found = jax.tree.map(lambda path: bool(re.search(pattern, path)), paths)
            except re.error as error:
                raise errors.UserError(
                    f'config.regularization.{name} {pattern!r} is not a regular expression: {error}'
                ) from error
            refuse_none(found, f'{name} {pattern!r} is found in no parameter')
            return found

        if include is None:
            chosen = jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
        else:
            chosen = found('include', include)
        if exclude is not None:
            excluded = found('exclude', exclude)
            chosen = jax.tree.map(lambda chosen, out: chosen and not out, chosen, excluded)
            refuse_none(chosen, f'exclude {exclude!r} leaves no parameter')
        return chosen

    return mask


def path(keys: Any) -> str:
    """Returns a parameter's path in a tree as text, such as `'Dense_0/kernel'`."""
    return jax.tree_util.keystr(keys, simple=True, separator='/')


def penalty(params: Any, mask: Mask, strengths: Mapping[str, jax.Array]) -> jax.Array:
    """Returns l2 Σ w² + l1 Σ |w| over the parameters of the mask, float32 [].

    There is no factor 1/2, as in Keras; so with SGD an L2 of a / 2 is a weight decay of a. The
    gradient of |w| is sign(w), which makes no weight exactly zero. `strengths` has `'l2'`, `'l1'`,
    both or neither; other keys are ignored.
    """
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(mask(params)), strict=True)
    leaves = [leaf for leaf, chosen in pairs if chosen]
    total = jnp.float32(0)
    if 'l2' in strengths:
        total += strengths['l2'] * sum(jnp.sum(jnp.square(leaf)) for leaf in leaves)
    if 'l1' in strengths:
        # |w| as w sign(w): the gradient that JAX derives of |w| is 1 at zero.
        signs = [lax.stop_gradient(jnp.sign(leaf)) for leaf in leaves]
        total += strengths['l1'] * sum(map(jnp.vdot, signs, leaves))
    return total


def shrink(params: Any, mask: Mask, amount: jax.Array) -> Any:
    """Returns the parameters moved towards zero by `amount`, and set to zero if nearer than that.

    The proximal step of L1 with `amount` = learning rate · strength (soft thresholding; Beck and
    Teboulle 2009), whatever the optimizer.
    """

    def one(leaf: jax.Array, chosen: bool) -> jax.Array:
        return jnp.sign(leaf) * jnp.maximum(jnp.abs(leaf) - amount, 0) if chosen else leaf

    return jax.tree.map(one, params, mask(params))
