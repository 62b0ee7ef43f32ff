"""The computed order of examples against permutations that are known to be random."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nnstudy import ops

SIZES = (1, 2, 3, 5, 36, 97, 404)


def orders(size, number, seed=0, **options):
    """Permutations of `number` keys, [number, size]."""
    keys = jax.random.split(jax.random.key(seed), number)

    def one(key):
        return ops.Shuffle.make(key, size, **options).examples(0, jnp.arange(size))

    return np.asarray(jax.jit(jax.vmap(one))(keys))


def random_orders(size, number, seed=0):
    keys = jax.random.split(jax.random.key(seed), number)
    one = functools.partial(jax.random.permutation, x=size)
    return np.asarray(jax.jit(jax.vmap(one))(keys))


def p_of_counts(values, num):
    return stats.chisquare(np.bincount(np.ravel(values), minlength=num)).pvalue


def p_of_places(found):
    """How well each example is spread over the places. A row and a column of the table have no
    freedom of their own."""
    number, size = found.shape
    counts = np.stack([np.bincount(place, minlength=size) for place in found.T])
    statistic = ((counts - number / size) ** 2).sum() / (number / size)
    return stats.chi2.sf(statistic, (size - 1) ** 2)


def p_of_pairs(found):
    """How well the distance from an example to the next one is spread."""
    size = found.shape[1]
    return p_of_counts((found[:, 1:] - found[:, :-1]) % size - 1, size - 1)


@pytest.mark.parametrize('size', SIZES)
def test_every_example_comes_once_an_epoch(size):
    for order in orders(size, 50):
        assert sorted(order) == list(range(size))


@pytest.mark.parametrize('size', [2, 3, 4, 5])
def test_every_order_of_few_examples_is_equally_likely(size):
    code = orders(size, 40_000) @ size ** np.arange(size)
    found, counts = np.unique(code, return_counts=True)
    assert len(found) == math.factorial(size)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize('size', [10, 97])
@pytest.mark.parametrize('p_value', [p_of_places, p_of_pairs])
def test_places_and_pairs_are_as_random_as_those_of_jax(size, p_value):
    assert p_value(random_orders(size, 20_000)) > 1e-3
    assert p_value(orders(size, 20_000)) > 1e-3
    # The tests see an order that is not random enough.
    assert p_value(orders(size, 20_000, rounds=6)) < 1e-6


@pytest.mark.parametrize('of', ['epochs', 'seeds'])
def test_epochs_and_seeds_do_not_agree_more_than_by_chance(of):
    size, number = 97, 4_000
    keys = [jax.random.key(seed) for seed in range(1, 3)] if of == 'seeds' else None

    def epochs(key):
        shuffle = ops.Shuffle.make(key, size)
        of_epoch = jax.jit(jax.vmap(lambda epoch: shuffle.examples(epoch, jnp.arange(size))))
        return of_epoch(jnp.arange(number))

    if keys is None:
        found = epochs(jax.random.key(0))
        first, second = np.asarray(found[1:]), np.asarray(found[:-1])
    else:
        first, second = (np.asarray(epochs(key)) for key in keys)
    # Two independent permutations agree at k places with the probability of a Poisson variable of
    # mean 1, to many digits.
    agreements = np.bincount(np.minimum((first == second).sum(axis=1), 5), minlength=6)
    expected = np.append(stats.poisson.pmf(range(5), 1), stats.poisson.sf(4, 1))
    assert stats.chisquare(agreements, expected * len(first)).pvalue > 1e-3
    # Nor is an example that came late in one likely to come late, or early, in the other.
    correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert abs(correlation) < 4 / math.sqrt(first.size)


def test_the_runs_of_successive_numbers_and_cycles_are_those_of_random_orders():
    size, number = 36, 4_000

    def inversions(found):
        return sum((found[:, :i] > found[:, i : i + 1]).sum(axis=1) for i in range(1, size))

    def cycles(order):
        left, num = set(range(size)), 0
        while left:
            place, num = left.pop(), num + 1
            while (place := int(order[place])) in left:
                left.remove(place)
        return num

    ours, theirs = orders(size, number), random_orders(size, number, seed=1)
    assert stats.ks_2samp(inversions(ours), inversions(theirs)).pvalue > 1e-3
    counts = [
        np.bincount([cycles(o) for o in found], minlength=12)[1:10] for found in (ours, theirs)
    ]
    assert stats.chi2_contingency(np.array(counts)).pvalue > 1e-3


def test_a_batch_is_computed_without_the_rest_of_the_order():
    shuffle, some = ops.Shuffle.make(jax.random.key(3), 404), jnp.array([[7, 0], [403, 8]])
    whole = shuffle.examples(5, jnp.arange(404))
    np.testing.assert_array_equal(shuffle.examples(5, some), whole[some])


def test_nothing_is_sorted_and_nothing_is_branched():
    def one(key):
        return ops.Shuffle.make(key, 404).examples(2, jnp.arange(404))

    order = jax.jit(jax.vmap(one))
    text = order.lower(jax.random.split(jax.random.key(0), 8)).as_text()
    assert 'sort' not in text and 'stablehlo.case' not in text
