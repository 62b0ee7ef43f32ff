"""Operations of loops: those of all rounds, wherever the loop is."""

import jax
import jax.numpy as jnp
import pytest

from nnstudy.machine import work

MATRIX = jnp.ones((10, 10))
PRODUCT = 2 * 10**3


def power(x, exponent):
    return jax.lax.scan(lambda y, _: (y @ x, None), x, length=exponent)[0]


@pytest.mark.parametrize(
    ('function', 'products'),
    [
        (lambda x: x @ x, 1),
        (lambda x: power(x, 7), 7),
        (jax.jit(lambda x: power(x, 7)), 7),
        (lambda x: jax.lax.scan(lambda y, _: (power(y, 5), None), x, length=4)[0], 20),
        (jax.grad(lambda x: power(x, 50).sum()), 150),
        (lambda x: jax.lax.cond(x[0, 0] > 0, lambda: power(x, 7), lambda: x), 7),
    ],
)
def test_count(function, products):
    found = work.count(function, MATRIX)
    assert found.flops == pytest.approx(products * PRODUCT, rel=0.05)
    assert found.products == products
    assert products * MATRIX.nbytes <= found.written_bytes < 2.2 * products * MATRIX.nbytes


def test_a_platform_that_is_not_there():
    """Of what depends on the platform only its own way is counted, loops and all."""

    def function(x):
        return jax.lax.platform_dependent(x, cpu=lambda x: power(x, 7), default=lambda x: x @ x)

    for platform, products in (('cpu', 7), ('cuda', 1), ('tpu', 1)):
        counted = work.count(function, MATRIX, platform=platform)
        assert counted.flops == pytest.approx(products * PRODUCT, rel=0.05)
        assert counted.products == products
