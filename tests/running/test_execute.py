"""The runs axis: what of a run may depend on the others, and what may not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy.machine import devices
from nnstudy.running import execute
from nnstudy.running import plan as plan_lib
from nnstudy.training import steps
from nnstudy.training.run import Run

RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
CONV = {'model__name': 'lenet', 'epochs': 1}


@pytest.fixture(scope='module')
def images():
    return make_dataset((12, 12, 1))


def train_runs(group, order, lanes, num_steps=6, rates=None, chosen=None):
    """Trains rows of a group, in the order given; all, or those chosen of them."""
    mesh = devices.runs_mesh()
    init, segment = functions(group)
    size = -(-len(order) // mesh.size) * mesh.size
    own = {field: column[order] for field, column in group.hparams.items()}
    if rates is not None:
        own['optimizer.learning_rate'] = np.array(rates, np.float32)
    seeds = group.seeds[order].astype(np.uint32)
    seeds, own = execute.put((seeds, own), mesh, size=size)
    data = execute.put(group.data, mesh)
    state = jax.jit(execute.lift(init, mesh, num_mapped=2))(seeds, own, data)
    advance = jax.jit(execute.advance(segment, mesh, lanes, num_mapped=3))
    if chosen is None:
        chosen = np.arange(len(order))
    chosen = execute.choose(np.asarray(chosen), size, mesh, lanes)
    bounds = jnp.int32(0), jnp.int32(num_steps), jnp.asarray(True)
    return execute.fetch(advance(chosen, state, seeds, own, data, *bounds), mesh, len(order))


def functions(group):
    """`init` and `segment` of a run by its seed."""

    def init(seed, hparams, data):
        return steps.init(Run.of_seed(group.config, seed, hparams, data))

    def segment(state, seed, hparams, data, *bounds):
        return steps.segment(Run.of_seed(group.config, seed, hparams, data), state, *bounds)

    return init, segment


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
    assert_equal_bits(rows(plain, [2]), few)


@pytest.mark.parametrize('kind', ['mlp', pytest.param('lenet', marks=pytest.mark.slow)])
def test_runs_that_are_not_chosen_stay_as_they_are(kind, dataset, images):
    """And those that are have the bits they have among all, however few are left."""
    group, lanes = dict(zip(['mlp', 'lenet'], groups(dataset, images), strict=True))[kind]
    everyone = np.arange(6)
    before, _ = train_runs(group, everyone, lanes, num_steps=0)
    plain = train_runs(group, everyone, lanes)
    for kept in ([0, 1, 4, 5], [2], [1, 3, 5], []):
        left = [run for run in everyone if run not in kept]
        state, outputs = train_runs(group, everyone, lanes, chosen=np.array(kept, int))
        assert_equal_bits(rows((state, outputs), kept), rows(plain, kept))
        params = rows((state.variables, state.opt_state), left)
        assert_equal_bits(params, rows((before.variables, before.opt_state), left))


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
    init, segment = functions(group)
    size = mesh.size * lanes
    seeds = jax.ShapeDtypeStruct((size,), np.uint32)
    values = {name: jax.ShapeDtypeStruct((size,), np.float32) for name in group.hparams}
    state = jax.eval_shape(execute.lift(init, mesh, num_mapped=2), seeds, values, group.data)
    advance = jax.jit(execute.advance(segment, mesh, lanes, num_mapped=3))
    chosen = execute.choose(np.arange(size), size, mesh, lanes)
    bounds = jnp.int32(0), jnp.int32(6), jnp.asarray(True)
    return advance.lower(chosen, state, seeds, values, group.data, *bounds).compile().as_text()


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


@pytest.mark.parametrize('num_runs', [1, 3, 4, 7])
def test_arrays_come_back_in_the_order_of_the_runs(num_runs):
    mesh = devices.runs_mesh()
    size = -(-num_runs // mesh.size) * mesh.size
    tree = {'a': np.arange(num_runs), 'b': np.arange(3 * num_runs).reshape(num_runs, 3)}
    placed = execute.put(tree, mesh, size=size)
    assert placed['a'].shape == (size,)
    assert_equal_bits(execute.fetch(placed, mesh, num_runs), tree)


def test_neighbours_are_on_different_devices_and_blocks_are_full():
    mesh = devices.runs_mesh()
    chosen = execute.choose(np.array([0, 1, 2, 3, 5, 8]), 10, mesh, lanes=2)
    if mesh.size == 2:
        assert chosen.num_blocks.tolist() == [2, 2]
        assert chosen.rows[0, :4].tolist() == [0, 1, 4, 4]  # runs 0, 2, 8
        assert chosen.rows[1, :4].tolist() == [0, 1, 2, 2]  # runs 1, 3, 5
    assert execute.choose(np.array([], int), 10, mesh, lanes=2).num_blocks.tolist() == (
        [0] * mesh.size
    )
