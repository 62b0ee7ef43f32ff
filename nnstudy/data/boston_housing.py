"""Boston housing: 506 districts of Boston, and the median value of a home in each.

Harrison and Rubinfeld, "Hedonic prices and the demand for clean air", Journal of Environmental
Economics and Management 5, 1978; https://archive.ics.uci.edu/ml/machine-learning-databases/housing/.
The 13 columns are CRIM ZN INDUS CHAS NOX RM AGE DIS RAD TAX PTRATIO B LSTAT.

Warning: column B is computed from the proportion of Black residents, by a formula that takes
segregation to raise prices, and the study never shows that it does. scikit-learn removed the set
in its version 1.2 for that reason. It is here because published results on optimisers use it; it
says nothing about homes or people, and should not be used to predict prices.
"""

import functools
import io
import os
import sys

import numpy as np

from nnstudy.data import dataset, splits
from nnstudy.data.published import File

FILE = File(
    'boston_housing',
    ('housing.data',),
    ('https://archive.ics.uci.edu/ml/machine-learning-databases/housing/',),
    sha256='baadf72995725d76efe787b664e1f083388c79ba21ef9a7990d87f774184735a',
)
NUM_TRAIN = 404


def load(data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns Boston housing: a table `[N, 13]`, and values in thousands of dollars `[N, 1]`.

    The split is that of Keras: 404 rows for training and 102 for test, shuffled with seed 113.
    A warning about column B goes to stderr, once in a process; see above.

    Args:
      data_dir: where `housing.data` is; see `File.find`.

    Raises:
      errors.UserError: if the file is missing, damaged or not the published one.
    """
    table = np.loadtxt(io.BytesIO(FILE.load(data_dir)))  # [506, 14]; the last column is the value
    _warn()
    order = np.arange(len(table))
    np.random.RandomState(113).shuffle(order)
    inputs, values = table[order, :-1], table[order, -1:]
    return dataset.Dataset('boston_housing', splits.cut(inputs, values, NUM_TRAIN))


@functools.cache  # once is enough
def _warn() -> None:
    print(
        'warning: column B of boston_housing is computed from the proportion of Black residents, '
        'on the unproven assumption that segregation raises prices; scikit-learn removed the set '
        'for it. Compare methods on it, but do not predict prices',
        file=sys.stderr,
    )
