"""Layouts: lanes by rule, chunks by memory, and segments that do all of the work once."""

import numpy as np
import pytest

from nnstudy.machine import target as targets
from nnstudy.machine.work import Work
from nnstudy.running import layout


@pytest.mark.parametrize(
    ('num_runs', 'copies', 'size'),
    [(3, 1e9, 4), (3000, 1e9, 3000), (3000, 261.4, 128), (129, 256, 68), (3000, -1, 4)],
)
def test_chunks_are_equal_and_as_large_as_memory_allows(num_runs, copies, size):
    """Of two copies of a run; one block a device, here of four runs, is the least there is."""
    assert layout.Layout(0, 1, 4, 1, 1, num_devices=1).chunk_size(num_runs, copies) == size


@pytest.mark.parametrize(
    ('flops', 'params', 'conv', 'lanes'),
    [
        (7e4, 369, False, 32),  # the Boston MLP
        (1.8e6, 9_000, False, 8),  # lr_sweep on digits
        (4e6, 695_000, False, 1),  # large matrices at batch 1: nothing but reading parameters
        (5e8, 695_000, False, 1),
        (7e4, 369, True, 1),
    ],
)
def test_lanes_on_the_cpu(flops, params, conv, lanes):
    cost = layout.Cost(params, conv, Work(flops, products=8, written_bytes=1e6))
    assert layout.num_lanes(cost, targets.CPU) == lanes


@pytest.mark.parametrize(
    ('flops', 'params', 'products', 'least', 'most'),
    [
        (1.8e6, 9_000, 8, 152, 1024),  # the whole of lr_sweep is one block
        (7e4, 369, 8, 1024, 1024),
        (5e8, 695_000, 8, 2, 32),
        (2e10, 230_000, 40, 1, 2),  # a step of a residual network is arithmetic
    ],
)
@pytest.mark.parametrize('kind', [targets.H100, targets.H200])
def test_lanes_on_a_gpu_balance_launches_and_arithmetic(kind, flops, params, products, least, most):
    cost = layout.Cost(params, False, Work(flops, products, written_bytes=1e6))
    lanes = layout.num_lanes(cost, kind)
    assert least <= lanes <= most
    if 1 < lanes < layout.MOST_LANES:
        assert lanes * cost.seconds(kind) <= cost.overhead_seconds(kind)
        assert 2 * lanes * cost.seconds(kind) > cost.overhead_seconds(kind)


def test_lanes_on_a_gpu_are_as_many_as_fit():
    """A recurrent network has many products of little arithmetic, and keeps what each gives."""
    cost = layout.Cost(70_000, False, Work(2e9, products=2_000, written_bytes=6e8))
    assert layout.num_lanes(cost, targets.H100) == 32
    assert layout.num_lanes(cost, targets.TPU_V5E) == 8


def follow(chosen, evaluation_steps, until, num_runs, at=None, ends=None):
    """Goes from segment to segment; run r is over at evaluation `ends[r]`, if it has one."""
    at = np.full(num_runs, -1) if at is None else np.array(at)
    alive = np.full(num_runs, True)
    parts = []
    while True:
        part = chosen.next_segment(at, alive, evaluation_steps, until)
        if part is None:
            return at, parts
        assert (at[part.runs] <= part.start).all() and alive[part.runs].all()
        assert part.stop - part.start <= chosen.segment_steps
        assert part.evaluate == (part.stop in evaluation_steps)
        at[part.runs] = part.stop
        if part.evaluate and ends is not None:
            alive[part.runs] &= part.stop < ends[part.runs]
        parts.append(part)


@pytest.mark.parametrize(('lanes', 'num_runs', 'num_devices'), [(1, 5, 2), (4, 9, 1), (2, 7, 3)])
def test_every_run_takes_every_step_once(lanes, num_runs, num_devices):
    evaluations = np.array([0, 10, 20, 25])
    chosen = layout.Layout(
        0, 0, lanes, step_seconds=0.5, evaluation_seconds=1.0, num_devices=num_devices
    )
    at, parts = follow(chosen, evaluations, 25, num_runs)
    assert (at == 25).all()
    for run in range(num_runs):
        mine = [part for part in parts if run in part.runs]
        steps = [step for part in mine for step in range(part.start, part.stop)]
        assert steps == list(range(25))
        assert [part.stop for part in mine if part.evaluate] == evaluations.tolist()
    for part in parts:  # of about two seconds, or the least that there is
        seconds = (part.stop - part.start) * 0.5 + part.evaluate * 1.0
        blocks = max(np.bincount(part.runs % num_devices)) / lanes
        assert blocks <= 1 or blocks * seconds <= layout.SEGMENT_SECONDS


def test_runs_wait_where_they_are_told_to_and_those_behind_catch_up():
    evaluations = np.array([0, 10, 20, 25])
    chosen = layout.Layout(0, 0, 1, step_seconds=0.01, evaluation_seconds=0.0, num_devices=1)
    at, parts = follow(chosen, evaluations, 20, 4, at=[-1, 0, 7, 20])
    assert at.tolist() == [20, 20, 20, 20]
    assert parts[0].runs.tolist() == [0] and parts[0].stop == 0
    assert parts[1].runs.tolist() == [0, 1] and (parts[1].start, parts[1].stop) == (0, 7)
    assert parts[2].runs.tolist() == [0, 1, 2] and (parts[2].start, parts[2].stop) == (7, 10)


def test_runs_that_are_over_have_no_more_segments():
    evaluations = np.array([0, 10, 20, 30])
    chosen = layout.Layout(0, 0, 1, step_seconds=1e-3, evaluation_seconds=0.0, num_devices=1)
    at, parts = follow(chosen, evaluations, 30, 3, ends=np.array([10, 99, 0]))
    assert at.tolist() == [10, 30, 0]
    assert sum(len(part.runs) * (part.stop - part.start) for part in parts) == 40
