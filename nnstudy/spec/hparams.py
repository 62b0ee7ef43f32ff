"""The dynamic fields: a config's floats as one pytree, under the fields' own dotted names.

There is no second list of hyperparameters to keep in step with the config. Values are float32
whatever the model computes in: bfloat16 would turn `b2 = 0.999` into 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from nnstudy.spec import config as config_lib


def is_dynamic(field: str, value: Any) -> bool:
    """Whether a field's value is an input of the compiled program instead of a part of it."""
    return isinstance(value, float) and not field.startswith('execution.')


def static_key(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Returns what is equal where the static fields, given by dotted name, are the same program.

    By their text, since values that are equal and of other types, such as 1 and True, differ.
    """
    static = {field: value for field, value in config.items() if not is_dynamic(field, value)}
    return tuple((field, repr(static[field])) for field in sorted(static))


def from_config(config: ConfigDict | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the dynamic fields of one run: `{'optimizer.learning_rate': float32 []}`.

    Args:
      config: a config, or its fields by dotted name.
    """
    return {
        field: np.asarray(value, np.float32)
        for field, value in config_lib.flatten(config).items()
        if is_dynamic(field, value)
    }


def stack(settings: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the dynamic fields of R runs, each as float32 [R].

    Args:
      settings: all fields of each run by dotted name. Runs of one group have the same dynamic
        fields.
    """
    fields = [field for field, value in settings[0].items() if is_dynamic(field, value)]
    return {field: np.array([s[field] for s in settings], np.float32) for field in fields}
