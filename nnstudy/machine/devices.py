"""The devices that runs are spread over, and how the CPU's cores become devices."""

import hashlib
import os
import pathlib
import platform
import warnings

import jax
from jax.sharding import AxisType, Mesh

RUNS = 'runs'  # the mesh axis; also what the docs call the mapped axis


def setup() -> None:
    """Makes every CPU core a device of its own; call it before anything else uses JAX.

    One run per core needs no synchronisation, whereas the threads that XLA uses inside of an
    operation wait for each other after each one. After JAX has started its backends it is too late:
    it warns, and the devices stay as they are.

    JAX will also keep compiled programs in the user's cache folder, or in
    `JAX_COMPILATION_CACHE_DIR`, so that the next process starts faster.
    """
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update('jax_compilation_cache_dir', str(_cache()))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    flag = '--xla_cpu_multi_thread_eigen=false'
    try:
        jax.config.update('jax_num_cpu_devices', cores or 1)
    except RuntimeError:
        if jax.default_backend() == 'cpu' and jax.local_device_count() != cores:
            warnings.warn(
                f'nnstudy.setup() came after JAX had started; going on with '
                f'{jax.local_device_count()} CPU device(s) for {cores} core(s)',
                stacklevel=2,
            )
        return
    if flag not in os.environ.get('XLA_FLAGS', ''):
        os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flag}'.strip()


def _cache() -> pathlib.Path:
    """Returns the folder of compiled programs, one for each kind of processor.

    XLA compiles for the processor that it runs on, and machines may share a home folder.
    """
    import pooch

    processor = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        processor += next((line for line in lines if line.startswith('flags')), '')
    digest = hashlib.sha256(processor.encode()).hexdigest()[:8]
    return pathlib.Path(pooch.os_cache('nnstudy')) / 'programs' / digest


def host_memory_bytes() -> int:
    """Returns the size of this machine's memory."""
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def memory_bytes() -> float:
    """Returns the memory of all devices together; for CPU devices, that of the machine.

    Every process is assumed to have as much as this one.
    """
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    on_devices = all('bytes_limit' in s for s in stats)
    own = sum(s['bytes_limit'] for s in stats) if on_devices else host_memory_bytes()
    return own * jax.process_count()


def runs_mesh() -> Mesh:
    """Returns a 1-D mesh of all devices with the axis `'runs'`."""
    return jax.make_mesh((jax.device_count(),), (RUNS,), axis_types=(AxisType.Auto,))
