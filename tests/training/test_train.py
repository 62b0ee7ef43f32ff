"""Training of one run, against references written without it."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats
from sklearn import metrics as sk_metrics
from small import ROOT, make_config, make_dataset

import nnstudy
from nnstudy import models, ops
from nnstudy.machine import target as targets
from nnstudy.running import plan as plan_lib
from nnstudy.running import program
from nnstudy.spec import study_file
from nnstudy.training import evaluation, resolve, steps
from nnstudy.training.run import Run, Static, data_keys

PROGRAMS = {}  # of `make_train`, one for all values of the dynamic fields


def bound(config, dataset):
    """Returns the first run of a study."""
    group = plan_lib.make(config, data=dataset).groups[0]
    values = {field: column[0] for field, column in group.hparams.items()}
    data = jax.device_put(group.data)
    return Run(group.config.replace(values), nnstudy.make_keys(config.seed), data)


def compiled(run):
    """Returns the state before the first step, and the step."""

    def step(state, number, is_taken=True):
        return steps.step(run, state, number, run.examples(number), is_taken)

    return jax.jit(lambda: steps.init(run))(), jax.jit(step)


def run_training(config, dataset):
    run = bound(config, dataset)
    train = PROGRAMS.setdefault(Static(run.config), jax.jit(nnstudy.make_train(config)))
    return train(run.keys, run.config.hparams, run.data)


def epochs_of(config, num_train):
    """The order of the examples in each epoch, from the keys alone."""
    order_key, _, _ = data_keys(nnstudy.make_keys(config.seed))
    for epoch in range(config.epochs):
        order = ops.Shuffle.make(order_key, num_train).examples(epoch, np.arange(num_train))
        yield np.asarray(order)


def reference_params(config, dataset, tx):
    """Trains with optax in a plain Python loop on NumPy batches."""
    run = bound(config, dataset)
    keys, data = run.keys, run.data
    model = models.make(models.MODELS['mlp'], data.num_outputs, widths=config.model.widths)
    x = data.inputs[: data.num_train].astype(np.float32) * data.scale + data.offset
    y = data.labels[: data.num_train]
    params = jax.jit(model.init)(keys['init'], x[:1])['params']
    state = tx.init(params)

    @jax.jit
    def step(params, state, x, y):
        def loss(params):
            logits, _ = model.apply({'params': params}, x, train=True, rng=jax.random.key(0))
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        grads = jax.grad(loss)(params)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for order in epochs_of(config, data.num_train):
        for low in range(0, data.num_train, config.batch_size):
            rows = order[low : low + config.batch_size]
            params, state = step(params, state, x[rows], y[rows])
    return params


def decayed(tx, rate, weight_decay):
    def mask(params):
        return jax.tree.map_with_path(lambda path, _: path[-1].key == 'kernel', params)

    return optax.chain(tx, optax.add_decayed_weights(-rate * weight_decay, mask))


@pytest.mark.parametrize(
    ('fields', 'tx'),
    [
        ({}, optax.sgd(0.1)),
        ({'optimizer.momentum': 0.9}, optax.sgd(0.1, momentum=0.9)),
        ({'optimizer.weight_decay': 0.1}, decayed(optax.sgd(0.1), 0.1, 0.1)),
        ({'optimizer.name': 'adam', 'optimizer.b1': 0.8}, optax.adam(0.1, b1=0.8)),
        (
            {'optimizer.name': 'adamw', 'optimizer.weight_decay': 0.3},
            optax.adamw(
                0.1,
                weight_decay=0.3,
                mask=lambda p: jax.tree.map_with_path(lambda path, _: path[-1].key == 'kernel', p),
            ),
        ),
        ({'schedule.name': 'cosine'}, optax.sgd(optax.cosine_decay_schedule(0.1, 10))),
        (
            {'schedule.name': 'exponential', 'schedule.factor': 0.5, 'schedule.staircase': True},
            optax.sgd(optax.exponential_decay(0.1, 5, 0.5, staircase=True)),
        ),
    ],
)
def test_equals_a_plain_loop_over_optax(fields, tx, dataset):
    """36 examples at batch 8: the last batch of an epoch has 4, and its mean is over those."""
    config = make_config(**fields)
    state, _ = run_training(config, dataset)
    expected = reference_params(config, dataset, tx)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6),
        dict(state.variables['params']),
        dict(expected),
    )


def test_file_order_and_whole_batches(dataset):
    """`shuffle=False` takes the examples as they stand; a batch of all of them is one step."""
    whole, history = run_training(make_config(batch_size=36, epochs=3), dataset)
    assert history['step'].tolist() == [0, 1, 2, 3]
    ordered, _ = run_training(make_config(batch_size=36, epochs=3, shuffle=False), dataset)
    jax.tree.map(np.testing.assert_array_equal, whole.variables, ordered.variables)

    run = bound(make_config(shuffle=False), dataset)
    data = run.data
    for batch in range(5):
        numbers = run.examples(jnp.int32(batch))
        inputs, labels, mask = steps._batch(run, jnp.int32(batch), numbers)
        count = int(mask.sum())
        assert count == (8 if batch < 4 else 4)
        rows = slice(8 * batch, 8 * batch + count)
        assert numbers[:count].tolist() == list(range(36))[rows]
        np.testing.assert_array_equal(inputs[:count], data.inputs[:36][rows])
        np.testing.assert_array_equal(labels[:count], data.labels[:36][rows])


def test_an_epoch_sees_every_example_once():
    config = make_config()
    for order in epochs_of(config, 36):
        assert sorted(order.tolist()) == list(range(36))
    first, second = epochs_of(config, 36)
    assert first.tolist() != second.tolist()


def test_history_equals_scikit_learn(dataset):
    """Loss and accuracy of every split, at step 0 and at the end."""
    config = make_config()
    run = bound(config, dataset)
    data = run.data
    state, history = run_training(config, dataset)
    initial, _ = compiled(run)
    assert history['step'].tolist() == [0, 5, 10]
    for row, variables in ((0, initial.variables), (-1, state.variables)):
        model = models.make(models.MODELS['mlp'], 3, widths=(8,))
        begin = 0
        for split, size in data.sizes:
            rows = slice(begin, begin + size)
            x = data.inputs[rows].astype(np.float32) * data.scale + data.offset
            logits, _ = model.apply(variables, x, train=False)
            probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            expected = sk_metrics.log_loss(data.labels[rows], probabilities, labels=[0, 1, 2])
            np.testing.assert_allclose(history[f'{split}_loss'][row], expected, rtol=1e-5)
            right = sk_metrics.accuracy_score(data.labels[rows], probabilities.argmax(axis=1))
            np.testing.assert_allclose(history[f'{split}_accuracy'][row], right, rtol=1e-6)
            begin += size


def test_evaluation_does_not_depend_on_its_batch_size(dataset, monkeypatch):
    config = make_config(eval_train_examples=17)
    _, whole = run_training(config, dataset)
    monkeypatch.setattr(evaluation, 'BATCH_SIZE', 7)
    monkeypatch.delitem(PROGRAMS, Static(bound(config, dataset).config))
    _, parts = run_training(config, dataset)
    for name, column in whole.items():
        np.testing.assert_allclose(column, parts[name], rtol=1e-5, err_msg=name)


def test_batch_loss_learning_rate_and_gradient_norm(dataset):
    config = make_config(schedule__name='linear', epochs=2)
    run = bound(config, dataset)
    data = run.data
    state, step = compiled(run)
    _, history = run_training(config, dataset)
    assert math.isnan(history['batch_loss'][0])
    np.testing.assert_allclose(history['learning_rate'], [0.1, 0.05, 0.0], rtol=1e-6, atol=1e-9)

    # The norm at step 0 is that of the gradient on the first batch, before any step.
    model = models.make(models.MODELS['mlp'], 3, widths=(8,))
    order = next(iter(epochs_of(config, 36)))

    @jax.jit
    def norm(params, rows):
        x = data.inputs[rows].astype(np.float32) * data.scale

        def loss(params):
            logits, _ = model.apply({'params': params}, x, train=False)
            return optax.softmax_cross_entropy_with_integer_labels(logits, data.labels[rows]).mean()

        return optax.tree.norm(jax.grad(loss)(params))

    first = norm(state.variables['params'], order[:8])
    np.testing.assert_allclose(history['l2_grads'][0], first, rtol=1e-5)

    # The running loss is the mean over the examples of the epoch's batches.
    losses, sizes = [], [8, 8, 8, 8, 4]
    for number in range(5):
        before = state.variables['params']
        state, batch_loss, _, _ = step(state, number)
        losses.append(float(batch_loss))
    # Later ones are of the last step, before it was taken.
    last = norm(before, order[32:])
    np.testing.assert_allclose(history['l2_grads'][1], last, rtol=1e-5)
    np.testing.assert_allclose(history['batch_loss'][1], np.average(losses, weights=sizes), 1e-5)


def test_log_of_single_steps(dataset):
    config = make_config(log_every_steps=3, epochs=2)
    results = nnstudy.run(config, data=dataset, quiet=True)
    assert results.steps['step'].tolist() == [0, 3, 6, 9]
    state, step = compiled(bound(config, dataset))
    for number in range(10):
        state, loss, accuracy, _ = step(state, number)
        if number % 3 == 0:
            row = results.steps.set_index('step').loc[number]
            np.testing.assert_allclose(row['batch_loss'], loss, rtol=1e-5)
            np.testing.assert_allclose(row['batch_accuracy'], accuracy, rtol=1e-5)


def test_gradients_equal_finite_differences():
    """In float64, through the loss of a whole training step's forward pass."""
    with jax.enable_x64(True):
        model = models.make(models.MODELS['mlp'], 3, widths=(4,), activation='tanh')
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)
        params = model.init(jax.random.key(0), jnp.asarray(x))['params']
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
        flat, unravel = jax.flatten_util.ravel_pytree(params)

        @jax.jit
        def loss(flat):
            logits, _ = model.apply({'params': unravel(flat)}, x, train=False)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        gradient = np.asarray(jax.grad(loss)(flat))
        step = 1e-6 * np.eye(flat.size)
        differences = [(loss(flat + e) - loss(flat - e)) / 2e-6 for e in step]
        np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-9)


def test_a_run_with_a_non_finite_loss_is_frozen(dataset):
    """It keeps the parameters from before that step, and the state says which step it was."""
    # float32 squared errors of a linear net overflow within a few steps at an absurd rate.
    config = make_config(
        loss='squared_error', model__widths=(), optimizer__learning_rate=1e12, epochs=4
    )
    state, history = run_training(config, dataset)
    assert 0 < state.frozen_at < 20
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.variables))
    config.optimizer.learning_rate = 1e-3
    fine, _ = run_training(config, dataset)
    assert fine.frozen_at == -1


def test_best_is_the_first_of_the_best_evaluations(dataset):
    config = make_config(epochs=6, optimizer__learning_rate=0.5)
    state, history = run_training(config, dataset)
    best = int(np.argmax(history['validation_accuracy']))
    assert state.best.step == history['step'][best]
    assert state.best.score == history['validation_accuracy'][best]


def test_outputs_that_are_not_finite_predict_nothing(dataset):
    """NaN has no accuracy, though argmax makes it class 0, and is never the best."""
    config = make_config(
        loss='squared_error', model__widths=(), optimizer__learning_rate=3e37, epochs=4
    )
    state, history = run_training(config, dataset)
    blown = ~np.isfinite(history['validation_loss'])
    assert blown[1:].all() and not blown[0]
    assert np.isnan(np.asarray(history['validation_accuracy'])[blown]).all()
    assert state.best.step == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.best.variables))


def test_order_and_noise_have_keys_of_their_own():
    order_key, step_key, _ = data_keys(nnstudy.make_keys(3))
    folded = [jax.random.fold_in(key, n) for key in (order_key, step_key) for n in range(50)]
    raw = {tuple(jax.random.key_data(key).tolist()) for key in (*folded, order_key, step_key)}
    assert len(raw) == 102


def test_best_of_regression_is_by_loss(regression):
    config = make_config(
        loss='squared_error',
        optimizer__learning_rate=0.05,
        epochs=5,
        **{'split.train': 'train', 'split.validation': None},
    )
    state, history = run_training(config, regression)
    assert {'train_mae', 'test_mae'} < set(history)
    best = int(np.argmin(history['test_loss']))
    assert state.best.step == history['step'][best]
    assert history['test_loss'][-1] < 0.5 * history['test_loss'][0]


# adamw has a weight decay by default
@pytest.mark.parametrize('optimizer', ['sgd', pytest.param('adamw', marks=pytest.mark.slow)])
def test_make_train_as_the_readme_writes_it(optimizer, dataset):
    """jit(vmap(make_train(config))) over keys and hparams gives what a study gives."""
    config = make_config(optimizer__name=optimizer)
    points = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1.0])
    results = nnstudy.run(config, points, data=dataset, quiet=True)
    group = plan_lib.make(config, points, data=dataset).groups[0]
    keys = jax.vmap(nnstudy.make_keys)(jnp.asarray(group.seeds))
    mapped = jax.jit(jax.vmap(nnstudy.make_train(config), in_axes=(0, 0, None)))
    _, history = mapped(keys, {'optimizer.learning_rate': jnp.array([0.01, 0.1, 1.0])}, group.data)
    with pytest.raises(nnstudy.UserError, match="did you mean 'optimizer.learning_rate'"):
        nnstudy.make_train(config)(keys, {'learning_rate': 0.1}, group.data)
    for name in ('train_loss', 'test_accuracy', 'l2_grads'):
        table = results.history.pivot(index='run', columns='step', values=name)
        np.testing.assert_allclose(history[name], table, rtol=1e-4, atol=1e-6)


def test_every_float_is_dynamic():
    config = make_config(optimizer__momentum=0.9)
    values = resolve.study(config).settings[0].hparams
    assert values.keys() == {'optimizer.learning_rate', 'optimizer.momentum'}
    assert all(value.dtype == np.float32 for value in values.values())


def test_dropout_keys_differ_from_step_to_step():
    """A model's random numbers are a function of the data key and the step."""

    def noisy(num_outputs):
        def init(rng, x):
            return {'params': {'w': jnp.zeros((num_outputs,))}}

        def apply(variables, x, *, train, rng=None, mask=None):
            noise = jax.random.normal(rng, (num_outputs,)) if train else 0.0
            return jnp.zeros((len(x), num_outputs)) + variables['params']['w'] + noise, {}

        return models.Model(init, apply)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, 'noisy', noisy)
        config = make_config(model__name='noisy', epochs=1)
        dataset = make_dataset()
        state, step = compiled(bound(config, dataset))
        frozen = dataclasses.replace(state)
        losses = [float(step(frozen, n, False)[1]) for n in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]


def test_a_run_stops_when_it_passes_the_target(dataset):
    """Strictly above, at an evaluation; from there on nothing changes."""
    config = make_config(epochs=8, optimizer__learning_rate=0.3)
    plain = nnstudy.run(config, data=dataset, quiet=True)
    curve = plain.history.set_index('step')['test_accuracy']
    target = float(curve[curve < curve.max()].max())
    passed = curve.index[curve > target][0]
    assert passed < curve.index[-1]
    config.stop.target = target
    stopped = nnstudy.run(config, data=dataset, quiet=True)
    assert stopped.runs['status'][0] == 'stopped'
    assert stopped.runs['steps'][0] == passed
    until = f'step <= {passed}'
    assert stopped.history.query(until).equals(plain.history.query(until))
    after = stopped.history.query(f'step >= {passed}')
    assert after['test_loss'].nunique() == 1
    config.stop.target = 1.0
    assert nnstudy.run(config, data=dataset, quiet=True).runs['status'][0] == 'finished'
    config.stop.metric = 'tset_accuracy'
    with pytest.raises(nnstudy.UserError, match="did you mean 'test_accuracy'"):
        nnstudy.run(config, data=dataset, quiet=True)


def test_a_run_stops_when_its_patience_ends(dataset):
    """At rate 0 no evaluation is better than the first."""
    config = make_config(epochs=9, eval_every=2, stop__patience=2, optimizer__learning_rate=0.0)
    results = nnstudy.run(config, data=dataset, quiet=True)
    assert results.runs['status'][0] == 'stopped'
    assert results.runs['steps'][0] == 20
    config.optimizer.learning_rate = 0.1
    assert nnstudy.run(config, data=dataset, quiet=True).runs['steps'][0] > 20


def _permuted(shuffle, epoch, places):
    """What `Shuffle.examples` does, by JAX's own permutation, which sorts."""
    key = jax.random.fold_in(jax.random.wrap_key_data(shuffle.bits[0, :2]), epoch)
    return jax.random.permutation(key, shuffle.size)[places]


def ends(runs, point, loss):
    values = runs[runs['point'] == point][loss].to_numpy(float)
    return np.nan_to_num(values, nan=np.inf, posinf=np.inf)  # of a run that is over


STUDIES = {
    'lr_sweep': {'epochs': 3},
    'boston_batch_size': {},
    'batch_noise': {'split.train': 'train[:1000]', 'epochs': 2, 'diagnostics': ()},
}


@pytest.mark.slow
@pytest.mark.parametrize('name', STUDIES)
def test_studies_end_as_with_permutations_of_jax(name, monkeypatch, data_dir):
    """Two-sample tests of the losses at each point, of 200 seeds each that are not the same."""
    runs = []
    for seed, examples in ((0, ops.Shuffle.examples), (1000, _permuted)):
        monkeypatch.setattr(ops.Shuffle, 'examples', examples)
        program.compiled.cache_clear()
        fields = {**STUDIES[name], 'seed': seed, 'num_seeds': 200}
        said = study_file.load(f'{ROOT}/configs/{name}.py', fields)
        results = nnstudy.run(said.config, said.points[::3], data_dir=data_dir, quiet=True)
        runs.append(results.runs)
    program.compiled.cache_clear()
    ps = {
        (point, loss): stats.ks_2samp(*(ends(r, point, loss) for r in runs)).pvalue
        for point in runs[0]['point'].unique()
        for loss in ('train_loss', 'test_loss')
    }
    print(f'{name}: {len(ps)} tests, the smallest p {min(ps.values()):.3f}')
    assert min(ps.values()) * len(ps) > 0.01, ps


@pytest.mark.parametrize('kind', [targets.H100, targets.TPU_V5E])
@pytest.mark.parametrize(
    ('fields', 'bounds'),
    [
        ({'batch_size': 1}, [(0, 0), (0, 71), (71, 72)]),  # not of whole stretches
        ({'batch_size': 8, 'eval_every': 3}, [(0, 0), (0, 2), (2, 15)]),  # a short last batch
        ({'batch_size': 36}, [(0, 0), (0, 1), (1, 3)]),
        ({'batch_size': 1, 'optimizer__learning_rate': 1e30}, [(0, 50)]),
    ],
)
def test_a_loop_of_an_accelerator_takes_the_same_steps(kind, fields, bounds, dataset):
    """The loop's number of rounds is known, and there are no branches."""
    run = bound(make_config(log_every_steps=2, **fields), dataset)

    def trained(device):
        @jax.jit
        def segment(state, start, stop):
            return steps.segment(run, state, start, stop, jnp.asarray(True), 40, device)

        state, outputs = jax.jit(lambda: steps.init(run))(), []
        for start, stop in bounds:
            state, output = segment(state, jnp.int32(start), jnp.int32(stop))
            outputs.append(output)
        return state, outputs

    ours, theirs = trained(targets.CPU), trained(kind)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, theirs)
