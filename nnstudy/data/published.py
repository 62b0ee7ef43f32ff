"""Published data sets: the files they are in, and how these become arrays."""

import functools
import importlib.util
import io
import pathlib
import struct
import sys

import numpy as np
import pandas as pd

from nnstudy import errors
from nnstudy.data import splits
from nnstudy.data.dataset import Dataset
from nnstudy.data.files import DataDir, File

_UCI = 'https://archive.ics.uci.edu/ml/machine-learning-databases/'
_MNIST = 'train-images-idx3', 'train-labels-idx1', 't10k-images-idx3', 't10k-labels-idx1'
_CIFAR = (*(f'data_batch_{number}.bin' for number in range(1, 6)), 'test_batch.bin')


def _mnist(name: str, mirrors: tuple[str, ...], *checksums: str) -> list[File]:
    return [
        File(name, (f'{kind}-ubyte.gz', f'{kind}-ubyte'), mirrors, sha256)
        for kind, sha256 in zip(_MNIST, checksums, strict=True)
    ]


FILES = [
    *_mnist(
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
    *_mnist(
        'fashion_mnist',
        ('http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/',),
        'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
        'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
        '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
        '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
    ),
    File(
        'cifar10',
        # The first is the published one; of the others, the quickest to read come first.
        (
            'cifar-10-binary.tar.gz',
            *(f'cifar-10-batches-bin/{_CIFAR[0]}', _CIFAR[0]),
            'cifar-10-binary.tar.xz',
        ),
        ('https://www.cs.toronto.edu/~kriz/',),
        '013ba16d14ecc4829da62bf2af648ca30f600491ecb3e7f329c827db0dd17522',
        members=_CIFAR,
    ),
    File(
        'boston_housing',
        ('housing.data',),
        (f'{_UCI}housing/',),
        'baadf72995725d76efe787b664e1f083388c79ba21ef9a7990d87f774184735a',
    ),
    File(
        'sms_spam',
        ('smsspamcollection.zip', 'SMSSpamCollection'),
        (f'{_UCI}00228/',),
        '7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d',
        members=('SMSSpamCollection',),
    ),
]

DIGITS = tuple('0123456789')
CLOTHES = (
    'T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat',
    'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot',
)  # fmt: skip
OBJECTS = (
    'airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck',
)  # fmt: skip


def files(name: str) -> list[File]:
    """Returns the files of a data set."""
    return [file for file in FILES if file.dataset == name]


def digits(data_dir: DataDir = None) -> Dataset:
    """Returns 1,797 handwritten digits: uint8 images `[N, 8, 8, 1]` from 0 to 16.

    They come with scikit-learn: real data that need no download. The test part of "Optical
    recognition of handwritten digits" (Alpaydin and Kaynak, 1998,
    https://archive.ics.uci.edu/dataset/80), of which the last 360 are our test split.
    """
    # Its own function reads the same file, but importing it takes a second or two of each study.
    package = importlib.util.find_spec('sklearn')
    assert package is not None and package.origin is not None
    path = pathlib.Path(package.origin).parent / 'datasets' / 'data' / 'digits.csv.gz'
    table = pd.read_csv(path, header=None, dtype=np.int64).to_numpy()
    images, labels = table[:, :-1].astype(np.uint8).reshape(-1, 8, 8), table[:, -1]
    return Dataset('digits', splits.cut(images, labels, 1437), max_value=16)


def mnist(data_dir: DataDir = None) -> Dataset:
    """Returns MNIST: 60,000 + 10,000 grey images of digits, uint8 `[N, 28, 28, 1]`.

    LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/.
    """
    return _like_mnist('mnist', DIGITS, data_dir)


def fashion_mnist(data_dir: DataDir = None) -> Dataset:
    """Returns Fashion-MNIST: 60,000 + 10,000 grey images of clothes, uint8 `[N, 28, 28, 1]`.

    Xiao, Rasul and Vollgraf, https://arxiv.org/abs/1708.07747.
    """
    return _like_mnist('fashion_mnist', CLOTHES, data_dir)


def _like_mnist(name: str, class_names: tuple[str, ...], data_dir: DataDir) -> Dataset:
    """Returns a set in four IDX files of bytes.

    Two zero bytes, a byte for the type of the values (8: uint8), a byte for the number of axes, one
    big-endian 32-bit length an axis, and the values.
    """
    arrays = []
    for file in files(name):
        content = file.load(data_dir)
        shape = struct.unpack_from(f'>{content[3]}I', content, 4)
        arrays.append(np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape))
    train, train_labels, test, test_labels = arrays
    return Dataset(name, {'train': (train, train_labels), 'test': (test, test_labels)}, class_names)


def cifar10(data_dir: DataDir = None) -> Dataset:
    """Returns CIFAR-10: 50,000 + 10,000 colour images, uint8 `[N, 32, 32, 3]`.

    Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
    https://www.cs.toronto.edu/~kriz/cifar.html. Takes about 0.5 s from the six `.bin` files, 2 s
    from `.tar.gz` and 10 s from `.tar.xz`.
    """
    (file,) = files('cifar10')
    path = file.find(data_dir)
    return _cifar10(file, path, path.stat().st_mtime_ns)  # another time is another archive


@functools.lru_cache(maxsize=1)  # a study's pictures ask for it again; its arrays are read-only
def _cifar10(file: File, path: pathlib.Path, modified: int) -> Dataset:
    """Reads records of one byte of label, then 1,024 bytes of red, of green and of blue."""
    with errors.within(str(path)):
        records = np.frombuffer(file.read(path), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    planes = records[:, 1:].reshape(-1, 3, 32 * 32)
    # With rows and columns as one axis, NumPy moves the channels three times as fast.
    images = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(-1, 32, 32, 3)
    num_train = len(records) * 5 // 6  # five of the files
    return Dataset('cifar10', splits.cut(images, records[:, 0], num_train), OBJECTS)


def boston_housing(data_dir: DataDir = None) -> Dataset:
    """Returns Boston housing: 506 districts of Boston, and the median value of a home in each.

    A table `[N, 13]` with the columns CRIM ZN INDUS CHAS NOX RM AGE DIS RAD TAX PTRATIO B LSTAT,
    and thousands of dollars `[N, 1]`: Harrison and Rubinfeld, "Hedonic prices and the demand for
    clean air", Journal of Environmental Economics and Management 5, 1978. The split is that of
    Keras: 404 rows for training and 102 for test, shuffled with seed 113. It is here because
    published results on optimisers use it, and says nothing about homes or people; see `_warn`.
    """
    (file,) = files('boston_housing')
    table = np.loadtxt(io.BytesIO(file.load(data_dir)))  # [506, 14]; the last column is the value
    _warn()
    np.random.RandomState(113).shuffle(table)
    return Dataset('boston_housing', splits.cut(table[:, :-1], table[:, -1:], 404))


@functools.cache  # once is enough
def _warn() -> None:
    print(
        'warning: column B of boston_housing is computed from the proportion of Black residents, '
        'on the unproven assumption that segregation raises prices; scikit-learn removed the set '
        'for it. Compare methods on it, but do not predict prices',
        file=sys.stderr,
    )


def sms_spam(data_dir: DataDir = None) -> Dataset:
    """Returns 5,574 text messages in English, `[N]`: class 0 is `ham`, and 1, of 747, is `spam`.

    Almeida, Gómez Hidalgo and Yamakami, "Contributions to the study of SMS spam filtering", 2011;
    https://archive.ics.uci.edu/dataset/228. Ours are the splits, see `splits.shuffled`; 403
    messages repeat an earlier one, so some are in both.
    """
    (file,) = files('sms_spam')
    # Not `splitlines`: some messages hold characters that it takes for the end of a line.
    lines = file.load(data_dir).decode().removesuffix('\n').split('\n')
    names, _, texts = zip(*(line.partition('\t') for line in lines), strict=True)
    labels = np.array([int(name == 'spam') for name in names])
    inputs = np.array(texts, np.dtypes.StringDType())
    return Dataset('sms_spam', splits.shuffled(inputs, labels), ('ham', 'spam'))
