"""What a convolution does to one image: blur, edges, the three modes, where a filter matches."""

import jax.numpy as jnp
import numpy as np
from matplotlib import figure, patches

from nnstudy import errors, ops
from nnstudy.report import style

BLUR = np.full((5, 5), 1 / 25)
# Sobel's filter: the difference between right and left, smoothed along the edge.
VERTICAL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
MODES = ('valid', 'same', 'full')
SIDE = 7  # pixels of the piece that is looked for


def filtered(image: np.ndarray, kernel: np.ndarray, mode: str = 'same') -> np.ndarray:
    """Convolves an image with one filter, as the layers do: `ops.conv`, which does not flip it.

    Args:
      image: float [H, W].
      kernel: float [kh, kw].
      mode: `'valid'`, where the filter is inside the image, [H - kh + 1, W - kw + 1]; `'same'`,
        [H, W]; `'full'`, where it touches the image, [H + kh - 1, W + kw - 1].

    Raises:
      UserError: there is no such mode.
    """
    if mode not in MODES:
        raise errors.unknown('mode', mode, MODES)
    x, weights = (jnp.asarray(array, jnp.float32) for array in (image, kernel))
    padding = mode.upper() if mode != 'full' else [(size - 1, size - 1) for size in kernel.shape]
    convolved = ops.conv(x[None, ..., None], weights[..., None, None], padding=padding)
    return np.asarray(convolved)[0, ..., 0]


def cosine(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Returns the cosine between a filter and each piece of an image, [H - kh + 1, W - kw + 1].

    A convolution is the scalar product with each piece. Divided by both lengths it is 1 where the
    image looks like the filter, whatever the brightness; it is 0 where a piece is black.
    """
    product = filtered(image, kernel, 'valid')
    squares = filtered(image**2, np.ones(kernel.shape), 'valid')
    lengths = np.sqrt(np.maximum(squares, 0)) * np.linalg.norm(kernel)
    return np.divide(product, lengths, out=np.zeros_like(product), where=lengths > 1e-6)


def demonstration(image: np.ndarray) -> figure.Figure:
    """Draws an image after a blur and after edge filters, in each mode, and where a piece matches.

    Args:
      image: float [H, W], at least 16x16.
    """
    image = np.asarray(image, np.float64)
    top, left = ((size - SIDE) // 2 for size in image.shape)
    piece = image[top : top + SIDE, left : left + SIDE]
    match = cosine(image, piece)
    drawn = {
        'the image': image,
        'blurred: the mean of 5x5': filtered(image, BLUR),
        'vertical edges (Sobel)': filtered(image, VERTICAL),
        'horizontal edges': filtered(image, VERTICAL.T),
        **{f'blurred, {mode}': filtered(image, BLUR, mode) for mode in MODES},
        f'cosine with the {SIDE}x{SIDE} piece': match,
    }
    picture, panels = style.panels(9.6, 5.4, 2, 4)
    for panel, (title, values) in zip(panels.flat, drawn.items(), strict=True):
        style.image(panel, values, signed=values.min() < 0)
        panel.set_title(f'{title}\n{values.shape[0]}x{values.shape[1]}', fontsize=9.5)
    frame = {'fill': False, 'edgecolor': style.RED, 'linewidth': 1.5}
    panels[0, 0].add_patch(patches.Rectangle((left - 0.5, top - 0.5), SIDE, SIDE, **frame))
    row, column = np.unravel_index(match.argmax(), match.shape)
    panels[1, 3].add_patch(patches.Circle((column, row), 1.5, **frame))
    notes = [
        'Edges: grey is zero; white is where it gets brighter to the right or downwards.',
        f'The cosine is highest, {match.max():.2f}, where the piece was taken from (red).',
    ]
    style.finish(picture, 'What a convolution does to an image', notes)
    return picture
