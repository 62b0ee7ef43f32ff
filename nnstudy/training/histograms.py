"""Histograms of the weights, biases and gradients of each layer.

The bins are the same for all evaluations, runs and layers, so that these can be compared. Their
edges are powers of ten: 20 a decade, from 1e-8 to 1e2 on both sides of zero. Numbers nearer to
zero share one bin, and so do larger numbers on each side.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnstudy.training import regularization

_POWERS = 10.0 ** (np.arange(-160, 41) / 20)
# [B + 1], rising from -inf to inf.
EDGES = np.concatenate([[-np.inf], -_POWERS[::-1], _POWERS, [np.inf]]).astype(np.float32)


def count(tree: Any) -> jax.Array:
    """Returns how many numbers of each leaf lie in each bin: float32 [leaves, B].

    A number on an edge counts in the bin above it; NaN in none.
    """
    return jnp.stack([jnp.histogram(leaf, EDGES)[0] for leaf in jax.tree.leaves(tree)])


def names(tree: Any) -> list[str]:
    """Returns the names of the leaves in the order of `count`, such as `'Dense_0/kernel'`."""
    return [regularization.path(keys) for keys, _ in jax.tree.leaves_with_path(tree)]


def rebinned(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns counts in other bins, as if the numbers were spread evenly within each old one.

    Args:
      counts: [..., B].
      edges: rising, finite, [C + 1].

    Returns:
      float64 [..., C]; numbers outside `edges` are left out.
    """
    sums = np.cumsum(counts[..., :-1], axis=-1, dtype=np.float64)
    return np.diff(np.apply_along_axis(lambda sum_: np.interp(edges, EDGES[1:-1], sum_), -1, sums))
