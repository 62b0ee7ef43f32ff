"""Max and average pooling from strided slices, with element-wise gradients.

The gradients that JAX derives are slow on XLA:CPU: a select-and-scatter for `lax.reduce_window`, a
pad between the elements for a strided slice. Here two linear functions, `_gather` and `_scatter`,
are each the gradient of the other, so that derivatives of any order are fast in reverse mode.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nnstudy import errors
from nnstudy.ops import windows
from nnstudy.ops.windows import Pads, Pair

_FEW = 9  # up to so many elements, overlapping windows are no faster by rows


class _Windows(NamedTuple):
    """Windows over images: size, strides and padding, each by direction."""

    size: Pair
    strides: Pair
    pads: Pads

    @property
    def overlap(self) -> bool:
        return self.strides[0] < self.size[0] or self.strides[1] < self.size[1]

    @property
    def by_direction(self) -> tuple['_Windows', '_Windows']:
        """Windows of a row, and windows of a column over what is made of those."""
        (height, width), (down, right), (vertical, horizontal) = self
        rows = _Windows((1, width), (1, right), ((0, 0), horizontal))
        return rows, _Windows((height, 1), (down, 1), (vertical, (0, 0)))

    def elements(self, x: jax.Array, outside: float) -> list[jax.Array]:
        """Returns, for each place in the window in row-major order, its element of every window."""
        x = _pad(x, self.pads, outside)
        (height, width), (down, right), _ = self
        bottom, end = x.shape[1] - height + 1, x.shape[2] - width + 1
        return [
            x[:, i : bottom + i : down, j : end + j : right] for i, j in np.ndindex(height, width)
        ]


def max_pool(
    x: jax.Array,
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: str = 'VALID',
) -> jax.Array:
    """Returns the maximum of each window, or NaN if there is one in it.

    Of equal maxima the first in row-major order gets the whole gradient, as in PyTorch and in
    `lax.reduce_window`.

    Args:
      x: `[B, H, W, C]`, floating point.
      window: its height and width.
      strides: rows and columns between two windows; None stands for `window`, no overlap.
      padding: see `windows.pads`; windows at the border have fewer elements.

    Returns:
      `[B, H', W', C]`.

    Raises:
      UserError: another shape, an unknown padding, or no window fits.
    """
    over = _windows(x, window, strides, padding)
    # Overlapping windows share the maxima of their rows. The first row with the maximum and its
    # first column there are the first in row-major order.
    by_direction = over.overlap and over.size[0] * over.size[1] > _FEW
    return functools.reduce(_max, over.by_direction if by_direction else [over], x)


def avg_pool(
    x: jax.Array,
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: str = 'VALID',
) -> jax.Array:
    """Returns the mean of each window, over the elements that are in the image.

    So do Keras and `flax.linen.avg_pool` with `count_include_pad=False`; PyTorch counts the
    padding. Arguments, result and errors are those of `max_pool`.
    """
    over = _windows(x, window, strides, padding)
    total = x
    for part in over.by_direction if over.overlap else [over]:
        total = _gather(total, None, part)
    # How many elements of the image each window has.
    rows, columns = (
        np.convolve(np.pad(np.ones(n), pads), np.ones(size), 'valid')[::stride]
        for n, size, stride, pads in zip(x.shape[1:3], *over, strict=True)
    )
    scale = 1 / (rows[:, None, None] * columns[:, None])
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


def _windows(x: jax.Array, window: Any, strides: Any, padding: str) -> _Windows:
    if x.ndim != 4:
        raise errors.UserError(f'pooling takes x [B, H, W, C], got the shape {x.shape}')
    size, strides = tuple(window), tuple(strides or window)
    return _Windows(size, strides, windows.pads('pooling', x.shape[1:3], size, strides, padding))


def _pad(x: jax.Array, pads: Sequence[Pair], value: float) -> jax.Array:
    if not any(map(any, pads)):
        return x
    config = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    return lax.pad(x, jnp.asarray(value, x.dtype), config)


def _combined(combine: Callable, elements: Sequence[jax.Array]) -> jax.Array:
    """Returns all elements combined in pairs: a chain would wait for each one's result."""
    while len(elements) > 1:
        pairs = [combine(*elements[i : i + 2]) for i in range(0, len(elements) - 1, 2)]
        elements = [*pairs, *elements[2 * len(pairs) :]]
    return elements[0]


def _by_image(over: _Windows, function: Callable, *arrays: jax.Array) -> jax.Array:
    """Returns function(*arrays); of overlapping windows on the CPU, image by image.

    XLA does not fuse across the loop, and so does not compute what comes before it anew for each
    window.
    """
    if not over.overlap:
        return function(*arrays)

    def one_by_one(*arrays):
        return lax.map(lambda image: function(*(a[None] for a in image))[0], arrays)

    return lax.platform_dependent(*arrays, cpu=one_by_one, default=function)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max(x, over):
    return _by_image(over, lambda x: _combined(jnp.maximum, over.elements(x, -jnp.inf)), x)


def _max_bwd(over, x, dy):
    def gradient(x, dy):
        elements = over.elements(x, -jnp.inf)
        # Unlike `jnp.maximum` this is a single instruction; what becomes of NaN does not matter.
        y = _combined(lambda a, b: jnp.where(a > b, a, b), elements)
        # The place of the first maximum; in dy's type, because XLA:CPU does not vectorise well over
        # mixed widths (uint8 took up to four times as long).
        index = jnp.full_like(y, len(elements) - 1)
        for place, element in reversed(list(enumerate(elements[:-1]))):
            index = jnp.where(element == y, jnp.asarray(place, y.dtype), index)
        return _scatter(dy, index, x.shape[1:3], over)

    return (_by_image(over, gradient, x, dy),)


_max.defvjp(lambda x, over: (_max(x, over), x), _max_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _gather(x, index, over):
    """Returns each window's sum or, with an index `[B, H', W', C]`, the element it names."""
    *elements, y = over.elements(x, 0.0)
    if index is None:
        return functools.reduce(jnp.add, [*elements, y])
    for place, element in enumerate(elements):
        y = jnp.where(index == place, element, y)
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _scatter(dy, index, size, over):
    """Returns each window's value added to all its elements, or to the one that the index names.

    `[B, H', W', C]` -> `[B, *size, C]`. The image is made of blocks of strides[0] x strides[1]. A
    window begins at each block and reaches over as many as it needs, all by broadcasting.
    """
    window, strides, pads = over
    reach = [-(-w // s) for w, s in zip(window, strides, strict=True)]
    # The blocks with pixels of the image, which begins after the padding. Where windows overlap
    # there is one more, cut off at the end: then no slice below is all of what was padded. XLA
    # would read that one before it is padded, and so find the index anew for every pixel.
    first = [low // s for (low, _), s in zip(pads, strides, strict=True)]
    last = [
        (low + n - 1) // s + (r > 1)
        for n, (low, _), s, r in zip(size, pads, strides, reach, strict=True)
    ]
    blocks = [b - a + 1 for a, b in zip(first, last, strict=True)]
    # Padded once: the windows that may reach the first block, to those that begin at the last one.
    around = [
        (r - 1 - a, b + 1 - n) for r, a, b, n in zip(reach, first, last, dy.shape[1:3], strict=True)
    ]
    dy, index = (None if a is None else _pad(a, around, 0.0) for a in (dy, index))
    dx = jnp.zeros((), dy.dtype)
    for i, j in np.ndindex(*reach):
        # Where the pixels of a block lie in the window that began i, j blocks before.
        row = i * strides[0] + np.arange(strides[0])[:, None]
        column = j * strides[1] + np.arange(strides[1])
        is_in = (row < window[0]) & (column < window[1])
        place = np.where(is_in, row * window[1] + column, -1)[:, None, :, None]

        def to_blocks(values, top=reach[0] - 1 - i, left=reach[1] - 1 - j):
            values = values[:, top : top + blocks[0], left : left + blocks[1]]
            return values[:, :, None, :, None, :]

        here = place >= 0 if index is None else to_blocks(index) == place
        dx = dx + jnp.where(here, to_blocks(dy), jnp.zeros((), dy.dtype))
    dx = dx.reshape(dx.shape[0], blocks[0] * strides[0], blocks[1] * strides[1], dx.shape[-1])
    top, left = (low - a * s for (low, _), a, s in zip(pads, first, strides, strict=True))
    return dx[:, top : top + size[0], left : left + size[1]]


_gather.defvjp(
    lambda x, index, over: (_gather(x, index, over), (index, x.shape[1:3])),
    lambda over, kept, dy: (_scatter(dy, *kept, over), None),
)
_scatter.defvjp(
    lambda dy, index, size, over: (_scatter(dy, index, size, over), index),
    lambda size, over, index, g: (_gather(g, index, over), None),
)
