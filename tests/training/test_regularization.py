"""Penalties, shrinkage, and which parameters they fall on; and all dynamic fields at once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import make_config, make_dataset
from test_optimizers import by_hand

import nnstudy
from nnstudy import UserError
from nnstudy.training import regularization

PARAMS = {
    'Dense_0': {'kernel': jnp.array([[1.0, -2.0]]), 'bias': jnp.array([0.5, 0.1])},
    'Dense_1': {'kernel': jnp.array([[3.0], [0.0]]), 'bias': jnp.array([-4.0])},
}


@pytest.mark.parametrize(
    ('include', 'exclude', 'expected'),
    [
        (None, None, {'Dense_0/kernel', 'Dense_1/kernel'}),
        (None, 'Dense_1', {'Dense_0/kernel'}),
        ('Dense_0', None, {'Dense_0/kernel', 'Dense_0/bias'}),
        ('kernel|bias', '^Dense_0/b', {'Dense_0/kernel', 'Dense_1/kernel', 'Dense_1/bias'}),
    ],
)
def test_which_parameters(include, exclude, expected):
    chosen = regularization.make_mask(include, exclude)(PARAMS)
    leaves = jax.tree.leaves_with_path(chosen)
    assert {regularization.path(keys) for keys, is_chosen in leaves if is_chosen} == expected


def test_penalty_and_its_gradient():
    mask = regularization.make_mask()
    strengths = {'l1': jnp.float32(0.5), 'l2': jnp.float32(0.1), 'proximal_l1': jnp.float32(9)}
    value, grads = jax.value_and_grad(regularization.penalty)(PARAMS, mask, strengths)
    np.testing.assert_allclose(value, 0.1 * (1 + 4 + 9) + 0.5 * (1 + 2 + 3), rtol=1e-6)
    np.testing.assert_allclose(grads['Dense_0']['kernel'], [[0.2 + 0.5, -0.4 - 0.5]], rtol=1e-6)
    np.testing.assert_allclose(grads['Dense_1']['kernel'], [[0.6 + 0.5], [0]], rtol=1e-6)
    assert not grads['Dense_1']['bias'].any()
    assert regularization.penalty(PARAMS, mask, {}) == 0


def test_shrinking_stops_at_zero():
    params = regularization.shrink(PARAMS, regularization.make_mask(), jnp.float32(1.5))
    assert params['Dense_0']['kernel'].tolist() == [[0, -0.5]]
    assert params['Dense_1']['kernel'].tolist() == [[1.5], [0]]
    np.testing.assert_array_equal(params['Dense_1']['bias'], PARAMS['Dense_1']['bias'])
    same = regularization.shrink(PARAMS, regularization.make_mask(), jnp.float32(0))
    jax.tree.map(np.testing.assert_array_equal, same, PARAMS)


@pytest.mark.parametrize('kind', ['l2', 'l1'])
def test_a_study_equals_a_loop_by_hand(kind):
    norm = {'l2': jnp.square, 'l1': jnp.abs}[kind]
    config = make_config(model__name='linear', shuffle=False)
    strengths = [0.0, 0.05]
    points = nnstudy.choice(f'regularization.{kind}', strengths)
    results = nnstudy.run(config, points, data=make_dataset(), quiet=True)
    assert results.runs['group'].unique().tolist() == [0]
    for run, strength in enumerate(strengths):
        expected = by_hand(
            optax.sgd(0.1),
            lambda params: strength * norm(params['Dense_0']['kernel']).sum(),  # noqa: B023
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
            results.params(run, 'final'),
            expected,
        )


@pytest.mark.slow
@pytest.mark.usefixtures('optimized')
def test_only_the_proximal_step_makes_weights_exactly_zero():
    """Study C3b: and the tables have the loss without the penalty."""
    points = nnstudy.chain(
        nnstudy.choice('regularization.l1', [0.1]),
        nnstudy.choice('regularization.proximal_l1', [0.1, 0.0]),
        [{}],
    )
    config = make_config(model__name='linear', epochs=20)
    results = nnstudy.run(config, points, data=make_dataset(), quiet=True)
    kernels = [results.params(run, 'final')['Dense_0']['kernel'] for run in range(4)]
    zeros = [float((kernel == 0).mean()) for kernel in kernels]
    assert zeros[0] < 0.05
    assert zeros[1] > 0.2
    assert zeros[2] == zeros[3] == 0
    np.testing.assert_array_equal(kernels[2], kernels[3])
    start = results.history.query('step == 0')['train_loss']
    assert start.nunique() == 1


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'include': 'Dense_7', 'l2': 0.1}, "include 'Dense_7' is found in no .* Dense_0/bias"),
        ({'exclude': 'Dense_[', 'l2': 0.1}, "exclude 'Dense_\\[' is not a regular expression"),
        ({'include': 'kernel'}, 'has no effect: set config.optimizer.weight'),
        ({'l2': -1.0}, 'config.regularization.l2 must be at least 0, not -1.0'),
        ({'l2': 0.1, 'exclude': '.'}, "exclude '.' leaves no parameter: there are Dense_0/bias"),
        ({'l3': 1.0}, "unknown field of config 'regularization.l3': did you mean"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(UserError, match=message):
        config = make_config(**{f'regularization__{k}': v for k, v in fields.items()})
        nnstudy.run(config, data=make_dataset(), quiet=True)


def test_an_evaluation_is_without_label_smoothing():
    """So that losses of different strengths are of one kind; training is with it."""
    points = nnstudy.choice('loss.label_smoothing', [0.0, 0.9])
    results = nnstudy.run(make_config(), points, data=make_dataset(), quiet=True)
    start = results.history.query('step == 0')
    assert start['test_loss'].nunique() == 1
    assert start['l2_grads'].nunique() == 2


BASE = {
    'optimizer.learning_rate': 0.01,
    'optimizer.b1': 0.8,
    'optimizer.b2': 0.99,
    'optimizer.eps': 1e-6,
    'optimizer.weight_decay': 0.01,
    'optimizer.clip_norm': 1.0,
    'schedule.final_factor': 0.1,
    'schedule.warmup_epochs': 0.5,
    'regularization.l2': 0.01,
    'regularization.l1': 0.01,
    'regularization.proximal_l1': 0.01,
    'loss.label_smoothing': 0.1,
    'model.dropout': 0.2,
    'model.batch_norm_momentum': 0.5,
    'model.batch_norm_epsilon': 1e-3,
    'init_scale': 1.5,
    'augmentation.horizontal_flip': 0.5,
    'augmentation.shift': 0.3,
    'augmentation.rotation': 20.0,
    'augmentation.zoom': 0.2,
    'augmentation.brightness': 0.2,
    'augmentation.contrast': 0.2,
    'augmentation.cutout': 0.3,
}


def test_every_dynamic_field_has_its_own_value_in_one_program():
    """Each point changes one field to 0; each has an effect, and there is one program for all."""
    config = make_config(
        optimizer__name='adamw',
        schedule__name='cosine',
        model__batch_norm='before',
        **{field.replace('.', '__'): value for field, value in BASE.items()},
    )
    others = dict.fromkeys(BASE, 0.0)
    others |= {'optimizer.eps': 0.1, 'optimizer.b1': 0.1, 'optimizer.clip_norm': 0.1}
    points = [{}, *({field: value} for field, value in others.items())]
    points = [BASE | point for point in points]
    results = nnstudy.run(config, points, data=make_dataset(), quiet=True)
    assert results.runs['group'].unique().tolist() == [0]
    assert results.runs['status'].eq('finished').sum() > len(points) - 3
    variables = [results.variables(run, 'final') for run in range(len(points))]
    for field, other in zip(BASE, variables[1:], strict=True):
        same = jax.tree.map(np.array_equal, variables[0], other)
        assert not all(jax.tree.leaves(same)), field


def test_brightness_is_of_images_that_are_not_negative():
    x, y = make_dataset().splits['train']
    x = x / 100.0 - 1
    dataset = nnstudy.Dataset('centred', {'train': (x, y), 'test': (x + 0.01, y)})
    config = make_config(augmentation__brightness=0.0, normalization=None, split__validation=None)
    with pytest.raises(UserError, match="config.augmentation.brightness .* 'centred' has values"):
        nnstudy.run(config, data=dataset, quiet=True)
