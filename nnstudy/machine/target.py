"""What a study is compiled for: devices, which need not be there, and what pays on them.

All that differs between kinds of devices is asked here, but for the forms of single operations in
`nnstudy.ops`, which are chosen by the platform that XLA compiles for.
"""

import dataclasses
import math
import os
from typing import Any

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from nnstudy import errors
from nnstudy.machine import devices


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of device. Figures are of one device, by its maker, or as the comment says.

    Attributes:
      name: as in `--target=`.
      platform: `'cpu'`, `'cuda'` or `'tpu'`.
      rates: floating-point operations a second, by each `config.precision` that it has; first what
        JAX does if none is asked for.
      bytes_per_second: of its memory.
      launch_seconds: from one operation to the next, however small they are.
      branches: whether a branch in a step costs little. On a GPU the host is asked which way to go.
      counts: whether a loop costs no more if the number of its rounds is found out on the way. On a
        GPU the host is asked before each round, unless XLA knows their number.
      gathers: whether many rows of arrays are moved at once. XLA:CPU would gather and scatter
        element by element.
      memory_bytes: that a program may take, where no device is there that could be asked.
    """

    name: str
    platform: str
    rates: tuple[tuple[str, float], ...]
    bytes_per_second: float
    launch_seconds: float
    branches: bool = False
    counts: bool = False
    gathers: bool = True
    memory_bytes: float = math.inf

    @property
    def is_host(self) -> bool:
        """Whether it is the processor that also compiles and runs Python."""
        return self.platform == 'cpu'

    def flops_per_second(self, precision: str | None) -> float:
        """Returns the rate of arithmetic of a precision; UserError if the device has none."""
        rates = dict(self.rates)
        precision = precision or self.rates[0][0]
        if precision not in rates:
            raise errors.UserError(
                f'config.precision {precision!r} is not there on a device of the kind '
                f'{self.name!r}, which has {" and ".join(map(repr, rates))}'
            )
        return rates[precision]


# Of one core in small steps, roughly. It takes part in no rule but the length of segments.
_CPU_RATES = ('float32', 8e10), ('bfloat16', 2e10)
CPU = Kind('cpu', 'cpu', _CPU_RATES, 2e10, 2e-7, branches=True, counts=True, gathers=False)
# Of the memory three quarters, which JAX takes. What lies between two kernels is a guess, from 2 to
# 4 microseconds.
_A100_RATES = ('tensorfloat32', 156e12), ('bfloat16', 312e12), ('float32', 19.5e12)
_H100_RATES = ('tensorfloat32', 494e12), ('bfloat16', 989e12), ('float32', 67e12)
A100 = Kind('a100', 'cuda', _A100_RATES, 1.6e12, 3e-6, memory_bytes=0.75 * 40e9)
H100 = Kind('h100', 'cuda', _H100_RATES, 3.35e12, 3e-6, memory_bytes=0.75 * 80e9)
H200 = Kind('h200', 'cuda', _H100_RATES, 4.8e12, 3e-6, memory_bytes=0.75 * 141e9)
T4 = Kind('t4', 'cuda', (('float32', 8.1e12),), 3.2e11, 3e-6, memory_bytes=0.75 * 16e9)
# A TPU multiplies bfloat16 alone, and float32 in six passes. An operation's start is a guess.
_V5E_RATES = ('bfloat16', 197e12), ('float32', 197e12 / 6)
_V6E_RATES = ('bfloat16', 918e12), ('float32', 918e12 / 6)
TPU_V5E = Kind('tpu-v5e', 'tpu', _V5E_RATES, 8.2e11, 1e-6, branches=True, memory_bytes=16e9)
TPU_V6E = Kind('tpu-v6e', 'tpu', _V6E_RATES, 1.64e12, 1e-6, branches=True, memory_bytes=32e9)

# By what JAX's `device_kind` has in it. One that is not listed has the figures of the first.
_KINDS = {
    'cpu': {'': CPU},
    'gpu': {'A100': A100, 'H100': H100, 'H200': H200, 'T4': T4},
    'tpu': {'TPU v5 lite': TPU_V5E, 'TPU v6 lite': TPU_V6E},
}
# What XLA has to know of a GPU that is not there, a `GpuTargetConfigProto`; by the maker's figures.
_H100_CONFIG = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  registers_per_block_limit: 65536 registers_per_core_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84929347584
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# Those that can be compiled for without having one: name and arguments of XLA's description.
_DESCRIBED: dict[str, tuple[Kind, str, dict[str, Any]]] = {
    'tpu-v5e': (TPU_V5E, 'v5e:1x1', {'chips_per_host_bounds': [1, 1, 1]}),
    'tpu-v5e-4': (TPU_V5E, 'v5e:2x2', {}),
    'tpu-v6e-4': (TPU_V6E, 'v6e:2x2', {}),
    'h100': (H100, '1x1x1', {'topology': '1x1x1', 'target_config': _H100_CONFIG}),
}
NAMES = tuple(_DESCRIBED)
_COMPILERS = {
    'tpu': 'pip install --target build/tpu "libtpu==0.0.42.*", and set '
    'TPU_LIBRARY_PATH=build/tpu/libtpu/libtpu.so',
    'cuda': 'pip install --target build/cuda "jax-cuda12-plugin[with-cuda]==0.10.2" '
    '"jax-cuda12-pjrt==0.10.2", and set PYTHONPATH=build/cuda',
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices of one kind, which need not be there.

    Attributes:
      kind: of the devices.
      mesh: of all of them, 1-D with the axis `'runs'`.
      memory_bytes: of all of them together; of CPU devices, that of the machine.
    """

    kind: Kind
    mesh: Mesh
    memory_bytes: float

    @property
    def num_devices(self) -> int:
        return self.mesh.size

    def __str__(self) -> str:
        name = self.kind.name.upper()
        return f'{self.num_devices} {name} device{"s"[: self.num_devices > 1]}'


def here() -> Target:
    """Returns the devices that there are, of all processes."""
    return Target(kind_here(), devices.runs_mesh(), devices.memory_bytes())


def kind_here() -> Kind:
    """Returns the kind of the devices that there are."""
    kinds = _KINDS.get(jax.default_backend(), _KINDS['gpu'])
    name = jax.devices()[0].device_kind
    listed = next((kind for text, kind in kinds.items() if text in name), None)
    return listed or dataclasses.replace(next(iter(kinds.values())), name=name)


def named(name: str) -> Target:
    """Returns devices to compile for, which are not there.

    From then on this process has the CPU as its only device, and keeps no compiled programs.

    Raises:
      UserError: there is no such target, or its compiler is not installed.
    """
    errors.check_known('--target', name, NAMES)
    kind, topology, options = _DESCRIBED[name]
    jax.config.update('jax_platforms', 'cpu')  # its plugin would look for the device
    try:
        if kind.platform == 'tpu':
            # Nothing is asked of the metadata server of a TPU machine, and since no device is
            # used, several processes may compile at once.
            os.environ.update(TPU_SKIP_MDS_QUERY='1', TPU_ACCELERATOR_TYPE='v5litepod-1')
            os.environ.update(TPU_WORKER_HOSTNAMES='localhost', TPU_WORKER_ID='0')
            os.environ.update(ALLOW_MULTIPLE_LIBTPU_LOAD='1')
        else:
            os.environ.setdefault('JAX_SKIP_CUDA_CONSTRAINTS_CHECK', '1')
        found = topologies.get_topology_desc(topology, kind.platform, **options)
    except (RuntimeError, ImportError) as error:
        raise errors.UserError(
            f'--target={name}: its compiler is not installed: run '
            f'{_COMPILERS[kind.platform]} ({error})'
        ) from error
    # How long it takes to compile is to be seen.
    jax.config.update('jax_enable_compilation_cache', False)
    mesh = topologies.make_mesh(found, (len(found.devices),), (devices.RUNS,))
    return Target(kind, mesh, len(found.devices) * kind.memory_bytes)
