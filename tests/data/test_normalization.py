import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from nnstudy.data import device


def _normalized(name, inputs, max_value=1.0):
    scale, offset = device.NORMALIZATIONS[name](inputs, max_value)
    assert scale.dtype == offset.dtype == np.float32
    return inputs.astype(np.float32) * scale + offset


@pytest.mark.parametrize(('name', 'expected'), [('unit', [0, 0.5, 1]), ('symmetric', [-1, 0, 1])])
def test_ranges(name, expected):
    images = np.array([0, 8, 16], np.uint8).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(_normalized(name, images, 16.0).ravel(), expected)


@pytest.mark.parametrize('shape', [(1, 3), (7, 3), (250, 5), (150, 6, 4, 3), (33, 5, 5, 1)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_standard_agrees_with_scikit_learn(shape, dtype):
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, shape).astype(dtype) * dtype(1 if dtype is np.uint8 else 1.7)
    rows = inputs.reshape(-1, shape[-1]).astype(np.float64)
    expected = StandardScaler().fit_transform(rows).reshape(shape)
    np.testing.assert_allclose(_normalized('standard', inputs), expected, atol=2e-6)


def test_columns_of_very_different_sizes():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(500, 4)) * [1e-6, 1, 1e6, 3] + [0, 100, 1e6, 2010]
    normalized = _normalized('standard', columns.astype(np.float32))
    np.testing.assert_allclose(normalized.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(normalized.std(0), 1, atol=1e-4)


@pytest.mark.parametrize('value', [0, 0.1, -7, 1e8, 3e38])
def test_a_constant_column_is_only_centred(value):
    inputs = np.full((404, 2), value, np.float32)
    inputs[:, 1] = np.arange(404)
    normalized = _normalized('standard', inputs)
    np.testing.assert_array_equal(normalized[:, 0], 0)
    np.testing.assert_allclose(normalized[:, 1].std(), 1, rtol=1e-6)


def test_a_column_that_float32_hardly_tells_from_a_constant():
    """Its spread is below the rounding of its own values, and would be noise if blown up."""
    inputs = np.full((404, 1), 1e8, np.float32)
    inputs[0] += 8
    np.testing.assert_array_equal(np.unique(_normalized('standard', inputs)), [0, 8])
