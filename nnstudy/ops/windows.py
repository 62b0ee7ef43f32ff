"""Windows that move over images: the padding around the image that their places follow from."""

from collections.abc import Sequence

from jax import lax

from nnstudy import errors

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]  # ((top, bottom), (left, right)), in pixels
Padding = str | Sequence[Sequence[int]]


def pads(
    operation: str,
    image: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    dilation: Sequence[int] = (1, 1),
) -> Pads:
    """Returns the padding in pixels.

    Args:
      operation: for the message of an error, such as `'pooling'`.
      image: its height and width.
      window: its height and width.
      strides: rows and columns between two windows.
      padding: `'VALID'`, windows inside of the image only; `'SAME'`, ceil(height / stride) rows of
        them; `'FULL'`, every window that shares a pixel with the image; or the padding itself,
        where negative amounts crop.
      dilation: distance at which the pixels of the image are set apart.

    Raises:
      UserError: the padding is unknown, or the window does not fit into the padded image.
    """
    if padding == 'FULL':
        padding = [(n - 1, n - 1) for n in window]
    elif isinstance(padding, str):
        errors.check_known(f'padding of a {operation}', padding, ('FULL', 'SAME', 'VALID'))
        padding = lax.padtype_to_pads(image, window, strides, padding)
    vertical, horizontal = ((low, high) for low, high in padding)
    height, width = dilated(image, dilation)
    height, width = height + sum(vertical), width + sum(horizontal)
    if height < window[0] or width < window[1]:
        raise errors.UserError(
            f'a {operation} of {window[0]}x{window[1]} does not fit into an image of '
            f'{height}x{width} (padding included)'
        )
    return vertical, horizontal


def dilated(size: Sequence[int], dilation: Sequence[int]) -> Pair:
    """Returns the height and width of elements that are set apart."""
    return (size[0] - 1) * dilation[0] + 1, (size[1] - 1) * dilation[1] + 1
