"""Parts of a data set by strings such as `'train[:90%]'`, as in TensorFlow Datasets.

`'train'` is the whole split, `'train[:800]'` its first 800 examples, `'train[100:200]'` examples
100 to 199, `'train[-500:]'` the last 500, `'train[90%:]'` the last tenth, and `'train[10%:20%]'`
the second tenth.

A percentage stands for the closest whole number of examples, and a half goes to the even one
(Python's `round`): the default rounding of TFDS. `'train[:90%]'` and `'train[90%:]'` share their
boundary, so that together they are the whole split and have no example in common.
"""

import re

import numpy as np

from nnstudy import errors
from nnstudy.data import dataset as dataset_lib

_FORMS = "'train', 'train[:800]', 'train[100:200]', 'train[-500:]', 'train[90%:]', 'train[10%:20%]'"
_BOUND = r'(-?\d+|-?\d+(?:\.\d+)?%)?'
_SPEC = re.compile(rf'({dataset_lib.SPLIT_NAME.pattern})(?:\[(?!:\]){_BOUND}:{_BOUND}\])?')


def select(dataset: dataset_lib.Dataset, spec: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the examples that a split string names: inputs `[N, ...]` and labels `[N]` or
    `[N, K]`, views of the data.

    Raises:
      errors.UserError: `spec` has none of these forms, names no split of the data set,
        reaches beyond its examples or selects none.
    """
    match = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if match is None:
        raise errors.UserError(f'not a split: {spec!r}; accepted are {_FORMS}')
    split, start, stop = match.groups()
    if start and stop and start.endswith('%') != stop.endswith('%'):
        raise errors.UserError(f'split {spec!r} mixes a percentage with a number of examples')
    errors.check_known(f'split of data set {dataset.name!r}', split, dataset.splits)
    inputs, labels = dataset.splits[split]
    total = len(inputs)
    first, last = _position(spec, start or '0', total), _position(spec, stop or '100%', total)
    if first >= last:
        raise errors.UserError(
            f'split {spec!r} selects no example: it runs from {first:,} to {last:,} of the '
            f'{total:,} examples of {split!r}'
        )
    return inputs[first:last], labels[first:last]


def cut(inputs: np.ndarray, labels: np.ndarray, num_train: int) -> dataset_lib.Splits:
    """Returns the splits `'train'`, the first `num_train` examples, and `'test'`, the others."""
    parts = {'train': slice(num_train), 'test': slice(num_train, None)}
    return {name: (inputs[part], labels[part]) for name, part in parts.items()}


def shuffled(inputs: np.ndarray, labels: np.ndarray) -> dataset_lib.Splits:
    """Returns the splits `'train'` (80%) and `'test'` of data that are published without splits.

    The examples are shuffled, because files are often sorted by class; always in the same way, so
    that everyone has the same splits.
    """
    order = np.random.RandomState(0).permutation(len(inputs))  # the same in every NumPy
    return cut(inputs[order], labels[order], len(inputs) * 4 // 5)


def _position(spec: str, bound: str, total: int) -> int:
    """Returns the number of the example that a bound stands for, counted from the first."""
    is_percent = bound.endswith('%')
    value = float(bound.removesuffix('%'))
    if abs(value) > (100 if is_percent else total):
        raise errors.UserError(
            f'split {spec!r} is out of range: there are {total:,} examples, so bounds go from '
            f'{-total} to {total}, or -100% to 100%'
        )
    examples = round(value * total / 100) if is_percent else int(value)
    return examples + total if examples < 0 else examples
