"""Floating-point operations of a function, counted before it is compiled."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def count(function: Callable[..., Any], *args: Any, platform: str | None = None) -> float:
    """Returns the floating-point operations of a call, as XLA counts them.

    Of loops XLA counts one round. The others are added where a `lax.scan` says how many there are,
    as of a recurrent cell; a `lax.while_loop` may end after any of them.

    Args:
      function: to be traced.
      *args: arrays or their shapes.
      platform: 'cpu', 'cuda' or 'tpu', which need not be there; None for the one that is.
    """
    traced = jax.jit(function).trace(*args)
    lowered = traced.lower(lowering_platforms=None if platform is None else (platform,))
    own = float((lowered.cost_analysis() or {}).get('flops', 0.0))
    return own + _of_further_rounds(traced.jaxpr.jaxpr, platform)


def _of_further_rounds(jaxpr: core.Jaxpr, platform: str | None) -> float:
    """Returns the operations of all rounds but the first of the scans in a function."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive is jax.lax.scan_p:
            body = equation.params['jaxpr']
            rounds = equation.params['length'] - 1
            total += rounds * count(core.jaxpr_as_fun(body), *body.in_avals, platform=platform)
        for inner in core.jaxprs_in_params(equation.params):
            total += _of_further_rounds(inner, platform)
    return total
