"""On a GPU or TPU: the numbers of the CPU, and the same bits, whatever is trained beside.

pytest -m gpu --numprocesses=0
"""

import jax
import numpy as np
import pandas as pd
import pytest
from small import make_config, make_dataset

import nnstudy
from nnstudy.machine import devices
from nnstudy.machine import target as targets
from nnstudy.running import plan as plan_lib
from nnstudy.running import study

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(jax.default_backend() == 'cpu', reason='needs a GPU or TPU'),
]
RATES = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1e30])  # the last one diverges
FIELDS = {
    'mlp': ((4, 4, 1), {}),
    'lenet': ((12, 12, 1), {}),
    'vgg': ((8, 8, 3), {'model__groups': ((4,),), 'model__batch_norm': 'before'}),
    'resnet': ((8, 8, 3), {'model__depth': 4, 'model__widths': (8,)}),
    'inception': ((8, 8, 1), {'model__modules': ((8, 8, 8, 8, 8, 8),)}),
}


def trained(points, data, target=None, **fields):
    plan = plan_lib.make(make_config(**fields), points, data=data, target=target)
    return study.carry_out(plan, quiet=True)


def cpu():
    mesh = jax.sharding.Mesh(np.array(jax.devices('cpu')[:1]), (devices.RUNS,))
    return targets.Target(targets.CPU, mesh, 2**33)


@pytest.mark.parametrize('name', FIELDS)
@pytest.mark.parametrize('lanes', [None, 1])
def test_the_numbers_of_the_cpu(name, lanes):
    shape, fields = FIELDS[name]
    fields = {**fields, 'model__name': name, 'execution__lanes': lanes, 'epochs': 1}
    data = make_dataset(shape)
    here, there = (trained(RATES, data, target, **fields) for target in (None, cpu()))
    assert here.runs['status'].tolist() == there.runs['status'].tolist()
    a, b = (
        r.history.query('point < 2').drop(columns='seconds', errors='ignore') for r in (here, there)
    )
    pd.testing.assert_frame_equal(a, b, rtol=2e-3, atol=1e-4)


def test_bits_do_not_depend_on_the_number_of_runs():
    data = make_dataset()
    few, again, many = (trained(RATES[:1], data, num_seeds=n, epochs=5) for n in (3, 3, 40))
    for run in range(3):
        for other in (again, many):
            jax.tree.map(np.testing.assert_array_equal, few.params(run), other.params(run))


@pytest.mark.parametrize('precision', ['tensorfloat32', 'bfloat16'])
def test_lower_precisions_are_close(precision):
    if precision not in dict(targets.kind_here().rates):
        pytest.skip('the device has none of it')
    data = make_dataset((12, 12, 1))
    fields = {'model__name': 'lenet', 'epochs': 1}
    exact, close = (trained(RATES[:2], data, precision=p, **fields) for p in ('float32', precision))
    np.testing.assert_allclose(close.runs['train_loss'], exact.runs['train_loss'], rtol=0.05)
