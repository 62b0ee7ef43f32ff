"""Checkpoints: each is whole or absent, and what is read is what was saved."""

import jax
import numpy as np
import pytest
from flax import struct

from nnstudy import UserError
from nnstudy.results import checkpoints
from nnstudy.results.checkpoints import Checkpoint


class State(struct.PyTreeNode):
    """A tree with an empty part, as the states of some optimizers have."""

    weights: dict
    count: np.ndarray
    nothing: tuple = ()


def make(number):
    """Returns the checkpoint of two runs that stand at a step of this number."""
    about = {'group': 0, 'runs': [number, number + 1], 'steps': [number] * 2}
    values = np.arange(6, dtype=np.float32).reshape(2, 3) + number
    return Checkpoint(about, {'final': {'Dense_0': {'bias': values}}, 'history': {'loss': values}})


@pytest.fixture(params=['disk', 'memory'])
def series(request, tmp_path):
    made = checkpoints.Memory() if request.param == 'memory' else checkpoints.Series(tmp_path)
    yield made
    made.close(())


def test_what_is_read_is_what_was_saved(series):
    assert [series.save(make(number)) for number in (1, 5)] == [1, 2]
    assert [(number, about['runs']) for number, about in series.abouts()] == [
        (1, [1, 2]),
        (2, [5, 6]),
    ]
    read = series.load(2, 'final', 'log')
    assert read.about == make(5).about
    assert read.items.keys() == {'final', 'log'} and read.items['log'] == {}  # it has no log
    jax.tree.map(np.testing.assert_array_equal, read.items['final'], make(5).items['final'])


def test_only_what_is_retained_stays(series):
    for number in (1, 3, 5):
        series.save(make(number))
    assert len([*series.abouts()]) == 3
    series.retain([1, 3])
    assert [number for number, _ in series.abouts()] == [1, 3]
    assert series.save(make(7)) == 4  # numbers only grow


def test_a_checkpoint_that_was_not_written_to_its_end_is_absent(tmp_path):
    """As a process leaves it that is killed: a folder under another name, or with nothing in it."""
    series = checkpoints.Series(tmp_path)
    series.save(make(1))
    series.close([1])
    (tmp_path / '2.orbax-checkpoint-tmp').mkdir()
    (tmp_path / '2.orbax-checkpoint-tmp' / 'final').mkdir()
    again = checkpoints.Series(tmp_path)
    assert [number for number, _ in again.abouts()] == [1]
    assert again.save(make(3)) == 2
    assert [number for number, _ in again.abouts()] == [1, 2]
    again.close([1, 2])


def test_a_state_survives_its_arrays():
    state = State({'a': {'b': np.ones((2, 3))}}, np.arange(2))
    arrays = checkpoints.state_dict(state)
    assert arrays.keys() == {'weights.a.b', 'count'}
    other = jax.tree.map(np.zeros_like, state)
    restored = checkpoints.restored(other, arrays)
    assert isinstance(restored, State) and restored.nothing == ()
    jax.tree.map(np.testing.assert_array_equal, restored, state)


@pytest.mark.parametrize(
    'changed',
    [
        {'weights.a.c': np.ones((2, 3)), 'count': np.arange(2)},  # another name
        {'weights.a.b': np.ones((2, 4)), 'count': np.arange(2)},  # another shape
        {'weights.a.b': np.ones((2, 3)), 'count': np.ones(2)},  # another type
        {'weights.a.b': np.ones((2, 3))},
    ],
)
def test_arrays_of_another_version_are_refused(changed):
    state = State({'a': {'b': np.ones((2, 3))}}, np.arange(2))
    with pytest.raises(UserError, match='the checkpoint is of another version of the program'):
        checkpoints.restored(state, changed)


def test_the_number_of_rows_may_differ():
    """Runs of a larger chunk go on in a smaller one."""
    state = State({'a': {'b': np.ones((2, 3))}}, np.arange(2))
    rows = {'weights.a.b': np.zeros((1, 3)), 'count': np.array([7])}
    assert checkpoints.restored(state, rows).count.tolist() == [7]
