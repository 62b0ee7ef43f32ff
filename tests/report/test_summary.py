import dataclasses
import io
import re

import numpy as np
import pytest
from rich import console

from nnstudy.report import summary


def printed(study, width: int = 80) -> str:
    file = io.StringIO()
    console.Console(file=file, width=width).print(summary.summarise(study))
    return file.getvalue()


def sentences(study) -> str:
    return ' '.join(printed(study).split())


def test_rate_sweep(rate_sweep):
    text = printed(rate_sweep)
    rows = [line.split() for line in text.splitlines() if line.rstrip().endswith('/8')]
    assert len(rows) == 13, 'one line a point: nothing wraps at 80 columns'
    assert [row[-1] for row in rows[-3:]] == ['0/8', '6/8', '6/8']
    assert [row[0] for row in rows].count('*') == 1
    said = ' '.join(text.split())
    assert 'Best point (*): optimizer.learning_rate = 0.215; chosen on validation' in said
    assert 'bootstrap 95% interval [' in said and 'n = 8 seeds' in said
    assert 'Not significantly different from it' in said
    assert 'edge' not in said
    # The eight seeds' boundaries lie about 2.5, where the made-up runs begin to diverge.
    found = re.search(
        r'Learning rate: on average over its 13 values, the final loss is (\S+) higher than at',
        said,
    )
    assert found and 0 < float(found[1]) < 2.3, 'no more than not to train at all'
    found = re.search(r'Runs begin to diverge at (\S+) \[.*\], median of 8 seeds', said)
    assert found and 1.5 < float(found[1]) < 4


def test_each_setting_has_its_own_boundary(study):
    rates = np.geomspace(0.1, 10, 9).tolist()
    said = sentences(study({'optimizer.momentum': [None, 0.9], 'optimizer.learning_rate': rates}))
    above = [float(x) for x in re.findall(r'Runs begin to diverge at (\S+) \[', said)]
    assert len(above) == 2 and above[0] > 5 * above[1], 'momentum 0.9 is worth ten rates'
    assert 'at momentum = off: on average over its 9 values' in said
    assert 'at momentum = 0.9: on average over its 9 values' in said


def test_edge_is_warned_of(rate_sweep):
    runs, history = rate_sweep.runs, rate_sweep.history
    low = runs[runs['optimizer.learning_rate'] < 0.1]
    history = history[history['run'].isin(low['run'])]
    said = sentences(dataclasses.replace(rate_sweep, runs=low, history=history))
    assert 'the best lies at the upper edge of optimizer.learning_rate (0.0825)' in said


def test_too_few_seeds_are_said_not_listed(study):
    said = sentences(study({'optimizer.learning_rate': [0.01, 0.1, 1.0]}, seeds=5))
    assert 'needs at least 6 seeds, and there are 5' in said
    assert 'Not significantly' not in said


def test_without_validation_it_says_so(study):
    said = sentences(study({'optimizer.learning_rate': [0.01, 0.1]}, validation=False))
    assert 'chosen on test' in said and 'validation accuracy' not in said


def test_many_points_show_the_best(study):
    rates = np.geomspace(1e-4, 1, 41).tolist()
    text = printed(study({'optimizer.learning_rate': rates}, seeds=2))
    assert sum(line.rstrip().endswith('/2') for line in text.splitlines()) == summary.SHOWN_POINTS
    assert '21 are left out' in text


def test_a_single_point_has_no_best(study):
    said = sentences(study({}))
    assert 'Best point' not in said and 'different' not in said
    assert 'The test accuracy: median' in said


def test_no_finite_value(study):
    results = study({'optimizer.momentum': [None, 0.9]})
    runs = results.runs
    columns = [c for c in runs if c.endswith(('_loss', '_accuracy'))]
    runs[columns] = np.nan
    said = sentences(dataclasses.replace(results, runs=runs.assign(status='diverged')))
    assert 'No best point' in said
    assert 'off – – 8/8' in said


def test_runs_without_accuracy_are_counted(study):
    results = study({'optimizer.learning_rate': [0.01, 0.1, 10.0]})
    runs = results.runs
    blown_up = runs['test_loss'].isna() | (runs['point'] == 2)
    columns = [c for c in runs if c.endswith('_accuracy')]
    runs.loc[blown_up, columns] = np.nan
    said = sentences(results)
    assert '8 runs without a finite test accuracy: counted as the worst finite one, ' in said
    assert f'{100 * runs["test_accuracy"].min():.2f} %' in said


def test_diverged_best_is_warned_of(study):
    said = sentences(study({'optimizer.learning_rate': [5.0, 10.0]}))
    assert re.search(r'Warning: [5-8] of its 8 runs diverged\.', said)


@pytest.mark.parametrize('n', [6, 8])
def test_points_that_differ(study, n):
    said = sentences(study({'optimizer.learning_rate': [0.001, 0.1]}, seeds=n))
    assert 'All others differ from it' in said
