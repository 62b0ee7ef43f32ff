"""The host loop: resume, chunks, diverged runs, working directories."""

import dataclasses
import functools
import importlib.util
import json
import linecache
import logging
import re
import sys
import textwrap

import jax
import numpy as np
import pandas as pd
import pytest
from small import make_config

import nnstudy
from nnstudy import UserError, models
from nnstudy.machine import progress
from nnstudy.machine import target as targets
from nnstudy.results import checkpoints
from nnstudy.running import layout, program, study, tables
from nnstudy.running import plan as plan_lib
from nnstudy.spec import components
from nnstudy.training import losses

RATES = nnstudy.choice('optimizer.learning_rate', [0.01, 0.1, 1.0])


def small_config(**fields):
    fields = {
        'num_seeds': 2,
        'epochs': 4,
        'optimizer__momentum': 0.5,
        'log_every_steps': 2,
    } | fields
    return make_config(execution__checkpoint_seconds=0.0, **fields)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    """Of three steps and one block a device, as large studies have; five steps are an epoch."""
    choose = layout.choose

    def shorter(*args, **kwargs):
        return choose(*args, **kwargs)._replace(step_seconds=layout.SEGMENT_SECONDS / 3)

    monkeypatch.setattr(layout, 'choose', shorter)


def assert_equal_results(a, b):
    """Bit for bit, all but the time that it took."""
    pd.testing.assert_frame_equal(a.runs.drop(columns='seconds'), b.runs.drop(columns='seconds'))
    pd.testing.assert_frame_equal(a.history, b.history)
    for which in ('final', 'best'):
        for run in a.runs['run']:
            jax.tree.map(np.testing.assert_array_equal, a.params(run, which), b.params(run, which))


class Interrupt(Exception):
    pass


def interrupted_after(monkeypatch, num_saves, method):
    """Makes the study die once that many checkpoints are saved."""
    original, count = getattr(checkpoints.Series, method), [0]

    def save(self, checkpoint):
        number = original(self, checkpoint)
        count[0] += 1
        if count[0] == num_saves:
            self._manager.wait_until_finished()
            raise Interrupt
        return number

    monkeypatch.setattr(checkpoints.Series, method, save)


@pytest.mark.parametrize(
    'num_saves', [1, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 9))]
)
def test_resumed_equals_uninterrupted(num_saves, dataset, tmp_path, monkeypatch):
    """Two groups; killed early, between evaluations, after a finished group, near the end."""
    config = small_config()
    points = nnstudy.grid(nnstudy.choice('model.activation', ['relu', 'tanh']), RATES)
    plain = nnstudy.run(config, points, data=dataset, quiet=True)
    with monkeypatch.context() as patch:
        interrupted_after(patch, num_saves, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, points, tmp_path, dataset, quiet=True)
    assert not (tmp_path / 'runs.csv').exists()
    resumed = nnstudy.run(config, points, tmp_path, dataset, quiet=True)
    assert_equal_results(resumed, plain)
    pd.testing.assert_frame_equal(resumed.steps, plain.steps)
    assert_equal_results(nnstudy.load(tmp_path), plain)


def recorded_segments(monkeypatch):
    """Returns a list to which every segment that is trained is added."""
    segments, original = [], program.Program.advance

    def advance(self, state, own, segment):
        segments.append(segment)
        return original(self, state, own, segment)

    monkeypatch.setattr(program.Program, 'advance', advance)
    return segments


def test_a_resumed_study_does_not_train_again(dataset, tmp_path, monkeypatch):
    config = small_config()
    with monkeypatch.context() as patch:
        interrupted_after(patch, 5, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    segments = recorded_segments(monkeypatch)
    nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    assert segments and min(segment.start for segment in segments) >= 3
    assert sum(segment.start < 9 for segment in segments) < 4


@pytest.mark.usefixtures('optimized')
def test_chunks_change_no_bit(dataset, tmp_path):
    config = small_config(execution__lanes=1)
    whole = nnstudy.run(config, RATES, data=dataset, quiet=True)
    state_bytes = plan_lib.make(config, RATES, data=dataset).groups[0].layout.state_bytes
    config.execution.memory_gib = 2 * 2 * state_bytes / 2**30
    assert plan_lib.make(config, RATES, data=dataset).groups[0].chunk_size() == 2
    chunked = nnstudy.run(config, RATES, data=dataset, quiet=True)
    assert [len(about['seeds']) for _, about in chunked.chunks.abouts()] == [2, 2, 2]
    assert_equal_results(chunked, whole)
    kept = nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    assert_equal_results(nnstudy.load(tmp_path), kept)


def test_same_seed_same_bits_and_seeds_pair_points(dataset):
    config = small_config()
    first = nnstudy.run(config, RATES, data=dataset, quiet=True)
    assert_equal_results(first, nnstudy.run(config, RATES, data=dataset, quiet=True))
    start = first.history.query('step == 0').set_index(['point', 'seed'])['train_loss'].unstack()
    assert (start.nunique() == 1).all()  # equal over the points
    assert start.iloc[0].nunique() == 2  # and not over the seeds


def test_new_values_of_dynamic_fields_compile_nothing(dataset, caplog):
    """Another rate, momentum, seed or target: the programs of the first study serve."""
    config = stopping_config()
    program.compiled.cache_clear()  # another test may have compiled them
    assert compilations(config, RATES, dataset, caplog) == 2
    config.optimizer.momentum, config.seed, config.stop.target = 0.7, 5, 0.999
    other = nnstudy.choice('optimizer.learning_rate', [0.02, 0.2, 2.0])
    assert compilations(config, other, dataset, caplog) == 0
    config.optimizer.momentum = None  # off is another program
    assert compilations(config, other, dataset, caplog) >= 2


def stopping_config():
    return small_config(epochs=8, stop__target=0.5, stop__metric='train_accuracy')


def compilations(config, points, dataset, caplog):
    """How many programs of a study are compiled."""
    caplog.clear()
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        nnstudy.run(config, points, data=dataset, quiet=True)
    messages = [record.getMessage() for record in caplog.records]
    return sum('XLA compilation of jit(' in m and 'ed)' in m for m in messages)


@pytest.mark.slow
def test_a_model_registered_anew_is_another_program(dataset, monkeypatch):
    """In a notebook a cell that defines a model is run again after a change."""

    def define(width):
        def model(num_outputs):
            return models.MODELS['mlp'](num_outputs=num_outputs, widths=(width,))

        monkeypatch.setitem(models.MODELS, 'mine', model)
        config = make_config(model__name='mine')
        return nnstudy.run(config, data=dataset, quiet=True)

    assert define(4).runs['num_params'][0] != define(9).runs['num_params'][0]
    assert define(9).params(0)['Dense_0']['kernel'].shape == (16, 9)


def test_diverged_runs(dataset):
    """Frozen ones, and ones that end worse than they began; the others keep their bits."""
    config = make_config(loss='squared_error', model__widths=(), epochs=6, num_seeds=2)
    points = nnstudy.choice('optimizer.learning_rate', [0.01, 1e4, 1e-3])
    results = nnstudy.run(config, points, data=dataset, quiet=True)
    runs = results.runs.set_index('point')
    assert runs['status'].loc[[0, 2]].tolist() == ['finished'] * 4
    assert runs['diverged_step'].loc[[0, 2]].isna().all()
    assert runs['status'].loc[1].tolist() == ['diverged'] * 2
    assert (runs['diverged_step'].loc[1] == runs['steps'].loc[1]).all()
    assert runs['steps'].loc[0].tolist() == [30, 30]
    alone = nnstudy.run(config, points[:1] + points[2:], data=dataset, quiet=True)
    kept = results.runs.query('point != 1').drop(columns=['run', 'point', 'seconds'])
    pd.testing.assert_frame_equal(
        kept.reset_index(drop=True), alone.runs.drop(columns=['run', 'point', 'seconds'])
    )


def test_diverged_step_of_histories():
    """By hand: [R, E] train losses, evaluated at 0, 10, 20, 30."""
    loss = np.array(
        [
            [2.0, 1.0, 0.5, 0.1],  # fine
            [2.0, 9.0, 1.0, 0.1],  # was worse, came back
            [2.0, 1.0, 3.0, 4.0],  # worse from 20 on
            [2.0, 3.0, 1.0, 2.5],  # worse again from 30 on
            [2.0, 2.0, 2.0, 2.0],  # no better, no worse
            [2.0, 1.0, np.nan, np.nan],  # not finite from step 17 on
            [np.nan, np.nan, np.nan, np.nan],
        ]
    )
    frozen_at = np.array([-1, -1, -1, -1, -1, 17, 0])
    steps = np.array([0, 10, 20, 30])
    diverged = tables._diverged_steps(loss, steps, frozen_at)
    assert diverged.tolist() == [-1, -1, 20, 30, -1, 17, 0]


CLAIM = nnstudy.Claim('X: It learns', nnstudy.Quantity('test_loss') < 9)


def test_tables_and_files(dataset, tmp_path):
    config = small_config()
    points = nnstudy.grid(RATES, nnstudy.choice('model.widths', [(8,), (4, 4)]))
    results = nnstudy.run(config, points, tmp_path, dataset, quiet=True, claims=[CLAIM])
    assert len(results.runs) == 12  # no padding in the tables
    assert results.runs['run'].tolist() == list(range(12))
    columns = ['run', 'point', 'seed', 'group', 'optimizer.learning_rate', 'model.widths']
    assert results.runs.columns.tolist()[:6] == columns
    evaluations = results.history.groupby('run')['step'].apply(list)
    assert (evaluations.map(tuple) == (0, 5, 10, 15, 20)).all()
    last = results.history.groupby('run').last()
    for name in ('train_loss', 'validation_accuracy', 'test_accuracy'):
        np.testing.assert_array_equal(last[name], results.runs[name])
    best = results.history.merge(results.runs[['run', 'best_step', 'best_test_accuracy']], on='run')
    at_best = best.query('step == best_step')
    np.testing.assert_array_equal(at_best['test_accuracy'], at_best['best_test_accuracy'])

    stored = json.loads((tmp_path / 'config.json').read_text())
    assert stored['points'][1] == {'optimizer.learning_rate': 0.01, 'model.widths': [4, 4]}
    assert stored['claims'][0]['statement'] == 'It learns'
    (environment,) = json.loads((tmp_path / 'environment.json').read_text())['sessions']
    assert environment['versions']['jax'] == jax.__version__
    assert len(environment['lanes']) == 2
    assert len(pd.read_csv(tmp_path / 'runs.csv')) == 12

    loaded = nnstudy.load(tmp_path)
    assert loaded.swept == results.swept
    assert loaded.claims == [CLAIM]
    assert loaded.runs['model.widths'].tolist()[:4] == [(8,), (8,), (4, 4), (4, 4)]
    assert loaded.params(2, 'final')['Dense_0']['kernel'].shape == (16, 4)


def test_best_parameters_are_those_of_the_best_step(dataset):
    config = small_config(optimizer__learning_rate=0.02, num_seeds=12)
    results = nnstudy.run(config, data=dataset, quiet=True)
    ends = results.runs['best_step'] == results.runs['steps']
    assert ends.any() and not ends.all()  # else this test shows nothing
    for run, at_end in zip(results.runs['run'], ends, strict=True):
        final, best = (
            results.params(run, which)['Dense_0']['kernel'] for which in ('final', 'best')
        )
        assert np.array_equal(final, best) == at_end


def test_finished_study_is_read_and_not_trained(dataset, tmp_path, capsys, monkeypatch):
    config = small_config()
    first = nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    monkeypatch.setattr(study, 'Chunk', None)
    again = nnstudy.run(config, RATES, tmp_path, dataset)
    assert 'finished already' in capsys.readouterr().err
    assert_equal_results(first, again)


def test_a_point_has_the_configs_value_where_it_sets_none(dataset):
    config = small_config(optimizer__momentum=0.9, num_seeds=1)
    points = nnstudy.chain(RATES[:1], nnstudy.choice('optimizer.momentum', [0.0, 0.5]))
    results = nnstudy.run(config, points, data=dataset, quiet=True)
    assert results.runs['optimizer.momentum'].tolist() == [0.9, 0.0, 0.5]
    assert results.runs['optimizer.learning_rate'].tolist() == [0.01, 0.1, 0.1]
    with pytest.raises(UserError, match='points 0 and 1 of the sweep are equal'):
        nnstudy.run(config, [{}, {'optimizer.momentum': 0.9}], data=dataset)
    with pytest.raises(UserError, match='no points'):
        nnstudy.run(config, [], data=dataset)


def test_claims_are_plain_data(dataset, tmp_path):
    odd = nnstudy.Quantity('test_loss').where({'model.widths': {1, 2}})
    claims = [nnstudy.Claim('X: It learns', odd < 9)]
    with pytest.raises(UserError, match='numbers and texts, not {1, 2}'):
        nnstudy.run(small_config(), RATES, tmp_path / 'a', dataset, claims, quiet=True)
    assert not (tmp_path / 'a').exists()


def test_the_order_of_a_file_resumes_too(dataset, tmp_path, monkeypatch):
    config = small_config(shuffle=False)
    plain = nnstudy.run(config, RATES, data=dataset, quiet=True)
    with monkeypatch.context() as patch:
        interrupted_after(patch, 3, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    assert_equal_results(nnstudy.run(config, RATES, tmp_path, dataset, quiet=True), plain)


def test_regression(regression, tmp_path):
    config = make_config(
        loss='squared_error',
        split__train='train',
        split__validation=None,
        normalization='standard',
    )
    results = nnstudy.run(config, RATES, tmp_path, regression, quiet=True)
    expected = ['train_loss', 'train_mae', 'test_loss', 'test_mae', 'best_test_mae', 'best_step']
    assert results.runs.columns.tolist()[-6:] == expected
    assert not any('accuracy' in name for name in results.history)


def test_resuming_with_other_lanes_is_said(dataset, tmp_path, monkeypatch, capsys):
    config = small_config()
    with monkeypatch.context() as patch:
        interrupted_after(patch, 3, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    config.execution.lanes = 1
    nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    assert 'begun with other lanes' in capsys.readouterr().err
    sessions = json.loads((tmp_path / 'environment.json').read_text())['sessions']
    assert [session['lanes'] for session in sessions][1] == [1]
    assert len(sessions) == 2


@pytest.mark.parametrize(
    ('points', 'message'),
    [({'epochs': 3}, 'a list of dicts'), ([3], 'a list of dicts'), ([{1: 2}], 'a list of dicts')],
)
def test_points_of_another_kind(points, message, dataset):
    with pytest.raises(UserError, match=message):
        nnstudy.run(make_config(), points, data=dataset)


def test_what_a_config_file_says_of_its_study_is_no_part_of_its_components(tmp_path, monkeypatch):
    """So claims may change when all is trained."""
    code = '''
        """About."""
        from nnstudy import losses
        FACTOR = 2.0
        def helper(x):
            return FACTOR * x
        def loss(outputs, labels):
            return helper(losses.softmax_cross_entropy(outputs, labels))
        def get_config():
            pass
        def claims():
            return []
    '''

    def source(number, code):
        path = tmp_path / f'config{number}.py'
        path.write_text(textwrap.dedent(code))
        spec = importlib.util.spec_from_file_location(f'config{number}', path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return components.source(module.loss)

    plain = source(0, code)
    assert 'FACTOR * x' in plain
    assert (
        source(1, code.replace('return []', 'return [1]  # more').replace('About', 'On')) == plain
    )
    assert source(2, code.replace('2.0', '3.0')) != plain
    assert source(3, code.replace('FACTOR * x', 'x * FACTOR')) != plain


def test_points_may_come_from_a_generator(dataset):
    points = ({'optimizer.learning_rate': rate} for rate in (0.1, 0.2))
    assert len(nnstudy.run(make_config(), points, data=dataset, quiet=True).runs) == 2
    with pytest.raises(UserError, match=r'must be an nnstudy.Dataset, not tuple'):
        nnstudy.run(make_config(), data=(1, 2))


def test_what_a_component_calls_is_code_too(tmp_path, dataset, monkeypatch):
    """In the same file, or through `functools.partial`; and a global is read anew."""
    sources = set()
    for body in ('x', '2 * x'):
        path = tmp_path / 'part.py'
        path.write_text(
            f'from nnstudy import losses\n\ndef helper(x):\n    return {body}\n\n'
            'def loss(outputs, labels):\n'
            '    return helper(losses.softmax_cross_entropy(outputs, labels))\n'
        )
        importlib.invalidate_caches()
        spec = importlib.util.spec_from_file_location(f'part{len(body)}', path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        linecache.checkcache()
        sources.add(components.source(module.loss))
    partials = [functools.partial(models.MODELS['mlp'], widths=(n,)) for n in (3, 4)]
    sources |= {components.source(partial) for partial in partials}
    assert len(sources) == 4 and None not in sources
    assert components.source(models.MODELS['mlp']) is None

    monkeypatch.setitem(losses.LOSSES, 'mine', module.loss)
    config = make_config(loss='mine', optimizer__learning_rate=0.0)
    doubled = nnstudy.run(config, data=dataset, quiet=True).runs['train_loss'][0]
    monkeypatch.setattr(module, 'helper', lambda x: x)
    plain = nnstudy.run(config, data=dataset, quiet=True).runs['train_loss'][0]
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-6)


@pytest.mark.slow
def test_a_default_is_not_off(dataset):
    """A point that leaves a swept argument to its component shows the component's default."""
    config = make_config(optimizer__weight_decay=0.01)
    del config.model.widths
    points = [{}, {'model.widths': (16,)}, {'optimizer.name': 'adam', 'optimizer.b1': 0.8}]
    runs = nnstudy.run(config, points, data=dataset, quiet=True).runs
    assert runs['optimizer.b1'].tolist()[2] == 0.8
    assert runs['optimizer.name'].tolist() == ['sgd', 'sgd', 'adam']
    plan = plan_lib.make(config, points, data=dataset)
    assert {group.config.optimizer.arguments['weight_decay'] for group in plan.groups} == {0.01}
    with pytest.raises(UserError, match='are equal'):
        same = [{'optimizer.name': 'adam'}, {'optimizer.name': 'adam', 'optimizer.b1': 0.9}]
        plan_lib.make(config, same, data=dataset)


def test_runs_that_are_over_cost_nothing(dataset, monkeypatch):
    """Runs that reach the target leave the devices, and their rows stay as they were."""
    config = stopping_config()
    with monkeypatch.context() as patch:
        segments = recorded_segments(patch)
        results = nnstudy.run(config, RATES, data=dataset, quiet=True)
    stopped = results.runs.query('status == "stopped"')
    assert 0 < len(stopped) < 6 or stopped['steps'].nunique() > 1  # else this shows nothing
    trained = sum(len(segment.runs) * (segment.stop - segment.start) for segment in segments)
    # What was under way when a run was seen to be over, at most an epoch of each.
    assert trained <= results.runs['steps'].sum() + 5 * len(stopped)
    assert trained < 6 * 40
    for run, end in zip(stopped['run'], stopped['steps'], strict=True):
        rows = results.history[(results.history['run'] == run) & (results.history['step'] >= end)]
        assert rows['train_loss'].nunique() == 1 and len(rows) == 9 - end // 5
        assert rows['batch_loss'].notna().sum() == rows['l2_grads'].notna().sum() == 1


def test_out_of_memory_halves_the_chunk_once(dataset, monkeypatch, capsys):
    config = small_config(execution__lanes=1)
    plain = nnstudy.run(config, RATES, data=dataset, quiet=True)
    original, most = program.Program.advance, [4]

    def advance(self, state, own, segment):
        if self.size > most[0] and segment.start > 6:
            raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes')
        return original(self, state, own, segment)

    monkeypatch.setattr(program.Program, 'advance', advance)
    results = nnstudy.run(config, RATES, data=dataset)
    assert 'out of memory with 6 runs at a time; going on with 2' in capsys.readouterr().err
    assert_equal_results(results, plain)
    most[0] = 1
    with pytest.raises(UserError, match=r'out of memory with 2 runs.*set config.execution'):
        nnstudy.run(config, RATES, data=dataset, quiet=True)


def test_out_of_memory_goes_on_from_what_was_saved(dataset, tmp_path, monkeypatch):
    config = small_config(execution__lanes=1)
    plain = nnstudy.run(config, RATES, data=dataset, quiet=True)
    original, failed = program.Program.advance, []

    def advance(self, state, own, segment):
        if segment.start > 10 and not failed:
            failed.append(segment)
            raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory')
        return original(self, state, own, segment)

    monkeypatch.setattr(program.Program, 'advance', advance)
    segments = recorded_segments(monkeypatch)
    assert_equal_results(nnstudy.run(config, RATES, tmp_path, dataset, quiet=True), plain)
    again = segments[[segment is failed[0] for segment in segments].index(True) + 1 :]
    assert again and min(segment.start for segment in again) >= 10  # the epoch that was under way


def test_resumed_with_less_memory(dataset, tmp_path, monkeypatch):
    """The chunk that was under way is finished in smaller ones."""
    config = small_config(execution__lanes=1)
    plain = nnstudy.run(config, RATES, data=dataset, quiet=True)
    with monkeypatch.context() as patch:
        interrupted_after(patch, 9, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    config.execution.memory_gib = 1e-6
    resumed = nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    assert_equal_results(resumed, plain)


def test_decided_again_is_decided_alike(dataset, tmp_path):
    """Interrupted before its tables, a halved study replays its rungs, and knows more by then."""
    rng = np.random.default_rng(0)
    x, y = (array for array in dataset.splits['train'])
    noise = nnstudy.Dataset(
        'noise', {'train': (x, rng.permutation(y)), 'test': dataset.splits['test']}
    )
    points = nnstudy.logspace('optimizer.learning_rate', 0.01, 1.0, 7)
    config = small_config(halving__factor=2)
    first = nnstudy.run(config, points, tmp_path, noise, quiet=True)
    for name in ('history.parquet', 'runs.parquet', 'runs.csv'):
        (tmp_path / name).unlink()
    assert_equal_results(nnstudy.run(config, points, tmp_path, noise, quiet=True), first)


@pytest.mark.slow
def test_one_pass_over_a_chunk_is_kept_too(dataset, tmp_path, monkeypatch):
    """All segments end at the last step; blocks that are done are not done again."""
    config = small_config(epochs=1, batch_size=18, num_seeds=4)
    config.execution.lanes = 1
    plain = nnstudy.run(config, RATES, data=dataset, quiet=True)
    with monkeypatch.context() as patch:
        interrupted_after(patch, 4, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, RATES, tmp_path, dataset, quiet=True)
    segments = recorded_segments(monkeypatch)
    assert_equal_results(nnstudy.run(config, RATES, tmp_path, dataset, quiet=True), plain)
    assert 0 < len(segments) < 6 and all(segment.stop == 2 for segment in segments)


@pytest.mark.parametrize('num_saves', [2, 5, 8])
def test_halving_resumes_too(num_saves, dataset, tmp_path, monkeypatch):
    config = small_config(halving__factor=2, num_seeds=3)
    points = nnstudy.grid(nnstudy.choice('model.activation', ['relu', 'tanh']), RATES)
    plain = nnstudy.run(config, points, data=dataset, quiet=True)
    assert plain.runs['status'].value_counts()['pruned'] == 12
    with monkeypatch.context() as patch:
        interrupted_after(patch, num_saves, 'save')
        with pytest.raises(Interrupt):
            nnstudy.run(config, points, tmp_path, dataset, quiet=True)
    resumed = nnstudy.run(config, points, tmp_path, dataset, quiet=True)
    assert_equal_results(resumed, plain)
    pd.testing.assert_frame_equal(resumed.steps, plain.steps)


def test_progress_is_told_by_cost(dataset, capsys, monkeypatch):
    """Of batches of the whole set a step is long: counted in steps, a study would seem to stall."""
    monkeypatch.setattr(progress, 'SECONDS_BETWEEN_LINES', 0.0)
    # Arithmetic is all that counts.
    slow = dataclasses.replace(targets.CPU, rates=(('float32', 1e3),))
    monkeypatch.setattr(targets, 'kind_here', lambda: slow)
    nnstudy.run(small_config(), nnstudy.choice('batch_size', [36, 8]), data=dataset)
    err = capsys.readouterr().err
    told = re.findall(r'group (\d)/2: epoch 4/4: (\d+)%, about \d:\d\d:\d\d left', err)
    assert (told[0][0], told[-1]) == ('1', ('2', '100'))
    assert 40 <= int(told[0][1]) <= 60
    assert 'trained in ' in err
