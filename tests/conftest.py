"""What all tests share: devices, a compilation cache of their own, and small data."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nnstudy
from nnstudy import config as config_lib

ROOT = Path(__file__).parents[1]
CACHE = ROOT / 'build' / 'test-compilation-cache'  # of the tests alone, never a user's

# Before JAX starts: this process and those that tests start share devices and cache.
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(CACHE)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.2'
jax.config.update('jax_compilation_cache_dir', str(CACHE))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
nnstudy.setup()


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The real data sets, or a skip."""
    path = Path(os.environ.get('NNSTUDY_DATA_DIR', ROOT.parent / 'shared' / 'data'))
    if not path.is_dir():
        pytest.skip(f'needs the data sets in NNSTUDY_DATA_DIR or {path}')
    return path


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


@pytest.fixture(scope='session')
def dataset():
    return make_dataset()


@pytest.fixture(scope='session')
def regression():
    """A linear function of six columns, with noise."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 6)).astype(np.float32)
    y = (x @ rng.normal(size=6) + 0.1 * rng.normal(size=60)).astype(np.float32)
    return nnstudy.Dataset('line', {'train': (x[:40], y[:40]), 'test': (x[40:], y[40:])})


def make_config(**fields):
    """A config of a few steps; `a__b` stands for the field `a.b`."""
    config = nnstudy.default_config()
    small = {
        'model.widths': (8,),
        'batch_size': 8,
        'epochs': 2,
        'split.train': 'train[:36]',
        'split.validation': 'train[36:]',
    }
    for field, value in (small | {k.replace('__', '.'): v for k, v in fields.items()}).items():
        config_lib.override(config, field, value)
    return config


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
