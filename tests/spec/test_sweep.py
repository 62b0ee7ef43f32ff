"""The language of sweeps."""

import numpy as np
import pytest
from small import make_config

from nnstudy import UserError
from nnstudy.spec import sweep as spec
from nnstudy.spec import zoom
from nnstudy.training import resolve


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


def values(points, field='r'):
    return [point[field] for point in points]


def test_zoom_of_a_logarithmic_axis():
    """Between the neighbours of the best one, which stays; beyond an end by the same step."""
    points = spec.logspace('r', 1e-3, 10.0, 5)
    assert values(zoom.zoom(points, points[2])) == pytest.approx(
        [10 ** (-5 / 3), 10 ** (-4 / 3), 0.1, 10 ** (-2 / 3), 10 ** (-1 / 3)], rel=1e-5
    )
    low, high = (values(zoom.zoom(points, point)) for point in (points[0], points[-1]))
    assert min(low) == pytest.approx(10 ** (-11 / 3), rel=1e-5) and len(low) == 5
    assert max(high) == pytest.approx(10 ** (5 / 3), rel=1e-5) and 10.0 in high


def test_zoom_closes_in():
    """Stage after stage, a grid ends at the optimum, though it lies beyond the first one."""
    points = spec.grid(spec.logspace('r', 1e-4, 1e-2, 3), spec.choice('m', [0.1, 0.2, 0.3, 0.4]))
    for _ in range(12):
        best = min(points, key=lambda p: (np.log(p['r'] / 0.07)) ** 2 + (p['m'] - 0.33) ** 2)
        points = zoom.zoom(points, best)
        assert len(points) == 12 and best in points
    assert best['r'] == pytest.approx(0.07, rel=0.02) and best['m'] == pytest.approx(0.33, abs=0.01)


def test_zoom_of_a_linear_axis_of_two_and_of_whole_numbers():
    assert values(zoom.zoom(spec.choice('r', [1.0, 2.0]), {'r': 2.0})) == [2.0, 2.5]
    assert values(zoom.zoom(spec.choice('r', [1.0, 4.0]), {'r': 4.0})) == [4.0, 8.0]
    sizes = spec.choice('batch_size', [16, 32, 64])
    assert values(zoom.zoom(sizes, sizes[1]), 'batch_size') == [23, 32, 45]
    depths = spec.choice('depth', [1, 2, 3])
    assert values(zoom.zoom(depths, depths[1]), 'depth') == [2]
    assert values(zoom.zoom(depths, depths[0]), 'depth') == [1, 2]


@pytest.mark.parametrize(
    ('field', 'given', 'best'),
    [
        ('optimizer.momentum', [0.5, 0.7, 0.9], 0.9),
        ('optimizer.momentum', [0.0, 0.5, 1.0], 1.0),
        ('optimizer.b1', [0.1, 0.3, 0.9], 0.9),
        ('model.dropout', [0.0, 0.2, 0.4], 0.0),
        ('model.dropout', [0.2, 0.4, 0.6, 0.8], 0.2),
        ('optimizer.weight_decay', [0.0, 1e-5, 1e-4, 1e-3], 1e-5),
        ('optimizer.weight_decay', [0.0, 1e-5, 1e-4, 1e-3], 0.0),
        ('batch_size', [1, 2, 3], 1),
    ],
)
def test_zoom_keeps_away_from_limits(field, given, best):
    points = spec.choice(field, given)
    config = make_config(optimizer__name='adam' if field == 'optimizer.b1' else 'sgd')
    limits = resolve.range_of(resolve.study(config).config, field)
    for _ in range(10):
        points = zoom.zoom(points, {field: best}, {field: limits})
        found = values(points, field)
        assert best in found
        for value in found:
            assert limits.broken(value) is None
            assert value == best or 0 < value < 1 or field == 'batch_size'


def test_zoom_leaves_alone_what_is_no_number():
    """Of another activation, or with momentum off, a rate says nothing."""
    rates = spec.logspace('r', 1e-2, 1.0, 3)
    points = spec.chain(
        spec.grid(spec.choice('activation', ['relu', 'tanh']), rates, spec.choice('m', [None])),
        spec.grid(spec.choice('activation', ['tanh']), rates, spec.choice('m', [0.5, 0.9])),
    )
    found = zoom.zoom(points, {'activation': 'tanh', 'r': 0.1, 'm': None})
    assert [p['activation'] for p in found] == 3 * ['tanh'] and values(found, 'm') == 3 * [None]
    assert len(zoom.zoom(points, {'activation': 'tanh', 'r': 0.1, 'm': 0.9})) == 6
    widths = spec.choice('widths', [(8,), (16,)])
    assert zoom.zoom(widths, widths[1]) == [{'widths': (16,)}]
    assert zoom.zoom([{}], {}) == [{}]
    flags = spec.choice('shuffle', [True, False])
    assert zoom.zoom(flags, flags[1]) == [{'shuffle': False}]


def test_zoom_of_a_random_sweep():
    """As many fresh points in half the box, for 16 points in two fields; batch sizes stay few."""
    rng = np.random.default_rng(5)
    points = spec.zip_(
        spec.log_uniform('r', 1e-3, 10.0, 16, seed=1),
        spec.choice('m', rng.uniform(0.2, 0.9, 16).tolist()),
        spec.choice('batch_size', 8 * [32, 64]),
    )
    best = points[3]
    found = zoom.zoom(points, best, seed=2)
    assert found == zoom.zoom(points, best, seed=2) != zoom.zoom(points, best, seed=3)
    assert len(found) == 16 and not {*values(found)} & {*values(points)}
    span = np.ptp(np.log(values(points)))
    away = np.abs(np.log(np.array(values(found)) / best['r']))
    assert span / 8 < away.max() <= span / 4 + 1e-5
    assert max(values(found, 'm')) < 1.0
    assert len({*values(found, 'batch_size')}) <= 2
    assert all(type(size) is int for size in values(found, 'batch_size'))
    assert len({repr(point) for point in zoom.zoom(found, found[0])}) == 16


@pytest.mark.parametrize(
    ('numbers', 'expected'),
    [
        ([1e-4, 1e-3, 1e-2], True),
        ([16, 32, 64, 128], True),
        (np.geomspace(1e-4, 10, 13), True),
        ([0.1, 0.2, 0.3, 0.4], False),
        ([1, 2, 3], False),
        ([1, 10], False),
        ([-1, 10, 100], False),
        ([0, 1e-5, 1e-4, 1e-3], True),
        ([0.0, 0.1, 0.2, 0.3], False),
        ([], False),
    ],
)
def test_logarithmic(numbers, expected):
    assert zoom.is_logarithmic(numbers) is expected
