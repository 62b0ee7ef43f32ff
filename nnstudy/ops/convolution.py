"""A 2-D convolution whose gradients, and theirs in turn, are convolutions of the same fast layout.

XLA:CPU is fast for one form only: `NHWC` input, `HWIO` kernel, `NHWC` output and no reversed
window. It rewrites other forms into that one, but not in the body of a `lax.scan`, where the
gradients that JAX derives make a training step 20 to 90 times slower. Here both gradients are
written in the fast form, through the very function they are the gradients of, so every derivative
stays in it. A stride is a dilation in the gradients: faster than zeros between the pixels, a
convolution of every second pixel at a time, or space-to-depth.

On the CPU, small layers are computed by `_several_columns_at_once` or `_shift_and_add`: the same
sums in wider pieces, chosen by the shapes alone. They make a step of LeNet 2.4 times as fast.

A `custom_vjp` has no forward mode: write a Hessian-vector product as reverse over reverse,
`jax.grad(lambda p: vdot(jax.grad(loss)(p), v))`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from nnstudy import errors
from nnstudy.ops import pooling, windows
from nnstudy.ops.windows import Pads, dilated

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_CACHE_BYTES = 2**20  # of one core, more or less; a fixed number, because results round by it


def conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int] = (1, 1),
    padding: windows.Padding = 'SAME',
    lhs_dilation: Sequence[int] = (1, 1),
    rhs_dilation: Sequence[int] = (1, 1),
    dimension_numbers: lax.ConvDimensionNumbers | None = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> jax.Array:
    """Convolves images `[B, H, W, C]` with a kernel `[kh, kw, C, F]` into `[B, H', W', F]`.

    There is no flip: it is the cross-correlation of deep learning. The arguments are those of
    `lax.conv_general_dilated`, so that `flax.linen.Conv` can call it; `padding` is as in
    `windows.pads`.

    Raises:
      UserError: the shapes do not fit, another layout, or feature groups.
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[3] != kernel.shape[2] * feature_group_count:
        raise errors.UserError(
            f'a convolution takes images [B, H, W, C] and a kernel [kh, kw, C, F], got {x.shape} '
            f'and {kernel.shape}: for others use flax.linen.Conv'
        )
    layout = lax.conv_dimension_numbers(x.shape, kernel.shape, _LAYOUT)
    if feature_group_count != 1 or dimension_numbers not in (None, layout):
        raise errors.UserError(
            f'a convolution takes the layout {_LAYOUT} and no feature groups, got '
            f'{dimension_numbers} and {feature_group_count=}: use flax.linen.Conv'
        )
    if precision is None:  # now, since the gradients are traced later
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    strides, lhs_dilation, rhs_dilation = tuple(strides), tuple(lhs_dilation), tuple(rhs_dilation)
    window = dilated(kernel.shape[:2], rhs_dilation)
    pads = windows.pads('convolution', x.shape[1:3], window, strides, padding, lhs_dilation)
    if kernel.shape[:2] == (1, 1) and pads == ((0, 0), (0, 0)) and lhs_dilation == (1, 1):
        # A stride of one pixel's window is a choice of pixels, which is what this pooling does.
        x = x if strides == (1, 1) else pooling.avg_pool(x, (1, 1), strides)
        return jnp.matmul(x, kernel[0, 0], precision=precision)
    return _conv(x, kernel, strides, pads, lhs_dilation, rhs_dilation, precision)


# The layer of flax.linen, with these derivatives.
Conv = functools.partial(nn.Conv, conv_general_dilated=conv)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6))
def _conv(x, kernel, strides, pads, lhs_dilation, rhs_dilation, precision):
    def as_it_is(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return _of_many(x, kernel, strides, pads, lhs_dilation, rhs_dilation, precision)

    if kernel.shape[0] * kernel.shape[1] > x.shape[1] * x.shape[2]:
        # A kernel larger than the image: XLA would exchange the two and reverse the window, which
        # is the slow form again (20 to 60 times, for 3x3 on 2x2 pixels, as in the last layers of
        # VGG). The same exchange without a reversed window is fast.
        extents = dilated(x.shape[1:3], lhs_dilation), dilated(kernel.shape[:2], rhs_dilation)
        pads = tuple(
            (low + image - window, high + image - window)
            for (low, high), image, window in zip(pads, *extents, strict=True)
        )
        lhs_dilation, rhs_dilation = rhs_dilation, lhs_dilation
        image = jnp.flip(kernel, (0, 1)).transpose(3, 0, 1, 2)
        return as_it_is(image, jnp.flip(x, (1, 2)).transpose(1, 2, 3, 0)).transpose(3, 1, 2, 0)
    if not strides == lhs_dilation == rhs_dilation == (1, 1):
        return as_it_is(x, kernel)
    options = {'pads': pads, 'precision': precision}
    # Many more windows than pixels, as in dx of an unpadded layer.
    if 4 * math.prod(_output_size(x, kernel, pads)) > 5 * math.prod(x.shape[1:3]):
        small = functools.partial(_shift_and_add, **options)
    elif (columns := _columns_at_once(x, kernel, pads)) > 1:
        small = functools.partial(_several_columns_at_once, columns=columns, **options)
    else:
        return as_it_is(x, kernel)
    return lax.platform_dependent(x, kernel, cpu=small, default=as_it_is)


def _conv_bwd(strides, pads, lhs_dilation, rhs_dilation, precision, residuals, dy):
    """Both gradients as convolutions: what was a stride becomes a dilation, and the other way."""
    x, kernel = residuals
    images = dilated(x.shape[1:3], lhs_dilation)
    sizes = dilated(kernel.shape[:2], rhs_dilation)
    outs = dilated(dy.shape[1:3], strides)
    dx_pads, dkernel_pads = [], []
    for (low, _), image, window, out in zip(pads, images, sizes, outs, strict=True):
        # The upper amount gives the result its size; it is more than the lower one where the
        # windows left the last rows of the image unread, and less to leave them out again.
        dx_pads.append((window - 1 - low, image - out + low))
        dkernel_pads.append((low, window - 1 + out - image - low))
    dx = _conv(
        dy, jnp.flip(kernel, (0, 1)).swapaxes(2, 3),
        lhs_dilation, tuple(dx_pads), strides, rhs_dilation, precision,
    )  # fmt: skip

    def dkernel_of(x: jax.Array, dy: jax.Array) -> jax.Array:
        # Examples are summed over as channels are: x [C, H, W, B] with a "kernel" [H', W', B, F].
        dkernel = _conv(
            x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3),
            rhs_dilation, tuple(dkernel_pads), lhs_dilation, strides, precision,
        )  # fmt: skip
        return dkernel.transpose(1, 2, 0, 3)

    return dx, _sum_over_blocks(dkernel_of, x, dy)


_conv.defvjp(lambda x, kernel, *static: (_conv(x, kernel, *static), (x, kernel)), _conv_bwd)


def _sum_over_blocks(function: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """Returns the sum of `function`, itself a sum over examples, over blocks of them.

    A core's cache holds a block and its transpositions: the gradient of a 3x3x64x64 kernel at 28x28
    pixels and 64 examples takes half of the time.
    """
    batch = len(arrays[0])
    example_bytes = sum(a.nbytes for a in arrays) // batch
    # Even sizes, because the examples are the channels of that convolution: see _columns_at_once.
    sizes = [n for n in range(2, batch, 2) if batch % n == 0 and n * example_bytes <= _CACHE_BYTES]
    fits = batch * example_bytes <= 2 * _CACHE_BYTES
    if fits or not sizes:
        return function(*arrays)

    def block_by_block(*arrays: jax.Array) -> jax.Array:
        blocks = [a.reshape(-1, sizes[-1], *a.shape[1:]) for a in arrays]
        shape = jax.eval_shape(function, *(block[0] for block in blocks))

        def add(total: jax.Array, block: list[jax.Array]) -> tuple[jax.Array, None]:
            return total + function(*block), None

        return lax.scan(add, jnp.zeros(shape.shape, shape.dtype), blocks)[0]

    return lax.platform_dependent(*arrays, cpu=block_by_block, default=function)


def _of_many(x, kernel, strides, pads, lhs_dilation, rhs_dilation, precision):
    """The convolution of XLA; on an accelerator, that of many runs at once as a matrix product.

    `jax.vmap` over kernels gives a convolution with a feature group for each run. XLA:TPU compiles
    one of LeNet for a minute, and a GPU's library has no fast one for few channels.
    """
    static = strides, pads, lhs_dilation, rhs_dilation

    def of_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, *static, _LAYOUT, precision=precision)

    def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return _as_product(x, kernel, *static, precision)

    @jax.custom_batching.custom_vmap
    def one(x: jax.Array, kernel: jax.Array) -> jax.Array:
        if len(x) == 1 < kernel.shape[0] * kernel.shape[1]:
            # The gradient of a kernel for one channel: that of 5x5x1x6 took 55 s to compile.
            return lax.platform_dependent(x, kernel, tpu=product, default=of_xla)
        return of_xla(x, kernel)

    @one.def_vmap
    def many(size: int, in_batched: list[bool], x: jax.Array, kernel: jax.Array):
        axes = [0 if batched else None for batched in in_batched]
        ways = {'cpu': jax.vmap(of_xla, axes), 'default': jax.vmap(product, axes)}
        return lax.platform_dependent(x, kernel, **ways), True

    return one(x, kernel)


def _as_product(x, kernel, strides, pads, lhs_dilation, rhs_dilation, precision):
    """The convolution as a product of the kernel and all patches of the images."""
    pairs = zip(pads, lhs_dilation, strict=True)
    amounts = [(0, 0, 0), *((*pad, dilation - 1) for pad, dilation in pairs), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), amounts)
    for axis, window, stride, dilation in zip(
        (1, 3), kernel.shape[:2], strides, rhs_dilation, strict=True
    ):
        x = _unfolded(x, axis, window, stride, dilation)
    return jnp.einsum('bhpwqc,pqcf->bhwf', x, kernel, precision=precision)


def _unfolded(x, axis, window, stride, dilation):
    """Gives the windows along an axis [n] axes of their own: [number of windows, window]."""
    number = (x.shape[axis] - (window - 1) * dilation - 1) // stride + 1

    def along(begin: int, length: int, step: int) -> jax.Array:
        return lax.slice_in_dim(x, begin, begin + (length - 1) * step + 1, step, axis)

    # By place in the window or by window: the fewer slices.
    if window <= number:
        return jnp.stack([along(i * dilation, number, stride) for i in range(window)], axis + 1)
    return jnp.stack([along(i * stride, window, dilation) for i in range(number)], axis)


def _output_size(x: jax.Array, kernel: jax.Array, pads: Pads) -> list[int]:
    return [x.shape[i + 1] + sum(pads[i]) - kernel.shape[i] + 1 for i in (0, 1)]


def _shift_and_add(x, kernel, pads, precision):
    """The convolution as one matrix product over the pixels of `x`, each tap's part moved after.

    XLA:CPU leaves convolutions with more windows than pixels to its slower library: 5x5x16x6 from
    10x10 to 14x14 pixels took 8 times as long, and kernels up to 3x3x256x128 no less than this way.
    """
    kh, kw, channels, features = kernel.shape
    batch, height, width, _ = x.shape
    # Examples come last, so that whatever is moved is contiguous.
    pixels = x.transpose(3, 1, 2, 0).reshape(channels, -1)
    taps = kernel.transpose(0, 1, 3, 2).reshape(kh, kw * features, channels)

    def add_row(y: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        place, taps = row
        parts = jnp.matmul(taps, pixels, precision=precision)
        parts = parts.reshape(kw, features, height, width, batch)
        zero = jnp.zeros((), parts.dtype)
        keep = (0, 0, 0)
        moved = [lax.pad(parts[j], zero, [keep, keep, (kw - 1 - j, j, 0), keep]) for j in range(kw)]
        total = lax.dynamic_slice_in_dim(y, place, height, axis=1)
        total = total + functools.reduce(jnp.add, moved)
        return lax.dynamic_update_slice_in_dim(y, total, place, axis=1), None

    # As a loop, because XLA:CPU would fuse the sum into what comes next and compute it again for
    # each use of a pixel.
    y = jnp.zeros((features, height + kh - 1, width + kw - 1, batch), x.dtype)
    y, _ = lax.scan(add_row, y, (jnp.arange(kh)[::-1], taps))
    (top, bottom), (left, right) = pads
    amounts = (top - kh + 1, bottom - kh + 1, 0), (left - kw + 1, right - kw + 1, 0)
    y = lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *amounts, (0, 0, 0)])
    return y.transpose(3, 1, 2, 0)


def _columns_at_once(x: jax.Array, kernel: jax.Array, pads: Pads) -> int:
    """Returns how many columns of the result `_several_columns_at_once` should compute.

    XLA:CPU's fast library takes convolutions of more than 16 channels or features, and is slow for
    an odd number of channels with up to about 48 features. The rule is fitted to measured times.
    """
    _, kw, channels, features = kernel.shape
    most = 64 if channels in (1, 3, 5, 7) else 32
    if channels > 16 or 2 * features > most or kw > 7:
        return 1
    _, columns = _output_size(x, kernel, pads)
    choices = [n for n in range(2, 2 * kw + 1) if columns % n == 0 and n * features <= most]
    return max(choices, default=1)


def _several_columns_at_once(x, kernel, columns, pads, precision):
    """The convolution with neighbouring columns of the result as its features.

    The kernel gets a shifted copy for each column, with zeros beside it. These are multiplied too,
    and yet 5x5x1x6 on 28x28 pixels takes a sixth, 3x3x3x32 on 32x32 a fifth of the time.
    """
    copies = [
        jnp.pad(kernel, ((0, 0), (n, columns - 1 - n), (0, 0), (0, 0))) for n in range(columns)
    ]
    wide = jnp.stack(copies, axis=3).reshape(*copies[0].shape[:3], -1)
    y = lax.conv_general_dilated(
        x, wide, (1, columns), pads, dimension_numbers=_LAYOUT, precision=precision
    )
    return y.reshape(*y.shape[:2], -1, kernel.shape[3])
