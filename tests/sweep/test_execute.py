"""The runs axis: what of a run may depend on the others, and what may not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy import devices, train
from nnstudy.sweep import execute
from nnstudy.sweep import plan as plan_lib

RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
CONV = {'model__name': 'lenet', 'epochs': 1}


@pytest.fixture(scope='module')
def images():
    return make_dataset((12, 12, 1))


def train_runs(group, order, lanes, num_steps=6, rates=None):
    """Trains rows of a group in the order given; returns states and metrics, padding included."""
    mesh = devices.runs_mesh()
    training = train.make_training(group.config)
    size = -(-len(order) // (mesh.size * lanes)) * mesh.size * lanes
    own = {field: column[order] for field, column in group.hparams.items()}
    if rates is not None:
        own['optimizer.learning_rate'] = np.array(rates, np.float32)
    keys = jax.vmap(train.make_keys)(jnp.asarray(execute.pad(group.seeds[order], size)))
    keys, own = execute.put((keys, execute.pad(own, size)), mesh, mapped=True)
    data = execute.put(group.data, mesh, mapped=False)
    state = jax.jit(execute.lift(training.init, mesh, 1, num_mapped=2))(keys, own, data)
    segment = jax.jit(execute.lift(training.segment, mesh, lanes, num_mapped=3))
    bounds = jnp.int32(0), jnp.int32(num_steps), jnp.asarray(True)
    return jax.tree.map(np.asarray, segment(state, keys, own, data, *bounds))


def assert_equal_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def rows(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def groups(dataset, conv_images):
    points = nnstudy.choice('optimizer.learning_rate', RATES)
    yield plan_lib.make(make_config(), points, data=dataset).groups[0], 4
    yield plan_lib.make(make_config(**CONV), points, data=conv_images).groups[0], 1


@pytest.mark.parametrize('kind', ['mlp', 'lenet'])
def test_bits_do_not_depend_on_place_neighbours_or_number(kind, dataset, images):
    """With equal lanes: in another place, beside runs of NaN, among fewer runs."""
    group, lanes = dict(zip(['mlp', 'lenet'], groups(dataset, images), strict=True))[kind]
    plain = train_runs(group, np.arange(6), lanes)

    order = np.array([3, 5, 0, 4, 1, 2])
    assert_equal_bits(rows(plain, order), rows(train_runs(group, order, lanes), slice(0, 6)))

    rates = np.array(RATES)
    rates[[1, 4]] = np.nan
    beside = train_runs(group, np.arange(6), lanes, rates=rates)
    kept = [0, 2, 3, 5]
    assert_equal_bits(rows(plain, kept), rows(beside, kept))
    # A rate of NaN spoils the parameters in step 0, the loss is NaN in step 1.
    assert beside[0].frozen_at[[1, 4]].tolist() == [1, 1]

    few = train_runs(group, np.array([2]), lanes)
    assert_equal_bits(rows(plain, [2]), rows(few, slice(0, 1)))


def test_a_run_alone_is_close_to_the_run_in_a_sweep(dataset):
    """With other lanes operations round differently, so a tolerance; at a stable rate."""
    group, lanes = next(groups(dataset, dataset))
    together = train_runs(group, np.arange(6), lanes)
    alone = train_runs(group, np.array([2]), lanes=1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[2], b[0], rtol=1e-4, atol=1e-6),
        together[0].variables,
        alone[0].variables,
    )


def compiled(group, lanes):
    mesh = devices.runs_mesh()
    training = train.make_training(group.config)
    keys, values = plan_lib.one_run(group.config)
    size = mesh.size * lanes

    def stacked(tree):
        return jax.tree.map(lambda s: jax.ShapeDtypeStruct((size, *s.shape), s.dtype), tree)

    state = jax.eval_shape(training.init, keys, values, group.data)
    segment = functools.partial(training.segment, log_size=0)
    lifted = jax.jit(execute.lift(segment, mesh, lanes, num_mapped=3))
    bounds = jnp.int32(0), jnp.int32(6), jnp.asarray(True)
    args = stacked(state), stacked(keys), stacked(values), group.data, *bounds
    return lifted.lower(*args).compile().as_text()


@pytest.mark.parametrize('kind', ['mlp', 'lenet'])
def test_the_program_has_no_collectives(kind, dataset, images):
    group, lanes = dict(zip(['mlp', 'lenet'], groups(dataset, images), strict=True))[kind]
    program = compiled(group, lanes)
    assert 'while' in program
    for operation in ('all-reduce', 'all-gather', 'all-to-all', 'collective-', 'reduce-scatter'):
        assert operation not in program


def test_the_program_has_only_canonical_convolutions(images):
    """What makes them fast in a loop on CPU: NHWC/HWIO/NHWC, no reversed window, no groups."""
    program = compiled(list(groups(images, images))[1][0], 1)
    convolutions = [line for line in program.splitlines() if ' convolution(' in line]
    assert len(convolutions) >= 4
    for line in convolutions:
        assert 'dim_labels=b01f_01io->b01f' in line
        assert 'rhs_reversal' not in line
        assert 'feature_group_count' not in line


def test_padding_repeats_the_last_run():
    padded = execute.pad({'a': np.array([1.0, 2.0])}, 4)
    assert padded['a'].tolist() == [1, 2, 2, 2]
