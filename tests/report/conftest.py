"""Made-up studies with the tables of real ones."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import nnstudy
from nnstudy.spec.fields import Config

EPOCHS = 10


def rate_response(setting: dict) -> tuple[float, bool]:
    """Returns how fast a setting learns, per epoch, and whether it diverges."""
    rate = setting.get('optimizer.learning_rate', 0.1)
    if setting.get('optimizer.momentum'):
        rate = rate / (1 - setting['optimizer.momentum'])
    return 6 * rate / (1 + (rate / 0.8) ** 2), rate > 2.5


def make_study(
    grid: dict[str, list], seeds: int = 8, *, validation: bool = True, regression: bool = False
) -> nnstudy.Results:
    """Returns the results of the full grid, of which only what is in tables can be drawn."""
    rng = np.random.default_rng(0)
    runs, history = [], []
    splits = ['train', 'validation', 'test'] if validation else ['train', 'test']
    combinations = list(itertools.product(*grid.values()))
    for (point, values), seed in itertools.product(enumerate(combinations), range(seeds)):
        setting = dict(zip(grid, values, strict=True))
        speed, unstable = rate_response(setting)
        luck = rng.normal()
        unstable = unstable and luck > -1
        run = {'run': len(runs), 'point': point, 'seed': seed, 'group': 0, **setting}
        for epoch in np.linspace(0, EPOCHS, 21):
            learned = 1 - np.exp(-speed * np.exp(0.15 * luck) * epoch)
            row = {'run': run['run'], 'point': point, 'seed': seed, 'step': int(epoch * 100)}
            row |= {'epoch': epoch, 'learning_rate': 0.1, 'l2_grads': 1.0}
            row['batch_loss'] = np.nan if epoch == 0 else 1.0
            for split in splits:
                gap = 0.0 if split == 'train' else 0.09
                noise = rng.normal(scale=0.02)
                loss = 2.3 * np.exp(-4.5 * learned + noise) + gap * learned * (1 + 0.06 * speed)
                accuracy = 0.1 + (0.89 - 0.4 * gap) * learned**0.5 + 0.002 * luck + 0.03 * noise
                mae = loss / 2
                if unstable and epoch > 0:
                    loss, accuracy, mae = 2.3 * 40**epoch, 0.1 + abs(noise) / 5, 1e3
                    if luck > 1:
                        loss, mae = np.nan, np.nan
                row[f'{split}_loss'] = loss
                row |= {f'{split}_mae': mae} if regression else {f'{split}_accuracy': accuracy}
            history.append(row)
        final = {k: v for k, v in row.items() if k.startswith(tuple(splits))}
        best = 'best_test_loss' if regression else 'best_test_accuracy'
        runs.append(
            {
                **run,
                'status': 'diverged' if unstable else 'finished',
                'diverged_step': 50 if unstable else None,
                'steps': 1000,
                'num_params': 100,
                'seconds': 1.0,
                **final,
                best: final[best.removeprefix('best_')],
                'best_step': 1000,
            }
        )
    frame = pd.DataFrame(runs).astype({'diverged_step': 'Int64'})
    for place, (field, values) in enumerate(grid.items()):
        # As objects where a column of numbers would turn None into NaN.
        dtype = object if None in values or isinstance(values[0], tuple) else None
        cells = [combination[place] for combination in combinations for _ in range(seeds)]
        frame[field] = pd.Series(cells, dtype=dtype)
    points = [dict(zip(grid, values, strict=True)) for values in combinations]
    return nnstudy.Results('study', Config(), points, frame, pd.DataFrame(history), None, [], [])


@pytest.fixture
def study() -> Callable:
    return make_study


@pytest.fixture(scope='session')
def rate_sweep() -> nnstudy.Results:
    """Thirteen learning rates from 1e-4 to 10, eight seeds: the low stall, the high diverge."""
    return make_study({'optimizer.learning_rate': np.geomspace(1e-4, 10, 13).tolist()})
