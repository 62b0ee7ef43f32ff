"""The data set that everything else in nnstudy takes: named splits of arrays in memory.

Arrays are brought to a few fixed layouts and types here, once. Knows nothing of files or devices.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

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
        splits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        with errors.within(f'data set {self.name!r}'):
            if not isinstance(self.splits, Mapping) or not self.splits:
                raise errors.UserError(
                    'splits must be a dict such as '
                    "{'train': (inputs, labels), 'test': (inputs, labels)}"
                )
            for split, given in self.splits.items():
                with errors.within(f'split {split!r}'):
                    splits[split] = _arrays(split, given)
                    _check_alike(splits, split)
            (inputs, _), *_ = splits.values()
            max_value = _max_value(self.max_value, inputs)
            class_names = _class_names(self.class_names, [labels for _, labels in splits.values()])
        vars(self).update(splits=splits, class_names=class_names, max_value=max_value)

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
    def num_outputs(self) -> int:
        """The number of outputs a model needs: one a class, or the K of regression labels."""
        _, labels = next(iter(self.splits.values()))
        return labels.shape[1] if self.class_names is None else len(self.class_names)

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


def _arrays(split: object, given: object) -> tuple[np.ndarray, np.ndarray]:
    """Returns the inputs and labels of a split in the layouts and types of a `Dataset`."""
    if not (isinstance(split, str) and SPLIT_NAME.fullmatch(split)):
        raise errors.UserError('a split needs a name of letters, digits, "_" and "-"')
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise errors.UserError('must be a pair (inputs, labels)')
    inputs, labels = _array('inputs', given[0]), _array('labels', given[1])
    axes = (1,) if inputs.dtype.kind == 'T' else (2, 3, 4)
    if inputs.ndim not in axes or 0 in inputs.shape[1:]:
        raise errors.UserError(
            f'inputs have shape {list(inputs.shape)}; they must be images [N, H, W] or '
            '[N, H, W, C], a table [N, F], or texts [N]'
        )
    if labels.ndim not in (1, 2) or 0 in labels.shape[1:]:
        raise errors.UserError(
            f'labels have shape {list(labels.shape)}; they must be integers [N] (classification) '
            'or floats [N] or [N, K] (regression)'
        )
    if len(inputs) != len(labels):
        raise errors.UserError(f'has {len(inputs):,} inputs but {len(labels):,} labels')
    if not len(inputs):
        raise errors.UserError('is empty')
    if inputs.ndim == 3:
        inputs = inputs[..., None]
    if inputs.dtype.kind != 'T' and inputs.dtype != np.uint8:
        inputs = _finite_float32('inputs', inputs)
    if labels.dtype.kind == 'f':
        labels = _finite_float32('labels', labels).reshape(len(labels), -1)
    else:
        labels = _classes(labels)
    return _read_only(inputs), _read_only(labels)


def _array(what: str, values: Any) -> np.ndarray:
    """Returns numbers, or inputs that are texts, as an array."""
    try:
        is_list = what == 'inputs' and isinstance(values, list | tuple)
        if is_list and any(isinstance(one, str) for one in values):
            values = np.asarray(values, object)  # NumPy's own type cuts zeros off the end of texts
        array = np.asarray(values)
        is_text = what == 'inputs' and array.ndim == 1 and array.dtype.kind in 'OUT'
        if is_text and all(isinstance(value, str) for value in array):
            return array.astype(np.dtypes.StringDType())
    except ValueError as error:  # ragged lists, or half a character
        raise errors.UserError(f'{what} are not an array of numbers or texts: {error}') from error
    # bfloat16 and its kin are 'V' to numpy, and say that they are floats only by casting to them.
    if array.dtype.kind == 'V' and np.can_cast(array.dtype, np.float32):
        array = array.astype(np.float32)
    if array.dtype.kind not in 'biuf':
        or_texts = ', or texts along one axis' if what == 'inputs' else ''
        raise errors.UserError(f'{what} must be numbers{or_texts}, not {array.dtype}')
    return array


def _finite_float32(what: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over='ignore'):
        result = array.astype(np.float32, copy=False)
    wrong = np.argwhere(~np.isfinite(result))
    if len(wrong):
        index = tuple(wrong[0].tolist())
        raise errors.UserError(
            f'{what} must be finite in float32, but {what}[{", ".join(map(str, index))}] '
            f'is {array[index]}; {len(wrong):,} such values in all'
        )
    return result


def _classes(labels: np.ndarray) -> np.ndarray:
    """Returns integer labels as int32 `[N]`."""
    if labels.ndim != 1:
        raise errors.UserError(
            f'integer labels have shape {list(labels.shape)} but must be [N]: use '
            'labels.reshape(-1) for a column, labels.argmax(1) for one-hot rows, or float labels '
            'for regression'
        )
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise errors.UserError(f'labels must be 0 or more, but there is a {smallest}')
    if largest >= MAX_CLASSES:
        raise errors.UserError(
            f'labels must be below {MAX_CLASSES:,}, but there is a {largest:,}; numbers to predict '
            '(regression) must be floats'
        )
    return labels.astype(np.int32)


def _read_only(array: np.ndarray) -> np.ndarray:
    # A view, so that the caller's own array stays writeable.
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _check_alike(splits: Splits, split: str) -> None:
    """Raises UserError if the arrays of a split differ in type or shape from those of the first."""
    first = next(iter(splits))
    for what, *arrays in zip(('inputs', 'labels'), splits[split], splits[first], strict=True):
        found, expected = (f'{array.dtype} of shape {list(array.shape[1:])}' for array in arrays)
        if found != expected:
            raise errors.UserError(f'{what} are {found}, but those of {first!r} {expected}')


def _max_value(given: float | None, inputs: np.ndarray) -> float:
    if given is None:
        return 255.0 if inputs.dtype == np.uint8 else 1.0
    if inputs.ndim == 1:
        raise errors.UserError('max_value is for numbers, not for texts')
    if not (math.isfinite(given) and given > 0):
        raise errors.UserError(f'max_value must be positive and finite, not {given}')
    return float(given)


def _class_names(given: Any, labels: Sequence[np.ndarray]) -> tuple[str, ...] | None:
    """Returns the names of the classes, from those that are given and the labels of the splits."""
    if labels[0].dtype == np.float32:
        if given is not None:
            raise errors.UserError('class_names are for integer labels, and these are floats')
        return None
    largest = max(int(part.max()) for part in labels)
    if given is None:
        return tuple(map(str, range(largest + 1)))
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise errors.UserError('class_names must be a tuple of strings')
    if len(set(given)) != len(given):
        raise errors.UserError(f'class_names repeat a name: {", ".join(given)}')
    if largest >= len(given):
        raise errors.UserError(
            f'labels must be below {len(given)}, the number of class names, but there is a '
            f'{largest}'
        )
    return tuple(given)
