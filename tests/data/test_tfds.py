import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets

from nnstudy import data, errors
from nnstudy.data import tfds


def _mnist_metadata(folder: pathlib.Path) -> None:
    """Writes what TFDS keeps of a prepared MNIST, all but the examples."""
    splits = [
        {
            'name': split,
            'numBytes': '1',
            'shardLengths': ['1'],
            'filepathTemplate': '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}',
        }
        for split in ('train', 'test')
    ]
    info = {'name': 'mnist', 'version': '3.0.1', 'fileFormat': 'array_record', 'splits': splits}
    (folder / 'mnist' / '3.0.1').mkdir(parents=True)
    (folder / 'mnist' / '3.0.1' / 'dataset_info.json').write_text(json.dumps(info))


def _prepare(folder: pathlib.Path, features: dict, examples: list[dict], **info) -> None:
    """Prepares a set `my_set` 1.0.0 whose two splits both hold `examples`."""

    class Builder(tensorflow_datasets.core.GeneratorBasedBuilder, skip_registration=True):
        name = 'my_set'
        VERSION = tensorflow_datasets.core.Version('1.0.0')

        def _info(self):
            return tensorflow_datasets.core.DatasetInfo(
                builder=self,
                description='For a test.',
                features=tensorflow_datasets.features.FeaturesDict(features),
                disable_shuffling=True,
                **info,
            )

        def _split_generators(self, dl_manager):
            return {'train': self._generate_examples(), 'test': self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(examples)

    Builder(data_dir=folder, file_format='array_record').download_and_prepare()


def _tensor(shape: tuple[int | None, ...], dtype: type = np.float32):
    return tensorflow_datasets.features.Tensor(shape=shape, dtype=dtype)


def _classes(*names: str):
    return tensorflow_datasets.features.ClassLabel(names=names)


def test_mnist_mocked(tmp_path):
    _mnist_metadata(tmp_path)
    with tensorflow_datasets.testing.mock_data(num_examples=5, data_dir=str(tmp_path)):
        dataset = data.load('tfds:mnist')
        source = tensorflow_datasets.data_source('mnist', split='train')
        expected = [source[i] for i in range(5)]
    assert dataset.name == 'tfds:mnist'
    assert list(dataset.splits) == ['train', 'test']
    assert dataset.class_names == tuple('0123456789')
    assert dataset.max_value == 255
    inputs, labels = dataset.splits['train']
    assert inputs.shape == (5, 28, 28, 1) and inputs.dtype == np.uint8
    np.testing.assert_array_equal(inputs, [example['image'] for example in expected])
    np.testing.assert_array_equal(labels, [example['label'] for example in expected])


def test_without_tensorflow(tmp_path):
    _mnist_metadata(tmp_path)
    code = f"""
import sys
import tensorflow_datasets
from nnstudy import data
with tensorflow_datasets.testing.mock_data(num_examples=2, data_dir={str(tmp_path)!r}):
    print(data.load('tfds:mnist').splits['train'][0].shape)
assert 'tensorflow' not in sys.modules
"""
    # The child finds this package where its parent did.
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == '(2, 28, 28, 1)'


@pytest.mark.parametrize('name', ['my_set', 'my_set/1.0.0', 'my_set:1.0.0'])
def test_table_from_disk(tmp_path, name):
    examples = [{'features': np.full(3, i, np.float32), 'label': i % 2} for i in range(6)]
    _prepare(tmp_path, {'features': _tensor((3,)), 'label': _classes('no', 'yes')}, examples)
    dataset = data.load(f'tfds:{name}', tmp_path)
    inputs, labels = dataset.splits['train']
    assert dataset.class_names == ('no', 'yes')
    np.testing.assert_array_equal(inputs, np.arange(6)[:, None] * np.ones(3))
    np.testing.assert_array_equal(labels, [0, 1, 0, 1, 0, 1])


def test_image_without_declared_keys(tmp_path):
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    features = {'id': _tensor((), np.int64), 'image': _tensor((2, 2, 3), np.uint8)}
    examples = [{'id': 7, 'image': image, 'label': 0}] * 2
    _prepare(tmp_path, {**features, 'label': _classes('a', 'b')}, examples)
    dataset = tfds.load('my_set', tmp_path)
    np.testing.assert_array_equal(dataset.splits['test'][0], [image, image])


def test_declared_keys_and_columns_by_name(tmp_path):
    columns = tensorflow_datasets.features.FeaturesDict({'b': np.int32, 'a': np.float32})
    examples = [{'row': {'a': i, 'b': 10 * i}, 'price': i / 2} for i in range(4)]
    features = {'row': columns, 'price': _tensor(())}
    _prepare(tmp_path, features, examples, supervised_keys=('row', 'price'))
    dataset = tfds.load('my_set', tmp_path)
    inputs, labels = dataset.splits['train']
    np.testing.assert_array_equal(inputs, [[0, 0], [1, 10], [2, 20], [3, 30]])
    np.testing.assert_array_equal(labels, [[0], [0.5], [1], [1.5]])
    assert dataset.class_names is None


def test_texts(tmp_path):
    features = {'text': tensorflow_datasets.features.Text(), 'label': _classes('a', 'b')}
    _prepare(tmp_path, features, [{'text': 'Olá', 'label': 1}, {'text': 'two words', 'label': 0}])
    dataset = tfds.load('my_set', tmp_path)
    inputs, labels = dataset.splits['train']
    assert dataset.is_text
    assert inputs.tolist() == ['Olá', 'two words'] and labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ('features', 'example', 'message'),
    [
        (
            {'sound': _tensor((3,)), 'label': _classes('a')},
            {'sound': np.zeros(3, np.float32), 'label': 0},
            'needs the feature label, and image, text or features, found label, sound',
        ),
        (
            {'features': {'word': tensorflow_datasets.features.Text()}, 'label': _classes('a')},
            {'features': {'word': 'hello'}, 'label': 0},
            'inputs must be numbers',
        ),
        (
            {'text': tensorflow_datasets.features.Text(), 'label': _classes('a')},
            {'text': b'\xff', 'label': 0},
            'is not text in UTF-8',
        ),
    ],
)
def test_what_does_not_fit(tmp_path, features, example, message):
    _prepare(tmp_path, features, [example])
    with pytest.raises(errors.UserError, match=message):
        tfds.load('my_set', tmp_path)


def test_images_of_several_sizes(tmp_path):
    features = {'image': _tensor((None, 2), np.uint8), 'label': _classes('a')}
    examples = [{'image': np.zeros((n, 2), np.uint8), 'label': 0} for n in (1, 3)]
    _prepare(tmp_path, features, examples)
    with pytest.raises(errors.UserError, match='not an array of numbers .* inhomogeneous shape'):
        tfds.load('my_set', tmp_path)


def test_not_prepared(tmp_path):
    with pytest.raises(errors.UserError) as raised:
        data.load('tfds:mnist', tmp_path)
    message = str(raised.value)
    assert message.startswith(f'tfds:mnist: is not prepared in {tmp_path}')
    assert 'pip install "nnstudy[tfds]"' in message
    assert "python -c \"import tensorflow_datasets as tfds; tfds.builder('mnist', " in message
    assert '\n' not in message
    assert not list(tmp_path.iterdir())


def test_prepared_for_tensorflow_only(tmp_path):
    features = {'features': _tensor(()), 'label': _classes('a')}
    _prepare(tmp_path, features, [{'features': 0, 'label': 0}])
    folder = tmp_path / 'my_set' / '1.0.0'
    for path in folder.glob('*.array_record*'):
        path.rename(folder / path.name.replace('array_record', 'tfrecord'))
    info = folder / 'dataset_info.json'
    info.write_text(info.read_text().replace('array_record', 'tfrecord'))
    with pytest.raises(errors.UserError, match='in a format that only TensorFlow reads'):
        tfds.load('my_set', tmp_path)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('kmnst', 'tfds:kmnst: Dataset kmnst not found. Did you mean: kmnst -> kmnist'),
        ('zzzzzz/1.0.0', r'tfds:zzzzzz/1\.0\.0: Dataset zzzzzz not found\.$'),
        ('mnist/9.9.9', r'tfds:mnist/9\.9\.9: Dataset mnist cannot be loaded at version 9\.9\.9'),
        ('', 'tfds:: Parsing builder name'),
        ('../mnist', 'Parsing builder name'),
    ],
)
def test_unknown(tmp_path, name, message):
    with pytest.raises(errors.UserError, match=message) as raised:
        data.load(f'tfds:{name}', tmp_path)
    assert '\n' not in str(raised.value)
