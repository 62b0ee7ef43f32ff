"""The boundary of trainability: a learning rate for each of two layers, one run a pixel (F3).

    python launch.py --config=configs/trainability.py           # 256 x 256 runs, 3 min
    python launch.py --config=configs/trainability.py:quick     # 48 x 48 runs, 20 s

Asked: what does the boundary look like between rates at which training converges and those at which
it diverges? After Sohl-Dickstein (2024), "The boundary of neural network trainability is fractal",
arXiv 2402.06184.

Set: one hidden layer, 16 -> Dense(16, tanh) -> Dense(1), without biases; as many random examples as
it has weights, 272; mean squared error, gradient descent with the whole set. Along one axis is the
rate of the hidden layer, along the other that of the output layer. All runs have the same initial
weights and examples.

Ours: initial weights of variance 1/16, 500 steps (quick: 200), and that the picture is made from
every tenth step instead of all of them.
"""

import numpy as np
import optax
from pictures import trainability

import nnstudy
from nnstudy.training import optimizers

PICTURE = 'trainability'
VARIANTS = {'quick': {'epochs': 200, 'study.side': 48}}

RATES = ('optimizer.learning_rate', 'optimizer.output_rate')


def two_rates(learning_rate: float, output_rate: float = 0.1):
    """Gradient descent with a rate for the hidden layer and one for the output; no biases."""
    parts = {
        'Dense_0': {'kernel': 'hidden', 'bias': 'none'},
        'Dense_1': {'kernel': 'output', 'bias': 'none'},
    }
    hidden, output = optax.sgd(learning_rate), optax.sgd(output_rate)
    none = optax.set_to_zero()  # biases begin at zero, and stay there
    return optax.partition({'hidden': hidden, 'output': output, 'none': none}, parts)


optimizers.OPTIMIZERS['two_rates'] = two_rates


def get_data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * 272, 16)).astype(np.float32)
    y = rng.normal(size=2 * 272).astype(np.float32)
    return nnstudy.Dataset('noise', {'train': (x[:272], y[:272]), 'test': (x[272:], y[272:])})


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='noise', normalization=None, batch_size=272, epochs=500, eval_every=10)
    config.split.update(train='train', validation=None, test='test[:16]')
    config.model.update(widths=(16,), activation='tanh', kernel_init='lecun_normal')
    config.loss.name = 'squared_error'
    config.optimizer.update(name='two_rates', output_rate=0.1)
    config.study.side = 256  # pixels
    return config


def sweep(config):
    side = config.study.side
    return nnstudy.grid(
        nnstudy.logspace(RATES[0], 1.0, 1e5, side), nnstudy.logspace(RATES[1], 0.05, 2.0, side)
    )


def measure(results):
    speed = trainability.convergence(results.history)
    return {'convergence': speed.reindex(results.runs['run']).to_numpy()}


def pictures(results):
    picture = trainability.boundary(results, *RATES)
    panel = picture.axes[0]
    panel.set_xlabel('learning rate of the hidden layer')
    panel.set_ylabel('learning rate of the output layer')
    return {'trainability': picture}
