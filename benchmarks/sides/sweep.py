"""nnstudy's sweep: the compiled programs of `nnstudy.running.study`, segment after segment.

Training alone is timed for as many steps as a run has, as a study dispatches them; a workload that
is timed with its evaluations is carried out as a whole study.
"""

import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nnstudy
from benchmarks import problem as problem_lib
from benchmarks import workloads
from benchmarks.problem import Problem
from nnstudy import ops
from nnstudy.running import layout, program, study
from nnstudy.running import plan as plan_lib
from nnstudy.training.run import Run, TrainState

nnstudy.setup()

VERSIONS = {name: importlib.metadata.version(name) for name in ('jax', 'jaxlib', 'flax', 'optax')}
VERSIONS['device'] = jax.devices()[0].device_kind
CHECK_STEPS = 5
MATMUL_SIZE, MATMUL_REPEATS = 2048, 8
CONVOLUTION_RUNS, CONVOLUTION_STEPS = 4, 3

# What is random in a step besides the order of examples; at 0 it changes nothing.
_RANDOM = ('augmentation.', 'model.flatten_dropout', 'model.dense_dropout')


def prepare(
    workload: str,
    quick: bool,
    data_dir: str | None,
    folder: str | None = None,
    num_runs: int | None = None,
    lanes: int | None = None,
    precision: str | None = None,
) -> 'Trainer':
    """Returns the sweep of a workload.

    Args:
      workload: its name.
      quick: see `benchmarks.workloads.Workload.study`, also for `num_runs`.
      data_dir: where the data sets are.
      folder: where the problem of the first run is written for the peers.
      num_runs: only so many.
      lanes: forced number of lanes.
      precision: of the network's arithmetic.
    """
    spec = workloads.WORKLOADS[workload].study(quick=quick, num_runs=num_runs)
    spec.config.execution.lanes = lanes
    spec.config.precision = precision
    trainer = Trainer(workloads.WORKLOADS[workload], spec, data_dir)
    if folder is not None:
        problem_lib.save(trainer.problem(), Path(folder))
    return trainer


def matmul_rate() -> float:
    """Returns the floating-point operations a second of float32 matmuls on all devices at once."""
    matrix = np.random.default_rng(0).normal(size=(MATMUL_SIZE,) * 2).astype(np.float32)
    # A product a device, by itself: inside a loop a program may be given a slower routine.
    on_devices = [jax.device_put(matrix, device) for device in jax.local_devices()]
    multiply = jax.jit(jnp.matmul)
    jax.block_until_ready([multiply(a, a) for a in on_devices])
    began = time.perf_counter()
    jax.block_until_ready([multiply(a, a) for _ in range(MATMUL_REPEATS) for a in on_devices])
    seconds = time.perf_counter() - began
    return MATMUL_REPEATS * len(on_devices) * 2 * MATMUL_SIZE**3 / seconds


def convolutions() -> dict[str, float]:
    """Returns seconds of a run's layer, forward and both gradients, by how the runs are taken.

    A layer of 3x3x64x64 on 14x14 pixels, each run with a kernel of its own: one after the other,
    vmapped (which makes a grouped convolution), or vmapped as patches times matrix.
    """

    def by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
        patches = jax.lax.conv_general_dilated_patches(
            x, (3, 3), (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )
        # Patches are ordered by channel first.
        return patches @ kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[3])

    def stepped(layer: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        def loss(kernel: jax.Array, x: jax.Array) -> jax.Array:
            return (layer(layer(x, kernel), kernel) ** 2).mean()

        def steps(kernel: jax.Array, x: jax.Array) -> jax.Array:
            def step(kernel: jax.Array, _: None) -> tuple[jax.Array, None]:
                return kernel - 1e-3 * jax.grad(loss)(kernel, x), None

            return jax.lax.scan(step, kernel, None, length=CONVOLUTION_STEPS)[0]

        return steps

    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(32, 14, 14, 64)), jnp.float32)
    kernels = jnp.asarray(rng.normal(size=(CONVOLUTION_RUNS, 3, 3, 64, 64)) / 24, jnp.float32)
    ways = {
        'one by one': lambda k, x: jax.lax.map(lambda one: stepped(ops.conv)(one, x), k),
        'grouped': lambda k, x: jax.vmap(lambda one: stepped(ops.conv)(one, x))(k),
        'patches': lambda k, x: jax.vmap(lambda one: stepped(by_patches)(one, x))(k),
    }
    seconds, results = {}, []
    for name, way in ways.items():
        function = jax.jit(way)
        result = jax.block_until_ready(function(kernels, x))
        began = time.perf_counter()
        jax.block_until_ready(function(kernels, x))
        # Two layers a step.
        steps = 2 * CONVOLUTION_RUNS * CONVOLUTION_STEPS
        seconds[name] = (time.perf_counter() - began) / steps
        results.append(result)
        np.testing.assert_allclose(result, results[0], rtol=1e-3, atol=1e-5)
    return seconds


class Trainer:
    """See `benchmarks.worker`."""

    def __init__(self, workload: workloads.Workload, spec: Any, data_dir: str | None):
        self.workload = workload
        dataset = workload.dataset(spec.config, data_dir)
        self.plan = plan_lib.make(spec.config, spec.points, data=dataset)
        (self.group,) = self.plan.groups
        group = self.group
        began = time.perf_counter()
        self.program = program.for_group(group)
        self.compile_seconds = time.perf_counter() - began
        self.settings = {
            'runs': len(group.runs),
            'lanes': group.layout.lanes,
            'devices': group.target.num_devices,
            'segment_steps': group.layout.segment_steps,
        }
        self.losses = self._check()

    def _check(self) -> list[float]:
        """Returns the first run's losses of single steps, by the program that is timed."""
        state, (seeds, hparams) = self._begin()
        calm = {
            name: jnp.zeros_like(values) if name.startswith(_RANDOM) else values
            for name, values in hparams.items()
        }
        variables = jax.tree.map(lambda leaf: np.asarray(leaf[0]), state.variables)
        self.weights = {
            f'{layer}/{name}': weight
            for collection in variables.values()
            for layer, weights in collection.items()
            for name, weight in weights.items()
        }
        sums = [0.0]
        first = np.arange(1)
        for step in range(CHECK_STEPS):
            segment = layout.Segment(first, step, step + 1, evaluate=False)
            state, _ = self.program.advance(state, (seeds, calm), segment)
            sums.append(float(state.loss_sum[0]))
        setting = self.group.config
        run = Run(setting, nnstudy.make_keys(int(self.group.seeds[0])), self.group.data)
        self.order = np.stack([run.examples(jnp.int32(step)) for step in range(CHECK_STEPS)])
        return (np.diff(sums) / self.group.config.batch_size).tolist()

    def _begin(self) -> tuple[TrainState, Any]:
        return jax.block_until_ready(self.program.init(np.arange(len(self.group.runs))))

    def repeat(self) -> tuple[int, float]:
        """Trains all runs from the start; returns run-steps and seconds."""
        if self.workload.evaluates:
            began = time.perf_counter()
            study.carry_out(self.plan, quiet=True)
            return self.plan.num_run_steps, time.perf_counter() - began
        state, own = self._begin()
        runs, end = np.arange(len(self.group.runs)), self.group.num_steps
        at, alive = np.zeros_like(runs), np.ones(len(runs), bool)
        group_layout = self.group.layout
        began = time.perf_counter()
        while segment := group_layout.next_segment(at, alive, np.array([end]), end):
            segment = segment._replace(evaluate=False)
            state, _ = self.program.advance(state, own, segment)
            at[segment.runs] = segment.stop
        jax.block_until_ready(state)
        return self.plan.num_run_steps, time.perf_counter() - began

    def problem(self) -> Problem:
        """Returns what the first run trains, for the peers."""
        config, data = self.group.config, self.group.data
        hparams = {name: float(values[0]) for name, values in self.group.hparams.items()}
        inputs = np.asarray(data.normalized(jnp.asarray(data.inputs)))
        if self.workload.net[0]['op'] == 'dense':
            inputs = inputs.reshape(len(inputs), -1)
        optimizer: dict[str, Any] = {
            'name': config.optimizer.name,
            'learning_rate': hparams['optimizer.learning_rate'],
        }
        if optimizer['name'] == 'adam':
            optimizer['eps'] = hparams['optimizer.eps']
        else:
            optimizer['momentum'] = hparams.get('optimizer.momentum')
        strengths = {
            name.partition('.')[2]: value
            for name, value in hparams.items()
            if name.startswith('augmentation.')
        }
        return Problem(
            net=self.workload.net,
            loss=config.loss.name,
            optimizer=optimizer,
            batch_size=config.batch_size,
            epochs=config.epochs,
            augmentation=strengths or None,
            evaluates=self.workload.evaluates,
            sizes=dict(data.sizes),
            inputs=inputs,
            labels=np.asarray(data.labels),
            order=self.order,
            weights=self.weights,
        )
