"""What all tests share: devices, a compilation cache of their own, and small data."""

import gc
import os
from pathlib import Path

import jax
import numpy as np
import pytest
import small

import nnstudy
from nnstudy.running import program

CACHE = small.ROOT / 'build' / 'test-compilation-cache'  # of the tests alone, never a user's

# Before JAX starts: this process and those that tests start share devices, options and cache.
# Most of the tests' time goes into compiling, so that XLA does no more for it than it must.
os.environ['XLA_FLAGS'] = (
    '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true '
    f'--xla_cpu_use_fusion_emitters=false {os.environ.get("XLA_FLAGS", "")}'
)
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(CACHE)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
jax.config.update('jax_compilation_cache_dir', str(CACHE))
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
nnstudy.setup()
gc.set_threshold(200_000, 50, 100)  # tracing makes many small objects, and cycles of few


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The real data sets, or a skip."""
    path = Path(os.environ.get('NNSTUDY_DATA_DIR', small.ROOT.parent / 'shared' / 'data'))
    if not path.is_dir():
        pytest.skip(f'needs the data sets in NNSTUDY_DATA_DIR or {path}')
    return path


@pytest.fixture
def optimized(monkeypatch):
    """Studies compile as a user's do."""
    compile = jax.stages.Lowered.compile

    def optimized(lowered, options=None):
        return compile(lowered, {**small.OPTIMIZED, **(options or {})})

    program.compiled.cache_clear()
    monkeypatch.setattr(jax.stages.Lowered, 'compile', optimized)
    yield
    program.compiled.cache_clear()


@pytest.fixture(scope='session')
def dataset():
    return small.make_dataset()


@pytest.fixture(scope='session')
def lenet():
    """The results of a small study of LeNet on colour images, with histograms."""
    config = small.make_config(
        model__name='lenet',
        histograms=True,
        num_seeds=3,
        split__train='train',
        split__validation=None,
    )
    return nnstudy.run(config, data=small.make_dataset((12, 12, 3)), quiet=True)


@pytest.fixture(scope='session')
def regression():
    """A linear function of six columns, with noise."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 6)).astype(np.float32)
    y = (x @ rng.normal(size=6) + 0.1 * rng.normal(size=60)).astype(np.float32)
    return nnstudy.Dataset('line', {'train': (x[:40], y[:40]), 'test': (x[40:], y[40:])})
