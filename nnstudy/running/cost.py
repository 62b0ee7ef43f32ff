"""The cost of a run: parameters, memory and arithmetic, by tracing it without compiling."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from nnstudy import errors
from nnstudy.data.device import Data
from nnstudy.machine import flops
from nnstudy.spec.fields import Config
from nnstudy.training import diagnostics, run, steps
from nnstudy.training.run import Run, Static
from nnstudy.training.state import TrainState


class Cost(NamedTuple):
    """The cost of one run.

    Attributes:
      num_params: number of parameters.
      has_convolutions: whether there are kernels of convolutions among them.
      state_bytes: size of the state.
      flops_per_step: floating-point operations of a step, see `nnstudy.machine.flops`.
      steps_per_evaluation: cost of an evaluation, in steps.
    """

    num_params: int
    has_convolutions: bool
    state_bytes: int
    flops_per_step: float
    steps_per_evaluation: float


def of_run(config: Config, data: Data) -> Cost:
    """Returns the cost of a run. Tracing it also finds what cannot work.

    Args:
      config: resolved.
      data: in host memory.

    Raises:
      UserError: a component fails on the data, or with its fields.
    """
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), data)
    try:
        state, flops_per_step = _trace(Static(config), shapes)
    except errors.UserError:
        raise
    except Exception as error:
        message = ' '.join(str(error).split())
        raise errors.UserError(
            f'{", ".join(run.functions(config))}: cannot be traced on inputs of shape '
            f'{data.inputs.shape[1:]}: {type(error).__name__}: {message[:300]}'
        ) from error
    params = jax.tree.leaves(state.variables['params'])
    return Cost(
        num_params=sum(leaf.size for leaf in params),
        has_convolutions=any(leaf.ndim == 4 for leaf in params),
        state_bytes=sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        flops_per_step=flops_per_step,
        # A forward pass is about a third of a step.
        steps_per_evaluation=_num_evaluated(config, data) / (3 * config.batch_size),
    )


def _num_evaluated(config: Config, data: Data) -> int:
    """Returns the number of examples in the forward passes of an evaluation."""
    most = config.eval_train_examples or data.num_train
    evaluated = sum(min(size, most) if split == 'train' else size for split, size in data.sizes)
    diagnosed = diagnostics.num_examples(config.diagnostic_examples, data.num_train)
    return evaluated + diagnostics.num_passes(config.diagnostics) * diagnosed


@functools.lru_cache(maxsize=32)
def _trace(static: Static, data: Data) -> tuple[TrainState, float]:
    """Returns state and arithmetic of a run, on data of these shapes."""
    config = static.config
    number, evaluate = jax.ShapeDtypeStruct((), np.int32), jax.ShapeDtypeStruct((), np.bool_)
    values = {name: jax.ShapeDtypeStruct((), np.float32) for name in config.hparams}
    own = jax.ShapeDtypeStruct((), np.uint32), values, data

    def of_run(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda own, *args: function(Run.of_seed(config, *own), *args)

    state = jax.eval_shape(of_run(steps.init), own)
    jax.eval_shape(of_run(steps.segment), own, state, number, number, evaluate)
    return state, flops.count(of_run(steps.step), own, state, number, number)
