import io

import numpy as np
import pandas as pd
import pytest

from nnstudy.analysis import axes


def test_numeric_axis_sets_apart_what_has_no_place_on_its_scale():
    axis = axes.axis('optimizer.weight_decay', [1e-3, None, 0.0, 1e-5, 1e-4])
    assert axis.values == (None, 0.0, 1e-5, 1e-4, 1e-3)
    assert axis.logarithmic
    assert axis.apart == (None, 0.0)
    assert axis.scale == (1e-5, 1e-4, 1e-3)


def test_zero_is_on_a_linear_scale():
    axis = axes.axis('model.dropout', [0.0, 0.25, 0.1, 0.4, 0.5])
    assert axis.apart == ()
    assert axis.scale == (0.0, 0.1, 0.25, 0.4, 0.5)


@pytest.mark.parametrize(
    'values', [['relu', 'tanh'], [False, True], [(64, 64), (128,)], [None, 0.9], [0.9], [None], []]
)
def test_categorical(values):
    axis = axes.axis('field', values)
    assert axis.values == tuple(values)
    assert not axis.logarithmic and not axis.apart and not axis.scale


def test_edge():
    rates = axes.axis('optimizer.learning_rate', [0.1, 0.001, 0.01])
    assert [axes.edge(rates, v) for v in rates.values] == ['lower', None, 'upper']
    assert axes.edge(axes.axis('f', [0.1, 0.2]), 0.2) is None
    assert axes.edge(axes.axis('f', ['a', 'b', 'c']), 'c') is None
    with_off = axes.axis('f', [None, 0.1, 0.2, 0.3])
    assert axes.edge(with_off, None) is None
    assert axes.edge(with_off, 0.1) == 'lower'


def test_zero_is_no_lower_edge():
    assert axes.edge(axes.axis('optimizer.weight_decay', [0.0, 0.1, 0.2]), 0.0) is None


def test_settings_undo_what_tables_do_to_values():
    runs = pd.DataFrame(
        {
            'point': [1, 1, 0, 0],
            'momentum': [np.nan, np.nan, 0.9, 0.9],
            'widths': [(64, 64), (64, 64), (8,), (8,)],
            'depth': [2, 2, 3, 3],
            'bias': [True, True, False, False],
            'norm': [None, None, 'batch', 'batch'],
        }
    )
    swept = ['momentum', 'widths', 'depth', 'bias', 'norm']
    file = io.BytesIO()
    runs.to_parquet(file)
    for table in (runs, pd.read_parquet(file)):
        settings = axes.settings(table, swept)
        assert list(settings.index) == [0, 1]
        assert settings.loc[0].tolist() == [0.9, (8,), 3, False, 'batch']
        assert settings.loc[1].tolist() == [None, (64, 64), 2, True, None]
        assert type(settings.loc[0, 'depth']) is int
        assert type(settings.loc[0, 'bias']) is bool


def test_settings_without_swept_fields():
    settings = axes.settings(pd.DataFrame({'point': [0, 0]}), [])
    assert list(settings.index) == [0] and settings.columns.empty


@pytest.mark.parametrize(
    ('columns', 'telling'),
    [
        ({'name': ['a', 'b'], 'rate': [0.1, 0.2]}, ['name']),
        ({'rate': [0.1, 0.2], 'name': ['a', 'b']}, ['name']),
        ({'name': ['a', 'a', 'b'], 'rate': [0.1, 0.2, 0.3]}, ['name', 'rate']),
        ({'rate': [0.1, 0.2, 0.3], 'momentum': [0.5, 0.3, 0.9]}, ['rate', 'momentum']),
        ({'conv': ['relu', 'sigmoid'], 'dense': ['relu', 'tanh']}, ['conv']),
        ({'name': ['a', 'a'], 'rate': [0.1, 0.1]}, ['name', 'rate']),
        ({'name': ['a', 'b'], 'factor': [None, 0.5]}, ['name']),
    ],
)
def test_what_comes_with_a_word_tells_nothing(columns, telling):
    runs = pd.DataFrame({'point': range(len(next(iter(columns.values())))), **columns})
    assert axes.telling(runs, list(columns)) == telling
