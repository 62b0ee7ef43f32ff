"""The contact sheet: what it shows, and what it says when it cannot."""

import jax
import numpy as np
import pytest
from matplotlib import image
from small import ROOT, make_config, make_dataset

import nnstudy
from nnstudy import commands, data
from nnstudy.commands import preview
from nnstudy.data import augmentation

CONFIG = f'--config={ROOT}/configs/lr_sweep.py'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def colours(monkeypatch):
    """A data set of three channels, by name."""
    dataset = make_dataset(shape=(6, 4, 3))
    monkeypatch.setitem(data.DATASETS, 'small', lambda data_dir: dataset)
    return dataset


def mosaic(picture):
    """The pixels that a figure shows, and the labels of its rows and columns."""
    (panel,) = picture.axes
    (shown,) = panel.images
    rows, columns = panel.get_yticklabels(), panel.get_xticklabels()
    return shown.get_array(), [t.get_text() for t in rows], [t.get_text() for t in columns]


def test_of_a_config(folder, capsys):
    flags = ('--config.augmentation.rotation=15', '--config.augmentation.shift=0.2', '--epochs=3')
    assert commands.main(['preview', CONFIG, *flags, '--examples=2', '--out=a.png']) == 0
    assert capsys.readouterr().out == 'picture: a.png\n'
    assert [path.name for path in folder.iterdir()] == ['a.png']
    assert image.imread('a.png').ndim == 3


def test_each_kind(folder, capsys):
    """Also that a kind at strength 0 leaves the others alone."""
    assert commands.main(['preview', '--epochs=2']) == 0
    assert (folder / 'preview.png').stat().st_size > 10_000
    pixels, rows, columns = mosaic(preview.of_kinds(2))
    assert rows[0] == 'horizontal_flip=0.5' and rows[-1] == 'all'
    assert len(rows) == len(augmentation.KINDS) + 1
    assert columns == ['original', 'epoch 1', 'epoch 2']
    original = pixels[:8, :8]
    for column in (9, 18):
        flipped = pixels[:8, column : column + 8]
        assert (flipped == original).all() or (flipped == original[:, ::-1]).all()


def test_rows_are_examples_and_columns_epochs(colours):
    config = make_config(dataset='small', augmentation__horizontal_flip=1.0, seed=3)
    picture = preview.of_config(config, examples=5, epochs=2)
    pixels, rows, columns = mosaic(picture)
    images, labels = colours.splits['train']
    assert rows == [str(label) for label in labels[:5]]
    assert columns == ['original', 'epoch 1', 'epoch 2']
    assert pixels.shape == (5 * 7 - 1, 3 * 5 - 1, 3)
    for number, stored in enumerate(images[:5] / np.float32(255)):
        row = pixels[7 * number :][:6]
        np.testing.assert_allclose(row[:, :4], stored, atol=1e-6)
        for epoch in (1, 2):
            np.testing.assert_allclose(row[:, 5 * epoch :][:, :4], stored[:, ::-1], atol=1e-6)
    assert (pixels[6::7] == 1).all() and (pixels[:, 4::5] == 1).all()
    assert picture.get_suptitle() == 'First training examples of small, augmented'
    assert picture.get_supxlabel() == 'horizontal_flip=1; seed 3'


def test_without_augmentation(colours):
    picture = preview.of_config(make_config(dataset='small'), examples=100, epochs=2)
    pixels, rows, _ = mosaic(picture)
    assert picture.get_suptitle().endswith('no augmentation')
    assert len(rows) == 36
    np.testing.assert_array_equal(pixels[:, :4], pixels[:, 5:9])


def test_what_is_swept_has_the_configs_own_value(folder, monkeypatch):
    (folder / 'swept.py').write_text(
        'import nnstudy\n'
        'def get_config():\n'
        '    config = nnstudy.default_config()\n'
        '    config.augmentation.cutout = 0.25\n'
        '    return config\n'
        'def sweep(config):\n'
        "    return nnstudy.choice('augmentation.cutout', [0.0, 0.5])\n"
    )
    shown = []
    monkeypatch.setattr(preview.style, 'save', lambda picture, path: shown.append(picture))
    assert commands.main(['preview', '--config=swept.py', '--epochs=1', '--examples=1']) == 0
    assert shown[0].get_supxlabel() == 'cutout=0.25; seed 0'


def test_it_shows_what_training_sees(colours, monkeypatch):
    """The same key, epochs and numbers of examples as in a step of training."""
    config = make_config(dataset='small', augmentation__shift=0.5, shuffle=False)
    seen = {}  # epoch -> the first batch
    original = augmentation.augment

    def record(key, epoch, *args):
        images = original(key, epoch, *args)
        jax.debug.callback(
            lambda epoch, images: seen.setdefault(int(epoch), np.asarray(images)), epoch, images
        )
        return images

    prepared = data.prepare(colours, train='train[:36]', validation='train[36:]')
    with monkeypatch.context() as patch:
        patch.setattr(augmentation, 'augment', record)
        train = jax.jit(nnstudy.make_train(config))
        jax.block_until_ready(train(nnstudy.make_keys(7), {}, prepared))
        jax.effects_barrier()
    shown = preview.augmented(prepared, np.arange(8), {'shift': 0.5}, epochs=2, seed=7)
    for epoch in (0, 1):
        np.testing.assert_array_equal(shown[:, 1 + epoch], seen[epoch] / np.float32(255))


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--config.augmentation.rotation=15'], '--config.FIELD needs --config=FILE.py'),
        ([CONFIG, '--config.augmentation.rotate=15'], "did you mean 'augmentation.rotation'"),
        ([CONFIG, '--config.augmentation.rotation=200'], 'rotation must be at most 180'),
        ([CONFIG, '--epochs=0'], '--epochs: must be a whole number, at least 1'),
        ([CONFIG, '--examples=two'], '--examples'),
        ([CONFIG, '--colour'], 'unrecognized arguments: --colour'),
        (['--config=none.py'], "unknown config file 'none.py'"),
        ([CONFIG, '--epochs=1', '--out=missing/a.png'], "cannot write 'missing/a.png'"),
        ([CONFIG, '--epochs=1', '--out='], "cannot write '.'"),
    ],
)
def test_a_mistake_is_one_line(folder, capsys, flags, message):
    assert commands.main(['preview', *flags]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count('\n') == 1
    assert not printed.out
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ('split', 'fields'),
    [
        ((np.ones((50, 3)), np.ones(50)), {'loss.name': 'squared_error'}),
        ((['a b', 'b c'] * 25, np.arange(50) % 2), {'model.name': 'embedding'}),
    ],
    ids=['table', 'texts'],
)
def test_no_images(monkeypatch, split, fields):
    dataset = nnstudy.Dataset('other', {'train': split, 'test': split})
    monkeypatch.setitem(data.DATASETS, 'other', lambda data_dir: dataset)
    fields = {'dataset': 'other', **fields}
    with pytest.raises(nnstudy.UserError, match="'other' has inputs of .* preview is of images"):
        preview.of_config(make_config(**fields))
    with pytest.raises(nnstudy.UserError, match='config.augmentation.shift is for images'):
        preview.of_config(make_config(**fields, augmentation__shift=0.1))
