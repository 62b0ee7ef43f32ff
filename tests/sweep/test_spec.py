"""The language of sweeps."""

import numpy as np
import pytest

from nnstudy import UserError
from nnstudy.sweep import spec


def test_combinators():
    a, b = spec.choice('a', [1, 2]), spec.choice('b', ['x', 'y'])
    assert spec.grid(a, b) == [
        {'a': 1, 'b': 'x'},
        {'a': 1, 'b': 'y'},
        {'a': 2, 'b': 'x'},
        {'a': 2, 'b': 'y'},
    ]
    assert spec.zip_(a, b) == [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    assert spec.chain(a, b) == [{'a': 1}, {'a': 2}, {'b': 'x'}, {'b': 'y'}]
    assert spec.swept(spec.chain(b, a)) == ['b', 'a']


def test_logspace_has_readable_values():
    values = [point['r'] for point in spec.logspace('r', 1e-4, 10.0, 6)]
    assert values == [1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0]


def test_log_uniform_is_reproducible_and_even_on_a_log_axis():
    values = [point['r'] for point in spec.log_uniform('r', 1e-4, 1.0, 4000, seed=3)]
    assert values == [point['r'] for point in spec.log_uniform('r', 1e-4, 1.0, 4000, seed=3)]
    counts, _ = np.histogram(np.log10(values), bins=4, range=(-4, 0))
    assert counts.sum() == 4000
    assert abs(counts - 1000).max() < 120  # four standard deviations


def test_replace_axis():
    points = spec.grid(spec.choice('a', [1, 2]), spec.choice('b', ['x', 'y']))
    replaced = spec.replace_axis(points, 'a', [7, 8, 9])
    assert replaced == spec.grid(spec.choice('b', ['x', 'y']), spec.choice('a', [7, 8, 9]))
    assert spec.replace_axis([{}], 'a', [1]) == [{'a': 1}]


@pytest.mark.parametrize(
    'make',
    [
        lambda: spec.grid(spec.choice('a', [1]), spec.choice('a', [2])),
        lambda: spec.zip_(spec.choice('a', [1]), spec.choice('b', [1, 2])),
        lambda: spec.choice('a', []),
        lambda: spec.logspace('a', 0.0, 1.0, 3),
        lambda: spec.logspace('a', 0.1, 1.0, 1),
        lambda: spec.log_uniform('a', 1.0, 0.1, 3),
    ],
)
def test_errors(make):
    with pytest.raises(UserError):
        make()
