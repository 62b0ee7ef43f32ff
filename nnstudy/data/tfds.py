"""Any data set of TensorFlow Datasets that has been prepared on this machine, without TensorFlow.

Reading needs files in the format `array_record`, which has random access. Preparing them needs
TensorFlow, and is left to the user.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnstudy import errors
from nnstudy.data.dataset import Dataset
from nnstudy.data.files import DataDir


def load(name: str, data_dir: DataDir = None) -> Dataset:
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
      errors.UserError: the set is unknown, not prepared, or no table, images or texts with labels.
    """
    # Takes half a second to import.
    import tensorflow_datasets as tfds

    directory = None if data_dir is None else os.path.expanduser(data_dir)
    # TFDS prints a version as `my_set/1.0.0`, but takes that for the config `1.0.0`.
    tfds_name = re.sub(r'/(\d+\.\d+\.\d+)$', r':\1', name)
    with errors.within(f'tfds:{name}'):
        try:
            builder = tfds.builder(tfds_name, data_dir=directory)
        except (ValueError, AssertionError) as error:
            first, *rest = str(error).splitlines() or [type(error).__name__]
            first = re.sub(r'^Failed to construct dataset .*}": ', '', first)
            near = [line for line in rest if line.startswith('Did you mean')]
            raise errors.UserError(' '.join([first, *near])) from error
        where = '' if directory is None else f', data_dir={directory!r}'
        how = (
            '; to prepare it: pip install "nnstudy[tfds]" and then python -c '
            f"\"import tensorflow_datasets as tfds; tfds.builder('{tfds_name}'{where}, "
            "file_format='array_record').download_and_prepare()\""
        )
        if not builder.info.splits:
            raise errors.UserError(f'is not prepared in {builder.data_dir}{how}')
        try:
            sources = {split: builder.as_data_source(split=split) for split in builder.info.splits}
        except (ValueError, NotImplementedError) as error:
            raise errors.UserError(
                f'is prepared in {builder.data_dir}, but in a format that only TensorFlow reads: '
                f'delete it, or name another directory{how}'
            ) from error
        keys = _keys(builder.info)
        splits = {}
        for split, source in sources.items():
            examples = [source[i] for i in range(len(source))]
            columns = [_array([example[key] for example in examples]) for key in keys]
            splits[split] = (columns[0], columns[1])
    class_names = getattr(builder.info.features[keys[1]], 'names', None)
    return Dataset(f'tfds:{name}', splits, class_names and tuple(class_names))


def _keys(info: Any) -> tuple[str, str]:
    """Returns the names of input and label."""
    declared = info.supervised_keys
    if declared and len(declared) == 2 and all(isinstance(key, str) for key in declared):
        return declared
    for inputs in ('image', 'text', 'features'):
        if inputs in info.features and 'label' in info.features:
            return inputs, 'label'
    raise errors.UserError(
        'needs the feature label, and image, text or features, found '
        f'{", ".join(sorted(info.features))}'
    )


def _array(values: Sequence[Any]) -> Any:
    """Returns the values of a feature, of all examples, as `Dataset` takes them."""
    first = values[0] if values else None
    if isinstance(first, Mapping):
        return np.stack([_array([value[key] for value in values]) for key in sorted(first)], axis=1)
    if not isinstance(first, bytes):
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise errors.UserError(f'is not text in UTF-8: {error}') from error
