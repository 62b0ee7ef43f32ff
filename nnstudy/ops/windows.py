"""Windows that move over images: where they begin, and the padding around the image."""

from collections.abc import Sequence

from jax import lax

from nnstudy import errors

Pair = tuple[int, int]
Padding = str | Sequence[Sequence[int]]


def pads(
    operation: str,
    image: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    dilation: Sequence[int] = (1, 1),
) -> tuple[Pair, Pair]:
    """Returns the padding in pixels, ((top, bottom), (left, right)).

    Args:
      operation: for the message of an error, such as `'pooling'`.
      image: its height and width, H and W.
      window: its height and width, kh and kw.
      strides: rows and columns between two windows.
      padding: `'VALID'`, every window inside of the image, of which the last rows may be left out;
        `'SAME'`, ceil(H / stride) rows; `'FULL'`, every window that shares a pixel with the image,
        so H + kh - 1 rows at stride 1; or ((top, bottom), (left, right)); negative amounts crop.
      dilation: distance at which the pixels of the image are set apart.

    Raises:
      UserError: the padding is unknown, or the window does not fit into the padded image.
    """
    if padding == 'FULL':
        padding = [(n - 1, n - 1) for n in window]
    elif isinstance(padding, str):
        if padding not in ('SAME', 'VALID'):
            raise errors.unknown(f'padding of a {operation}', padding, ('FULL', 'SAME', 'VALID'))
        padding = lax.padtype_to_pads(image, window, strides, padding)
    (top, bottom), (left, right) = padding
    height, width = (dilated(n, d) for n, d in zip(image, dilation, strict=True))
    if height + top + bottom < window[0] or width + left + right < window[1]:
        raise errors.UserError(
            f'a {operation} of {window[0]}x{window[1]} does not fit into an image of '
            f'{height + top + bottom}x{width + left + right} (padding included)'
        )
    return (top, bottom), (left, right)


def dilated(n: int, dilation: int) -> int:
    """Returns the extent of n elements that are set apart."""
    return (n - 1) * dilation + 1
