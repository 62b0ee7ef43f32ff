"""Sharpness against 2 / learning rate, along gradient descent (F4).

    python launch.py --config=configs/edge_of_stability.py           # 4 rates x 8 seeds, 2 min
    python launch.py --config=configs/edge_of_stability.py:quick     # 500 images, 20 s

Asked: on a quadratic, gradient descent with a rate η diverges where the largest eigenvalue of the
Hessian, the sharpness, is above 2/η. Does the sharpness of a network rise until it is there, and
then stay there or a little above, while the loss goes on falling, though not at every step? After
Cohen et al. (2021), "Gradient Descent on Neural Networks Typically Occurs at the Edge of
Stability", arXiv 2103.00065.

Ours: the setting, 1,000 digits of 8x8 pixels, and the claims' bounds of 1.8 and 2.5 about the 2 of
theory. Thirty power iterations find a sharpness that is up to five percent too low at the edge.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import histories, style

PICTURE = 'sharpness'
VARIANTS = {
    'quick': {'split.train': 'train[:500]', 'batch_size': 500, 'epochs': 1000, 'eval_every': 25}
}

RATE = 'optimizer.learning_rate'
RATES = (0.06, 0.08, 0.10, 0.12)


def get_config():
    config = nnstudy.default_config()
    config.update(batch_size=1000, epochs=4000, eval_every=40, num_seeds=8)  # an epoch is one step
    config.diagnostics = ('sharpness',)
    config.split.update(train='train[:1000]', validation=None)
    config.model.update(widths=(32, 32), activation='tanh', kernel_init='pytorch')
    config.loss.update(name='squared_error', reduction='sum')
    return config


def sweep():
    return nnstudy.choice(RATE, RATES)


def claims():
    relative = [rate * Quantity('sharpness').where({RATE: rate}) for rate in RATES]
    losses = [Quantity('train_loss').where({RATE: rate}) for rate in RATES]
    yield Claim(
        'F4a: Sharpness starts below 1.8 / rate and ends above it, at every rate (ours)',
        *(sharpness.at(0) < 1.8 for sharpness in relative),
        *(sharpness > 1.8 for sharpness in relative),
    )
    yield Claim(
        'F4b: It stays there instead of rising on: it ends below 2.5 / rate (ours)',
        *(sharpness < 2.5 for sharpness in relative),
    )
    yield Claim(
        'F4c: The loss falls nevertheless, to less than half of what it was at the start (ours)',
        *(loss < 0.5 * loss.at(0) for loss in losses),
    )


def pictures(results):
    picture = histories.traces(results, ['train_loss', 'sharpness'])
    losses, panel = picture.axes
    style.log_y(losses)
    rates = [point[RATE] for point in results.points]
    for i, rate in enumerate(rates):
        color = style.shade(i, len(rates))
        panel.axhline(2 / rate, color=color, linestyle=(0, (5, 2)), linewidth=1, zorder=1)
        place = {'xy': (1.01, 2 / rate), 'xycoords': ('axes fraction', 'data')}
        panel.annotate(f'2 / {rate:g}', **place, va='center', fontsize=8.5, color=color)
    panel.set_ylim(0)
    return {'sharpness': picture}
