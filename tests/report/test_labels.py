import numpy as np
import pytest

from nnstudy.report import labels


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (0.001, '0.001'),
        (3.2e-5, '3.2e-05'),
        (0.1 + 0.2, '0.3'),
        (64, '64'),
        (64.0, '64'),
        (1e7, '1e+07'),
        (10 ** (-2 / 3), '0.215'),
        (None, 'off'),
        (True, 'True'),
        ((64, 64), '(64, 64)'),
        ('relu', 'relu'),
    ],
)
def test_value(value, text):
    assert labels.value(value) == text


def test_values_get_the_digits_that_keep_them_apart():
    assert list(labels.values([0.1, 0.12345, 0.12346]).values()) == ['0.1', '0.12345', '0.12346']


def test_short_names_stay_unique():
    fields = ['optimizer.learning_rate', 'model.width', 'head.width']
    assert list(labels.short(fields).values()) == ['learning_rate', 'model.width', 'head.width']


def test_metrics_have_units():
    assert labels.metric('test_accuracy') == 'test accuracy (%)'
    assert labels.metric('test_mae') == 'test MAE'
    assert labels.reading('test_accuracy', 0.97654) == '97.65'
    assert labels.reading('test_loss', 0.27) == '0.2700'
    assert labels.reading('test_loss', 1234.5) == '1234'
    assert labels.reading('test_loss', np.nan) == 'nan'


def test_numbers_in_names_are_sorted_as_numbers():
    names = ['Dense_2', 'Dense_10', 'Dense_1', 'Conv_3']
    assert sorted(names, key=labels.natural) == ['Conv_3', 'Dense_1', 'Dense_2', 'Dense_10']
