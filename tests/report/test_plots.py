import dataclasses
import io
import time

import numpy as np
import pandas as pd
import pytest

import nnstudy
from nnstudy import errors
from nnstudy.report import cells, histories, maps, plots, summary
from nnstudy.spec.fields import Config

RATE = 'optimizer.learning_rate'


def texts(figure) -> str:
    """Returns all that is written outside the panels of a figure."""
    legend = [t.get_text() for box in figure.legends for t in box.get_texts()]
    return ' '.join([figure.get_suptitle(), figure.get_supxlabel(), *legend]).replace('\n', ' ')


def render(figure) -> None:
    figure.savefig(io.BytesIO(), dpi=40)


def marks(panel, marker: str) -> int:
    """Returns how many marks of a kind are drawn."""
    return sum(len(line.get_xdata()) for line in panel.lines if line.get_marker() == marker)


def test_every_run_is_drawn_and_diverged_ones_are_marked(rate_sweep):
    figure = plots.metric_vs(rate_sweep, RATE)
    panel = figure.axes[0]
    assert panel.get_xscale() == 'log'
    assert panel.get_xlabel() == 'optimizer.learning_rate'
    assert panel.get_ylabel() == 'test accuracy (%)'
    assert marks(panel, 'x') == 12
    # 92 runs and 13 medians.
    assert marks(panel, 'o') == 92 + 13
    assert 'diverged run (12 of 104)' in texts(figure)
    assert 'best on validation: 0.215' in texts(figure)
    assert '8 seeds' in texts(figure)


def test_medians_are_those_of_numpy(rate_sweep):
    runs = rate_sweep.runs
    panel = plots.metric_vs(rate_sweep, RATE).axes[0]
    line = next(line for line in panel.lines if line.get_linestyle() == '-')
    expected = 100 * runs.groupby(RATE)['test_accuracy'].median()
    np.testing.assert_allclose(line.get_xdata(), expected.index)
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_few_settings_of_other_fields_are_lines_and_many_are_pooled(study):
    rates = [0.01, 0.1, 1.0]
    few = study({'optimizer.learning_rate': rates, 'optimizer.momentum': [None, 0.5, 0.9]}, seeds=2)
    figure = plots.metric_vs(few, RATE)
    assert [t.get_text() for t in figure.legends[0].get_texts()][:3] == ['off', '0.5', '0.9']
    assert 'Pooled' not in texts(figure)
    many = study({'optimizer.learning_rate': rates, 'model.width': list(range(1, 8))}, seeds=2)
    figure = plots.metric_vs(many, RATE)
    assert 'Pooled over model.width' in texts(figure)
    assert marks(figure.axes[0], 'o') == 3 * 7 * 2 + 3


def test_some_points_alone_are_drawn(study):
    results = study({RATE: [0.01, 0.1], 'batch_size': [16, 64]}, seeds=2)
    chosen = results.only(results.points_with({'batch_size': 16}))
    assert marks(plots.metric_vs(chosen, RATE, swept=[RATE]).axes[0], 'o') == 4 + 2
    assert set(chosen.history['run']) == set(chosen.runs['run'])


def test_exploded_losses_do_not_flatten_the_others(rate_sweep):
    figure = plots.metric_vs(rate_sweep, RATE, 'train_loss')
    assert figure.axes[0].get_ylim()[1] < 30
    assert '12 runs above' in texts(figure)
    figure = histories.curves(rate_sweep)
    assert figure.axes[0].get_ylim()[1] == pytest.approx(3 * 2.3, rel=0.05)
    assert '3 times the loss of step 0' in texts(figure)


def test_curves_have_a_colour_bar_in_the_fields_unit(rate_sweep):
    figure = histories.curves(rate_sweep)
    train, validation, bar = figure.axes
    assert (train.get_ylabel(), train.get_yscale()) == ('train loss', 'log')
    assert validation.get_ylabel() == 'validation accuracy (%)'
    assert train.get_xlabel() == validation.get_xlabel() == 'epoch'
    assert bar.get_ylabel() == 'optimizer.learning_rate'
    assert bar.get_yscale() == 'log'
    dashed = [line for line in train.lines if line.is_dashed()]
    assert len(dashed) == 2


def test_a_stopped_run_keeps_its_last_value_in_the_median(study):
    results = study({'optimizer.learning_rate': [0.1]}, seeds=3)
    history = results.history
    first = history['run'] == 0
    history.loc[first, 'train_loss'] = 0.01
    history = history[~first | (history['epoch'] <= 2)]
    line = histories.curves(dataclasses.replace(results, history=history)).axes[0].lines[0]
    last = history[history['step'] == history['step'].max()]['train_loss']
    assert line.get_ydata()[-1] == pytest.approx(last.min())


def test_more_points_than_colours_are_grey(study):
    grid = {'optimizer.learning_rate': [0.01, 0.1, 1.0, 10.0], 'model.width': [8, 16, 32, 64]}
    figure = histories.curves(study(grid, seeds=2))
    assert len(figure.legends[0].get_texts()) == histories.MAX_LEGEND
    assert 'the other 4' in texts(figure)


def without_accuracy(results: nnstudy.Results) -> nnstudy.Results:
    """Returns the study with no accuracy where a run's losses are not finite or beyond 100."""
    runs, history = results.runs.copy(), results.history.copy()
    for frame in (runs, history):
        blown_up = ~(frame['train_loss'] < 100)
        frame.loc[blown_up, [c for c in frame if c.endswith('_accuracy')]] = np.nan
    return dataclasses.replace(results, runs=runs, history=history)


def test_runs_without_accuracy_are_crosses_at_the_bottom_edge(rate_sweep):
    results = without_accuracy(rate_sweep)
    figure = plots.metric_vs(results, RATE)
    panel = figure.axes[0]
    (crosses,) = (
        line for line in panel.lines if line.get_marker() == 'x' and len(line.get_xdata())
    )
    assert len(crosses.get_xdata()) == 12
    render(figure)
    bottom = panel.get_window_extent().y0
    np.testing.assert_allclose(
        crosses.get_transform().transform(crosses.get_xydata())[:, 1], bottom
    )
    assert marks(panel, 'o') == 92 + 13
    assert 'diverged run (12 of 104)' in texts(figure)
    assert '12 runs without a finite value: drawn at the bottom edge' in texts(figure)
    median = next(line for line in panel.lines if line.get_linestyle() == '-')
    assert median.get_ydata()[-1] == pytest.approx(100 * results.runs['test_accuracy'].min())


def test_curves_of_runs_without_accuracy_go_on_at_the_worst(rate_sweep):
    results = without_accuracy(rate_sweep)
    figure = histories.curves(results)
    panel = figure.axes[1]
    assert 'runs with an accuracy that is not finite' in texts(figure)
    dashed = [line for line in panel.lines if line.is_dashed()]
    worst = 100 * results.history['validation_accuracy'].min()
    assert [line.get_ydata()[-1] for line in dashed] == pytest.approx([worst] * 2)
    for band in panel.collections:
        assert all(np.isfinite(path.vertices).all() for path in band.get_paths())


def large_study(points: int, seeds: int) -> nnstudy.Results:
    """Returns a study of two random fields, eleven evaluations a run."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({'run': range(points * seeds), 'status': 'finished'})
    runs['point'], runs['seed'] = runs['run'] // seeds, runs['run'] % seeds
    fields = {RATE: 10 ** rng.uniform(-4, 0, points), 'model.width': rng.integers(1, 500, points)}
    for field, values in fields.items():
        runs[field] = np.repeat(values, seeds)
    history = runs[['run', 'point', 'seed']].loc[runs.index.repeat(11)].reset_index(drop=True)
    history['step'] = np.tile(np.arange(11), len(runs))
    history['epoch'] = history['step'].astype(float)
    for split in ('train', 'validation', 'test'):
        history[f'{split}_loss'] = rng.uniform(0.1, 2.3, len(history))
        history[f'{split}_accuracy'] = rng.uniform(0.1, 1, len(history))
    last = history[history['step'] == 10].drop(columns=['point', 'seed', 'step', 'epoch'])
    drawn = pd.DataFrame(fields).to_dict('records')
    runs = runs.merge(last, on='run')
    return nnstudy.Results('large', Config(), drawn, runs, history, None, [], [])


def test_two_thousand_points_are_reported_in_seconds():
    results = large_study(points=2000, seeds=3)
    start = time.process_time()
    summary.summarise(results)
    plots.metric_vs(results, RATE)
    histories.curves(results)
    assert time.process_time() - start < 20, 'about 1 s on one core: what grows as the square?'


def test_thousands_of_points_are_few_artists_and_few_medians():
    results = large_study(points=1000, seeds=2)
    figure = plots.metric_vs(results, RATE)
    panel = figure.axes[0]
    assert 'all runs at neighbouring values' in texts(figure)
    assert marks(panel, 'o') == 2000 + plots.MAX_PLACES
    assert len(panel.get_children()) < 50
    figure = histories.curves(results)
    (crowd,) = (c for c in figure.axes[0].collections if len(c.get_paths()) > 1)
    assert len(crowd.get_paths()) == 1000 - histories.MAX_LEGEND
    one_field = histories.curves(results, [RATE])
    (crowd,) = one_field.axes[0].collections
    assert len(crowd.get_paths()) == 1000
    assert 'No bands' in texts(one_field) and 'band:' not in texts(one_field)


def test_of_many_names_only_some_are_written(study):
    results = study({'model.name': [f'model {i}' for i in range(100)]}, seeds=1)
    panel = plots.metric_vs(results, 'model.name').axes[0]
    assert len(panel.get_xticks()) <= plots.MAX_NAMED
    assert marks(panel, 'o') == 100 + 100


def test_save_writes_whole_files_only(rate_sweep, tmp_path):
    paths = plots.save(rate_sweep, tmp_path / 'report')
    assert [p.name for p in paths] == ['metric_vs_optimizer.learning_rate.png', 'curves.png']
    assert sorted(paths) == sorted((tmp_path / 'report').iterdir())
    assert all(p.read_bytes().startswith(b'\x89PNG') for p in paths)


def test_unknown_names_are_the_users_error(rate_sweep):
    with pytest.raises(errors.UserError, match=r'optimizer\.learning_rate'):
        plots.metric_vs(rate_sweep, 'optimizer.lr')
    with pytest.raises(errors.UserError, match='did you mean'):
        plots.metric_vs(rate_sweep, RATE, 'test_acuracy')


GRIDS = {
    'no field': {},
    'one value': {'optimizer.learning_rate': [0.1]},
    'two values': {'optimizer.learning_rate': [0.1, 1.0]},
    'none and a number': {'optimizer.momentum': [None, 0.9]},
    'none and numbers': {'optimizer.momentum': [None, 0.5, 0.9]},
    'none, zero and ratios': {'optimizer.weight_decay': [None, 0.0, 1e-5, 1e-4, 1e-3]},
    'linear': {'model.dropout': [0.0, 0.1, 0.2, 0.3]},
    'bool': {'model.bias': [False, True]},
    'tuples': {'model.widths': [(64, 64), (128,), (256, 128, 64)]},
    'strings': {'model.activation': ['relu', 'tanh']},
    'all diverge': {'optimizer.learning_rate': [5.0, 10.0, 20.0]},
    'two fields': {'model.activation': ['relu', 'tanh'], 'optimizer.momentum': [None, 0.9]},
}


def check_all_is_drawn(results: nnstudy.Results) -> None:
    """Warnings are errors here: drawing everything is the test."""
    for field in results.swept:
        render(plots.metric_vs(results, field))
    if results.swept:
        render(plots.metric_vs(results, results.swept[0], 'train_loss'))
    render(histories.curves(results))
    summary.summarise(results)


@pytest.mark.parametrize('seeds', [1, 3])
@pytest.mark.parametrize('grid', GRIDS.values(), ids=GRIDS.keys())
def test_any_field_and_few_seeds_are_drawn_without_warning(study, grid, seeds):
    check_all_is_drawn(study(grid, seeds, regression=seeds == 1))


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, 1e30])
@pytest.mark.parametrize('grid', ['no field', 'none, zero and ratios', 'tuples'])
def test_any_metric_is_drawn_without_warning(study, grid, value):
    results = study(GRIDS[grid], 2)
    for frame in (results.runs, results.history):
        columns = [c for c in frame if c.endswith(('_loss', '_accuracy'))]
        frame[columns] = value
    check_all_is_drawn(results)


def test_an_own_metric_is_drawn_where_this_process_does_not_know_it(study):
    """As from the working directory alone: what the results say of it is enough."""
    results = study({RATE: [0.1, 1.0], 'batch_size': [16, 64]}, seeds=2)
    for frame in (results.runs, results.history):
        for split in ('train', 'test'):
            frame[f'{split}_sureness'] = frame[f'{split}_accuracy']
    results.runs.loc[0, 'test_sureness'] = np.nan
    own = dataclasses.replace(results, directions={**results.directions, 'sureness': True})
    figure = plots.metric_vs(own, RATE, 'test_sureness')
    assert 'counted as the worst finite one' in texts(figure), 'more of it is better'
    worst = own.runs['test_sureness'].min()
    (drawn,) = maps.heat_map(own, RATE, 'batch_size', 'test_sureness').axes[0].get_images()
    expected = (worst + own.runs.loc[1, 'test_sureness']) / 2
    assert drawn.get_array()[0, 0] == pytest.approx(expected), 'a run without it is the worst'
    render(histories.train_and_test(own, metric='sureness'))
    render(cells.cell(own, 0, 'test_sureness'))
    with pytest.raises(errors.UserError, match="unknown metric 'test_sureness'"):
        plots.metric_vs(results, RATE, 'test_sureness')


def test_what_is_no_figure_leaves_no_pictures(rate_sweep, tmp_path):
    """A study is finished once it has pictures."""
    for others in ({'mine': 'a picture'}, ['a picture']):
        with pytest.raises(errors.UserError, match='matplotlib figures by file name, not .*a pict'):
            plots.save(rate_sweep, tmp_path / 'plots', others)
    assert not (tmp_path / 'plots').exists()
