"""Max and average pooling from strided slices, with gradients that stay element-wise.

The gradients JAX derives are slow on XLA:CPU: that of `lax.reduce_window` is a select-and-scatter,
that of a strided slice a pad between the elements. Here one pair of linear functions does all of
the work, each the gradient of the other, so derivatives of any order are fast in reverse mode:

- `_gather` brings to each window the sum of its elements, or the one element an index names;
- `_scatter` gives each window's value to all of its elements, or to the one the index names.

With `_gather` and its index fixed, max pooling is linear as well.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nnstudy import errors

Pair = tuple[int, int]


def max_pool(
    x: jax.Array,
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: str = 'VALID',
) -> jax.Array:
    """Returns the maximum of each window.

    Of equal maxima the first in row-major order gets the whole gradient, as in PyTorch and in
    `lax.reduce_window`. (To split it equally took the same time.) A NaN in a window makes it NaN.

    Args:
      x: `[B, H, W, C]`, floating point.
      window: its height and width.
      strides: rows and columns between two windows; None stands for `window`, no overlap.
      padding: `'VALID'` leaves out the last rows and columns that fill no window; `'SAME'` gives
        `ceil(H / stride)` rows, windows at the border having fewer elements.

    Returns:
      `[B, H', W', C]`.

    Raises:
      UserError: `x` is not `[B, H, W, C]`, the padding is unknown, or no window fits.
    """
    window, strides, pads = _geometry(x, window, strides, padding)
    x = _pad(x, pads, -jnp.inf)
    if strides[0] >= window[0] and strides[1] >= window[1]:
        return _max(x, window, strides)
    # Overlapping windows share the maxima of their rows. The first row with the maximum and its
    # first column there are the first in row-major order.
    x = _max(x, (1, window[1]), (1, strides[1]))
    return _max(x, (window[0], 1), (strides[0], 1))


def avg_pool(
    x: jax.Array,
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: str = 'VALID',
) -> jax.Array:
    """Returns the mean of each window, over the elements that are in the image.

    So `'SAME'` pads as Keras does, and as `flax.linen.avg_pool` does with
    `count_include_pad=False`; PyTorch counts the padding. Arguments, result and errors are those
    of `max_pool`.
    """
    window, strides, pads = _geometry(x, window, strides, padding)
    counts = [
        _counts(n, w, s, p) for n, w, s, p in zip(x.shape[1:3], window, strides, pads, strict=True)
    ]
    x = _pad(x, pads, 0.0)
    if strides[0] >= window[0] and strides[1] >= window[1]:
        total = _gather(x, None, window, strides)
    else:
        total = _gather(x, None, (1, window[1]), (1, strides[1]))
        total = _gather(total, None, (window[0], 1), (strides[0], 1))
    scale = 1 / (counts[0][:, None, None] * counts[1][:, None])
    # A single number where it can be: a small array would be a constant to load for every element.
    if (scale == scale.flat[0]).all():
        return total * float(scale.flat[0])
    return total * jnp.asarray(scale, x.dtype)


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Returns the mean over the image, `[B, H, W, C]` -> `[B, C]`."""
    return jnp.mean(x, axis=(1, 2))


def global_max_pool(x: jax.Array) -> jax.Array:
    """Returns the maximum over the image, `[B, H, W, C]` -> `[B, C]`; for images of any size.

    Of equal maxima the first in row-major order gets the whole gradient, as in `max_pool`.
    """
    x = x.reshape(x.shape[0], -1, x.shape[3])
    place = lax.stop_gradient(jnp.argmax(x, axis=1, keepdims=True))
    # The gradient of a sum over what is chosen is a choice again; that of `jnp.max` would split
    # equally, that of indexing is a scatter.
    chosen = jnp.arange(x.shape[1])[:, None] == place
    return jnp.sum(jnp.where(chosen, x, 0), axis=1)


def _geometry(x, window, strides, padding) -> tuple[Pair, Pair, tuple[Pair, Pair]]:
    """Returns window, strides and the (low, high) padding per direction, negative to crop."""
    if x.ndim != 4:
        raise errors.UserError(f'pooling takes x [B, H, W, C], got the shape {x.shape}')
    if padding not in ('SAME', 'VALID'):
        raise errors.unknown('padding of a pooling', padding, ('SAME', 'VALID'))
    rows, columns = window
    row_step, column_step = strides or window
    pads = []
    for n, w, s in zip(x.shape[1:3], window, (row_step, column_step), strict=True):
        out = -(-n // s) if padding == 'SAME' else (n - w) // s + 1
        if out < 1:
            raise errors.UserError(
                f'a {rows}x{columns} pooling window does not fit into an image of '
                f'{x.shape[1]}x{x.shape[2]}'
            )
        total = (out - 1) * s + w - n
        low = max(total, 0) // 2
        pads.append((low, total - low))
    return (rows, columns), (row_step, column_step), (pads[0], pads[1])


def _counts(n: int, window: int, stride: int, pads: Pair) -> np.ndarray:
    """Returns how many elements of the image, of n, are in each window of one direction."""
    starts = np.arange(0, n + sum(pads) - window + 1, stride) - pads[0]
    return np.minimum(starts + window, n) - np.maximum(starts, 0)


def _pad(x: jax.Array, pads: Sequence[Pair], value: float) -> jax.Array:
    if not any(map(any, pads)):
        return x
    config = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    return lax.pad(x, jnp.asarray(value, x.dtype), config)


def _elements(x: jax.Array, window: Pair, strides: Pair) -> list[jax.Array]:
    """Returns, for each place in the window in row-major order, its element of every window."""
    rows, columns = (
        (n - w) // s + 1 for n, w, s in zip(x.shape[1:3], window, strides, strict=True)
    )
    return [
        lax.slice(
            x,
            (0, i, j, 0),
            (x.shape[0], i + (rows - 1) * strides[0] + 1, j + (columns - 1) * strides[1] + 1,
             x.shape[3]),
            (1, *strides, 1),
        )
        for i in range(window[0])
        for j in range(window[1])
    ]  # fmt: skip


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max(x, window, strides):
    return functools.reduce(jnp.maximum, _elements(x, window, strides))


def _max_fwd(x, window, strides):
    y = _max(x, window, strides)
    return y, (x, y)


def _max_bwd(window, strides, residuals, dy):
    x, y = residuals
    *elements, _ = _elements(x, window, strides)
    # The place of the first maximum; in dy's type, because XLA:CPU does not vectorise well over
    # mixed widths (uint8 took up to four times as long).
    index = jnp.full_like(y, len(elements))
    for place, element in reversed(list(enumerate(elements))):
        index = jnp.where(element == y, jnp.asarray(place, y.dtype), index)
    return (_scatter(dy, index, window, strides),)


_max.defvjp(_max_fwd, _max_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _gather(x, index, window, strides):
    """Returns each window's sum or, with an index `[B, H', W', C]`, the element it names."""
    elements = _elements(x, window, strides)
    if index is None:
        return functools.reduce(jnp.add, elements)
    *elements, y = elements
    for place, element in enumerate(elements):
        y = jnp.where(index == place, element, y)
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _scatter(dy, index, window, strides):
    """Returns the transpose of `_gather`, `[B, H', W', C]` -> `[B, H, W, C]`.

    The image is made of blocks of strides[0] x strides[1]. A window begins at each block and
    reaches over as many of them as its extent needs, so all is broadcasting inside the blocks.
    """
    batch, rows, columns, channels = dy.shape
    reach = [-(-w // s) for w, s in zip(window, strides, strict=True)]
    dx = jnp.zeros((), dy.dtype)
    for i in range(reach[0]):
        for j in range(reach[1]):
            # Where the pixels of a block lie in the window that began i, j blocks before.
            row = i * strides[0] + np.arange(strides[0])[:, None]
            column = j * strides[1] + np.arange(strides[1])
            place = np.where(
                (row < window[0]) & (column < window[1]), row * window[1] + column, -1
            )[:, None, :, None]

            def to_blocks(values, shift=(i, j)):
                pads = [(n, r - 1 - n) for n, r in zip(shift, reach, strict=True)]
                return _pad(values, pads, 0.0)[:, :, None, :, None, :]

            here = place >= 0 if index is None else to_blocks(index) == place
            dx = dx + jnp.where(here, to_blocks(dy), jnp.zeros((), dy.dtype))
    height, width = (
        (n - 1) * s + w for n, s, w in zip((rows, columns), strides, window, strict=True)
    )
    dx = dx.reshape(
        batch, (rows + reach[0] - 1) * strides[0], (columns + reach[1] - 1) * strides[1], channels
    )
    return dx[:, :height, :width]


_gather.defvjp(
    lambda x, index, *static: (_gather(x, index, *static), index),
    lambda window, strides, index, dy: (_scatter(dy, index, window, strides), None),
)
_scatter.defvjp(
    lambda dy, index, *static: (_scatter(dy, index, *static), index),
    lambda window, strides, index, g: (_gather(g, index, window, strides), None),
)
