import dataclasses
import io

import numpy as np
import pytest

from nnstudy import errors
from nnstudy.report import cells

GRID = {'model.widths': [(8, 25), (8, 50)], 'optimizer.learning_rate': [10.0, 1.0, 0.01]}
NAMES = {'model.widths': lambda widths: f'{widths[-1]} hidden units'}


@pytest.fixture
def grid(study):
    return study(GRID, seeds=3)


def texts(figure):
    return f'{figure.get_suptitle()} {figure.get_supxlabel()}'.replace('\n', ' ')


def lines(panel):
    """The curves of the runs, and that of the median."""
    return [np.asarray(s) for s in panel.collections[0].get_segments()], panel.lines[-1]


def test_a_cell_has_every_run_and_their_median(grid):
    figure = cells.cell(grid, 1)
    runs, median = lines(figure.axes[0])
    history = grid.history[grid.history['point'] == 1]
    expected = history.pivot(index='epoch', columns='run', values='train_loss')
    for run, column in zip(runs, expected.to_numpy().T, strict=True):
        np.testing.assert_allclose(run[:, 1], column)
        np.testing.assert_allclose(run[:, 0], expected.index)
    np.testing.assert_allclose(median.get_ydata(), expected.median(axis=1))
    assert '3 seeds' in texts(figure)
    figure.savefig(io.BytesIO(), dpi=40)


def test_each_cell_is_titled_with_its_fields(grid):
    pictures = cells.each(grid, names={**NAMES, 'optimizer.learning_rate': lambda r: f'rate {r:g}'})
    assert len(pictures) == 6
    assert 'cell_25_hidden_units_rate_0.01' in pictures
    assert pictures['cell_50_hidden_units_rate_10'].get_suptitle() == '50 hidden units, rate 10'
    rates = cells.each(grid, where={'model.widths': (8, 25)})
    assert list(rates) == [f'cell_learning_rate_{rate}' for rate in (10, 1, 0.01)]
    assert rates['cell_learning_rate_1'].get_suptitle() == 'learning_rate = 1'


def test_evaluations_within_the_first_epoch_are_seen(grid):
    """All of them are drawn; where they would be a few pixels wide, a panel shows them alone."""
    history = grid.history.assign(epoch=grid.history['epoch'] ** 2 / 10)
    early = np.unique(history['epoch'])
    figure = cells.cell(dataclasses.replace(grid, history=history), 1)
    zoomed, whole = figure.axes
    assert zoomed.get_xlim() == pytest.approx((0, 1), abs=0.1)
    assert zoomed.get_ylim() == whole.get_ylim()
    for panel in figure.axes:
        np.testing.assert_allclose(lines(panel)[1].get_xdata(), early)
    short = history.assign(epoch=history['epoch'] / 5)
    assert len(cells.cell(dataclasses.replace(grid, history=short), 1).axes) == 1


def test_a_run_that_blew_up_is_marked_and_counts_as_the_worst(grid):
    history = grid.history.copy()
    run = history.loc[history['point'] == 1, 'run'].iloc[0]
    late = (history['run'] == run) & (history['epoch'] > 5)
    history.loc[late, 'train_loss'] = np.inf
    figure = cells.cell(dataclasses.replace(grid, history=history), 1)
    cross = next(line for line in figure.axes[0].lines if line.get_marker() == 'x')
    assert cross.get_xdata() == pytest.approx(5)
    assert 'Cross: where the train loss of 1 run became not finite' in texts(figure)
    _, median = lines(figure.axes[0])
    rest = history[(history['point'] == 1) & (history['run'] != run)]
    highest = rest.groupby('epoch')['train_loss'].max()
    np.testing.assert_allclose(median.get_ydata()[-1], highest.iloc[-1])


def test_no_median_is_made_up_where_most_runs_blew_up(grid):
    history = grid.history.copy()
    history.loc[(history['point'] == 1) & (history['epoch'] > 5), 'train_loss'] = np.nan
    _, median = lines(cells.cell(dataclasses.replace(grid, history=history), 1).axes[0])
    assert np.isnan(median.get_ydata()[-1])
    history.loc[history['point'] == 1, 'train_loss'] = np.nan
    empty = cells.cell(dataclasses.replace(grid, history=history), 1)
    empty.savefig(io.BytesIO(), dpi=40)
    assert 'no finite value' in [text.get_text() for text in empty.axes[0].texts]


def test_an_overview_shares_its_axis_and_names_rows_and_columns(grid):
    figure = cells.overview(grid, ('model.widths',), ('optimizer.learning_rate',), names=NAMES)
    assert len(figure.axes) == 6
    assert [panel.get_title() for panel in figure.axes[:3]] == [
        f'learning_rate = {rate}' for rate in (10, 1, 0.01)
    ]
    assert [panel.get_ylabel() for panel in figure.axes[::3]] == [
        '25 hidden units',
        '50 hidden units',
    ]
    assert len({panel.get_ylim() for panel in figure.axes}) == 1
    assert figure.axes[0].get_yscale() == 'log'
    figure.savefig(io.BytesIO(), dpi=40)


def test_a_cell_that_was_not_run_is_said_and_a_crowded_place_refused(grid):
    kept = grid.runs['point'] != 4
    figure = cells.overview(
        dataclasses.replace(grid, runs=grid.runs[kept]),
        ('model.widths',),
        ('optimizer.learning_rate',),
    )
    assert [text.get_text() for text in figure.axes[4].texts] == ['not run']
    with pytest.raises(errors.UserError, match='points 0 and 3 are in the same place'):
        cells.overview(grid, (), ('optimizer.learning_rate',))
    with pytest.raises(errors.UserError, match="'batch_sizes': did you mean 'batch_size'"):
        cells.overview(grid, (), ('batch_sizes',))
    with pytest.raises(errors.UserError, match="unknown metric 'train_los'"):
        cells.cell(grid, 0, 'train_los')


def test_cells_of_one_field_go_on_in_further_rows(study):
    results = study({'batch_size': [2, 4, 8, 16, 32]}, seeds=2)
    figure = cells.overview(results, (), ('batch_size',), 'test_accuracy')
    assert [panel.get_title() for panel in figure.axes] == [
        f'batch_size = {size}' for size in (2, 4, 8, 16, 32)
    ]
    _, median = lines(figure.axes[0])
    assert median.get_ydata().max() > 50  # in percent
