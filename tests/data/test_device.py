import jax
import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from nnstudy import data, errors
from nnstudy.data import device
from nnstudy.spec.fields import Text


def _images(shape=(8, 6, 3), train=30, test=10):
    rng = np.random.default_rng(0)
    splits = {
        split: (rng.integers(0, 256, (size, *shape)).astype(np.uint8), np.arange(size) % 3)
        for split, size in (('train', train), ('test', test))
    }
    return data.Dataset('images', splits)


def _table():
    rng = np.random.default_rng(0)
    inputs = rng.normal([0, 100, -7], [1, 20, 0.001], (50, 3)).astype(np.float32)
    splits = {'train': (inputs[:40], inputs[:40, 0]), 'test': (inputs[40:], inputs[40:, 0])}
    return data.Dataset('table', splits)


def _texts():
    train = ['I like eggs and ham.', 'I love chocolate and bunnies.', 'I hate onions.', 'Ham!']
    test = ['I like onions, and I like them very, very much', '...']
    return data.Dataset('texts', {'train': (train, [0, 0, 1, 0]), 'test': (test, [0, 1])})


def _split(prepared, name):
    """Returns inputs and labels of a split."""
    begin = 0
    for split, size in prepared.sizes:
        if split == name:
            return prepared.inputs[begin : begin + size], prepared.labels[begin : begin + size]
        begin += size
    raise KeyError(name)


def test_splits_are_back_to_back():
    dataset = _images()
    prepared = data.prepare(dataset, train='train[:20]', validation='train[25:]', test='test[5:]')
    assert prepared.sizes == (('train', 20), ('validation', 5), ('test', 5))
    assert prepared.num_train == 20 and prepared.num_outputs == 3
    for name, spec in (('train', 'train[:20]'), ('validation', 'train[25:]'), ('test', 'test[5:]')):
        for found, expected in zip(_split(prepared, name), data.select(dataset, spec), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert prepared.is_image and not prepared.is_text and prepared.num_tokens is None
    assert prepared.max_value == 255 and prepared.inputs.dtype == np.uint8


@pytest.mark.parametrize(('name', 'low', 'high'), [('unit', 0, 1), ('symmetric', -1, 1)])
def test_ranges(name, low, high):
    prepared = data.prepare(_images(), name)
    normalized = jax.jit(prepared.normalized)(prepared.inputs)
    # What the scale was when it was a constant of the program.
    expected = prepared.inputs.astype(np.float32) * ((high - low) / 255) + low
    np.testing.assert_allclose(normalized, expected, atol=1e-7)
    np.testing.assert_allclose([normalized.min(), normalized.max()], [low, high], atol=1e-6)


def test_no_normalization():
    prepared = data.prepare(_images(), None)
    np.testing.assert_array_equal(prepared.normalized(prepared.inputs), prepared.inputs)


def test_standard_knows_the_training_split_only():
    dataset = _table()
    prepared = data.prepare(dataset, 'standard', 'train[:30]', 'train[30:]')
    rows = {name: _split(prepared, name)[0] for name in ('train', 'validation', 'test')}
    scaler = StandardScaler().fit(rows['train'].astype(np.float64))
    for split, inputs in rows.items():
        normalized = jax.jit(prepared.normalized)(inputs)
        # The third column is 7,000 deviations from zero, so its float32 values are rounded to 4e-4.
        np.testing.assert_allclose(
            normalized, scaler.transform(inputs), atol=2e-3, rtol=1e-5, err_msg=split
        )
    assert prepared.scale.shape == prepared.offset.shape == (3,)
    assert not prepared.is_image


def test_standard_of_images_is_by_channel():
    dataset = _images()
    prepared = data.prepare(dataset, 'standard')
    train = np.asarray(prepared.normalized(_split(prepared, 'train')[0]))
    np.testing.assert_allclose(train.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(train.std((0, 1, 2)), 1, atol=1e-5)
    resized = data.prepare(dataset, 'standard', image_size=4)
    train = np.asarray(resized.normalized(_split(resized, 'train')[0]))
    np.testing.assert_allclose(train.std((0, 1, 2)), 1, atol=1e-5)


def test_another_normalization_is_the_same_program():
    prepared = [data.prepare(_images(), name) for name in ('unit', 'symmetric', None)]
    assert len({jax.tree.structure(one) for one in prepared}) == 1
    shapes = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(one)] for one in prepared]
    assert shapes[0] == shapes[1] == shapes[2]


def test_the_data_in_a_line():
    said = data.prepare(_images(), train='train[:20]', validation='train[20:]').describe()
    assert said == '20 train, 10 validation, 10 test: images 8×6×3, 3 classes'
    said = data.prepare(_table()).describe()
    assert said == '40 train, 10 test: rows of 3 numbers, 1 to predict'
    said = data.prepare(_texts()).describe()
    assert said == '4 train, 2 test: texts of 5 tokens out of 12, 2 classes'


def test_image_size():
    dataset = _images()
    prepared = data.prepare(dataset, train='train[:20]', image_size=5)
    assert prepared.inputs.shape == (30, 5, 5, 3) and prepared.inputs.dtype == np.uint8
    inputs, _ = data.select(dataset, 'train[:20]')
    np.testing.assert_array_equal(_split(prepared, 'train')[0], device.resize(inputs, 5))


def test_the_size_that_images_have_changes_nothing():
    dataset = _images((8, 8, 1))
    for leaf, plain in zip(
        jax.tree.leaves(data.prepare(dataset, image_size=8)),
        jax.tree.leaves(data.prepare(dataset)),
        strict=True,
    ):
        np.testing.assert_array_equal(leaf, plain)


def test_only_what_is_selected_is_resized(monkeypatch):
    sizes = []
    monkeypatch.setattr(device, 'resize', lambda x, size: sizes.append(len(x)) or x[:, :5, :5])
    data.prepare(_images(), train='train[:7]', test='test[:3]', image_size=5)
    assert sizes == [7, 3]


def test_texts():
    """Words and length are those of the training texts; `them`, `very` and `much` are unknown."""
    text = Text(vocabulary='appearance')
    prepared = data.prepare(_texts(), train='train[:3]', text=text)
    assert prepared.is_text and prepared.num_tokens == 12 and not prepared.is_image
    assert prepared.inputs.dtype == np.int32
    assert prepared.inputs.tolist() == [
        [1, 2, 3, 4, 5],
        [1, 6, 7, 4, 8],
        [1, 9, 10, 0, 0],
        [1, 2, 10, 4, 1],
        [0, 0, 0, 0, 0],
    ]
    assert prepared.normalized(prepared.inputs) is prepared.inputs


def test_text_options():
    text = Text('frequency', vocabulary_size=3, length=7, padding='before', truncation='before')
    prepared = data.prepare(_texts(), None, text=text)
    assert prepared.num_tokens == 5  # padding, `i`, `and`, `ham`, unknown
    assert prepared.inputs.tolist() == [
        [0, 0, 1, 4, 4, 2, 3],
        [0, 0, 1, 4, 4, 2, 4],
        [0, 0, 0, 0, 1, 4, 4],
        [0, 0, 0, 0, 0, 0, 3],
        [2, 1, 4, 4, 4, 4, 4],
        [0, 0, 0, 0, 0, 0, 0],
    ]


def test_options_have_defaults():
    plain = data.prepare(_texts())
    given = data.prepare(_texts(), text=Text('frequency', None, 5, 'after', 'after'))
    np.testing.assert_array_equal(plain.inputs, given.inputs)


def test_sms_spam(data_dir):
    dataset = data.load('sms_spam', data_dir)
    split = {'train': 'train[:80%]', 'validation': 'train[80%:]'}
    prepared = data.prepare(dataset, **split)
    assert prepared.sizes == (('train', 3567), ('validation', 892), ('test', 1115))
    train, _ = _split(prepared, 'train')
    # Every word of the training texts has its id, and the last id is for words of other splits.
    assert set(np.unique(train)) == set(range(prepared.num_tokens - 1))
    assert prepared.inputs.max() == prepared.num_tokens - 1
    assert (train != 0).sum(axis=1).max() == train.shape[1]
    counts = np.bincount(train.ravel())[1:]
    assert (np.diff(counts) <= 0).all()  # the most frequent first


@pytest.mark.parametrize('make', [_images, _table, _texts])
def test_splits_with_examples_in_common(make):
    kind = (
        {'image_size': 4} if make is _images else {'text': Text(length=2)} if make is _texts else {}
    )
    data.prepare(make(), train='train[:2]', validation='train[2:]', **kind)
    with pytest.raises(errors.UserError, match=r'config.split.validation .* in common with'):
        data.prepare(make(), train='train[:3]', validation='train[2:]', **kind)
    with pytest.raises(errors.UserError, match='config.split.test .* in common with config.split'):
        data.prepare(make(), test='train[:1]', **kind)


@pytest.mark.parametrize(
    ('make', 'options', 'message'),
    [
        (_images, {'normalization': 'unti'}, "unknown normalization 'unti': did you mean 'unit'"),
        (_images, {'train': 'trian'}, 'config.split.train: unknown split'),
        (_images, {'image_size': 0}, 'config.image_size must be at least 1, not 0'),
        (_images, {'image_size': -3}, 'config.image_size must be at least 1, not -3'),
        (_table, {'image_size': 28}, "config.image_size 28 is for images, and 'table' has none"),
        (_texts, {'image_size': 28}, "config.image_size 28 is for images, and 'texts' has none"),
        (_texts, {'normalization': 'standard'}, "config.normalization 'standard' is for numbers"),
        (_texts, {'normalization': 'symmetric'}, "config.normalization 'symmetric' is for numbers"),
        (_texts, {'text': Text(length=0)}, 'config.text.length must be at least 1, not 0'),
        (
            _texts,
            {'text': Text(vocabulary_size=0)},
            'config.text.vocabulary_size must be at least 1, not 0',
        ),
        (
            _texts,
            {'text': Text(vocabulary='apearance')},
            "unknown value of config.text.vocabulary 'apearance': did you mean 'appearance'",
        ),
        (
            _texts,
            {'text': Text(padding='left')},
            "config.text.padding 'left': known: after, before",
        ),
        (_texts, {'text': Text(truncation='')}, "config.text.truncation '': known: after, before"),
        (
            _images,
            {'text': Text(vocabulary='frequency')},
            "config.text.vocabulary 'frequency' is for texts",
        ),
        (
            _images,
            {'text': Text(vocabulary_size=9)},
            "config.text.vocabulary_size 9 is for texts, and 'image",
        ),
        (
            _table,
            {'text': Text(length=9)},
            "config.text.length 9 is for texts, and 'table' has none",
        ),
        (_table, {'text': Text(padding='after')}, "config.text.padding 'after' is for texts"),
        (_table, {'text': Text(truncation='after')}, "config.text.truncation 'after' is for texts"),
    ],
)
def test_mistakes_are_named(make, options, message):
    with pytest.raises(errors.UserError, match=message) as raised:
        device.prepare(make(), **options)
    assert '\n' not in str(raised.value)


def test_texts_without_words():
    dataset = data.Dataset('mute', {'train': (['...', '?'], [0, 1]), 'test': (['word'], [0])})
    with pytest.raises(errors.UserError, match='config.split.train: there is no word in the train'):
        data.prepare(dataset)


def test_images_larger_than_memory_are_refused():
    with pytest.raises(errors.UserError, match='config.image_size 100000 makes .* GiB'):
        data.prepare(data.load('digits'), image_size=100_000)
