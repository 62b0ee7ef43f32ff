"""Parts of a data set by strings such as `'train[:90%]'`, as in TensorFlow Datasets.

| string              | selects                                                      |
|---------------------|--------------------------------------------------------------|
| `'train'`           | the whole split                                              |
| `'train[:800]'`     | the first 800 examples                                       |
| `'train[100:200]'`  | examples 100 to 199                                          |
| `'train[-500:]'`    | the last 500                                                 |
| `'train[90%:]'`     | the last tenth                                               |
| `'train[10%:20%]'`  | the second tenth                                             |

A percentage stands for the closest whole number of examples, and a half goes to the even one
(Python's `round`): the default rounding of TFDS. `'train[:90%]'` and `'train[90%:]'` share their
boundary, so that together they are the whole split and have no example in common.
"""

import re
from typing import NamedTuple

import numpy as np

from nnstudy import errors
from nnstudy.data import dataset as dataset_lib

_FORMS = "'train', 'train[:800]', 'train[100:200]', 'train[-500:]', 'train[90%:]', 'train[10%:20%]'"
_BOUND = r'(-?\d+|-?\d+(?:\.\d+)?%)?'
_SPEC = re.compile(rf'({dataset_lib.SPLIT_NAME.pattern})(?:\[{_BOUND}:{_BOUND}\])?')


class Bound(NamedTuple):
    """One end of a slice: a number of examples or, if `percent`, of hundredths of the split."""

    value: float
    percent: bool

    def examples(self, total: int) -> int:
        """Returns this bound as a number of examples of a split that has `total`."""
        return round(self.value * total / 100) if self.percent else int(self.value)


class Selection(NamedTuple):
    """A parsed split string; a bound that was left out is None."""

    split: str
    start: Bound | None
    stop: Bound | None


def parse(spec: str) -> Selection:
    """Parses a split string without looking at any data.

    Raises:
      errors.UserError: if `spec` has none of the forms in the table above.
    """
    match = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if match is None:
        raise errors.UserError(f'not a split: {spec!r}; accepted are {_FORMS}')
    split, *bounds = match.groups()
    start, stop = (_bound(text) for text in bounds)
    if '[' in spec and start is None and stop is None:
        raise errors.UserError(f'split {spec!r} has no bounds; accepted are {_FORMS}')
    if start and stop and start.percent != stop.percent:
        raise errors.UserError(f'split {spec!r} mixes a percentage with a number of examples')
    return Selection(split, start, stop)


def select(dataset: dataset_lib.Dataset, spec: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the examples that a split string names, as views of the data set's arrays.

    Args:
      dataset: the data set.
      spec: a split string, see the table above.

    Returns:
      Inputs `[N, ...]` and labels `[N]` or `[N, K]`.

    Raises:
      errors.UserError: if `spec` is malformed, names no split of the data set, reaches beyond its
        examples or selects none.
    """
    split, start, stop = parse(spec)
    if split not in dataset.splits:
        raise errors.unknown(f'split of data set {dataset.name!r}', split, dataset.splits)
    inputs, labels = dataset.splits[split]
    total = len(inputs)
    first = 0 if start is None else _position(spec, start, total)
    last = total if stop is None else _position(spec, stop, total)
    if first >= last:
        raise errors.UserError(
            f'split {spec!r} selects no example: it runs from {first:,} to {last:,} of the '
            f'{total:,} examples of {split!r}'
        )
    return inputs[first:last], labels[first:last]


def shuffled(inputs: np.ndarray, labels: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the splits `'train'` (80%) and `'test'` of data that are published without splits.

    The examples are shuffled, because files are often sorted by class; always in the same way, so
    that everyone has the same splits.
    """
    order = np.random.RandomState(0).permutation(len(inputs))  # the same in every NumPy
    inputs, labels = inputs[order], labels[order]
    num_train = len(inputs) * 4 // 5
    return {
        'train': (inputs[:num_train], labels[:num_train]),
        'test': (inputs[num_train:], labels[num_train:]),
    }


def _bound(text: str | None) -> Bound | None:
    if text is None:
        return None
    return Bound(float(text[:-1]), True) if text.endswith('%') else Bound(int(text), False)


def _position(spec: str, bound: Bound, total: int) -> int:
    examples = bound.examples(total)
    if abs(bound.value) > (100 if bound.percent else total):
        raise errors.UserError(
            f'split {spec!r} is out of range: there are {total:,} examples, so bounds go from '
            f'{-total} to {total}, or -100% to 100%'
        )
    return examples + total if examples < 0 else examples
