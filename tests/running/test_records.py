"""Records: of each run the newest checkpoint counts, and those of no use are deleted."""

import numpy as np
import pytest

from nnstudy.results import checkpoints
from nnstudy.running.records import Records


def checkpoint(runs, step, value):
    """Returns a checkpoint of runs at a step, whose arrays are of this value plus the run."""
    rows = value + np.asarray(runs, np.float32)
    about = {'runs': list(runs), 'steps': [step] * len(runs)}
    items = {name: {name: rows} for name in ('state', 'outcome', 'history', 'final')}
    return checkpoints.Checkpoint(about, items)


def numbered(num_runs):
    """As many seeds of one point."""
    return checkpoints.Numbering(['a'], 0, num_runs)


@pytest.fixture
def series():
    return checkpoints.Memory()


def numbers(series):
    return [number for number, _ in series.abouts()]


def test_nothing_has_begun(series):
    records = Records(numbered(3), series)
    assert records.step.tolist() == [-1, -1, -1]
    assert records.behind(np.arange(3), 0).tolist() == [0, 1, 2]
    assert list(records.newest(np.arange(3), 'state')) == []


def test_the_newest_checkpoint_of_a_run_counts(series):
    records = Records(numbered(5), series)
    records.keep(checkpoint([0, 1, 2], 10, 100))
    records.keep(checkpoint([2, 0], 20, 200))
    assert records.step.tolist() == [20, 10, 20, -1, -1]
    (old, new) = records.newest(np.array([2, 0, 1, 3]), 'state', 'outcome')
    assert old[0].tolist() == [2]
    assert old[1]['state']['state'].tolist() == [101]
    # Row by row, in the order of the runs that were asked for.
    assert new[0].tolist() == [0, 1]
    assert new[1]['state']['state'].tolist() == [202, 200]
    assert new[1].keys() == {'state', 'outcome'}


def test_a_checkpoint_goes_when_all_of_its_runs_have_a_newer_one(series):
    """Until the next is saved: by then the newer one is whole."""
    records = Records(numbered(2), series)
    records.keep(checkpoint([0, 1], 5, 0))
    records.keep(checkpoint([0], 10, 0))
    records.keep(checkpoint([1], 10, 0))
    assert numbers(series) == [1, 2, 3]
    records.keep(checkpoint([0], 15, 0))
    assert numbers(series) == [2, 3, 4]
    records.close()
    assert numbers(series) == [3, 4]


def test_a_chunk_that_was_interrupted_goes_on_first(series):
    records = Records(numbered(5), series)
    records.keep(checkpoint([0, 1], 10, 0))
    records.keep(checkpoint([2, 3], 5, 0))
    assert records.behind(np.arange(5), 10).tolist() == [2, 3, 4]
    assert records.behind(np.arange(5), 20).tolist() == [2, 3, 0, 1, 4]


def test_a_later_session_finds_the_same(tmp_path):
    first = Records(numbered(3), checkpoints.Series(tmp_path))
    first.keep(checkpoint([0, 1], 10, 100))
    first.keep(checkpoint([1], 20, 200))
    first.close()
    second = Records(numbered(3), checkpoints.Series(tmp_path))
    assert second.step.tolist() == [10, 20, -1]
    (old, new) = second.newest(np.arange(3), 'history')
    assert (old[0].tolist(), new[0].tolist()) == ([0], [1])
    assert new[1]['history']['history'].tolist() == [201]
    second.close()


def test_runs_are_known_by_point_and_seed():
    """The numbers of a larger study, with its points in another order, are others."""
    small = checkpoints.Numbering(['a', 'b'], 10, 2)
    large = checkpoints.Numbering(['c', 'b', 'a'], 9, 4)
    names = small.names(np.array([3, 0, 1]))  # b with 11, a with 10 and 11
    assert small.numbers(names).tolist() == [3, 0, 1]
    assert large.numbers(names).tolist() == [6, 9, 10]
    assert checkpoints.Numbering(['a'], 11, 1).numbers(names).tolist() == [-1, -1, 0]


def test_runs_of_a_larger_study_are_kept(series):
    whole = Records(numbered(4), series)
    whole.keep(checkpoint([0, 1], 10, 0))
    whole.keep(checkpoint([2, 3], 10, 0))
    part = Records(numbered(2), series)
    assert part.step.tolist() == [10, 10]
    part.keep(checkpoint([0, 1], 20, 0))
    part.close()
    assert Records(numbered(4), series).step.tolist() == [20, 20, 10, 10]
