"""Small data, configs and processes for the tests."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import nnstudy
from nnstudy.spec import config as config_lib

ROOT = Path(__file__).parents[1]

# Of a compiled program that is to the bit a user's; see conftest.py.
OPTIMIZED = {
    'xla_backend_optimization_level': 3,
    'xla_llvm_disable_expensive_passes': False,
    'xla_cpu_use_fusion_emitters': True,
}


def make_dataset(shape=(4, 4, 1), num_train=44, num_test=20, num_classes=3, seed=0):
    """A small classification set that can be learnt: each class is a noisy pattern."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 256, (num_classes, *shape))
    splits = {}
    for split, size in (('train', num_train), ('test', num_test)):
        labels = rng.integers(0, num_classes, size)
        noise = rng.integers(-60, 60, (size, *shape))
        splits[split] = (np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8), labels)
    return nnstudy.Dataset('small', splits, class_names=tuple(map(str, range(num_classes))))


def make_config(**fields):
    """A config of a few steps; `a__b` stands for the field `a.b`."""
    small = {
        'batch_size': 8,
        'epochs': 2,
        'split.train': 'train[:36]',
        'split.validation': 'train[36:]',
    }
    small |= {k.replace('__', '.'): v for k, v in fields.items()}
    if small.get('model.name', 'mlp') == 'mlp':
        small = {'model.widths': (8,)} | small
    return config_lib.override({}, small)


def launch(*args, cwd=None, env=None, timeout=300):
    """Runs launch.py as a person does."""
    return subprocess.run(
        [sys.executable, str(ROOT / 'launch.py'), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd or ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), **(env or {})},
        timeout=timeout,
        check=False,
    )
