"""The runs axis: what of a run may depend on the others, and what may not."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from small import OPTIMIZED, make_config, make_dataset

import nnstudy
from nnstudy.machine import devices
from nnstudy.machine import target as targets
from nnstudy.running import execute, study
from nnstudy.running import plan as plan_lib
from nnstudy.training import steps
from nnstudy.training.run import Run

RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0]


class Group:
    """A group of runs at `RATES`, with the programs that train them, each compiled once."""

    def __init__(self, config, data, lanes):
        points = nnstudy.choice('optimizer.learning_rate', RATES)
        (self.planned,) = plan_lib.make(config, points, data=data).groups
        self.lanes = lanes
        self.mesh = self.planned.target.mesh
        self.data = execute.put(self.planned.data, self.mesh)
        self.init = execute.lift(self._init, self.mesh)
        self.programs = {}

    def train(self, order, num_steps=6, rates=None, chosen=None, lanes=None):
        """Trains rows of the group, in the order given; all, or those chosen of them."""
        lanes = self.lanes if lanes is None else lanes
        size = -(-len(order) // self.mesh.size) * self.mesh.size
        chosen = np.arange(len(order)) if chosen is None else np.array(chosen, int)
        chosen = execute.choose(chosen, size, self.mesh, lanes)
        chosen = execute.put(chosen, self.mesh, size=self.mesh.size)
        own = {field: column[order] for field, column in self.planned.hparams.items()}
        if rates is not None:
            own['optimizer.learning_rate'] = np.array(rates, np.float32)
        own = execute.put((self.planned.seeds[order].astype(np.uint32), own), self.mesh, size=size)
        bounds = execute.put((np.int32(0), np.int32(num_steps), np.bool_(True)), self.mesh)
        args = self.init(own, (self.data,)), chosen, own, (self.data, *bounds)
        if (len(order), lanes) not in self.programs:
            program = execute.advance(self._segment, self.planned.target, lanes)
            self.programs[len(order), lanes] = program.lower(*args).compile(OPTIMIZED)
        return execute.fetch(self.programs[len(order), lanes](*args), self.mesh, len(order))

    def _init(self, seed, hparams, data):
        return steps.init(Run.of_seed(self.planned.config, seed, hparams, data))

    def _segment(self, state, seed, hparams, data, *bounds):
        run = Run.of_seed(self.planned.config, seed, hparams, data)
        return steps.segment(run, state, *bounds)


@pytest.fixture(scope='module')
def mlp(dataset):
    return Group(make_config(), dataset, lanes=4)


@pytest.fixture(scope='module')
def lenet():
    config = make_config(model__name='lenet', epochs=1)
    return Group(config, make_dataset((12, 12, 1)), lanes=1)


@pytest.fixture
def group(request):
    return request.getfixturevalue(request.param)


def assert_equal_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def rows(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.mark.parametrize('group', ['mlp', 'lenet'], indirect=True)
def test_bits_do_not_depend_on_place_neighbours_or_number(group):
    """With equal lanes: in another place, beside runs of NaN, among fewer runs."""
    plain = group.train(np.arange(6))

    order = np.array([3, 5, 0, 4, 1, 2])
    assert_equal_bits(rows(plain, order), group.train(order))

    rates = np.array(RATES)
    rates[[1, 4]] = np.nan
    beside = group.train(np.arange(6), rates=rates)
    kept = [0, 2, 3, 5]
    assert_equal_bits(rows(plain, kept), rows(beside, kept))
    # A rate of NaN spoils the parameters in step 0, the loss is NaN in step 1.
    assert beside[0].frozen_at[[1, 4]].tolist() == [1, 1]

    assert_equal_bits(rows(plain, [2]), group.train(np.array([2])))


@pytest.mark.parametrize('group', ['mlp', 'lenet'], indirect=True)
def test_runs_that_are_not_chosen_stay_as_they_are(group):
    """And those that are have the bits they have among all, however few are left."""
    everyone = np.arange(6)
    before, _ = group.train(everyone, num_steps=0)
    plain = group.train(everyone)
    for kept in ([0, 1, 4, 5], [2], [1, 3, 5], []):
        left = [run for run in everyone if run not in kept]
        state, outputs = group.train(everyone, chosen=kept)
        assert_equal_bits(rows((state, outputs), kept), rows(plain, kept))
        params = rows((state.variables, state.opt_state), left)
        assert_equal_bits(params, rows((before.variables, before.opt_state), left))


def test_a_run_alone_is_close_to_the_run_in_a_sweep(mlp):
    """With other lanes operations round differently, so a tolerance; at a stable rate."""
    together, _ = mlp.train(np.arange(6))
    alone, _ = mlp.train(np.array([2]), lanes=1)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[2], b[0], rtol=1e-4, atol=1e-6),
        together.variables,
        alone.variables,
    )


def compiled(group):
    """Returns the text of the program for all runs of a group."""
    group.train(np.arange(6))
    return group.programs[6, group.lanes].as_text()


@pytest.mark.parametrize('group', ['mlp', 'lenet'], indirect=True)
def test_the_program_has_no_collectives(group):
    program = compiled(group)
    assert 'while' in program
    for operation in ('all-reduce', 'all-gather', 'all-to-all', 'collective-', 'reduce-scatter'):
        assert operation not in program


def test_the_program_has_only_canonical_convolutions(lenet):
    """What makes them fast in a loop on CPU: NHWC/HWIO/NHWC, no reversed window, no groups."""
    convolutions = [line for line in compiled(lenet).splitlines() if ' convolution(' in line]
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


@pytest.mark.parametrize('kind', [targets.H100, targets.TPU_V5E])
@pytest.mark.parametrize('lanes', [1, 4])
def test_a_program_of_an_accelerator_gives_the_same_numbers(kind, lanes, dataset):
    """Without branches and with loops of known length; 5 and 3 steps are no whole stretches."""
    config = make_config(execution__lanes=lanes, epochs=2, eval_in_first_epoch=1, log_every_steps=2)
    points = nnstudy.choice('optimizer.learning_rate', [0.1, 1e30])  # the second one diverges
    here = targets.here()
    there = dataclasses.replace(here, kind=dataclasses.replace(kind, name='test', platform='cpu'))
    plans = [plan_lib.make(config, points, data=dataset, target=t) for t in (here, there)]
    ours, theirs = (study.carry_out(plan, quiet=True) for plan in plans)
    assert ours.runs['status'].tolist() == ['finished', 'diverged']
    for table in ('runs', 'history', 'steps'):
        a, b = (getattr(r, table).drop(columns='seconds', errors='ignore') for r in (ours, theirs))
        pd.testing.assert_frame_equal(a, b, rtol=1e-5)
