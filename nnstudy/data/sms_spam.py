"""SMS spam: 5,574 text messages in English, of which 747 are spam.

Almeida, Gómez Hidalgo and Yamakami, "Contributions to the study of SMS spam filtering", 2011;
https://archive.ics.uci.edu/dataset/228. A message is a line: `ham` or `spam`, a tab, the text.
"""

import io
import os
import pathlib
import zipfile

import numpy as np

from nnstudy import errors
from nnstudy.data import dataset, published, splits

MEMBER = 'SMSSpamCollection'
BYTES = 477_907
CLASS_NAMES = ('ham', 'spam')

_ZIP_MAGIC = b'PK\x03\x04'


def _unpack(path: pathlib.Path) -> bytes:
    """Returns all messages, one a line, of the published archive or of the file in it."""
    content = published.unpack(path)
    if not content.startswith(_ZIP_MAGIC):  # by content, since a download has no name yet
        return content
    with published.reading(path), zipfile.ZipFile(io.BytesIO(content)) as archive:
        if MEMBER not in archive.namelist():
            raise errors.UserError(f'{path}: has no {MEMBER}')
        published.check_size(path, MEMBER, BYTES, archive.getinfo(MEMBER).file_size)
        return archive.read(MEMBER)


FILE = published.File(
    'sms_spam',
    ('smsspamcollection.zip', MEMBER),
    ('https://archive.ics.uci.edu/ml/machine-learning-databases/00228/',),
    sha256='7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d',
    unpack=_unpack,
)


def load(data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns SMS spam: texts `[N]`, with `ham` as class 0 and `spam` as 1.

    It is published without splits: ours is 80% for training and 20% for test, see
    `splits.shuffled`. 403 messages repeat an earlier one, so some are in both
    splits.

    Args:
      data_dir: where `smsspamcollection.zip` or its `SMSSpamCollection` is; see `File.find`.

    Raises:
      errors.UserError: if the file is missing, damaged or not the published one.
    """
    # Not `splitlines`: some messages hold characters that it takes for the end of a line.
    lines = bytes(FILE.load(data_dir)).decode().removesuffix('\n').split('\n')
    classes, _, texts = zip(*(line.partition('\t') for line in lines), strict=True)
    labels = np.array([CLASS_NAMES.index(name) for name in classes])
    inputs = np.array(texts, np.dtypes.StringDType())
    return dataset.Dataset('sms_spam', splits.shuffled(inputs, labels), CLASS_NAMES)
