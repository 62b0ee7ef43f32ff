"""Compiling for devices that are not there, where their compilers are installed."""

import importlib.util
import os

import jax
import numpy as np
import pytest
from jax.experimental import topologies
from jax.experimental.compilation_cache import compilation_cache
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError
from nnstudy.machine import hlo
from nnstudy.machine import target as targets
from nnstudy.running import plan as plan_lib
from nnstudy.running import program
from nnstudy.training import steps

needs_tpu = pytest.mark.skipif(
    'TPU_LIBRARY_PATH' not in os.environ, reason='needs the compiler of TPUs, see .ci/run'
)
needs_cuda = pytest.mark.skipif(
    importlib.util.find_spec('jax_cuda12_plugin') is None,
    reason='needs the compiler of GPUs, see docs/accelerators.md',
)


def test_a_compiler_that_is_not_installed_is_one_line(monkeypatch):
    def missing(*_, **__):
        raise NotImplementedError('topology not implemented')  # as JAX says it

    monkeypatch.setattr(topologies, 'get_topology_desc', missing)
    for name, package in (('tpu-v5e', 'libtpu'), ('h100', 'jax-cuda12-plugin')):
        with pytest.raises(
            UserError, match=f'--target={name}: its compiler is not installed: .*{package}'
        ):
            targets.named(name)


def loop_of(function, *args):
    return hlo.loop(jax.jit(function).lower(*args).compile().as_text(), 'step')


def test_what_a_loop_does():
    """XLA:CPU writes down the number of rounds, branches and calls as the others do."""

    def body(i, x):
        with jax.named_scope('step'):
            return jax.numpy.sort(x) @ x

    x = jax.numpy.ones((8, 8))
    known = loop_of(lambda x: jax.lax.fori_loop(0, 30, body, x), x)
    assert known.operations >= 2 and known.questions == 0
    asked = loop_of(lambda x, n: jax.lax.fori_loop(0, n, body, x), x, 30)
    assert asked.uncounted == asked.questions == 1

    def branching(i, x):
        with jax.named_scope('step'):
            return jax.lax.cond(x[0, 0] > i, body, lambda i, x: x, i, x)

    assert loop_of(lambda x: jax.lax.fori_loop(0, 30, branching, x), x).branches == 1


@pytest.fixture
def target(request):
    """Compiling for it reads and writes no cache of programs."""
    target = targets.named(request.param)
    compilation_cache.reset_cache()
    yield target
    jax.config.update('jax_enable_compilation_cache', True)
    compilation_cache.reset_cache()


@pytest.mark.parametrize(
    'target',
    [
        pytest.param('tpu-v5e', marks=needs_tpu),
        pytest.param('tpu-v5e-4', marks=needs_tpu),
        pytest.param('h100', marks=[needs_cuda, pytest.mark.slow]),  # a compiler of 5 GB
    ],
    indirect=True,
)
@pytest.mark.parametrize(
    ('fields', 'shape'),
    [
        ({'model__name': 'mlp'}, (4, 4, 1)),
        ({'model__name': 'lenet'}, (12, 12, 1)),
        ({'model__name': 'resnet', 'model__depth': 4, 'model__widths': (8,)}, (8, 8, 3)),
        ({'model__name': 'vgg', 'model__groups': ((4,),), 'model__dense_dropout': 0.1}, (8, 8, 3)),
        ({'model__name': 'embedding'}, None),
    ],
    ids=lambda value: value['model__name'] if isinstance(value, dict) else '',
)
def test_models_compile_for_devices_that_are_not_there(target, fields, shape):
    data = make_dataset(shape or (4, 4, 1))
    if shape is None:
        texts = {
            split: (np.array([f'word{n} and word{n % 7}' for n in range(len(labels))]), labels)
            for split, (_, labels) in data.splits.items()
        }
        data = nnstudy.Dataset('texts', texts, class_names=data.class_names)
    config = make_config(execution__lanes=2, epochs=1, **fields)
    points = nnstudy.choice('optimizer.learning_rate', [0.1, 0.2])
    (group,) = plan_lib.make(config, points, data=data, target=target).groups
    made = program.for_group(group)
    step = hlo.loop(str(made), steps.STEP)
    assert step.operations > 5 and hlo.collectives(str(made)) == 0
    assert 0 < made.fixed_bytes < 2**30
    if target.kind.platform == 'cuda':  # a TPU goes through its loops alone
        assert step.questions == 0
