import ml_dtypes
import numpy as np
import pandas as pd
import pytest

from nnstudy import errors
from nnstudy.data import dataset


def _images(count: int = 4, dtype: type = np.uint8) -> np.ndarray:
    return np.arange(count * 6).reshape(count, 2, 3).astype(dtype)


def _dataset(inputs=None, labels=None, **kwargs) -> dataset.Dataset:
    inputs = _images() if inputs is None else inputs
    labels = np.array([0, 2, 1, 0]) if labels is None else labels
    return dataset.Dataset('mine', {'train': (inputs, labels)}, **kwargs)


def test_grey_images_get_a_channel_axis():
    data = _dataset()
    inputs, labels = data.splits['train']
    assert data.input_shape == (2, 3, 1)
    assert inputs.dtype == np.uint8 and labels.dtype == np.int32
    np.testing.assert_array_equal(inputs[..., 0], _images())


@pytest.mark.parametrize('shape', [(4, 5), (4, 2, 3, 3)])
def test_tables_and_colour_images_keep_their_shape(shape):
    assert _dataset(np.zeros(shape)).input_shape == shape[1:]


@pytest.mark.parametrize(
    'dtype', [np.int8, np.int64, np.float16, np.float64, np.bool_, '>f4', ml_dtypes.bfloat16]
)
def test_other_inputs_become_float32(dtype):
    inputs = np.array([[0], [1], [1], [0]]).astype(dtype)
    data = _dataset(inputs)
    assert data.splits['train'][0].dtype == np.dtype(np.float32)
    np.testing.assert_array_equal(data.splits['train'][0], inputs.astype(np.float64))


def test_lists_do():
    data = dataset.Dataset('mine', {'train': ([[1, 2], [3, 4]], [0, 1])})
    assert data.input_shape == (2,) and len(data.class_names) == 2


def test_classification():
    data = _dataset()
    assert data.class_names == ('0', '1', '2')
    assert len(data.class_names) == data.num_outputs == 3


def test_class_count_is_that_of_all_splits():
    x = np.zeros((2, 1))
    data = dataset.Dataset('mine', {'train': (x, [0, 1]), 'test': (x, [0, 4])})
    assert data.num_outputs == 5


def test_classes_may_be_named_that_do_not_occur():
    assert _dataset(class_names=['a', 'b', 'c', 'd']).class_names == ('a', 'b', 'c', 'd')


@pytest.mark.parametrize('shape', [(4,), (4, 1), (4, 2)])
def test_regression(shape):
    data = _dataset(labels=np.ones(shape))
    labels = data.splits['train'][1]
    assert labels.shape == (4, shape[1] if len(shape) == 2 else 1) and labels.dtype == np.float32
    assert data.class_names is None and data.class_names is None
    assert data.num_outputs == labels.shape[1]


TEXTS = ['Olá!', '', 'two words', 'a\nb\0']


@pytest.mark.parametrize(
    'values',
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS, object),
        np.array(TEXTS, np.dtypes.StringDType()),
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype=object),
    ],
)
def test_texts(values):
    data = dataset.Dataset('mine', {'train': (values, [0, 1, 0, 1])})
    inputs, _ = data.splits['train']
    assert data.is_text and not data.is_image and data.input_shape == ()
    assert inputs.tolist() == TEXTS
    assert data.max_value == 1 and len(data.class_names) == 2
    assert data.fingerprint() == _dataset(TEXTS, np.array([0, 1, 0, 1])).fingerprint()
    with pytest.raises(ValueError, match='read-only'):
        inputs[0] = 'other'


def test_texts_of_two_lengths_are_of_one_type():
    texts = np.array(['short']), np.array(['much longer'])
    data = dataset.Dataset('mine', {'train': (texts[0], [0]), 'test': (texts[1], [1])})
    assert [x.tolist() for x, _ in data.splits.values()] == [['short'], ['much longer']]


def test_is_image():
    assert _dataset().is_image and not _dataset().is_text
    table = _dataset(np.zeros((4, 5)))
    assert not table.is_image and not table.is_text


def test_max_value():
    assert _dataset().max_value == 255
    assert _dataset(_images(dtype=np.float32)).max_value == 1
    assert _dataset(max_value=16).max_value == 16


def test_arrays_are_read_only_and_the_callers_stay_writeable():
    inputs = _images()
    data = _dataset(inputs)
    assert np.shares_memory(inputs, data.splits['train'][0])
    with pytest.raises(ValueError, match='read-only'):
        data.splits['train'][0][0] = 1
    inputs[0] = 1


def test_layout_is_contiguous():
    data = _dataset(np.zeros((4, 3, 5, 2), np.uint8).transpose(0, 2, 3, 1))
    assert data.splits['train'][0].flags.c_contiguous


def test_fingerprint_is_of_the_content():
    assert _dataset().fingerprint() == _dataset(_images().copy()).fingerprint()
    assert len(_dataset().fingerprint()) == 16


@pytest.mark.parametrize(
    'other',
    [
        lambda: _dataset(_images() + np.uint8(1)),
        lambda: _dataset(labels=np.array([0, 2, 1, 1])),
        lambda: _dataset(_images().reshape(4, 3, 2)),
        lambda: _dataset(_images(dtype=np.float32)),
        lambda: _dataset(max_value=16),
        lambda: _dataset(class_names=('a', 'b', 'c')),
        lambda: dataset.Dataset('other', dict(_dataset().splits)),
        lambda: dataset.Dataset('mine', {'test': _dataset().splits['train']}),
    ],
)
def test_fingerprint_differs_with(other):
    assert other().fingerprint() != _dataset().fingerprint()


@pytest.mark.parametrize(
    'texts',
    [['a', 'b', 'c', 'D'], ['ab', '', 'c', 'd'], ['a', 'b', 'c', 'd '], ['', 'ab', 'c', 'd']],
)
def test_fingerprint_of_texts(texts):
    assert _dataset(texts).fingerprint() != _dataset(['a', 'b', 'c', 'd']).fingerprint()


X, Y = _images(), np.array([0, 2, 1, 0])
NAN, HUGE = np.ones((4, 2)), np.ones((4, 2))
NAN[2, 1], HUGE[0, 1] = np.nan, 1e300


@pytest.mark.parametrize(
    ('splits', 'kwargs', 'message'),
    [
        ({}, {}, 'splits must be a dict'),
        ((X, Y), {}, 'splits must be a dict'),
        ({'train[0]': (X, Y)}, {}, 'needs a name'),
        ({'train': X}, {}, r"split 'train': must be a pair \(inputs, labels\)"),
        ({'train': (X, Y), 'test': (X, Y[:3])}, {}, "'test': has 4 inputs but 3 labels"),
        ({'train': (X[:0], Y[:0])}, {}, "split 'train': is empty"),
        ({'train': (np.zeros(4), Y)}, {}, r'inputs have shape \[4\]'),
        ({'train': (np.zeros((4, 0)), Y)}, {}, r'inputs have shape \[4, 0\]'),
        ({'train': (np.zeros((4, 1, 1, 1, 1)), Y)}, {}, 'inputs have shape'),
        (
            {'train': (np.array([['a']] * 4), Y)},
            {},
            'inputs must be numbers, or texts along one axis, not <U1',
        ),
        (
            {'train': (np.ones((4, 1), complex), Y)},
            {},
            'inputs must be numbers, or texts along one axis, not complex128',
        ),
        ({'train': ([[1], [2, 3]], Y)}, {}, 'inputs are not an array'),
        (
            {'train': (['a', 'b', 'c', None], Y)},
            {},
            'inputs must be numbers, or texts along one axis',
        ),
        ({'train': (['a', 'b', 'c', 1], Y)}, {}, 'inputs must be numbers, or texts along one axis'),
        (
            {'train': (['a', 'b', 'c', '\ud800'], Y)},
            {},
            'inputs are not an array of numbers or texts: .*surrogates',
        ),
        ({'train': (['a', 'b'], Y)}, {}, 'has 2 inputs but 4 labels'),
        (
            {'train': (['a', 'b', 'c', 'd'], Y)},
            {'max_value': 2},
            'max_value is for numbers, not for',
        ),
        (
            {'train': (['a'] * 4, Y), 'test': (X, Y)},
            {},
            "split 'test': inputs are uint8 .* StringDType",
        ),
        ({'train': (X, ['a', 'b', 'c', 'd'])}, {}, 'labels must be numbers, not <U1'),
        ({'train': (NAN, Y)}, {}, r'finite in float32, but inputs\[2, 1\] is nan; 1 such'),
        ({'train': (HUGE, Y)}, {}, r'finite in float32, but inputs\[0, 1\] is 1e\+300'),
        ({'train': (X, NAN)}, {}, r'but labels\[2, 1\] is nan'),
        ({'train': (X, Y - 1)}, {}, 'labels must be 0 or more, but there is a -1'),
        ({'train': (X, Y * 10**9)}, {}, 'below 100,000, but there is a 2,000,000,000; numbers to'),
        ({'train': (X, Y[:, None])}, {}, r'integer labels have shape \[4, 1\].*reshape\(-1\)'),
        ({'train': (X, np.ones((4, 1, 1)))}, {}, r'labels have shape \[4, 1, 1\]'),
        ({'train': (X, Y)}, {'class_names': ('a', 'b')}, 'below 2, .* but there is a 2'),
        ({'train': (X, Y)}, {'class_names': ('a', 'b', 'a')}, 'repeat'),
        ({'train': (X, Y)}, {'class_names': 'abc'}, 'tuple of strings'),
        ({'train': (X, Y * 1.0)}, {'class_names': ('a', 'b')}, 'for integer labels'),
        ({'train': (X, Y), 'test': (X * 1.0, Y)}, {}, "split 'test': inputs are float32 .* uint8"),
        (
            {'train': (X, Y), 'test': (X[:, :1], Y)},
            {},
            r"'test': inputs are uint8 of shape \[1, 3, 1\]",
        ),
        ({'train': (X, Y), 'test': (X, Y * 1.0)}, {}, "split 'test': labels are float32"),
        ({'train': (X, Y)}, {'max_value': 0}, 'positive and finite, not 0'),
        ({'train': (X, Y)}, {'max_value': float('nan')}, 'positive and finite, not nan'),
    ],
)
def test_mistakes_are_named(splits, kwargs, message):
    with pytest.raises(errors.UserError, match=message) as raised:
        dataset.Dataset('mine', splits, **kwargs)
    assert "data set 'mine'" in str(raised.value)
    assert '\n' not in str(raised.value)
