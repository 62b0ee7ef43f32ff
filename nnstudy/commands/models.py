"""Lists the models with their sizes and speeds."""

import functools
import math
import re
import statistics
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from nnstudy import commands, errors, models
from nnstudy.data import device
from nnstudy.machine import devices, work
from nnstudy.machine import target as targets
from nnstudy.report import tables
from nnstudy.spec import components
from nnstudy.training import resolve, steps
from nnstudy.training.run import Run, make_keys

IMAGE, TEXT = '32x32x3', (100,)  # pixels and channels; tokens
NUM_OUTPUTS, NUM_TOKENS, BATCH_SIZE = 10, 5000, 32
REPETITIONS, REPETITION_SECONDS = 5, 0.3

CAPTION = (
    f'{NUM_OUTPUTS} classes; texts of {NUM_TOKENS:,} different words. MFLOPs: one forward pass of '
    'one example, as XLA counts them: two for each multiplication with addition.'
)
TIME_CAPTION = (
    f' ms: one step of one run on one {{device}} (forward, backward, SGD) at batch size '
    f'{BATCH_SIZE}, in a compiled loop of steps, with no other runs at the same time.'
)


def run(argv: Sequence[str]) -> None:
    """Runs the command, see `nnstudy.commands`."""
    parser = commands.Parser('nnstudy models', __doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='models; default: all')
    parser.add_argument('--no_time', action='store_true', help='does not measure times')
    parser.add_argument(
        '--image', default=IMAGE, metavar='HxWxC', help='size of the images; default: %(default)s'
    )
    args = parser.parse_args(argv)
    for name in args.names:
        components.get('model', models.MODELS, name)
    if not re.fullmatch(r'([1-9]\d*x){2}[1-9]\d*', args.image):
        raise errors.UserError(f'--image={args.image}: write --image=HxWxC, such as {IMAGE}')
    image = tuple(map(int, args.image.split('x')))
    devices.setup()
    caption = CAPTION
    if not args.no_time:
        kind = 'core' if jax.default_backend() == 'cpu' else jax.default_backend().upper()
        caption += TIME_CAPTION.format(device=kind)
    console, rows = tables.console(), []
    for name in args.names or models.MODELS:
        shape = TEXT if models.takes_tokens(models.MODELS[name]) else image
        with console.status(name):
            num_params, flops_per_example = size(name, shape)
            row = {
                'model': name,
                'input': '×'.join(map(str, shape)),
                'parameters': f'{num_params:,}',
                'MFLOPs': _short(flops_per_example / 1e6),
            }
            if not args.no_time:
                row['ms'] = _short(1e3 * step_seconds(name, shape))
        rows.append(row)
    table = pd.DataFrame(rows)
    console.print(tables.printed(table, right=list(table)[1:]))
    console.print(caption)


def size(name: str, shape: tuple[int, ...]) -> tuple[int, float]:
    """Returns the number of parameters, and the operations of a forward pass of one example.

    They are counted for a GPU: on a CPU, convolutions may do more where that is faster.
    """
    entry = models.MODELS[name]
    arguments = {'num_tokens': NUM_TOKENS} if models.takes_tokens(entry) else {}
    model = models.make(entry, NUM_OUTPUTS, **arguments)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    apply = functools.partial(model.apply, train=False)
    return num_params, work.count(apply, variables, x, platform='cuda').flops


def step_seconds(name: str, shape: tuple[int, ...]) -> float:
    """Returns the seconds of a training step of one run alone, the median of a few repetitions."""
    fields = {'model': name, 'optimizer.learning_rate': 1e-3, 'batch_size': BATCH_SIZE}
    (setting,) = resolve.study(fields).settings
    data = jax.device_put(_noise(shape))

    def run(data: device.Data) -> Run:
        return Run(setting.replace(setting.hparams), make_keys(0), data)

    # Random numbers take long to compile, and these are drawn only once.
    options: dict[str, str | bool] = {'xla_backend_optimization_level': '0'}
    state = jax.jit(lambda data: steps.init(run(data)), compiler_options=options)(data)
    kind = targets.kind_here()
    segment = jax.jit(
        lambda data, state, start, stop, evaluate: steps.segment(
            run(data), state, start, stop, evaluate, device=kind
        )
    )

    def seconds(num_steps: int) -> float:
        begin = time.perf_counter()
        stop = jnp.int32(num_steps)
        jax.block_until_ready(segment(data, state, jnp.int32(0), stop, jnp.asarray(False)))
        return time.perf_counter() - begin

    seconds(1)  # compiles
    num_steps = max(1, math.ceil(REPETITION_SECONDS / seconds(1)))
    return statistics.median(seconds(num_steps) / num_steps for _ in range(REPETITIONS))


def _short(value: float) -> str:
    """Returns a positive number with three digits at least."""
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def _noise(shape: tuple[int, ...]) -> device.Data:
    """Returns random images or texts, two batches to train on and one to test."""
    rng = np.random.default_rng(0)
    size, is_text = 3 * BATCH_SIZE, shape == TEXT
    inputs = rng.integers(0, NUM_TOKENS if is_text else 256, (size, *shape))
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
