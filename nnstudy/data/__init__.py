"""Data sets by name, in memory: `load('mnist')`, then `prepare` for what runs read.

What is published under a name is checked against its published shape and checksum. A data set of
one's own is a `Dataset` of one's own arrays; a new name is an entry in `DATASETS`.
"""

import functools
import os
from collections.abc import Callable

from nnstudy import errors
from nnstudy.data import cifar, digits, mnist, tfds
from nnstudy.data.dataset import Dataset
from nnstudy.data.device import Data, prepare
from nnstudy.data.splits import select

__all__ = ['DATASETS', 'Data', 'Dataset', 'load', 'prepare', 'select']

_TFDS_PREFIX = 'tfds:'

DATASETS: dict[str, Callable[[str | os.PathLike[str] | None], Dataset]] = {
    'digits': digits.load,
    'mnist': functools.partial(mnist.load, 'mnist'),
    'fashion_mnist': functools.partial(mnist.load, 'fashion_mnist'),
    'cifar10': cifar.load,
}


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Returns the data set of that name.

    Args:
      name: a key of `DATASETS`, or `tfds:<name>` for one of TensorFlow Datasets, such as
        `tfds:svhn_cropped`.
      data_dir: the directory that holds its files. By default `$NNSTUDY_DATA_DIR`; without that,
        the user's cache, into which files are downloaded once. For `tfds:` names, the directory
        of TFDS.

    Raises:
      errors.UserError: if the name is not known, or the data is missing or damaged.
    """
    if isinstance(name, str) and name.startswith(_TFDS_PREFIX):
        return tfds.load(name.removeprefix(_TFDS_PREFIX), data_dir)
    if name not in DATASETS:
        raise errors.unknown('dataset', name, [*DATASETS, 'tfds:<name>'])
    return DATASETS[name](data_dir)
