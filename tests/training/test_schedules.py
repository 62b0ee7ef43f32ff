"""Schedules, against optax and plain Python, and what a sweep relies on."""

import functools
import math

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from nnstudy import commands, errors
from nnstudy.commands import schedules as drawing
from nnstudy.spec import values
from nnstudy.spec.fields import Component
from nnstudy.training import resolve, schedules

SPE, EPOCHS, LR = 10, 12, 0.4  # steps an epoch, epochs, learning rate
STEPS = np.arange(SPE * EPOCHS + 5)  # the end, and beyond

FIELDS = {
    'step': {'boundaries': (5, 8)},
    'table': {'factors': (1, 0.5, 0.1)},
    'reduce_on_plateau': {'patience': 3},
}


@functools.cache
def compiled(name, static, spe, epochs):
    """`(lr, floats, steps) -> rates`: one program for all values of the floats."""

    @jax.jit
    def of(lr, floats, steps):
        fields = dict(static) | floats
        made = schedules.make(schedules.SCHEDULES[name], fields, lr, spe, epochs)
        state = made.init()
        return jax.vmap(lambda step: jnp.asarray(made.rate(state, step), jnp.float32))(steps)

    return of


def rates(name, fields, steps=STEPS, spe=SPE, epochs=EPOCHS, lr=LR):
    """The rates of `steps`, float32 [len(steps)], all floats traced."""
    floats = {field: value for field, value in fields.items() if isinstance(value, float)}
    static = tuple((field, value) for field, value in fields.items() if field not in floats)
    return np.asarray(compiled(name, static, spe, epochs)(lr, floats, jnp.asarray(steps)))


CASES = [
    ('constant', {}, optax.constant_schedule(LR)),
    (
        'step',
        {'boundaries': (3, 7.5), 'factor': 0.2},
        optax.piecewise_constant_schedule(LR, {30: 0.2, 75: 0.2}),
    ),
    ('exponential', {'factor': 0.5}, optax.exponential_decay(LR, 10, 0.5)),
    (
        'exponential',
        {'factor': 0.5, 'every_epochs': 3, 'staircase': True},
        optax.exponential_decay(LR, 30, 0.5, staircase=True),
    ),
    ('linear', {}, optax.linear_schedule(LR, 0.0, 120)),
    ('linear', {'final_factor': 0.3}, optax.linear_schedule(LR, 0.3 * LR, 120)),
    ('polynomial', {}, optax.polynomial_schedule(LR, 0.0, 2, 120)),
    (
        'polynomial',
        {'power': 0.7, 'final_factor': 0.1},
        optax.polynomial_schedule(LR, 0.1 * LR, 0.7, 120),
    ),
    ('cosine', {}, optax.cosine_decay_schedule(LR, 120)),
    ('cosine', {'final_factor': 0.1}, optax.cosine_decay_schedule(LR, 120, alpha=0.1)),
    ('one_cycle', {}, optax.cosine_onecycle_schedule(120, LR)),
    (
        'one_cycle',
        {'rise': 0.55, 'start_factor': 0.1, 'final_factor': 0.01},
        optax.cosine_onecycle_schedule(120, LR, 0.55, 10, 10),
    ),
]


@pytest.mark.parametrize(('name', 'fields', 'reference'), CASES)
def test_equals_optax(name, fields, reference):
    """At the start, at every step, at the end and after it."""
    expected = jax.vmap(reference)(STEPS)
    np.testing.assert_allclose(rates(name, fields), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('num_steps', [1, 2, 7, 121, 145, 938])
def test_one_cycle_peaks_where_that_of_optax_does(num_steps):
    steps = np.arange(num_steps + 1)
    for rise in (0.3, 0.45, 0.7):
        got = rates('one_cycle', {'rise': rise}, steps, spe=num_steps, epochs=1)
        reference = optax.cosine_onecycle_schedule(num_steps, LR, rise)
        np.testing.assert_allclose(got, jax.vmap(reference)(steps), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ('name', 'fields', 'expected'),
    [
        ('linear_staircase', {'decrement': 0.25}, lambda t: max(0, 1 - 0.25 * (t // 10))),
        (
            'linear_staircase',
            {'decrement': 0.15, 'every_epochs': 2, 'final_factor': 0.3},
            lambda t: max(0.3, 1 - 0.15 * (t // 20)),
        ),
        ('inverse_sqrt', {}, lambda t: 1 / math.sqrt(max(t / 10, 1))),
        # T5: 1 / sqrt(max(n, k)), here relative to its start.
        ('inverse_sqrt', {'timescale': 2.5}, lambda t: math.sqrt(25) / math.sqrt(max(t, 25))),
        ('table', {'factors': (1, 0.5, 2)}, lambda t: (1, 0.5, 2)[min(t // 10, 2)]),
        ('table', {'factors': tuple(range(40))}, lambda t: t // 10),
    ],
)
def test_equals_its_formula(name, fields, expected):
    np.testing.assert_allclose(
        rates(name, fields), [LR * expected(t) for t in STEPS], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(
    ('steps', 'warmup_epochs'),
    [*((steps, None) for steps in (10, 41, 47, 55, 61, 82, 107)), (41, 0.5), (107, 2.3)],
)
def test_staircases_fall_at_the_boundary(steps, warmup_epochs):
    """Under jit a quotient of floats falls just short of a whole number for some of these."""
    begin = 0 if warmup_epochs is None else round(warmup_epochs * steps)
    epochs = np.arange(8)
    first, last = begin + steps * epochs, begin + steps * (epochs + 1) - 1
    warmup = {} if warmup_epochs is None else {'warmup_epochs': warmup_epochs}
    for name, fields, expected in (
        (
            'exponential',
            {'factor': 0.5, 'every_epochs': 3, 'staircase': True},
            0.5 ** (epochs // 3),
        ),
        (
            'step',
            {'factor': 0.5, 'boundaries': (2, 3, 5)},
            0.5 ** np.searchsorted([2, 3, 5], epochs, side='right'),
        ),
        ('linear_staircase', {'decrement': 0.125}, 1 - 0.125 * epochs),
        ('table', {'factors': (4, 3, 2, 1)}, [4, 3, 2, 1, 1, 1, 1, 1]),
    ):
        at = np.stack([first, last], axis=1).ravel()
        got = rates(name, fields | warmup, at, spe=steps, epochs=9, lr=1.0)
        np.testing.assert_array_equal(got, np.repeat(np.float32(expected), 2))


@pytest.mark.parametrize(('name', 'fields'), [case[:2] for case in CASES])
def test_warmup_equals_optax_join(name, fields):
    """A ramp, then the schedule in the steps that are left: an end is reached at the last one."""
    has_end = not {'factor', 'boundaries'} & fields.keys()
    for warmup_epochs in (2.0, 0.33, 0.0):
        num_warmup = round(warmup_epochs * SPE)
        shape = {'spe': 1, 'epochs': 120 - num_warmup} if has_end else {}
        left = rates(name, fields, **shape)
        expected = optax.join_schedules(
            [optax.linear_schedule(0.0, left[0], num_warmup), jnp.array(left).__getitem__],
            [num_warmup],
        )
        got = rates(name, fields | {'warmup_epochs': warmup_epochs})
        np.testing.assert_allclose(got, jax.vmap(expected)(STEPS), rtol=2e-5, atol=1e-7)
        assert got[0] == (0 if num_warmup else left[0])
        assert got[num_warmup] == left[0]


def test_warmup_equals_that_of_optax():
    got = rates('cosine', {'final_factor': 0.1, 'warmup_epochs': 2.0})
    reference = optax.warmup_cosine_decay_schedule(0.0, LR, 20, 120, 0.1 * LR)
    np.testing.assert_allclose(got, jax.vmap(reference)(STEPS), rtol=1e-5, atol=1e-7)
    got = rates('constant', {'warmup_epochs': 1.5})
    reference = optax.warmup_constant_schedule(0.0, LR, 15)
    np.testing.assert_allclose(got, jax.vmap(reference)(STEPS), rtol=1e-6)


@pytest.mark.parametrize('name', ['cosine', 'linear', 'polynomial', 'one_cycle', 'rounded'])
def test_a_warmup_of_the_whole_run_and_more_stays_finite(name):
    for warmup_epochs in (12.0, 30.0):
        got = rates(name, {'warmup_epochs': warmup_epochs}, STEPS[:121])
        ramp = STEPS[:121] / (SPE * warmup_epochs)
        np.testing.assert_allclose(got[:-1], (ramp * got[-1] / ramp[-1])[:-1], rtol=1e-5)


def keras(rate, constant_epochs, decay, epochs):
    """As Keras' LearningRateScheduler: the optimizer's float32 rate goes into the next call."""
    table = []
    for epoch in range(epochs):
        if epoch >= constant_epochs:
            rate = round(float(rate) * math.exp(-decay), 4)
        rate = np.float32(rate)
        table.append(rate)
    return np.array(table)


@pytest.mark.parametrize(
    ('constant_epochs', 'decay', 'epochs'),
    # Boston housing: rate decay; batch size, up to 17 epochs.
    [(10, 0.05, 50), (6, 0.1, 17), (6, 0.1, 100)],
)
@pytest.mark.parametrize('warmup_epochs', [None, 2.0])
def test_rounded_equals_plain_python(constant_epochs, decay, epochs, warmup_epochs):
    fields = {'constant_epochs': constant_epochs, 'decay': decay}
    begin = 0
    if warmup_epochs is not None:
        fields, begin = fields | {'warmup_epochs': warmup_epochs}, 26
    steps = begin + np.arange(13 * epochs)
    got = rates('rounded', fields, steps, 13, epochs, 0.02)
    expected = np.repeat(keras(0.02, constant_epochs, decay, epochs), 13)
    np.testing.assert_array_equal(got, expected)


def test_rounded_of_the_boston_study():
    """By hand: 0.02 e^-0.05 = 0.019025, 0.0190 e^-0.05 = 0.018073, 0.0181 e^-0.05 = 0.017217."""
    fields = {'constant_epochs': 10, 'decay': 0.05}
    got = rates('rounded', fields, 13 * np.arange(8, 14), 13, 50, 0.02)
    assert [f'{r:.4f}' for r in got] == ['0.0200', '0.0200', '0.0190', '0.0181', '0.0172', '0.0164']


@functools.partial(jax.jit, static_argnums=2)
def rounded_table(rate, decay, constant_epochs):
    """The rates of 20 epochs."""
    fields = {'decay': decay, 'constant_epochs': constant_epochs}
    return schedules.make(schedules.rounded, fields, rate, 1, 20).init()


@given(rate=st.floats(1e-3, 0.5), decay=st.floats(0.01, 1.0), constant_epochs=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_rounded_differs_from_plain_python_at_ties_only(rate, decay, constant_epochs):
    rate, decay = float(np.float32(rate)), float(np.float32(decay))
    got = np.asarray(rounded_table(rate, decay, constant_epochs), float)
    assert (got[:constant_epochs] == rate).all()
    for epoch in range(constant_epochs, 20):
        exact = (got[epoch - 1] if epoch else rate) * math.exp(-decay) * 1e4
        if abs(exact % 1 - 0.5) > 1e-6 * exact:
            assert f'{got[epoch]:.4f}' == f'{round(exact) / 1e4:.4f}'


def plateau(losses, **fields):
    """Our factors after each loss, [len(losses)]."""
    floats = {k: v for k, v in fields.items() if isinstance(v, float)}
    static = {k: v for k, v in fields.items() if k not in floats}

    @jax.jit
    def run(floats, losses):
        made = schedules.make(schedules.reduce_on_plateau, static | floats, 1.0, SPE, EPOCHS)

        def body(state, loss):
            state = made.observe(state, loss)
            return state, made.rate(state, jnp.int32(0))

        return lax.scan(body, made.init(), losses)[1]

    return np.asarray(run(floats, jnp.asarray(losses, jnp.float32)))


def plain_plateau(losses, factor, patience, cooldown, min_factor, threshold):
    """PyTorch's ReduceLROnPlateau, but lowering at the `patience`-th bad loss, as Keras does."""
    rate, best, bad, rest, out = 1.0, math.inf, 0, 0, []
    for loss in np.float32(losses):
        if loss < np.float32(best) * np.float32(1 - threshold):
            best, bad = loss, 0
        else:
            bad += 1
        if rest > 0:
            rest, bad = rest - 1, 0
        if bad >= patience:
            rate, rest, bad = max(rate * factor, min_factor), cooldown, 0
        out.append(rate)
    return out


def optax_plateau(losses, factor, patience, cooldown, min_factor, threshold):
    tx = optax.contrib.reduce_on_plateau(
        factor, patience, threshold, 0.0, cooldown, min_scale=min_factor
    )

    def body(state, loss):
        update, state = tx.update(jnp.float32(1), state, value=loss)
        return state, update

    return lax.scan(body, tx.init(jnp.float32(0)), jnp.asarray(losses, jnp.float32))[1]


@pytest.mark.parametrize('reference', [plain_plateau, optax_plateau])
@pytest.mark.parametrize(('patience', 'cooldown'), [(1, 0), (1, 1), (2, 0), (2, 3), (4, 1)])
def test_reduce_on_plateau_equals_its_references(reference, patience, cooldown):
    fields = dict(factor=0.5, patience=patience, cooldown=cooldown, min_factor=0.05, threshold=1e-4)
    rng = np.random.default_rng(patience + 10 * cooldown)
    values = [0.1, 0.5, 0.50001, 0.6, 1.0, 3.0, math.nan, math.inf]  # ties, stalls and NaN
    for scale in (1.0, 1.0, 0.97):
        # The last is a loss that falls, slower and slower.
        losses = np.array(values)[rng.integers(0, len(values), 60)] * scale ** np.arange(60)
        np.testing.assert_allclose(
            plateau(losses, **fields), reference(losses, **fields), rtol=1e-6
        )


def test_reduce_on_plateau():
    """By hand: two bad losses lower the rate, the next one does not count, 0.1 is the end."""
    losses = [1.0, 0.5, 0.5, math.nan, 0.9, 0.9, 0.9, 0.4, 0.4, 0.4]
    got = plateau(losses, factor=0.25, patience=2, cooldown=1, min_factor=0.1)
    np.testing.assert_allclose(got, [1, 1, 1, 0.25, 0.25, 0.25, 0.1, 0.1, 0.1, 0.1])


def test_reduce_on_plateau_of_a_negative_loss():
    """A share of the best loss is no improvement in the wrong direction."""
    got = plateau([-1.0, -1.0, -1.00001, -2.0], factor=0.5, patience=2)
    np.testing.assert_allclose(got, [1, 1, 0.5, 0.5])


def every_float(name):
    """All dynamic fields of a schedule with their defaults, and a warm-up."""
    known = values.signature(schedules.SCHEDULES[name])
    floats = {
        field: known[field].default
        for field in known.keys() - schedules.RESERVED
        if float in known[field].kinds
    }
    return floats | {'warmup_epochs': 1.0}


@pytest.mark.parametrize('name', sorted(schedules.SCHEDULES))
def test_other_values_are_no_other_program(name):
    """Nor does a run's rate depend on whether others are mapped along."""
    floats, traces = every_float(name), []

    @jax.jit
    def of(lr, floats, step):
        traces.append(step)
        fields = FIELDS.get(name, {}) | floats
        made = schedules.make(schedules.SCHEDULES[name], fields, lr, SPE, EPOCHS)
        state = made.observe(made.init(), jnp.float32(1))
        return made.rate(state, step)

    runs = [(0.1 * (k + 1), {f: v * (1 - 0.1 * k) for f, v in floats.items()}) for k in range(3)]
    alone = [of(lr, fields, step) for lr, fields in runs for step in (3, 57, 120)]
    assert len(traces) == 1
    assert all(rate.dtype == jnp.float32 and rate.shape == () for rate in alone)
    assert np.isfinite(alone).all() and np.min(alone) >= 0

    stacked = jax.tree.map(lambda *leaves: jnp.array(leaves), *runs)
    over_steps = jax.vmap(of, in_axes=(None, None, 0))
    mapped = jax.vmap(over_steps, in_axes=(0, 0, None))(*stacked, jnp.array([3, 57, 120]))
    np.testing.assert_allclose(mapped.ravel(), alone, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize('name', sorted(schedules.SCHEDULES))
def test_every_float_field_matters(name):
    """Each one changes the rate at some step, traced as it is."""
    losses = jnp.float32(0.98 ** np.arange(20))
    floats = every_float(name)
    if 'threshold' in floats:
        floats['threshold'] = 0.1

    @jax.jit
    def of(floats):
        fields = FIELDS.get(name, {}) | floats
        made = schedules.make(schedules.SCHEDULES[name], fields, LR, SPE, EPOCHS)
        state, _ = lax.scan(lambda s, loss: (made.observe(s, loss), 0), made.init(), losses)
        return jax.vmap(lambda step: jnp.asarray(made.rate(state, step)))(jnp.asarray(STEPS))

    for field, value in floats.items():
        assert not np.array_equal(of(floats), of(floats | {field: 0.6 * value + 0.3})), field


@pytest.mark.parametrize(
    ('name', 'fields', 'message'),
    [
        ('step', {}, 'boundaries must be increasing epochs above 0, such as (5, 8), not ()'),
        ('step', {'boundaries': (5, 5)}, 'boundaries'),
        ('step', {'boundaries': (8, 5)}, 'boundaries'),
        ('step', {'boundaries': (0, 5)}, 'boundaries'),
        ('step', {'boundaries': ('a', 5)}, "boundaries[0] must be a number, not 'a'"),
        ('step', {'boundaries': (True, 5)}, 'boundaries'),
        ('step', {'boundaries': (1, math.inf)}, 'boundaries'),
        (
            'exponential',
            {'every_epochs': 0},
            'every_epochs must be at least 1, not 0',
        ),
        ('exponential', {'every_epochs': 1.5}, 'every_epochs must be a whole number'),
        ('linear_staircase', {'every_epochs': -1}, 'every_epochs'),
        ('table', {}, 'factors must be a number for each epoch, such as (1, 0.1), not ()'),
        ('table', {'factors': (1, None)}, 'factors'),
        ('table', {'factors': ((1, 2), 1)}, 'factors'),
        ('table', {'factors': (1, math.nan)}, 'factors'),
        ('rounded', {'decimals': -1}, 'decimals must be at least 0, not -1'),
        ('rounded', {'decimals': 21}, 'decimals'),
        ('rounded', {'constant_epochs': -1}, 'constant_epochs'),
        ('reduce_on_plateau', {'patience': 0}, 'patience'),
        ('reduce_on_plateau', {'cooldown': -1}, 'cooldown'),
    ],
)
def test_bad_static_fields(name, fields, message):
    with pytest.raises(errors.UserError) as error:
        chosen = resolve.SLOTS['schedule'].resolve(Component(name, fields))
        rates(name, chosen.arguments)
    assert str(error.value).startswith(f'config.schedule.{message}')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', sorted(schedules.SCHEDULES))
def test_a_config_names_every_field(name):
    """The section is checked against the signature; what training gives is not in it."""
    fields = {'warmup_epochs': 1, **every_float(name), **FIELDS.get(name, {})}
    slot = resolve.SLOTS['schedule']
    slot.resolve(Component(name, fields))
    for field in schedules.RESERVED:
        with pytest.raises(errors.UserError, match=f"unknown field of schedule '{name}' '{field}'"):
            slot.resolve(Component(name, {**fields, field: 1}))


def test_long_durations_are_beyond_every_run():
    far = 2**31 - 1
    assert (rates('exponential', {'every_epochs': far, 'staircase': True}) == np.float32(LR)).all()
    assert (rates('step', {'boundaries': (far,)}) == np.float32(LR)).all()


def test_the_picture_shows_every_schedule(tmp_path, monkeypatch, capsys):
    assert {example.name for example in drawing.examples(12)} == set(schedules.SCHEDULES)
    monkeypatch.chdir(tmp_path)
    assert commands.main(['schedules', 'step', 'reduce_on_plateau', '--epochs=3']) == 0
    assert capsys.readouterr().out == 'picture: schedules.png\n'
    assert [path.name for path in tmp_path.iterdir()] == ['schedules.png']
    assert matplotlib.image.imread('schedules.png').shape[0] > 500

    picture = drawing.draw([e for e in drawing.examples(8) if e.name == 'step'], 8)
    (panel,) = picture.axes
    assert panel.get_title(loc='left') == 'step\nboundaries=(4, 6), factor=0.5'
    assert [line.get_xdata()[0] for line in panel.lines] == [4, 6]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['cosin'], "unknown schedule 'cosin': did you mean 'cosine'?"),
        (['--epoch=3'], 'unrecognized arguments: --epoch=3'),
        (['--epochs=x'], "argument --epochs: must be a whole number, at least 1, not 'x'"),
        (['--epochs=0'], "argument --epochs: must be a whole number, at least 1, not '0'"),
        (['cosine', '--out=missing/picture.png'], "cannot write 'missing/picture.png': "),
        (['cosine', '--out=.'], "cannot write '.': "),
    ],
)
def test_a_mistake_at_the_command_line_costs_one_line(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert commands.main(['schedules', *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == '' and err.count('\n') == 1
    assert err.startswith(f'error: {message}')
    assert list(tmp_path.iterdir()) == []
