"""Published data sets by name: the files they are in, and how these become arrays.

`digits` is not here but in scikit-learn: real data that need no download.
"""

import functools
import io
import pathlib
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nnstudy.data import splits
from nnstudy.data.dataset import Dataset, Splits
from nnstudy.data.files import DataDir, File


class Published(NamedTuple):
    """A data set in files.

    Attributes:
      files: that hold it.
      splits: a function that returns the splits, from the content of each file.
      class_names: see `Dataset`.
    """

    files: tuple[File, ...]
    splits: Callable[..., Splits]
    class_names: tuple[str, ...] | None = None


def load(name: str, data_dir: DataDir = None) -> Dataset:
    """Returns the data set of that name in `PUBLISHED`; its arrays are described there.

    The last one is kept in memory, and not read again in the same process. CIFAR-10 takes about
    0.5 s from its six `.bin` files, 2 s from `.tar.gz` and 10 s from `.tar.xz`; all others are
    faster.

    Raises:
      errors.UserError: a file is missing, damaged or not the published one; see `File`.
    """
    paths = [file.find(data_dir) for file in PUBLISHED[name].files]
    return _read(name, *((path, path.stat().st_mtime_ns) for path in paths))


@functools.lru_cache(maxsize=1)  # a study's pictures ask for it again; its arrays are read-only
def _read(name: str, *paths: tuple[pathlib.Path, int]) -> Dataset:
    """Reads the files at some paths; another time of change is another file."""
    files, make_splits, class_names = PUBLISHED[name]
    contents = (file.read(path) for file, (path, _) in zip(files, paths, strict=True))
    return Dataset(name, make_splits(*contents), class_names)


def digits(data_dir: DataDir = None) -> Dataset:
    """Returns 1,797 handwritten digits: uint8 images `[N, 8, 8, 1]` from 0 to 16.

    The test part of "Optical recognition of handwritten digits" (Alpaydin and Kaynak, 1998,
    https://archive.ics.uci.edu/dataset/80). The last 360 are our test split.

    Args:
      data_dir: not used.
    """
    del data_dir
    from sklearn import datasets  # takes a second

    images, labels = datasets.load_digits(return_X_y=True)
    images = images.astype(np.uint8).reshape(-1, 8, 8)
    return Dataset('digits', splits.cut(images, labels, 1437), max_value=16)


def _mnist(name: str, mirrors: tuple[str, ...], *checksums: str) -> tuple[File, ...]:
    """Returns the four files of MNIST, or of a set like it, plain or gzipped."""
    kinds = 'train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'
    return tuple(
        File(name, (f'{kind}-ubyte.gz', f'{kind}-ubyte'), mirrors, sha256)
        for kind, sha256 in zip(kinds, checksums, strict=True)
    )


def _from_idx(*contents: bytes) -> Splits:
    """Returns the arrays of four IDX files of bytes.

    Two zero bytes, a byte for the type of the values (8: uint8), a byte for the number of axes, one
    big-endian 32-bit length an axis, and the values.
    """
    arrays = []
    for content in contents:
        shape = struct.unpack_from(f'>{content[3]}I', content, 4)
        arrays.append(np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape))
    return {'train': (arrays[0], arrays[1]), 'test': (arrays[2], arrays[3])}


def _from_cifar(content: bytes) -> Splits:
    """Returns the arrays of six files, the last of them for test.

    A record is one byte of label, then 1,024 bytes of red, of green and of blue, row by row.
    """
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    planes = records[:, 1:].reshape(-1, 3, 32 * 32)
    # With rows and columns as one axis, NumPy moves the channels three times as fast.
    images = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(-1, 32, 32, 3)
    return splits.cut(images, records[:, 0], len(records) * 5 // 6)


def _from_housing(content: bytes) -> Splits:
    """Returns the split of Keras: 404 rows for training and 102 for test, shuffled by seed 113."""
    _warn()
    table = np.loadtxt(io.BytesIO(content))  # [506, 14]; the last column is the value
    np.random.RandomState(113).shuffle(table)
    return splits.cut(table[:, :-1], table[:, -1:], 404)


@functools.cache  # once is enough
def _warn() -> None:
    print(
        'warning: column B of boston_housing is computed from the proportion of Black residents, '
        'on the unproven assumption that segregation raises prices; scikit-learn removed the set '
        'for it. Compare methods on it, but do not predict prices',
        file=sys.stderr,
    )


def _from_messages(content: bytes) -> Splits:
    """Returns 80% of the messages for training and 20% for test, see `splits.shuffled`.

    A message is a line: `ham` or `spam`, a tab, the text.
    """
    # Not `splitlines`: some messages hold characters that it takes for the end of a line.
    lines = content.decode().removesuffix('\n').split('\n')
    names, _, texts = zip(*(line.partition('\t') for line in lines), strict=True)
    labels = np.array([int(name == 'spam') for name in names])
    return splits.shuffled(np.array(texts, np.dtypes.StringDType()), labels)


_CLOTHES = (
    'T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat',
    'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot',
)  # fmt: skip
_OBJECTS = (
    'airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck',
)  # fmt: skip
_CIFAR_FILES = (*(f'data_batch_{number}.bin' for number in range(1, 6)), 'test_batch.bin')

PUBLISHED = {
    # 60,000 + 10,000 grey images of handwritten digits, uint8 `[N, 28, 28, 1]`: LeCun, Cortes and
    # Burges, http://yann.lecun.com/exdb/mnist/.
    'mnist': Published(
        _mnist(
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
        _from_idx,
        tuple('0123456789'),
    ),
    # The same of articles of clothing: Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747.
    'fashion_mnist': Published(
        _mnist(
            'fashion_mnist',
            ('http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',),
            'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
            'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
            '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
            '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
        ),
        _from_idx,
        _CLOTHES,
    ),
    # 50,000 + 10,000 colour images, uint8 `[N, 32, 32, 3]`: Krizhevsky, "Learning multiple layers
    # of features from tiny images", 2009; https://www.cs.toronto.edu/~kriz/cifar.html.
    'cifar10': Published(
        (
            File(
                'cifar10',
                (
                    # The first is the published one; of the others, the quickest come first.
                    'cifar-10-binary.tar.gz',
                    f'cifar-10-batches-bin/{_CIFAR_FILES[0]}',
                    _CIFAR_FILES[0],
                    'cifar-10-binary.tar.xz',
                ),
                ('https://www.cs.toronto.edu/~kriz/',),
                '013ba16d14ecc4829da62bf2af648ca30f600491ecb3e7f329c827db0dd17522',
                _CIFAR_FILES,
            ),
        ),
        _from_cifar,
        _OBJECTS,
    ),
    # 506 districts of Boston, a table `[N, 13]` with the columns CRIM ZN INDUS CHAS NOX RM AGE DIS
    # RAD TAX PTRATIO B LSTAT, and the median value of a home in thousands of dollars, `[N, 1]`:
    # Harrison and Rubinfeld, "Hedonic prices and the demand for clean air", J. of Environmental
    # Economics and Management 5, 1978. It is here because published results on optimisers use it,
    # and says nothing about homes or people: see `_warn`.
    'boston_housing': Published(
        (
            File(
                'boston_housing',
                ('housing.data',),
                ('https://archive.ics.uci.edu/ml/machine-learning-databases/housing/',),
                'baadf72995725d76efe787b664e1f083388c79ba21ef9a7990d87f774184735a',
            ),
        ),
        _from_housing,
    ),
    # 5,574 text messages in English, `[N]`, of which 747 are spam and 403 repeat an earlier one:
    # Almeida, Gómez Hidalgo and Yamakami, "Contributions to the study of SMS spam filtering", 2011;
    # https://archive.ics.uci.edu/dataset/228.
    'sms_spam': Published(
        (
            File(
                'sms_spam',
                ('smsspamcollection.zip', 'SMSSpamCollection'),
                ('https://archive.ics.uci.edu/ml/machine-learning-databases/00228/',),
                '7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d',
                ('SMSSpamCollection',),
            ),
        ),
        _from_messages,
        ('ham', 'spam'),
    ),
}
