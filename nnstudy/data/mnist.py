"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 pixels in ten classes.

MNIST: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/. Fashion-MNIST: Xiao, Rasul and
Vollgraf, https://arxiv.org/abs/1708.07747, which has the same files, names and sizes.
"""

import os
import struct

import numpy as np

from nnstudy.data import dataset
from nnstudy.data.published import File


def _files(name: str, mirrors: tuple[str, ...], *checksums: str) -> tuple[File, ...]:
    """Returns the four files of a set: images and labels for training, images and labels for test.

    The checksums are of the files' content, since the compressed files differ among mirrors.
    """
    names = (
        'train-images-idx3-ubyte',
        'train-labels-idx1-ubyte',
        't10k-images-idx3-ubyte',
        't10k-labels-idx1-ubyte',
    )
    return tuple(
        File(name, (f'{file}.gz', file), mirrors, sha256)
        for file, sha256 in zip(names, checksums, strict=True)
    )


FILES = {
    'mnist': _files(
        'mnist',
        (
            'https://storage.googleapis.com/cvdf-datasets/mnist/',
            'https://ossci-datasets.s3.amazonaws.com/mnist/',
        ),
        'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
        '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
        '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
        'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
    ),
    'fashion_mnist': _files(
        'fashion_mnist',
        ('http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',),
        'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
        'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
        '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
        '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
    ),
}

CLASS_NAMES = {
    'mnist': tuple('0123456789'),
    'fashion_mnist': (
        'T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat',
        'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot',
    ),
}  # fmt: skip


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns MNIST or Fashion-MNIST: uint8 images `[N, 28, 28, 1]`; about 0.6 s from `.gz` files.

    Args:
      name: `'mnist'` or `'fashion_mnist'`.
      data_dir: where the four files are, `.gz` or plain; see `File.find`.

    Raises:
      errors.UserError: if a file is missing, damaged or not the published one.
    """

    train, train_labels, test, test_labels = (
        _array(bytes(file.load(data_dir))) for file in FILES[name]
    )
    splits = {'train': (train, train_labels), 'test': (test, test_labels)}
    return dataset.Dataset(name, splits, CLASS_NAMES[name])


def _array(content: bytes) -> np.ndarray:
    """Returns the array in an IDX file of bytes.

    Two zero bytes, a byte for the type of the values (8: uint8), a byte for the number of axes, one
    big-endian 32-bit length an axis, and the values.
    """
    num_axes = content[3]
    shape = struct.unpack_from(f'>{num_axes}I', content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(shape)
