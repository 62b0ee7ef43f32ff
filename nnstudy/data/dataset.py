"""The data set that everything else in nnstudy takes: named splits of arrays in memory.

Arrays are brought to a few fixed layouts and types here, once, so that models and losses need not
ask what they were given. Knows nothing of files, of devices or of training.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from nnstudy import errors

SPLIT_NAME = re.compile(r'[A-Za-z_][\w-]*')
Splits = Mapping[str, tuple[np.ndarray, np.ndarray]]  # name -> inputs and labels

MAX_CLASSES = 100_000  # integer labels beyond are amounts, not classes


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set in memory.

    `Dataset('mine', {'train': (x, y), 'test': (x_test, y_test)})` is all that a notebook needs.

    Inputs are images `[N, H, W]` (kept as `[N, H, W, 1]`) or `[N, H, W, C]`, a table `[N, F]`, or
    texts: strings `[N]`. uint8 inputs stay uint8, strings become NumPy's of variable length, and
    all others float32. Integer labels `[N]` mean classification and become int32; float labels
    `[N]` or `[N, K]` mean regression and become float32 `[N, K]`. The arrays are read-only; those
    given are copied only where layout or type change.

    Attributes:
      name: the name in tables and plots.
      splits: split name -> (inputs, labels).
      class_names: one name a class; by default `'0'`, `'1'`, ... up to the largest label in any
        split. None for regression.
      max_value: the input value that stands for full intensity, by which inputs are scaled: by
        default 255 for uint8 inputs and 1 for all others. Not for texts.

    Raises:
      errors.UserError: if splits disagree with each other, inputs with labels, or labels with
        `class_names`; on empty splits, and on numbers that are not finite.
    """

    name: str
    splits: Splits
    class_names: tuple[str, ...] | None = None
    max_value: float | None = None

    def __post_init__(self):
        where = f'data set {self.name!r}'
        if not isinstance(self.splits, Mapping) or not self.splits:
            raise errors.UserError(
                f'{where}: splits must be a dict such as '
                "{'train': (inputs, labels), 'test': (inputs, labels)}"
            )
        splits = {
            split: _checked(f'{where}, split {split!r}', split, arrays)
            for split, arrays in self.splits.items()
        }
        for number, what in enumerate(('inputs', 'labels')):
            _check_same(where, what, {split: arrays[number] for split, arrays in splits.items()})
        inputs, _ = next(iter(splits.values()))
        max_value = self.max_value
        if max_value is None:
            max_value = 255.0 if inputs.dtype == np.uint8 else 1.0
        elif inputs.ndim == 1:
            raise errors.UserError(f'{where}: max_value is for numbers, not for texts')
        if not (math.isfinite(max_value) and max_value > 0):
            raise errors.UserError(
                f'{where}: max_value must be positive and finite, not {max_value}'
            )
        class_names = _class_names(where, self.class_names, splits)
        # The way to set a field of a frozen dataclass from within.
        object.__setattr__(self, 'splits', splits)
        object.__setattr__(self, 'class_names', class_names)
        object.__setattr__(self, 'max_value', float(max_value))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: `(H, W, C)`, `(F,)`, or `()` of texts."""
        inputs, _ = next(iter(self.splits.values()))
        return inputs.shape[1:]

    @property
    def is_image(self) -> bool:
        """Whether inputs are images `[N, H, W, C]`."""
        return len(self.input_shape) == 3

    @property
    def is_text(self) -> bool:
        """Whether inputs are texts `[N]`."""
        return self.input_shape == ()

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None for regression."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def num_outputs(self) -> int:
        """The number of outputs a model needs: one a class, or the K of regression labels."""
        if self.class_names is not None:
            return len(self.class_names)
        _, labels = next(iter(self.splits.values()))
        return labels.shape[1]

    def fingerprint(self) -> str:
        """Returns 16 hex digits that differ between any two data sets of different content.

        A sha256 over names, types, shapes, `max_value` and every byte: 0.1 s for CIFAR-10.
        """
        header = {
            'name': self.name,
            'class_names': self.class_names,
            'max_value': self.max_value,
            'splits': [
                (split, [(str(array.dtype), array.shape) for array in arrays])
                for split, arrays in self.splits.items()
            ],
        }
        digest = hashlib.sha256(json.dumps(header).encode())
        for arrays in self.splits.values():
            for array in arrays:
                # An array of strings has no buffer; JSON says where each of them ends.
                is_text = array.dtype.kind == 'T'
                digest.update(json.dumps(array.tolist()).encode() if is_text else array.data)
        return digest.hexdigest()[:16]


def check_given(data: object) -> None:
    """Raises `errors.UserError` if what is given as a data set, or None, is something else."""
    if data is not None and not isinstance(data, Dataset):
        raise errors.UserError(f'data must be an nnstudy.Dataset, not {type(data).__name__}')


def _checked(where: str, split: object, arrays: object) -> tuple[np.ndarray, np.ndarray]:
    """Returns the inputs and labels of a split in the layouts and types of a `Dataset`."""
    if not (isinstance(split, str) and SPLIT_NAME.fullmatch(split)):
        raise errors.UserError(f'{where}: a split needs a name of letters, digits, "_" and "-"')
    if not (isinstance(arrays, tuple | list) and len(arrays) == 2):
        raise errors.UserError(f'{where}: must be a pair (inputs, labels)')
    is_text = _is_text(arrays[0])
    inputs = (_strings if is_text else _numbers)(where, 'inputs', arrays[0])
    labels = _numbers(where, 'labels', arrays[1])
    if not is_text and (inputs.ndim not in (2, 3, 4) or 0 in inputs.shape[1:]):
        raise errors.UserError(
            f'{where}: inputs have shape {list(inputs.shape)}; '
            'they must be images [N, H, W] or [N, H, W, C], a table [N, F], or texts [N]'
        )
    if labels.ndim not in (1, 2) or 0 in labels.shape[1:]:
        raise errors.UserError(
            f'{where}: labels have shape {list(labels.shape)}; they must be integers [N] '
            '(classification) or floats [N] or [N, K] (regression)'
        )
    if len(inputs) != len(labels):
        raise errors.UserError(f'{where}: has {len(inputs):,} inputs but {len(labels):,} labels')
    if not len(inputs):
        raise errors.UserError(f'{where}: is empty')
    if inputs.ndim == 3:
        inputs = inputs[..., None]
    if not is_text and inputs.dtype != np.uint8:
        inputs = _finite_float32(where, 'inputs', inputs)
    if labels.dtype.kind == 'f':
        labels = _finite_float32(where, 'labels', labels)
        labels = labels[:, None] if labels.ndim == 1 else labels
    else:
        labels = _classes(where, labels)
    return _read_only(inputs), _read_only(labels)


def _is_text(values: object) -> bool:
    """Whether these are strings along one axis."""
    if not isinstance(values, list | tuple):
        values = np.asarray(values)
        if values.ndim != 1 or values.dtype.kind in 'UT':
            return values.ndim == 1
        if values.dtype.kind != 'O':
            return False
    return len(values) > 0 and all(isinstance(value, str) for value in values)


def _strings(where: str, what: str, values: object) -> np.ndarray:
    if not isinstance(values, list | tuple):
        values = np.asarray(values)
    try:
        return np.asarray(values, np.dtypes.StringDType())
    except UnicodeEncodeError as error:  # half a character
        raise errors.UserError(f'{where}: {what} are not Unicode text: {error}') from error


def _numbers(where: str, what: str, values: object) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:  # ragged lists
        raise errors.UserError(f'{where}: {what} are not an array: {error}') from error
    # bfloat16 and its kin are 'V' to numpy, and say that they are floats only by casting to them.
    if array.dtype.kind == 'V' and np.can_cast(array.dtype, np.float32):
        array = array.astype(np.float32)
    if array.dtype.kind not in 'biuf':
        or_texts = ', or texts along one axis' if what == 'inputs' else ''
        raise errors.UserError(f'{where}: {what} must be numbers{or_texts}, not {array.dtype}')
    return array


def _finite_float32(where: str, what: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over='ignore'):
        result = array.astype(np.float32, copy=False)
    finite = np.isfinite(result)
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise errors.UserError(
            f'{where}: {what} must be finite in float32, but {what}[{", ".join(map(str, index))}] '
            f'is {array[index]}; {(~finite).sum():,} such values in all'
        )
    return result


def _classes(where: str, labels: np.ndarray) -> np.ndarray:
    """Returns integer labels as int32 `[N]`."""
    if labels.ndim != 1:
        raise errors.UserError(
            f'{where}: integer labels have shape {list(labels.shape)} but must be [N]: '
            'use labels.reshape(-1) for a column, labels.argmax(1) for one-hot rows, '
            'or float labels for regression'
        )
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise errors.UserError(f'{where}: labels must be 0 or more, but there is a {smallest}')
    if largest >= MAX_CLASSES:
        raise errors.UserError(
            f'{where}: labels must be below {MAX_CLASSES:,}, but there is a {largest:,}; '
            'numbers to predict (regression) must be floats'
        )
    return labels.astype(np.int32)


def _read_only(array: np.ndarray) -> np.ndarray:
    # A view, so that the caller's own array stays writeable.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _check_same(where: str, what: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises UserError if the arrays of two splits differ in type or shape."""
    described = {
        split: f'{array.dtype} of shape {list(array.shape[1:])}' for split, array in arrays.items()
    }
    (first, expected), *others = described.items()
    for split, found in others:
        if found != expected:
            raise errors.UserError(
                f'{where}: {what} of split {split!r} are {found}, but those of {first!r} {expected}'
            )


def _class_names(where: str, given: Sequence[str] | None, splits: Splits) -> tuple[str, ...] | None:
    labels = {split: labels for split, (_, labels) in splits.items()}
    is_regression = next(iter(labels.values())).dtype == np.float32
    if given is None:
        if is_regression:
            return None
        return tuple(str(k) for k in range(1 + max(int(y.max()) for y in labels.values())))
    if is_regression:
        raise errors.UserError(f'{where}: class_names are for integer labels, and these are floats')
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise errors.UserError(f'{where}: class_names must be a tuple of strings')
    if len(set(given)) != len(given):
        raise errors.UserError(f'{where}: class_names repeat a name: {", ".join(given)}')
    for split, y in labels.items():
        if y.max() >= len(given):
            raise errors.UserError(
                f'{where}, split {split!r}: labels must be below {len(given)}, the number of class '
                f'names, but there is a {y.max()}'
            )
    return tuple(given)
