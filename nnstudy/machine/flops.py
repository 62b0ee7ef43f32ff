"""Floating-point operations of a function, counted before it is compiled."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.extend import core


def count(function: Callable[..., Any], *args: Any, platform: str | None = None) -> float:
    """Returns the floating-point operations of a call, as XLA counts them.

    XLA counts one round of a loop. The other rounds are added for a `lax.scan`, which says how many
    there are, as in a recurrent network; a `lax.while_loop` may end after any round.

    Args:
      function: to be traced.
      *args: arrays or their shapes.
      platform: 'cpu', 'cuda' or 'tpu', which need not be there; None for the one in use.
    """
    platform = platform or jax.local_devices()[0].platform
    platform = 'cuda' if platform == 'gpu' else platform
    traced = jax.jit(function).trace(*args)
    lowered = traced.lower(lowering_platforms=(platform,))
    own = float((lowered.cost_analysis() or {}).get('flops', 0.0))
    return own + _of_further_rounds(traced.jaxpr.jaxpr, platform)


def products(function: Callable[..., Any], *args: Any, platform: str) -> int:
    """Returns the number of matrix products and convolutions of a call, one after the other.

    For the arguments see `count`.
    """
    return _products(jax.jit(function).trace(*args).jaxpr.jaxpr, platform)


def _products(jaxpr: core.Jaxpr, platform: str) -> int:
    total = 0
    for equation in jaxpr.eqns:
        own = equation.primitive in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)
        inner = sum(_products(inner, platform) for inner in _inner(equation, platform))
        total += own + inner * equation.params.get('length', 1)
    return total


def _of_further_rounds(jaxpr: core.Jaxpr, platform: str) -> float:
    """Returns the operations of all rounds but the first of the scans in a function."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive is jax.lax.scan_p:
            body = equation.params['jaxpr']
            rounds = equation.params['length'] - 1
            total += rounds * count(core.jaxpr_as_fun(body), *body.in_avals, platform=platform)
        total += sum(_of_further_rounds(inner, platform) for inner in _inner(equation, platform))
    return total


def _inner(equation: core.JaxprEqn, platform: str) -> Iterable[core.Jaxpr]:
    """Returns the functions in an operation; of `lax.platform_dependent`, the platform's one."""
    platforms = equation.params.get('branches_platforms')
    if platforms is None:
        return core.jaxprs_in_params(equation.params)
    chosen = next(i for i, names in enumerate(platforms) if names is None or platform in names)
    return [equation.params['branches'][chosen].jaxpr]
