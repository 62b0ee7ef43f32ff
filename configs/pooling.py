"""Stride or pooling, maximum or average, and images that are moved (report, E1).

    python launch.py --config=configs/pooling.py           # 10 seeds, about 6 min
    python launch.py --config=configs/pooling.py:quick     # 500 images, 6 nets, 3 seeds, a minute

Asked: which nets still recognise images that are moved, although no training image was?

Set: two numbers: how many weights 64 filters of 5x5 have on an image of 32x32 pixels in colour, and
a dense layer in their place.

Ours: all else, because the report explains these layers without an experiment. Three 3x3
convolutions, after each of which the image is halved: by a stride of the convolution, by
max-pooling or by average-pooling 2x2. A dense layer reads the pixels that are left, or only the
average or the maximum of each filter over the image (global pooling, which takes images of any
size). 500 test images of MNIST are moved by 1, 2 and 4 pixels up, down, left and right.
"""

import jax
import numpy as np
from flax import linen as nn
from pictures import convolution, moved_images

import nnstudy
from nnstudy import Claim, Quantity, Reference, models, ops
from nnstudy.models import layers
from nnstudy.results import predictions as predict

PICTURE = 'moved'
VARIANTS = {
    'quick': {
        'split.train': 'train[:500]',
        'split.test': 'test[:500]',
        'epochs': 5,
        'num_seeds': 3,
        'study.reads': ('pixels', 'max'),
    }
}
SHIFTS = (1, 2, 4)  # pixels
NUM_MOVED = 500  # images
STRIDE, MAX, MEAN = HALVED_BY = nnstudy.choice('model.halved_by', ['stride', 'max', 'mean'])
PIXELS, GLOBAL_MAX = nnstudy.choice('model.read', ['pixels', 'max'])
POOLS = {'max': ops.max_pool, 'mean': ops.avg_pool}


class Halving(layers.Net):
    """Convolutions with the image halved after each, and a dense layer.

    Attributes:
      halved_by: 'stride', 'max' or 'mean'.
      read: what the dense layer reads: 'pixels', or the 'max' or 'mean' of each filter.
    """

    halved_by: str = 'max'
    read: str = 'pixels'
    kernel_init: str = 'he_normal'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (16, 32, 64):
            stride = 2 if self.halved_by == 'stride' else 1
            x = self.conv(x, width, 3, activation='relu', stride=stride)
            x = x if stride == 2 else POOLS[self.halved_by](x)
        x = x.reshape(len(x), -1) if self.read == 'pixels' else layers.global_pool(x, self.read)
        return self.dense(x, self.num_outputs)


models.MODELS['halving'] = Halving


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='mnist', batch_size=32, epochs=10, eval_every=5, num_seeds=10)
    config.seed = 100  # the claims were worded on runs of other seeds
    config.split.update(train='train[:4000]', validation=None, test='test[:5000]')
    config.model.name = 'halving'
    config.optimizer.update(name='adam', learning_rate=3e-3)
    config.study.reads = ('pixels', 'mean', 'max')
    return config


def sweep(config):
    return nnstudy.grid(HALVED_BY, nnstudy.choice('model.read', config.study.reads))


def num_weights(layer, shape):
    """Returns the number of weights of a layer on an input of `shape`."""
    variables = jax.eval_shape(layer.init, jax.random.key(0), jax.ShapeDtypeStruct(shape, 'f4'))
    return sum(weights.size for weights in jax.tree.leaves(variables))


def measure(results):
    """Returns the accuracy of each run on moved test images, and what is lost by the move.

    And the weights of a convolution and of a dense layer, which are the same of all runs.
    """
    filters = nn.Conv(64, (5, 5), padding='VALID', use_bias=False)
    dense = nn.Dense(28 * 28 * 64, use_bias=False)
    weights = {
        'filter_weights': num_weights(filters, (1, 32, 32, 3)),
        'dense_weights': num_weights(dense, (1, 32 * 32 * 3)),
    }
    of_runs = moved_images.accuracies(results, (0, *SHIFTS), NUM_MOVED)
    columns = {f'moved_{s}_accuracy': values for s, values in of_runs.items()}
    columns |= {f'moved_{s}_lost': of_runs[0] - of_runs[s] for s in SHIFTS}
    return columns | {name: np.full(len(results.runs), n) for name, n in weights.items()}


def claims():
    test, lost, moved = map(Quantity, ('test_accuracy', 'moved_2_lost', 'moved_4_accuracy'))
    yield Claim(
        'E1a: Max-pooling has a higher test accuracy than a stride, and than average-pooling '
        '(ours)',
        [test.where(MAX, PIXELS) > test.where(by, PIXELS) for by in (STRIDE, MEAN)],
    )
    yield Claim(
        'E1b: Pooling is for translation: of images moved by 2 pixels, a net with max-pooling '
        'loses less accuracy than one with a stride (ours)',
        lost.where(MAX, PIXELS) < lost.where(STRIDE, PIXELS),
    )
    yield Claim(
        'E1c: Of images moved by 4 pixels global max-pooling recognises more than a dense layer on '
        'all pixels, however the image is halved (ours)',
        [moved.where(by, GLOBAL_MAX) > moved.where(by, PIXELS) for by in HALVED_BY],
    )
    yield Claim(
        'E1d: Global max-pooling reads images as they are worse: a lower test accuracy than a '
        'dense layer on all pixels, however the image is halved (ours)',
        [test.where(by, GLOBAL_MAX) < test.where(by, PIXELS) for by in HALVED_BY],
    )


def references():
    # Of any one net.
    filters, dense = (Quantity(f'{w}_weights').where(STRIDE, PIXELS) for w in ('filter', 'dense'))
    yield Reference('weights of 64 filters 5x5x3', 4_800, filters)
    yield Reference('weights of a dense layer in their place', 154_140_672, dense)


def pictures(results):
    net: predict.Net = results.net(0)
    images, _ = net.examples('test', 1)
    return {
        'moved': moved_images.accuracy(results, (0, *SHIFTS), NUM_MOVED),
        'convolution': convolution.demonstration(images[0, ..., 0]),
    }
