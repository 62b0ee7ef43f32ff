"""Data sets by name, in memory: `load('mnist')`, then `prepare` for what runs read.

Published data are checked against their published checksums. Your own data are a `Dataset` of
arrays, or a CSV file; a new name is an entry in `DATASETS`.
"""

from collections.abc import Callable

from nnstudy import errors
from nnstudy.data import csv_table, published, tfds
from nnstudy.data.dataset import Dataset
from nnstudy.data.device import Data, prepare
from nnstudy.data.files import DataDir
from nnstudy.data.splits import select

DATASETS: dict[str, Callable[[DataDir], Dataset]] = {
    name: getattr(published, name)
    for name in ('digits', *dict.fromkeys(file.dataset for file in published.FILES))
}

# Readers of names such as 'csv:table.csv', which are `<reader>:<its argument>`.
READERS: dict[str, Callable[[str, DataDir], Dataset]] = {'csv': csv_table.load, 'tfds': tfds.load}


def load(name: str, data_dir: DataDir = None) -> Dataset:
    """Returns the data set of that name.

    Args:
      name: a key of `DATASETS`; or `csv:<file>` for a table of your own, with `#<column>` after it
        for the column to predict, by default the last one; or `tfds:<name>` for a set of
        TensorFlow Datasets, such as `tfds:svhn_cropped`.
      data_dir: the directory that holds its files. By default `$NNSTUDY_DATA_DIR`; without that,
        the user's cache, into which files are downloaded once. For `csv:` names, the directory
        that the file's path starts from, by default the current one; for `tfds:` names, the
        directory of TFDS.

    Raises:
      errors.UserError: the name is not known, or the data are missing or damaged.
    """
    reader, colon, what = str(name).partition(':')
    if colon and reader in READERS:
        return READERS[reader](what, data_dir)
    if name not in DATASETS:
        raise errors.unknown('dataset', name, [*DATASETS, 'csv:<file>', 'tfds:<name>'])
    return DATASETS[name](data_dir)
