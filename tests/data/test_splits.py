import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from nnstudy import errors
from nnstudy.data import dataset, splits


def _dataset(count: int) -> dataset.Dataset:
    rows = np.arange(count, dtype=np.float32)[:, None]
    return dataset.Dataset('mine', {'train': (rows, rows), 'test': (rows[:1], rows[:1])})


def _selected(spec: str, count: int) -> list[int]:
    inputs, labels = splits.select(_dataset(count), spec)
    np.testing.assert_array_equal(inputs, labels)
    return inputs[:, 0].astype(int).tolist()


@pytest.mark.parametrize(
    ('spec', 'expected'),
    [
        ('train', range(0, 1000)),
        ('train[:800]', range(0, 800)),
        ('train[800:]', range(800, 1000)),
        ('train[-500:]', range(500, 1000)),
        ('train[:-500]', range(0, 500)),
        ('train[100:200]', range(100, 200)),
        ('train[90%:]', range(900, 1000)),
        ('train[10%:20%]', range(100, 200)),
        ('train[-10%:]', range(900, 1000)),
        ('train[:12.5%]', range(0, 125)),
        ('train[:1000]', range(0, 1000)),
        ('train[:100%]', range(0, 1000)),
        ('test', range(0, 1)),
    ],
)
def test_select(spec, expected):
    assert _selected(spec, 1000) == list(expected)


def test_selections_are_views():
    data = _dataset(10)
    inputs, labels = splits.select(data, 'train[2:4]')
    assert np.shares_memory(inputs, data.splits['train'][0])
    assert np.shares_memory(labels, data.splits['train'][1])


def test_percentages_round_to_the_closest_and_halves_to_even():
    assert len(_selected('train[:50%]', 5)) == 2  # 2.5
    assert len(_selected('train[:50%]', 7)) == 4  # 3.5
    assert len(_selected('train[:33%]', 10)) == 3
    assert len(_selected('train[:67%]', 10)) == 7


@hypothesis.given(st.integers(2, 3000), st.integers(1, 99))
def test_two_parts_make_the_whole(count, percent):
    hypothesis.assume(0 < round(percent * count / 100) < count)
    first, second = f'train[:{percent}%]', f'train[{percent}%:]'
    assert _selected(first, count) + _selected(second, count) == list(range(count))


_NUMBERS = st.integers(-120, 120)
_PERCENTS = st.integers(-110, 110)


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
    st.integers(1, 100),
    st.one_of(
        st.tuples(_NUMBERS | st.none(), _NUMBERS | st.none(), st.just('')),
        st.tuples(_PERCENTS | st.none(), _PERCENTS | st.none(), st.just('%')),
    ),
)
def test_agrees_with_tfds(count, slice_):
    tfds = pytest.importorskip('tensorflow_datasets')
    start, stop, unit = slice_
    bounds = ['' if bound is None else f'{bound}{unit}' for bound in (start, stop)]
    spec = f'train[{":".join(bounds)}]'
    info = tfds.core.SplitInfo(name='train', shard_lengths=[count], num_bytes=0)
    try:
        instruction = tfds.core.ReadInstruction.from_spec(spec)
        (absolute,) = instruction.to_absolute({'train': info})
        expected = list(range(count))[absolute.from_ : absolute.to]
    except (ValueError, AssertionError):
        expected = []
    if expected:
        assert _selected(spec, count) == expected
    else:
        with pytest.raises(errors.UserError):
            _selected(spec, count)


@pytest.mark.parametrize('count', [2, 3, 5, 10, 999])
def test_shuffled(count):
    """Every example is in one split, with its label; four of five are for training."""
    labels = np.arange(count)
    inputs = labels.astype(np.float32)[:, None]
    parts = splits.shuffled(inputs, labels)
    assert list(parts) == ['train', 'test']
    assert len(parts['train'][0]) == int(0.8 * count)
    both = np.concatenate([y for _, y in parts.values()])
    assert sorted(both) == list(range(count))
    for x, y in parts.values():
        np.testing.assert_array_equal(x[:, 0], y)
    again = splits.shuffled(inputs, labels)
    np.testing.assert_array_equal(again['test'][1], parts['test'][1])
    assert count < 10 or (both != labels).any()


def test_shuffled_is_the_same_everywhere():
    _, labels = splits.shuffled(np.zeros(10), np.arange(10))['train']
    assert labels.tolist() == [2, 8, 4, 9, 1, 6, 7, 3]


@pytest.mark.parametrize(
    'spec',
    [
        '',
        'train[',
        'train[:5',
        'train[:]',
        'train[5]',
        'train[a:b]',
        'train[1.5:]',
        'train[::2]',
        'train [:5]',
        'train[:5 ]',
        'train[:80 %]',
        'train[:5]\n',
        'train[:5]+test',
        '[:5]',
        None,
    ],
)
def test_malformed(spec):
    with pytest.raises(errors.UserError, match=r"accepted are 'train', 'train\[:800\]'"):
        splits.select(_dataset(10), spec)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('trian', "unknown split of data set 'mine' 'trian': did you mean 'train'"),
        ('train[:99999]', 'out of range: there are 1,000 examples'),
        ('train[-1001:]', 'out of range: there are 1,000 examples'),
        ('train[:120%]', 'out of range: there are 1,000 examples'),
        ('train[200:100]', 'no example: it runs from 200 to 100 of the 1,000'),
        ('train[1000:]', 'no example: it runs from 1,000 to 1,000 of the 1,000'),
        ('train[:0]', 'no example'),
        ('train[10%:500]', 'mixes a percentage with a number'),
    ],
)
def test_mistakes_are_named(spec, message):
    with pytest.raises(errors.UserError, match=message):
        splits.select(_dataset(1000), spec)
