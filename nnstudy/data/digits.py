"""The handwritten digits that come with scikit-learn: real data that need no download.

1,797 grey images of 8x8 pixels with values 0 to 16, the test part of "Optical Recognition of
Handwritten Digits" (Alpaydin and Kaynak, 1998, https://archive.ics.uci.edu/dataset/80).
"""

import os

import numpy as np

from nnstudy.data import dataset, splits

NUM_TRAIN = 1437


def load(data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns the digits: uint8 images `[N, 8, 8, 1]`, of which the last 360 are the test split.

    Args:
      data_dir: not used; the images are part of scikit-learn.
    """
    del data_dir
    from sklearn import datasets  # takes a second

    images, labels = datasets.load_digits(return_X_y=True)
    images = images.astype(np.uint8).reshape(-1, 8, 8)
    return dataset.Dataset('digits', splits.cut(images, labels, NUM_TRAIN), max_value=16)
