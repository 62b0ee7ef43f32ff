"""The program of a group: compiled once, of the size that fits, and with the saved states in it."""

import contextlib

import numpy as np
import pytest
from small import make_config

import nnstudy
from nnstudy import UserError
from nnstudy.machine import devices
from nnstudy.results import checkpoints
from nnstudy.running import execute, layout, program
from nnstudy.running import plan as plan_lib

RATES = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1.0])


def planned(dataset, **fields):
    """The one group of a study of six runs, with one lane."""
    config = make_config(num_seeds=2, execution__lanes=1, **fields)
    return plan_lib.make(config, RATES, data=dataset).groups[0]


def made(dataset, **fields):
    return program.for_group(planned(dataset, **fields))


def test_one_compilation_serves_all_values_of_dynamic_fields(dataset):
    made(dataset)
    before = program.compiled.cache_info()
    made(dataset, optimizer__learning_rate=0.3, seed=7)
    after = program.compiled.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 1)


def test_what_was_saved_is_put_back_into_its_rows(dataset):
    made_program, mesh = made(dataset), devices.runs_mesh()
    rows = np.arange(6)
    state, own = made_program.init(rows)
    trained, _ = made_program.advance(state, own, layout.Segment(rows, 0, 5, True))
    saved = checkpoints.state_dict(execute.fetch(trained, mesh, 6))
    chosen = {name: array[[4, 1]] for name, array in saved.items()}
    fresh, _ = made_program.init(rows)
    start = checkpoints.state_dict(execute.fetch(fresh, mesh, 6))
    mixed = made_program.replaced(fresh, np.array([4, 1]), chosen)
    for name, array in checkpoints.state_dict(execute.fetch(mixed, mesh, 6)).items():
        np.testing.assert_array_equal(array[[1, 4]], saved[name][[1, 4]])
        np.testing.assert_array_equal(array[[0, 2, 3, 5]], start[name][[0, 2, 3, 5]])

    del chosen[next(iter(chosen))]
    with pytest.raises(UserError, match='the checkpoint is of another version of the program'):
        made_program.replaced(mixed, np.array([4, 1]), chosen)


def test_chunks_are_made_smaller_where_memory_is_short(dataset, monkeypatch):
    """XLA says what a chunk takes; the smallest that there is has a run for each device."""
    group = planned(dataset)
    mesh = group.target.mesh
    whole = program.for_group(group)
    assert whole.size == 6 and whole.excess_bytes < 0
    monkeypatch.setattr(program, 'device_bytes', lambda function: 2**60)
    short = program.for_group(group)
    assert short.size == mesh.size and short.excess_bytes > 0
    monkeypatch.undo()
    fewer = program.for_group(group, most=mesh.size)
    assert fewer.size == mesh.size and fewer.excess_bytes < 0


def test_a_program_compiled_ahead_is_the_one_that_is_asked_for(dataset):
    group = planned(dataset)
    with contextlib.closing(program.Compiler()) as compiler:
        compiler.start(group)
        compiler.start(group)
        ahead = compiler.get(group)
        assert ahead.group is group and ahead.size == 6
        assert compiler.get(group) is not ahead
        compiler.start(group)
        assert compiler.get(group, most=2).size == 2
