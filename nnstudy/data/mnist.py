"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 pixels in ten classes.

MNIST: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/. Fashion-MNIST: Xiao, Rasul and
Vollgraf, https://arxiv.org/abs/1708.07747, which has the same files, names and sizes.
"""

import functools
import os
import pathlib

import numpy as np

from nnstudy import errors
from nnstudy.data import dataset, download, files, idx

SHAPES = {
    'train-images-idx3-ubyte': (60_000, 28, 28),
    'train-labels-idx1-ubyte': (60_000,),
    't10k-images-idx3-ubyte': (10_000, 28, 28),
    't10k-labels-idx1-ubyte': (10_000,),
}

# Of the IDX files themselves: their compressed forms differ from mirror to mirror.
SHA256 = {
    'mnist': {
        'train-images-idx3-ubyte': (
            'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db'
        ),
        'train-labels-idx1-ubyte': (
            '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5'
        ),
        't10k-images-idx3-ubyte': (
            '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7'
        ),
        't10k-labels-idx1-ubyte': (
            'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2'
        ),
    },
    'fashion_mnist': {
        'train-images-idx3-ubyte': (
            'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888'
        ),
        'train-labels-idx1-ubyte': (
            'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9'
        ),
        't10k-images-idx3-ubyte': (
            '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b'
        ),
        't10k-labels-idx1-ubyte': (
            '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34'
        ),
    },
}

CLASS_NAMES = {
    'mnist': tuple('0123456789'),
    'fashion_mnist': (
        'T-shirt/top',
        'Trouser',
        'Pullover',
        'Dress',
        'Coat',
        'Sandal',
        'Shirt',
        'Sneaker',
        'Bag',
        'Ankle boot',
    ),
}


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns MNIST or Fashion-MNIST: uint8 images `[N, 28, 28, 1]`; about 0.6 s from `.gz` files.

    Args:
      name: `'mnist'` or `'fashion_mnist'`.
      data_dir: where the four files are, `.gz` or plain; see `download.find`.

    Raises:
      errors.UserError: if a file is missing, damaged or not the published one.
    """

    def array(filename: str) -> np.ndarray:
        read = functools.partial(_read, name, filename)
        return read(download.find(name, (f'{filename}.gz', filename), data_dir, check=read))

    splits = {
        split: (array(f'{prefix}-images-idx3-ubyte'), array(f'{prefix}-labels-idx1-ubyte'))
        for split, prefix in (('train', 'train'), ('test', 't10k'))
    }
    return dataset.Dataset(name, splits, CLASS_NAMES[name])


def _read(name: str, filename: str, path: pathlib.Path) -> np.ndarray:
    content = files.read(path)
    array = idx.parse(content, path)
    if array.shape != SHAPES[filename]:
        raise errors.UserError(
            f'{path}: {filename} of {name} has shape {list(SHAPES[filename])}, '
            f'found {list(array.shape)}'
        )
    download.check_sha256(path, content, SHA256[name][filename])
    return array
