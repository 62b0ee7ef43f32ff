"""Lists the models with their size and speed."""

import functools
import math
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from nnstudy import commands, models
from nnstudy.data import device
from nnstudy.machine import devices, flops
from nnstudy.ops import convolution
from nnstudy.spec import components
from nnstudy.spec import config as config_lib
from nnstudy.training import resolve, steps
from nnstudy.training.run import Run
from nnstudy.training.state import make_keys

FASHION, CIFAR, TEXT = (28, 28, 1), (32, 32, 3), (100,)
INPUTS = {
    **dict.fromkeys(('linear', 'mlp', 'lenet', 'cnn'), FASHION),
    **dict.fromkeys(('resnet', 'pooled_resnet', 'inception'), FASHION),
    **dict.fromkeys(('alexnet', 'vgg', 'vgg16', 'resnet20', 'resnet18', 'googlenet'), CIFAR),
    **dict.fromkeys(('embedding', 'recurrent'), TEXT),
}
NUM_OUTPUTS, NUM_TOKENS, BATCH_SIZE = 10, 5000, 32
REPETITIONS, REPETITION_SECONDS = 5, 0.3

CAPTION = (
    f'{NUM_OUTPUTS} classes; texts of {NUM_TOKENS:,} different words. MFLOPs: one forward pass of '
    'one example, as XLA counts them: two for each multiplication with addition.'
)
TIME_CAPTION = (
    f' ms: one step of one run on one {{device}} (forward, backward, SGD) at batch size '
    f'{BATCH_SIZE}, within a loop of steps, with no other runs beside it.'
)


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser(prog='nnstudy models', description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='models; default: all')
    parser.add_argument('--no_time', action='store_true', help='measures no times')
    args = parser.parse_args(argv)
    for name in args.names:
        components.get('model', models.MODELS, name)
    devices.setup()
    console = Console(width=None if sys.stdout.isatty() else 100)
    caption = CAPTION
    if not args.no_time:
        kind = 'core' if jax.default_backend() == 'cpu' else jax.default_backend().upper()
        caption += TIME_CAPTION.format(device=kind)
    table = Table()
    table.add_column('model')
    for column in ('input', 'parameters', 'MFLOPs', *([] if args.no_time else ['ms'])):
        table.add_column(column, justify='right')
    for name in args.names or models.MODELS:
        with console.status(name):
            cells = ['×'.join(map(str, INPUTS[name])), f'{num_params(name):,}']
            cells.append(_short(forward_flops(name) / 1e6))
            if not args.no_time:
                cells.append(_short(1e3 * step_seconds(name)))
        table.add_row(name, *cells)
    console.print(table)
    console.print(caption)


def num_params(name: str) -> int:
    """Returns the number of parameters of a model on its input in `INPUTS`."""
    _, variables, _ = _shapes(name)
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


def forward_flops(name: str) -> float:
    """Returns the floating-point operations of one forward pass of one example, see `flops`."""
    model, variables, x = _shapes(name)
    with convolution.as_written():
        return flops.count(functools.partial(model.apply, train=False), variables, x)


def step_seconds(name: str) -> float:
    """Returns the seconds of a training step of one run alone, the median of a few repetitions."""
    config = config_lib.default_config()
    config_lib.override(config, {'model': name, 'optimizer.learning_rate': 1e-3})
    config.batch_size = BATCH_SIZE
    (setting,) = resolve.study(config).settings
    data = jax.device_put(_noise(name))

    def run(data: device.Data) -> Run:
        return Run.bind(setting, make_keys(0), setting.hparams, data)

    # Random numbers take long to compile, and these are drawn once.
    options: dict[str, str | bool] = {'xla_backend_optimization_level': '0'}
    state = jax.jit(lambda data: steps.init(run(data)), compiler_options=options)(data)
    segment = jax.jit(lambda data, *args: steps.segment(run(data), *args))

    def seconds(num_steps: int) -> float:
        begin = time.perf_counter()
        stop = jnp.int32(num_steps)
        jax.block_until_ready(segment(data, state, jnp.int32(0), stop, jnp.asarray(False)))
        return time.perf_counter() - begin

    seconds(1)  # compiles
    num_steps = max(1, math.ceil(REPETITION_SECONDS / seconds(1)))
    return statistics.median(seconds(num_steps) / num_steps for _ in range(REPETITIONS))


def _shapes(name: str) -> tuple[models.Model, Any, jax.ShapeDtypeStruct]:
    """Returns a model, the shapes of its variables, and that of one input."""
    entry = models.MODELS[name]
    arguments = {}
    if models.takes_tokens(entry):
        arguments['num_tokens'] = NUM_TOKENS
    model = models.make(entry, NUM_OUTPUTS, **arguments)
    x = jax.ShapeDtypeStruct((1, *INPUTS[name]), jnp.float32)
    return model, jax.eval_shape(model.init, jax.random.key(0), x), x


def _short(value: float) -> str:
    """Returns a positive number with three digits at least."""
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def _noise(name: str) -> device.Data:
    """Returns random images or texts, two batches to train on and one to test."""
    rng = np.random.default_rng(0)
    size = 3 * BATCH_SIZE
    is_text = INPUTS[name] == TEXT
    inputs = rng.integers(0, NUM_TOKENS if is_text else 256, (size, *INPUTS[name]))
    return device.Data(
        inputs=inputs.astype(np.int32 if is_text else np.uint8),
        labels=rng.integers(0, NUM_OUTPUTS, size, dtype=np.int32),
        scale=np.asarray(1 / 255, np.float32),
        offset=np.asarray(0, np.float32),
        sizes=(('train', 2 * BATCH_SIZE), ('test', BATCH_SIZE)),
        num_outputs=NUM_OUTPUTS,
        max_value=255.0,
        num_tokens=NUM_TOKENS if is_text else None,
    )
