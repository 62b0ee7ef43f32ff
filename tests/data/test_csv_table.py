import gzip
import os

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import OneHotEncoder

from nnstudy import data, errors
from nnstudy.data import csv_table


def _whole(dataset):
    """Returns inputs and labels of both splits together."""
    inputs, labels = zip(*dataset.splits.values(), strict=True)
    return np.concatenate(inputs), np.concatenate(labels)


def _load(tmp_path, content, column=''):
    path = tmp_path / 'table.csv'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return csv_table.load(f'{path}{column}')


def _sorted(*columns):
    return sorted(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def test_iris(tmp_path):
    """A file that is sorted by class: both splits have all classes nevertheless."""
    iris = load_iris(as_frame=True)
    frame = iris.data.assign(species=iris.target_names[iris.target])
    frame.to_csv(tmp_path / 'iris.csv', index=False)
    dataset = data.load('csv:iris.csv', tmp_path)
    assert dataset.name == 'csv:iris.csv'
    assert dataset.class_names == ('setosa', 'versicolor', 'virginica')
    assert {split: x.shape for split, (x, _) in dataset.splits.items()} == {
        'train': (120, 4),
        'test': (30, 4),
    }
    assert all(set(y) == {0, 1, 2} for _, y in dataset.splits.values())
    inputs, labels = _whole(dataset)
    expected = _sorted(iris.data.to_numpy(np.float32), iris.target)
    assert _sorted(inputs, labels) == expected


def test_same_file_same_splits(tmp_path):
    content = 'a,b\n' + ''.join(f'{i},{i % 3}\n' for i in range(20))
    first, second = (_load(tmp_path, content) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()


def test_texts_are_one_hot(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            'colour': rng.choice(['red', 'green', 'blue, dark'], 30),
            'size': rng.normal(size=30),
            'open': rng.choice([True, False], 30),
            'shape': rng.choice(['round', 'flat'], 30),
            'y': np.arange(30) + 0.5,
        }
    )
    frame.to_csv(tmp_path / 'table.csv', index=False)
    inputs, labels = _whole(csv_table.load(str(tmp_path / 'table.csv')))
    encoder = OneHotEncoder(sparse_output=False)
    texts = encoder.fit_transform(frame[['colour', 'shape']])
    expected = np.hstack([frame[['size', 'open']].to_numpy(np.float32), texts])
    np.testing.assert_array_equal(inputs[labels[:, 0].argsort()], expected.astype(np.float32))


@pytest.mark.parametrize(
    ('values', 'classes', 'labels'),
    [
        ('b a c a', ('a', 'b', 'c'), [0, 0, 1, 2]),
        ('1 0 2 0', ('0', '1', '2'), [0, 0, 1, 2]),
        ('7 5 -1 5', ('-1', '5', '7'), [0, 1, 1, 2]),
        ('10 9 9 10', ('9', '10'), [0, 0, 1, 1]),
        ('True False True True', ('False', 'True'), [0, 1, 1, 1]),
        ('1.0 0.0 2 0', None, [0, 0, 1, 2]),
        ('1e3 -2.5 .5 0', None, [-2.5, 0, 0.5, 1000]),
    ],
)
def test_what_is_predicted(tmp_path, values, classes, labels):
    rows = ''.join(f'{i},{value}\n' for i, value in enumerate(values.split()))
    dataset = _load(tmp_path, 'x,y\n' + rows)
    assert dataset.class_names == classes
    _, found = _whole(dataset)
    assert sorted(found.ravel().tolist()) == labels
    assert found.shape == ((4, 1) if classes is None else (4,))


def test_column_by_name(tmp_path):
    content = 'kind,x,y\na,1,0.5\nb,2,1.5\na,3,2.5\n'
    assert _load(tmp_path, content, '#kind').class_names == ('a', 'b')
    assert _load(tmp_path, content).class_names is None
    assert _load(tmp_path, content, '#y').class_names is None
    with pytest.raises(errors.UserError, match=r"table.csv: unknown column 'Kind': did you m.*'"):
        _load(tmp_path, content, '#Kind')
    with pytest.raises(errors.UserError, match="unknown column '': known: kind, x, y"):
        _load(tmp_path, content, '#')


@pytest.mark.parametrize(
    'content',
    [
        b'x,y\n1,2.5\n3,4.5\n',
        b'x,y\r\n1,2.5\r\n3,4.5',
        b'\xef\xbb\xbfx,y\n1,2.5\n3,4.5\n',  # as Excel writes it
        b'\n\nx, y\n1, 2.5\n\n3, 4.5\n\n',
        b'"x","y"\n"1","2.5"\n"3","4.5"\n',
        gzip.compress(b'x,y\n1,2.5\n3,4.5\n', mtime=0),
    ],
)
def test_dialects(tmp_path, content):
    dataset = _load(tmp_path, content, '#y')
    inputs, labels = _whole(dataset)
    assert _sorted(inputs[:, 0], labels[:, 0]) == [(1, 2.5), (3, 4.5)]


def test_where_paths_start(tmp_path, monkeypatch):
    (tmp_path / 'sub').mkdir()
    path = tmp_path / 'sub' / 'my#1.csv'
    path.write_text('x,y\n1,2.5\n3,4.5\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path))
    for name, data_dir in (
        ('sub/my#1.csv#y', None),
        ('my#1.csv#y', 'sub'),
        (f'{path}#y', '/elsewhere'),
        (os.path.join('~', 'sub', 'my#1.csv#y'), None),
        ('my#1.csv#y', os.path.join('~', 'sub')),
    ):
        assert len(data.load(f'csv:{name}', data_dir).splits['train'][0]) == 1


ROWS = ''.join(f'{i},text {i},{i % 2}\n' for i in range(150))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'needs a header and rows below it'),
        ('\n\n', 'needs a header and rows below it'),
        ('x,y\n', 'needs a header and rows below it'),
        ('x,y\n1,2\n', "split 'train': is empty"),
        ('x\n1\n2\n', "has one column, 'x'"),
        ('x;y\n1,5;2\n2,5;1\n', "has one column, 'x;y'; it needs two or more, with commas"),
        ('5.1,3.5,setosa\n4.9,3.0,setosa\n', "must be a header .*, but name 1 is '5.1'"),
        ('x,x,y\n1,2,3\n1,2,3\n', "name of its own for each column, but name 2 is 'x'"),
        (',x,y\n0,1,2\n1,1,2\n', "name 1 is ''; remove a column that only numbers the rows"),
        ('x,y\n1,2\n3,4,5\n', 'is not a table: Expected 2 fields in line 3, saw 3'),
        ('x,y\n1,2,\n3,4,\n', 'the header has 2 names, but row 1 below it 3 values'),
        ('x,y,z\n1,2\n3,4\n', 'the header has 3 names, but row 1 below it 2 values'),
        ('x,y\n1,2\n3\n', "column 'y', row 2 below the header: the cell has no value"),
        ('x,y\n1,2\nNA,1\n', "column 'x', row 2 below the header: the cell has no value"),
        ('x,y\n1,2\n"3,4\n', 'is not a table: EOF inside string'),
        ('x,y\n1,2\n3,4\nfour,5\n', r"'x', row 3 .*: the cell 'four' is not a number, as most"),
        ('x,y\n1,1.5\n2,2.5\n3,?\n', r"'y', row 3 .*: the cell '\?' is not a number, as most"),
        ('x,y\n1,2\ninf,4\n', "column 'x', row 2 .* is not finite in float32"),
        ('x,y\n1,2.5\n3,1e300\n', "column 'y', row 2 .* is not finite in float32"),
        (f'x,name,y\n{ROWS}', r"'name' has 150 different texts \(row 1 .* is 'text 0'\)"),
        (b'x,y\n1,\xff\xfe\n', 'is not text in UTF-8'),
        (gzip.compress(b'x,y\n1,2\n', mtime=0)[:-9], 'truncated or damaged'),
    ],
)
def test_mistakes_are_named(tmp_path, content, message):
    with pytest.raises(errors.UserError, match=message) as raised:
        _load(tmp_path, content)
    assert str(raised.value).startswith(f'{tmp_path / "table.csv"}: ')
    assert '\n' not in str(raised.value)


def test_whole_numbers_that_are_amounts(tmp_path):
    content = 'x,price\n' + ''.join(f'{i},{1000 + i}\n' for i in range(101))
    with pytest.raises(errors.UserError, match=r"'price' has 101 .*\(such as 1000.0\) to predict"):
        _load(tmp_path, content)
    amounts = _load(tmp_path, content.replace('0,1000\n', '0,1000.0\n'))
    assert amounts.class_names is None and amounts.splits['train'][1].max() >= 1095


@pytest.mark.parametrize('name', ['absent.csv', 'folder'])
def test_unreadable(tmp_path, name):
    (tmp_path / 'folder').mkdir()
    with pytest.raises(errors.UserError, match='cannot be read: ') as raised:
        data.load(f'csv:{name}', tmp_path)
    assert '\n' not in str(raised.value)


def test_large_whole_numbers_are_numbers(tmp_path):
    content = 'x,y\n123456789012345678901234567890,0.5\n1,1.5\n'
    inputs, _ = _whole(_load(tmp_path, content))
    assert sorted(inputs.tolist()) == [[1], [np.float32(123456789012345678901234567890)]]
