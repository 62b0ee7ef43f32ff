"""The boundary of trainability: every run in its pixel, with the right shade."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from configs.pictures import trainability
from nnstudy import UserError

RATES = 'optimizer.learning_rate', 'optimizer.output_rate'
GRID = dict(zip(RATES, ([0.01, 0.1], [1.0, 10.0]), strict=True))


def shades_of(picture):
    (image,) = picture.axes[0].get_images()
    return image.get_array()


def curves(*losses):
    """Histories of train losses, a run each."""
    return pd.concat(
        pd.DataFrame({'run': run, 'step': range(len(loss)), 'train_loss': loss})
        for run, loss in enumerate(losses)
    )


def test_convergence():
    falls, flat, rises = [4.0, 2.0, 1.0, 1.0], [4.0, 4.0, 4.0, 3.9], [1.0, 2.0, 4.0, 8.0]
    explodes = [1.0, np.inf, np.nan, np.nan]
    speed = trainability.convergence(curves(falls, flat, rises, explodes))
    np.testing.assert_allclose(speed[0], 1 / 0.5)  # the mean of 1, 1/2, 1/4, 1/4
    np.testing.assert_allclose(speed[2], -1 / ((1 + 1 / 2 + 1 / 4 + 1 / 8) / 4))
    np.testing.assert_allclose(speed[3], -4, rtol=1e-5)
    assert speed[0] > speed[1] > 1 > -1 > speed[2] > speed[3]


def test_a_pixel_for_each_run(study):
    """The sign tells converged from diverged, the rank how fast."""
    history = curves([1.0, 0.5, 0.1], [1.0, np.inf, np.inf], [1.0, 0.9, 0.8], [1.0, 2.0, 4.0])
    results = dataclasses.replace(study(GRID, seeds=1), history=history)
    picture = trainability.boundary(results, *RATES)
    # Points are in the order of the grid: the last field is the fastest, and along y.
    np.testing.assert_allclose(shades_of(picture), [[0.75, 0.25], [-0.75, -0.25]])
    assert '2 of which converge' in picture.get_supxlabel()


def test_runs_that_explode_between_two_evaluations_differ_by_their_last_step(study):
    results = study(GRID, seeds=1)
    results.runs['steps'] = [7, 3, 5, 3]
    blown = curves(*[[1.0, np.inf, np.inf]] * 4)
    picture = trainability.boundary(dataclasses.replace(results, history=blown), *RATES)
    np.testing.assert_allclose(shades_of(picture), [[-0.125, -0.375], [-0.75, -0.75]])


def test_several_runs_have_no_pixel(study):
    with pytest.raises(UserError, match='several have the same'):
        trainability.boundary(study(GRID, seeds=2), *RATES)
