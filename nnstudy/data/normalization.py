"""How stored inputs become what models read: scale * input + offset.

A normalization gets the training inputs `[N, ...]` and the value that means full intensity, and
returns scale and offset: float32 [], or [F] for a table (one a column), [C] for images (one a
channel).
"""

import functools
from collections.abc import Callable

import numpy as np

CHUNK_SIZE = 100  # examples that are float64 at once

Coefficients = tuple[np.ndarray, np.ndarray]


def to_range(inputs: np.ndarray, max_value: float, low: float, high: float) -> Coefficients:
    """Maps 0 to `low` and full intensity to `high`."""
    return np.asarray((high - low) / max_value, np.float32), np.asarray(low, np.float32)


def standard(inputs: np.ndarray, max_value: float) -> Coefficients:
    """Gives each column (channel) of the training inputs mean 0 and standard deviation 1.

    The standard deviation is that of the population, divided by N. A column that is constant, as
    far as float32 can tell, is only centred.
    """
    # Along the examples first: NumPy is slow along the other axes of images.
    mean = _mean_of_rest(inputs.mean(0, np.float64))
    centre = np.broadcast_to(mean, inputs.shape[1:]).copy()
    starts = range(0, len(inputs), CHUNK_SIZE)
    squares = sum(((inputs[n : n + CHUNK_SIZE] - centre) ** 2).sum(0) for n in starts)
    deviation = np.sqrt(_mean_of_rest(squares) / len(inputs))
    is_constant = deviation <= np.finfo(np.float32).eps * np.abs(mean)
    scale = 1 / np.where(is_constant, 1, deviation)
    return scale.astype(np.float32), (-mean * scale).astype(np.float32)


def _mean_of_rest(values: np.ndarray) -> np.ndarray:
    """Returns the mean over all axes but the last."""
    return values.reshape(-1, values.shape[-1]).mean(0)


NORMALIZATIONS: dict[str, Callable[[np.ndarray, float], Coefficients]] = {
    'unit': functools.partial(to_range, low=0.0, high=1.0),
    'symmetric': functools.partial(to_range, low=-1.0, high=1.0),
    'standard': standard,
}
