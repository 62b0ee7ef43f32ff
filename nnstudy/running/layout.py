"""How the runs of a group are laid out on the devices: lanes, chunks and segments, by fixed rules.

The number of lanes changes how a run's numbers round. So it depends only on the cost of the model
and on the backend, never on the number of runs, free memory or a timing. Chunks and segments do not
change the numbers.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.machine import devices, flops
from nnstudy.spec import components
from nnstudy.spec.fields import Config
from nnstudy.training import diagnostics, evaluation, run, steps
from nnstudy.training.run import Run, Static, TrainState

SEGMENT_SECONDS = 2.0  # of work between two updates of the progress display

CACHE_BYTES = 2**20  # of a CPU core

# Rough speed of one device in small steps, to cut training into segments. If it is wrong by some
# factor, progress is shown more or less often, and nothing else changes.
FLOPS_PER_SECOND = {'cpu': 8e10, 'gpu': 3e12, 'tpu': 3e12}


class Segment(NamedTuple):
    """What the devices do before the host sees their results again."""

    runs: np.ndarray  # which runs of the chunk, int [K]
    start: int  # the first step
    stop: int  # the step after the last one
    evaluate: bool  # whether an evaluation follows


class Layout(NamedTuple):
    """What a run costs, and how the runs of a group are executed."""

    num_params: int  # of a run
    state_bytes: int  # of a run
    lanes: int  # number of runs that a device advances together; they are a block
    step_seconds: float  # estimated time of a step of a block
    evaluation_seconds: float  # estimated time of an evaluation of a block

    @property
    def unit(self) -> int:
        """The number of runs in a block on each device; a chunk has a multiple of it."""
        return jax.device_count() * self.lanes

    def chunk_size(self, num_runs: int, memory: float) -> int:
        """Returns the size of chunks of about equal size, whose states take so many bytes."""
        # While a checkpoint is written, there are two copies of the states.
        fitting = max(1, memory / (2 * self.state_bytes) // self.unit) * self.unit
        return math.ceil(num_runs / math.ceil(num_runs / fitting) / self.unit) * self.unit

    @property
    def segment_steps(self) -> int:
        """The most steps of a segment."""
        return max(1, round(SEGMENT_SECONDS / self.step_seconds))

    def next_segment(
        self, at: np.ndarray, alive: np.ndarray, evaluation_steps: np.ndarray, until: int
    ) -> Segment | None:
        """Returns the next segment of about SEGMENT_SECONDS, of the runs that are furthest behind.

        Args:
          at: the step that each run of the chunk has reached, its evaluation included, int [R]; -1
            before the first one.
          alive: which runs go on, bool [R].
          evaluation_steps: int [E], increasing.
          until: the evaluation step where all runs wait. When all are there, None is returned.
        """
        waiting = np.unique(at[alive & (at < until)])
        if not waiting.size:
            return None
        reached, *ahead = waiting.tolist()
        start = max(reached, 0)
        evaluation = int(evaluation_steps[evaluation_steps.searchsorted(reached, side='right')])
        # Not past runs that are ahead, as after a checkpoint between two segments, so that all runs
        # go on together.
        stop = min(evaluation, start + self.segment_steps, *ahead[:1])
        evaluate = stop == evaluation
        seconds = (stop - start) * self.step_seconds + evaluate * self.evaluation_seconds
        most = self.lanes * max(1, math.floor(SEGMENT_SECONDS / max(seconds, 1e-9)))
        runs, num_devices = np.flatnonzero(alive & (at == reached)), jax.device_count()
        by_device = [runs[runs % num_devices == d][:most] for d in range(num_devices)]
        return Segment(np.sort(np.concatenate(by_device)), start, stop, evaluate)


def choose(config: Config, data: Data) -> Layout:
    """Returns the layout of runs on data in host memory. A run is traced, and not compiled.

    Raises:
      UserError: a component fails on the data, or with its fields, or memory is too small.
    """
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), data)
    try:
        state, flops_per_step = _trace(Static(config), shapes)
    except errors.UserError:
        raise
    except Exception as error:
        message = ' '.join(str(error).split())
        raise errors.UserError(
            f'{_origin(config, error)}: cannot be traced on inputs of shape '
            f'{data.inputs.shape[1:]}: {type(error).__name__}: {message[:300]}'
        ) from error
    params = jax.tree.leaves(state.variables['params'])
    num_params = sum(leaf.size for leaf in params)
    has_convolutions = any(leaf.ndim == 4 for leaf in params)
    lanes = config.execution.lanes or num_lanes(num_params, has_convolutions, flops_per_step)

    # Small steps take a fixed time, however few operations they have.
    rate = FLOPS_PER_SECOND.get(jax.default_backend(), 3e12)
    step_seconds = lanes * max(flops_per_step / rate, 5e-6)
    evaluated = sum(evaluation.num_evaluated(config, data).values())
    passes = sum(diagnostics.DIAGNOSTICS[name].passes for name in config.diagnostics)
    evaluated += passes * diagnostics.num_examples(config, data)
    layout = Layout(
        num_params=num_params,
        state_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        lanes=lanes,
        step_seconds=step_seconds,
        # A forward pass is about a third of a step.
        evaluation_seconds=evaluated / (3 * config.batch_size) * step_seconds,
    )
    memory = devices.memory_bytes()
    if layout.state_bytes * layout.unit > memory:
        raise errors.UserError(
            f'{layout.unit} runs at a time, {layout.state_bytes / 2**30:.1f} GiB each, do not fit '
            f'into {memory / 2**30:.1f} GiB of memory: make the model smaller'
        )
    return layout


def _origin(config: Config, error: Exception) -> str:
    """Returns which components an error may be of: the user's own one that it came through."""
    named = run.functions(config)
    for name, function in named.items():
        path = getattr(inspect.getmodule(function), '__file__', '')
        is_own = path and not components.is_library_code(function)
        if is_own and (line := errors.line_in(path, error)):
            return f'{name}, {path}, line {line}'
    return ', '.join(named)


@functools.lru_cache(maxsize=32)
def _trace(static: Static, data: Data) -> tuple[TrainState, float]:
    """Returns the shapes of a state, and the operations of a step, on data of these shapes."""
    config = static.config
    number = jax.ShapeDtypeStruct((), np.int32)
    values = {name: jax.ShapeDtypeStruct((), np.float32) for name in config.hparams}
    own = jax.ShapeDtypeStruct((), np.uint32), values, data

    def of_run(function: Callable[..., Any]) -> jax.stages.Wrapped:
        return jax.jit(lambda own, *args: function(Run.of_seed(config, *own), *args))

    state = jax.eval_shape(of_run(steps.init), own)
    step = of_run(steps.step)  # traced once for both
    *_, of_grads = jax.eval_shape(step, own, state, number, number)
    jax.eval_shape(of_run(evaluation.evaluated), own, state, number, of_grads)
    return state, flops.count(step, own, state, number, number)


def num_lanes(num_params: int, has_convolutions: bool, flops_per_step: float) -> int:
    """The rule for lanes. Measured on two CPU cores, see docs/performance.md; else a guess."""
    if jax.default_backend() != 'cpu':
        return 8 if has_convolutions else 32
    # vmap over kernels gives a grouped convolution, which takes at least twice as long.
    if not has_convolutions:
        for lanes, most_flops in ((32, 1e6), (8, 2e7)):
            # Every step reads the parameters of a block, which should stay in the core's cache.
            if flops_per_step <= most_flops and lanes * num_params * 4 <= CACHE_BYTES:
                return lanes
    return 1
