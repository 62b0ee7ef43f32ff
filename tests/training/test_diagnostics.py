"""Diagnostics against closed forms: eigenvalues of known Hessians, variances of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util, lax
from small import make_config, make_dataset

import nnstudy
from nnstudy import UserError
from nnstudy.running import plan as plan_lib
from nnstudy.spec import config as config_lib
from nnstudy.training import diagnostics, evaluation, steps
from nnstudy.training.run import Run

NAMES = ('sharpness', 'noise_scale')


def quadratic(matrix):
    """An objective that is the same of any examples: x'Ax / 2."""
    return lambda x, rows, mask: x @ matrix @ x / 2


@pytest.mark.parametrize(
    'eigenvalues',
    [
        [5.0, 3.0, 1.0, 0.0],
        [2.0, -5.0, 1.0, -1.0],  # curved downward more than upward
        [-1.0, -2.0, -8.0, -4.0],
        [0.0, 0.0, 0.0, 0.0],
    ],
)
def test_sharpness_of_a_quadratic(eigenvalues):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    matrix = jnp.asarray(rotation * eigenvalues @ rotation.T, jnp.float32)
    # However the examples fall into batches.
    for num_examples in (1, 256, 600):
        value = diagnostics.sharpness(
            quadratic(matrix), jnp.ones(4), num_examples, jax.random.key(1)
        )
        np.testing.assert_allclose(value, max(eigenvalues), rtol=1e-3, atol=1e-5)


def run_state(config, dataset):
    """Returns the first run of a study and its state before the first step."""
    group = plan_lib.make(config, data=dataset).groups[0]
    values = {field: column[0] for field, column in group.hparams.items()}
    data = jax.device_put(group.data)
    run = Run(group.config.replace(values), nnstudy.make_keys(config.seed), data)
    return run, jax.jit(lambda: steps.init(run))()


def diagnosed(run, variables):
    return jax.jit(lambda variables: evaluation.diagnose(run, variables))(variables)


def diagnose(config, dataset):
    run, state = run_state(config, dataset)
    return diagnosed(run, state.variables)


def test_sharpness_of_linear_regression(regression):
    """Mean squared error of a linear model: the Hessian is 2/n X'X, and 2 l2 more on kernels."""
    config = make_config(
        model__name='linear', loss__name='squared_error', diagnostics=('sharpness',),
        normalization=None, split__validation=None, split__train='train[:36]',
    )  # fmt: skip
    x = np.asarray(regression.splits['train'][0][:36], np.float64)
    x = np.concatenate([x, np.ones([36, 1])], axis=1)
    hessian = 2 / 36 * x.T @ x
    value = diagnose(config, regression)['sharpness']
    np.testing.assert_allclose(value, np.linalg.eigvalsh(hessian)[-1], rtol=1e-4)

    config = config_lib.override(config, {'regularization.l2': 0.7, 'diagnostic_examples': 10})
    penalised = 2 / 10 * x[:10].T @ x[:10] + np.diag([1.4] * 6 + [0])
    value = diagnose(config, regression)['sharpness']
    np.testing.assert_allclose(value, np.linalg.eigvalsh(penalised)[-1], rtol=1e-4)


def test_sharpness_is_that_of_the_whole_hessian():
    """Also through convolutions, whose gradients are our own, and with the last batch short."""
    dataset = make_dataset(shape=(12, 12, 1), num_train=300, num_test=20)
    config = make_config(
        model__name='lenet', model__widths=(2, 2), model__dense_widths=(4, 4),
        model__dense_activation='tanh', loss__label_smoothing=0.2,
        diagnostics=('sharpness',), split__train='train', split__validation=None,
    )  # fmt: skip
    run, state = run_state(config, dataset)
    flat, unravel = flatten_util.ravel_pytree(state.variables['params'])
    data = run.data
    x, y = data.normalized(jnp.asarray(data.inputs[:300])), jnp.asarray(data.labels[:300])

    def gradient(flat):
        def loss(flat):
            model = run.model
            outputs, _ = model.apply({'params': unravel(flat)}, x, train=False)
            return run.loss(outputs, y, train=True).mean()

        return jax.grad(loss)(flat)

    @jax.jit
    def columns(flat):
        return lax.map(jax.vjp(gradient, flat)[1], jnp.eye(len(flat)))[0]

    hessian = columns(flat)
    expected = np.linalg.eigvalsh(np.asarray(hessian, np.float64))[-1]
    value = diagnosed(run, state.variables)['sharpness']
    np.testing.assert_allclose(value, expected, rtol=0.02)
    assert value < 1.0001 * expected  # a Rayleigh quotient


def test_noise_scale_from_the_gradients_of_single_examples():
    """tr(Σ) by batches of 32 is the variance of their mean gradients; |G|² is unbiased."""
    dataset = make_dataset(num_train=100)
    config = make_config(diagnostics=('noise_scale',), split__train='train', split__validation=None)
    run, state = run_state(config, dataset)
    params = state.variables['params']
    data = run.data
    x, y = data.normalized(jnp.asarray(data.inputs[:96])), jnp.asarray(data.labels[:96])

    def loss(params, x, y):
        outputs, _ = run.model.apply({'params': params}, x[None], train=False)
        return run.loss(outputs, y[None], train=True)[0]

    each = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(params, x, y)
    each = np.concatenate([leaf.reshape(96, -1) for leaf in jax.tree.leaves(each)], axis=1)
    each = each.astype(np.float64)
    small = each.reshape(3, 32, -1).mean(axis=1)
    noise = 32 * small.var(axis=0, ddof=1).sum()
    signal = np.square(each.mean(axis=0)).sum() - noise / 96
    value = diagnosed(run, state.variables)['noise_scale']
    np.testing.assert_allclose(value, noise / signal, rtol=1e-3)


def test_gradients_that_cannot_be_told_from_zero_have_an_infinite_noise_scale():
    signs = jnp.where(jnp.arange(64) % 2, 1.0, -1.0).at[:32].mul(1.5)

    def objective(x, rows, mask):
        return x @ jnp.ones(3) * jnp.where(rows[0] < 32, 1.0, -1.0) * jnp.abs(signs[rows]).mean()

    value = diagnostics.noise_scale(objective, jnp.zeros(3), 64, jax.random.key(0))
    assert value == jnp.inf


@pytest.mark.slow
def test_they_are_in_the_tables():
    """At every evaluation, the last one with the runs; NaN once a loss is not finite."""
    dataset = make_dataset(num_train=100)
    config = make_config(
        diagnostics=NAMES, split__train='train', split__validation=None, num_seeds=2,
        execution__lanes=2,
    )  # fmt: skip
    points = nnstudy.choice('optimizer.learning_rate', [0.1, 1e30])
    results = nnstudy.run(config, points, data=dataset, quiet=True)
    table = results.history.pivot(index='step', columns='run', values='sharpness')
    assert np.isfinite(table[[0, 1]]).all(axis=None) and table.shape == (3, 4)
    np.testing.assert_array_equal(table.iloc[-1], results.runs['sharpness'])
    blown = results.runs['status'] == 'diverged'
    assert blown.tolist() == [False, False, True, True]
    assert results.runs.loc[blown, list(NAMES)].isna().all(axis=None)
    assert table.iloc[0].notna().all()

    # A run has the same bits without its neighbours.
    config = config_lib.override(config, {'num_seeds': 1})
    alone = nnstudy.run(config, points[:1], data=dataset, quiet=True).history
    for name in NAMES:
        among = results.history.loc[results.history['run'] == 0, name]
        np.testing.assert_array_equal(among.to_numpy(), alone[name].to_numpy())

    # Nor do they change anything, and whoever does not ask for them does not get them.
    config = config_lib.override(config, {'diagnostics': ()})
    plain = nnstudy.run(config, points[:1], data=dataset, quiet=True).history
    assert not set(NAMES) & {*plain}
    np.testing.assert_allclose(plain.to_numpy(float), alone[list(plain)].to_numpy(float), rtol=1e-4)


def test_nothing_is_computed_that_is_not_asked_for(dataset):
    run, state = run_state(make_config(), dataset)
    assert evaluation.diagnose(run, state.variables) == {}


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'diagnostics': ('sharpnes',)}, "did you mean 'sharpness'"),
        ({'diagnostics': ('noise_scale',)}, 'needs at least 64 examples, .* leave it 36'),
        ({'diagnostic_examples': 10}, 'has no effect: set config.diagnostics'),
        ({'diagnostic_examples': 0, 'diagnostics': ('sharpness',)}, 'at least 1, not 0'),
    ],
)
def test_what_does_not_fit_is_refused(fields, message, dataset):
    with pytest.raises(UserError, match=message):
        plan_lib.make(make_config(**fields), data=dataset)
