import time

import jax
import numpy as np
import pytest
from PIL import Image

from nnstudy import data
from nnstudy.data import device


def _images(shape, dtype=np.uint8):
    values = np.random.default_rng(0).integers(0, 256, shape)
    return values.astype(dtype)


@pytest.mark.parametrize('size', [1, 7, 28, 45])
@pytest.mark.parametrize('shape', [(4, 32, 32, 3), (4, 20, 33, 1), (4, 8, 8, 1), (4, 9, 5, 2)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_agrees_with_jax(shape, size, dtype):
    images = _images(shape, dtype)
    resized = device.resize(images, size)
    assert resized.dtype == dtype and resized.shape == (4, size, size, shape[-1])
    reference = jax.image.resize(
        images.astype(np.float32), resized.shape, 'bilinear', antialias=True
    )
    tolerance = 1.001 if dtype == np.uint8 else 1e-3  # grey levels
    np.testing.assert_allclose(resized.astype(np.float32), reference, atol=tolerance)


def test_images_do_not_meet():
    images = _images((3, 32, 32, 3))
    images[1] = 255
    resized = device.resize(images, 28)
    assert (resized[1] == 255).all()
    np.testing.assert_array_equal(resized[2:], device.resize(images[2:], 28))


def test_the_right_size_changes_nothing():
    images = _images((3, 28, 28, 1))
    assert device.resize(images, 28) is images


def test_real_images_in_colour(data_dir):
    """As many and as large as a tenth of CIFAR-10, in a few seconds at most."""
    grey, _ = data.load('fashion_mnist', data_dir).splits['test']
    images = np.repeat(np.pad(grey[:6_000], ((0, 0), (2, 2), (2, 2), (0, 0))), 3, axis=-1)
    start = time.perf_counter()
    resized = device.resize(images, 28)
    assert time.perf_counter() - start < 5  # takes about 0.3 s
    np.testing.assert_array_equal(resized, np.repeat(resized[..., :1], 3, axis=-1))
    for image, after in zip(images[:50], resized, strict=False):
        expected = Image.fromarray(image).resize((28, 28), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(after, np.asarray(expected))
