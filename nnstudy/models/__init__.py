"""Models by name, and the interface through which training uses them.

`MODELS` is open: `MODELS['mine'] = Mine`, with a Linen module class, a `functools.partial` of one,
or any function `mine(num_outputs, **fields) -> Model`. Its other arguments become fields of the
config's `model` section; float ones are dynamic and arrive as traced scalars. A new module of this
package needs no more than a dict `MODELS` of its own.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from nnstudy import errors
from nnstudy.spec import values

Variables = Mapping[str, Any]


class Model(NamedTuple):
    """A network as two pure functions."""

    # `init(rng, x) -> variables`, a dict with `'params'` and possibly other collections, such as
    # `'batch_stats'`.
    init: Callable[..., Variables]
    # `apply(variables, x, *, train, rng=None, mask=None) -> (outputs, updates)`: x float [B, ...],
    # outputs [B, K], and `updates` the collections other than `'params'` after a training step,
    # `{}` if there are none or `train` is False. `mask`, bool [B], says which examples of a last,
    # short batch are real; None if all are. Only statistics over the batch need it.
    apply: Callable[..., tuple[jax.Array, Variables]]


# What the modules of this package call so, put together.
MODELS: dict[str, Callable[..., Any]] = {}
for _module in pkgutil.iter_modules(__path__, f'{__name__}.'):
    MODELS |= getattr(importlib.import_module(_module.name), 'MODELS', {})


def make(entry: Callable[..., Any], num_outputs: int, **arguments: Any) -> Model:
    """Returns the model of a value of `MODELS` with so many classes, or numbers to predict.

    Arguments are the fields of the config's `model` section, dynamic ones traced.
    """
    model = entry(num_outputs=num_outputs, **arguments)
    return from_linen(model) if isinstance(model, nn.Module) else model


def takes_tokens(model: Callable[..., Any]) -> bool:
    """Whether a value of `MODELS` is for rows of token ids, of which it is told how many."""
    return 'num_tokens' in values.signature(model)


def from_linen(module: nn.Module) -> Model:
    """Returns a Linen module as a `Model`.

    `module.__call__(x)` may take the keywords `train` and `mask`. Random numbers come from the
    streams `'params'` at init and `'dropout'` in training.

    Raises:
      UserError: by `apply`, if the module keeps statistics of batches, a batch is short, and the
        module takes no mask to leave the padding out of them.
    """
    takes = inspect.signature(module.__call__).parameters

    def init(rng: jax.Array, x: jax.Array) -> Variables:
        keywords: dict[str, Any] = {'train': False} if 'train' in takes else {}
        return module.init(rng, x, **keywords)

    def apply(
        variables: Variables,
        x: jax.Array,
        *,
        train: bool,
        rng: jax.Array | None = None,
        mask: jax.Array | None = None,
    ) -> tuple[jax.Array, Variables]:
        mutable = [name for name in variables if name != 'params'] if train else []
        if mutable and mask is not None and 'mask' not in takes:
            raise errors.UserError(
                f'{type(module).__name__} keeps {", ".join(mutable)}, and the last batch of an '
                'epoch is short: let its __call__ take mask=None and hand it to nn.BatchNorm, or '
                'choose a config.batch_size that divides the number of training examples'
            )
        given: dict[str, Any] = {'train': train, 'mask': mask}
        keywords = {name: value for name, value in given.items() if name in takes}
        rngs = None if rng is None else {'dropout': rng}
        return module.apply(variables, x, rngs=rngs, mutable=mutable, **keywords)

    return Model(init, apply)
