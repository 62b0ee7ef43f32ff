import numpy as np
import pytest

from nnstudy import data, errors
from nnstudy.data import published


@pytest.fixture(autouse=True)
def not_warned():
    published._warn.cache_clear()


def test_published(data_dir):
    housing = data.load('boston_housing', data_dir)
    (train, train_values), (test, test_values) = housing.splits['train'], housing.splits['test']
    assert train.shape == (404, 13) and test.shape == (102, 13) and train.dtype == np.float32
    assert train_values.shape == (404, 1) and housing.class_names is None
    # The first rows of the split of Keras, and its means, as found all over the web.
    np.testing.assert_array_equal(
        train[0],
        np.float32([1.23247, 0, 8.14, 0, 0.538, 6.142, 91.7, 3.9769, 4, 307, 21, 396.9, 18.72]),
    )
    np.testing.assert_allclose(train_values[:4, 0], [15.2, 42.3, 50.0, 21.1], rtol=1e-6)
    np.testing.assert_allclose(test_values[:4, 0], [7.2, 18.8, 19.0, 27.0], rtol=1e-6)
    np.testing.assert_allclose(train_values.mean(), 22.395, atol=1e-3)
    # The whole is what the file's own description says of it.
    values = np.concatenate([train_values, test_values])
    assert len(values) == 506 and values.min() == 5 and values.max() == 50


def test_a_dead_network_has_the_error_that_the_study_expects(data_dir):
    """A ReLU output that has died predicts 0: a test MSE near 616."""
    _, values = data.load('boston_housing', data_dir).splits['test']
    np.testing.assert_allclose((values**2).mean(), 616, atol=0.5)


def test_the_warning_about_column_b_is_said_once(data_dir, capsys):
    for _ in range(2):
        data.load('boston_housing', data_dir)
    out, err = capsys.readouterr()
    assert out == ''
    (line,) = err.splitlines()
    assert line.startswith('warning: column B of boston_housing is computed from the proportion of')


@pytest.mark.parametrize(
    'damage',
    [
        lambda content: content[:-100],
        lambda content: b'',
        lambda content: content.replace(b'24.00', b'25.00', 1),
        lambda content: b'<html>404</html>',
    ],
)
def test_damage_is_named(data_dir, tmp_path, capsys, damage):
    content = (data_dir / 'boston_housing' / 'housing.data').read_bytes()
    path = tmp_path / 'housing.data'
    path.write_bytes(damage(content))
    with pytest.raises(errors.UserError, match='not the published data') as raised:
        data.load('boston_housing', tmp_path)
    assert str(raised.value).startswith(f'{path}: ')
    assert capsys.readouterr().err == ''


def test_missing(tmp_path):
    with pytest.raises(errors.UserError, match='has no boston_housing/housing.data; name no dir'):
        data.load('boston_housing', tmp_path)
