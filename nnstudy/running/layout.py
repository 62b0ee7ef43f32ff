"""How the runs of a group are laid out on the devices: lanes, chunks and segments, by fixed rules.

The number of lanes changes how a run's numbers round. So it depends only on the cost of the model
and on the kind of device, never on the number of runs, free memory or a timing. Chunks and segments
do not change the numbers.
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
from nnstudy.machine import work
from nnstudy.machine.target import Kind, Target
from nnstudy.machine.work import Work
from nnstudy.spec import components
from nnstudy.spec.fields import Config
from nnstudy.training import diagnostics, evaluation, run, steps
from nnstudy.training.run import Run, Static, TrainState

SEGMENT_SECONDS = 2.0  # of work between two updates of the progress display

CACHE_BYTES = 2**20  # of a CPU core
CPU_STEP_SECONDS = 5e-6  # that a small step takes, however few operations it has

# Of an accelerator. XLA makes 3 to 4 operations of a product and what is around it, as the programs
# of MLPs, LeNet and Inception for an H100 show. The others are guesses until one is at hand.
OPERATIONS_PER_PRODUCT = 3.5
SHARE_OF_RATE = 0.2  # that products of small matrices reach of the maker's rate
PASSES = 8  # of a step over the parameters, gradients and moments of a run
SHARE_OF_MEMORY = 0.5  # that the results of a step of a block may take
MOST_LANES = 1024


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
    num_devices: int
    stretch: int = 1  # segments have whole ones of so many steps

    @property
    def unit(self) -> int:
        """The number of runs in a block on each device; a chunk has a multiple of it."""
        return self.num_devices * self.lanes

    def chunk_size(self, num_runs: int, memory: float) -> int:
        """Returns the size of chunks of about equal size, whose states take so many bytes."""
        # While a checkpoint is written, there are two copies of the states.
        fitting = max(1, memory / (2 * self.state_bytes) // self.unit) * self.unit
        return math.ceil(num_runs / math.ceil(num_runs / fitting) / self.unit) * self.unit

    @property
    def segment_steps(self) -> int:
        """The most steps of a segment."""
        return max(1, round(SEGMENT_SECONDS / self.step_seconds / self.stretch)) * self.stretch

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
        runs = np.flatnonzero(alive & (at == reached))
        by_device = [runs[runs % self.num_devices == d][:most] for d in range(self.num_devices)]
        return Segment(np.sort(np.concatenate(by_device)), start, stop, evaluate)


class Cost(NamedTuple):
    """What a step of a run costs."""

    num_params: int
    has_convolutions: bool
    work: Work  # of a step
    precision: str | None = None

    def seconds(self, device: Kind) -> float:
        """Returns the estimated time that each run of a block adds to a step."""
        seconds = self.work.flops / device.flops_per_second(self.precision)
        if device.is_host:
            return max(seconds, CPU_STEP_SECONDS)
        return max(seconds / SHARE_OF_RATE, PASSES * 4 * self.num_params / device.bytes_per_second)

    def overhead_seconds(self, device: Kind) -> float:
        """Returns the estimated time that a step takes, however many runs are in a block."""
        if device.is_host:
            return 0.0
        return OPERATIONS_PER_PRODUCT * self.work.products * device.launch_seconds


def choose(config: Config, data: Data, target: Target) -> Layout:
    """Returns the layout of runs on data in host memory. A run is traced, and not compiled.

    Raises:
      UserError: a component fails on the data, or with its fields, or memory is too small.
    """
    target.kind.flops_per_second(config.precision)  # an error if there is none of it
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), data)
    try:
        state, cost = _trace(Static(config), shapes, target.kind)
    except errors.UserError:
        raise
    except Exception as error:
        message = ' '.join(str(error).split())
        raise errors.UserError(
            f'{_origin(config, error)}: cannot be traced on inputs of shape '
            f'{data.inputs.shape[1:]}: {type(error).__name__}: {message[:300]}'
        ) from error
    lanes = config.execution.lanes or num_lanes(cost, target.kind)
    step_seconds = cost.overhead_seconds(target.kind) + lanes * cost.seconds(target.kind)
    evaluated = sum(evaluation.num_evaluated(config, data).values())
    passes = sum(diagnostics.DIAGNOSTICS[name].passes for name in config.diagnostics)
    evaluated += passes * diagnostics.num_examples(config, data)
    layout = Layout(
        num_params=cost.num_params,
        state_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        lanes=lanes,
        step_seconds=step_seconds,
        # A forward pass is about a third of a step.
        evaluation_seconds=evaluated / (3 * config.batch_size) * step_seconds,
        num_devices=target.num_devices,
        stretch=1 if target.kind.counts else steps.stretch_length(config, data.num_train),
    )
    memory = target.memory_bytes
    if layout.state_bytes * layout.unit > memory:
        raise errors.UserError(
            f'{layout.unit} runs at a time, {layout.state_bytes / 2**30:.1f} GiB each, do not fit '
            f'into {memory / 2**30:.1f} GiB of memory: make the model smaller, or '
            f'config.execution.lanes less than {layout.lanes}'
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
def _trace(static: Static, data: Data, device: Kind) -> tuple[TrainState, Cost]:
    """Returns the shapes of a state, and the cost of a step, on data of these shapes."""
    config = static.config
    number = jax.ShapeDtypeStruct((), np.int32)
    examples = jax.ShapeDtypeStruct((config.batch_size,), np.int32)
    values = {name: jax.ShapeDtypeStruct((), np.float32) for name in config.hparams}
    own = jax.ShapeDtypeStruct((), np.uint32), values, data

    def of_run(function: Callable[..., Any]) -> jax.stages.Wrapped:
        return jax.jit(lambda own, *args: function(Run.of_seed(config, *own), *args))

    def evaluated(run: Run, state: TrainState, number: jax.Array, grads: Any) -> Any:
        return evaluation.evaluated(run, state, number, steps.of_grads(run, grads))

    state = jax.eval_shape(of_run(steps.init), own)
    step = of_run(steps.step)  # traced once for all
    *_, grads = jax.eval_shape(step, own, state, number, examples)
    jax.eval_shape(of_run(evaluated), own, state, number, grads)
    params, of_step = jax.tree.leaves(state.variables['params']), (own, state, number, examples)
    cost = Cost(
        num_params=sum(leaf.size for leaf in params),
        has_convolutions=any(leaf.ndim == 4 for leaf in params),
        work=work.count(step, *of_step, platform=device.platform),
        precision=config.precision,
    )
    return state, cost


def num_lanes(cost: Cost, device: Kind) -> int:
    """Returns how many runs a device advances together, from the cost of a step alone.

    On the CPU as measured, see docs/performance.md. On an accelerator as many as need the time that
    a step takes in any case, if what they write fits into memory. So a study of fewer runs takes
    less than twice the time of the fewest lanes, and one of more runs less than twice that of the
    most.
    """
    if not device.is_host:
        balanced = cost.overhead_seconds(device) / cost.seconds(device)
        fitting = device.memory_bytes * SHARE_OF_MEMORY / cost.work.written_bytes
        return 2 ** int(math.log2(max(1, min(balanced, fitting, MOST_LANES))))
    # vmap over kernels gives a grouped convolution, which takes at least twice as long.
    if not cost.has_convolutions:
        for lanes, most_flops in ((32, 1e6), (8, 2e7)):
            # Every step reads the parameters of a block, which should stay in the core's cache.
            if cost.work.flops <= most_flops and lanes * cost.num_params * 4 <= CACHE_BYTES:
                return lanes
    return 1
