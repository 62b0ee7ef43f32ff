"""What a function has to do, counted before it is compiled."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
from jax.extend import core


class Work(NamedTuple):
    """What a call does.

    Attributes:
      flops: floating-point operations, as XLA counts them.
      products: matrix products and convolutions, one after the other.
      written_bytes: of the results of all operations, as if none were fused or freed.
    """

    flops: float
    products: int
    written_bytes: float


def count(function: Callable[..., Any], *args: Any, platform: str | None = None) -> Work:
    """Returns what a call does.

    All rounds of a `lax.scan` count, which says how many there are, as in a recurrent network; of a
    `lax.while_loop`, which may end after any round, one does.

    Args:
      function: to be traced.
      *args: arrays or their shapes.
      platform: 'cpu', 'cuda' or 'tpu', which need not be there; None for the one in use.
    """
    platform = platform or jax.local_devices()[0].platform
    platform = 'cuda' if platform == 'gpu' else platform
    traced = jax.jit(function).trace(*args)
    own, jaxpr = _flops(traced, platform), traced.jaxpr.jaxpr
    return Work(own + _of_further_rounds(jaxpr, platform), *_products_and_bytes(jaxpr, platform))


def _flops(traced: jax.stages.Traced, platform: str) -> float:
    lowered = traced.lower(lowering_platforms=(platform,))
    return float((lowered.cost_analysis() or {}).get('flops', 0.0))


def _of_further_rounds(jaxpr: core.Jaxpr, platform: str) -> float:
    """Returns the operations of all rounds of scans but the first, which is what XLA counts."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive is jax.lax.scan_p:
            body = equation.params['jaxpr']
            traced = jax.jit(core.jaxpr_as_fun(body)).trace(*body.in_avals)
            inner = _of_further_rounds(traced.jaxpr.jaxpr, platform)
            rounds = equation.params['length'] - 1
            total += rounds * (_flops(traced, platform) + inner)
        total += sum(_of_further_rounds(inner, platform) for inner in _inner(equation, platform))
    return total


def _products_and_bytes(jaxpr: core.Jaxpr, platform: str) -> tuple[int, float]:
    products, written = 0, 0.0
    for equation in jaxpr.eqns:
        products += equation.primitive in (jax.lax.dot_general_p, jax.lax.conv_general_dilated_p)
        rounds, inner = equation.params.get('length', 1), list(_inner(equation, platform))
        for one in inner:
            found = _products_and_bytes(one, platform)
            products, written = products + rounds * found[0], written + rounds * found[1]
        if not inner:
            avals: list[Any] = [var.aval for var in equation.outvars]
            written += sum(a.size * a.dtype.itemsize for a in avals if hasattr(a, 'dtype'))
    return products, written


def _inner(equation: core.JaxprEqn, platform: str) -> Iterable[core.Jaxpr]:
    """Returns the functions in an operation; of `lax.platform_dependent`, the platform's one."""
    platforms = equation.params.get('branches_platforms')
    if platforms is None:
        return core.jaxprs_in_params(equation.params)
    chosen = next(i for i, names in enumerate(platforms) if names is None or platform in names)
    return [equation.params['branches'][chosen].jaxpr]
