"""The dynamic fields: a config's floats as one pytree, under the fields' own dotted names.

There is no second list of hyperparameters to keep in step with the config. Values are float32
whatever the model computes in: bfloat16 would turn `b2 = 0.999` into 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from nnstudy import config as config_lib


def is_dynamic(field: str, value: Any) -> bool:
    """Whether a field's value is an input of the compiled program instead of a part of it."""
    return isinstance(value, float) and not field.startswith('execution.')


def from_config(config: ConfigDict) -> dict[str, np.ndarray]:
    """Returns the dynamic fields of one run: `{'optimizer.learning_rate': float32 []}`."""
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
