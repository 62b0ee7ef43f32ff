"""Any data set of TensorFlow Datasets that has been prepared on this machine, without TensorFlow.

Reading needs files in the format `array_record`, which has random access. Preparing them needs
TensorFlow, and is left to the user.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnstudy import errors
from nnstudy.data import dataset


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> dataset.Dataset:
    """Returns a TFDS data set with all its splits, in the order in which it was prepared.

    Inputs and labels are the two features that the set declares as `supervised_keys`; a set that
    declares none must have the label in `label` and the input in `image`, in `text`, or in
    `features` for a table. An input of several named numbers becomes a table, with its columns in
    the order of the names. Examples are decoded one by one, which takes seconds for 60,000 small
    images.

    Args:
      name: as in TFDS, such as `'mnist'`, `'my_set/1.0.0'` or `'my_set/my_config:1.0.0'`.
      data_dir: the TFDS directory, by default TFDS's own: `$TFDS_DATA_DIR` or
        `~/tensorflow_datasets`.

    Raises:
      errors.UserError: if the set is unknown, not prepared, or no table, images or texts with
        labels.
    """
    # Takes half a second to import.
    import tensorflow_datasets as tfds

    directory = None if data_dir is None else os.path.expanduser(data_dir)
    # TFDS prints a version as `my_set/1.0.0`, but takes that for the config `1.0.0`.
    tfds_name = re.sub(r'/(\d+\.\d+\.\d+)$', r':\1', name)
    try:
        builder = tfds.builder(tfds_name, data_dir=directory)
    except tfds.core.DatasetNotFoundError as error:
        raise _unknown(
            name, directory, tfds.list_builders(with_community_datasets=False)
        ) from error
    except (ValueError, AssertionError) as error:
        raise errors.UserError(f'tfds:{name}: {_reason(error)}') from error
    if not builder.info.splits:
        problem = f'is not prepared in {builder.data_dir}'
        raise _unprepared(name, tfds_name, directory, problem)
    try:
        sources = {split: builder.as_data_source(split=split) for split in builder.info.splits}
    except (ValueError, NotImplementedError) as error:
        problem = (
            f'is prepared in {builder.data_dir}, but in a format that only TensorFlow reads: '
            'delete it, or name another directory'
        )
        raise _unprepared(name, tfds_name, directory, problem) from error
    inputs, label = _keys(name, builder.info)
    splits = {}
    for split, source in sources.items():
        examples = [source[i] for i in range(len(source))]
        where = f'tfds:{name}, split {split!r}'
        splits[split] = (
            _inputs(f'{where}, {inputs!r}', [example[inputs] for example in examples]),
            _stack(f'{where}, {label!r}', [example[label] for example in examples]),
        )
    class_names = getattr(builder.info.features[label], 'names', None)
    return dataset.Dataset(f'tfds:{name}', splits, class_names and tuple(class_names))


def _keys(name: str, info: Any) -> tuple[str, str]:
    declared = info.supervised_keys
    if declared and len(declared) == 2 and all(isinstance(key, str) for key in declared):
        return declared
    for inputs in ('image', 'text', 'features'):
        if inputs in info.features and 'label' in info.features:
            return inputs, 'label'
    raise errors.UserError(
        f'tfds:{name}: needs the feature label, and image, text or features, '
        f'found {", ".join(sorted(info.features))}'
    )


def _inputs(where: str, values: Sequence[Any]) -> Any:
    if not (values and isinstance(values[0], bytes)):
        return _stack(where, values)
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise errors.UserError(f'{where}: is not text in UTF-8: {error}') from error


def _stack(where: str, values: Sequence[Any]) -> np.ndarray:
    if not values:
        raise errors.UserError(f'{where}: is empty')
    if isinstance(values[0], Mapping):
        columns = [
            _stack(f'{where}, {key!r}', [v[key] for v in values]) for key in sorted(values[0])
        ]
        return _stack(where, list(zip(*columns, strict=True)))
    arrays = [np.asarray(value) for value in values]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise errors.UserError(
            f'{where}: must all have one shape, found {list(shapes[0])} and {list(shapes[-1])}'
        )
    if arrays[0].dtype.kind not in 'biuf':
        raise errors.UserError(f'{where}: must be numbers, not {arrays[0].dtype}')
    return np.stack(arrays)


def _unknown(name: str, directory: str | None, known: Sequence[str]) -> errors.UserError:
    near = difflib.get_close_matches(re.split('[/:]', name)[0], known, n=3)
    hint = f'; did you mean {" or ".join(near)}?' if near else ''
    return errors.UserError(
        f'unknown data set tfds:{name}: neither known to TFDS nor prepared in '
        f'{directory or "its directory (TFDS_DATA_DIR)"}{hint}'
    )


def _unprepared(name: str, tfds_name: str, directory: str | None, problem: str) -> errors.UserError:
    where = '' if directory is None else f', data_dir={directory!r}'
    return errors.UserError(
        f'tfds:{name} {problem}; to prepare it: pip install "nnstudy[tfds]" and then python -c '
        f"\"import tensorflow_datasets as tfds; tfds.builder('{tfds_name}'{where}, "
        "file_format='array_record').download_and_prepare()\""
    )


def _reason(error: BaseException) -> str:
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return re.sub(r'^Failed to construct dataset .*}": ', '', line)
