"""Stride or pooling, maximum or average, and images that are moved (report, E1).

    python launch.py --config=configs/pooling.py           # 10 seeds, about 6 min
    python launch.py --config=configs/pooling.py:quick     # 500 images, 6 nets, 3 seeds, a minute

Asked: which nets still recognise images that are moved, although no training image was?

Set: two numbers: how many weights 64 filters of 5x5 have on an image of 32x32 pixels in colour, and
a dense layer in their place.

Ours: all else, because the report explains these layers without an experiment. Three 3x3
convolutions (16, 32 and 64 filters, 'same', ReLU), after each of which the image is halved: by a
stride of the convolution, by max-pooling or by average-pooling 2x2. A dense layer reads the pixels
that are left, or only the average or the maximum of each filter over the image (global pooling,
which takes images of any size). 4,000 images of MNIST, 5,000 test images (500 of them moved by 1, 2
and 4 pixels up, down, left and right), Adam at 0.003, batch 32, 10 epochs, He initialisation.
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
    halved_by = nnstudy.choice('model.halved_by', ['stride', 'max', 'mean'])
    return nnstudy.grid(halved_by, nnstudy.choice('model.read', config.study.reads))


def moved(images, shift):
    """Returns images [N, H, W, C] moved up, down, left and right by `shift` pixels, [4 N, ...]."""
    around = np.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)])
    _, height, width, _ = images.shape
    starts = [(0, shift), (2 * shift, shift), (shift, 0), (shift, 2 * shift)]
    return np.concatenate([around[:, i : i + height, j : j + width] for i, j in starts])


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
    accuracies = {shift: {} for shift in (0, *SHIFTS)}
    for point, runs in results.runs.groupby('point'):
        net = predict.net(results, point)
        images, labels = net.examples('test', NUM_MOVED)
        inputs = {shift: moved(images, shift) if shift else images for shift in accuracies}
        for run in runs['run']:
            variables = results.variables(run, 'final')
            for shift, x in inputs.items():
                # One direction at a time: all calls have one shape, so a net is compiled once.
                ways = [net.apply(variables, way) for way in np.split(x, len(x) // len(labels))]
                accuracies[shift][run] = np.mean(np.argmax(ways, axis=-1) == labels)
    of_runs = {s: results.runs['run'].map(by_run) for s, by_run in accuracies.items()}
    columns = {f'moved_{s}_accuracy': values for s, values in of_runs.items()}
    columns |= {f'moved_{s}_lost': of_runs[0] - of_runs[s] for s in SHIFTS}
    return columns | {name: np.full(len(results.runs), n) for name, n in weights.items()}


def claims():
    def of(metric, halved_by, read='pixels'):
        return Quantity(metric).where({'model.halved_by': halved_by, 'model.read': read})

    ways = 'stride', 'max', 'mean'
    return [
        Claim(
            'E1a',
            'Max-pooling has a higher test accuracy than a stride, and than average-pooling (ours)',
            (
                of('test_accuracy', 'max') > of('test_accuracy', 'stride'),
                of('test_accuracy', 'max') > of('test_accuracy', 'mean'),
            ),
        ),
        Claim(
            'E1b',
            'Pooling is for translation: of images moved by 2 pixels, a net with max-pooling loses '
            'less accuracy than one with a stride (ours)',
            of('moved_2_lost', 'max') < of('moved_2_lost', 'stride'),
        ),
        Claim(
            'E1c',
            'Of images moved by 4 pixels global max-pooling recognises more than a dense layer on '
            'all pixels, however the image is halved (ours)',
            [of('moved_4_accuracy', by, 'max') > of('moved_4_accuracy', by) for by in ways],
        ),
        Claim(
            'E1d',
            'Global max-pooling reads images as they are worse: a lower test accuracy than a dense '
            'layer on all pixels, however the image is halved (ours)',
            [of('test_accuracy', by, 'max') < of('test_accuracy', by) for by in ways],
        ),
    ]


def references():
    net = {'model.halved_by': 'stride', 'model.read': 'pixels'}  # any one
    filters, dense = (Quantity(f'{name}_weights').where(net) for name in ('filter', 'dense'))
    return [
        Reference('weights of 64 filters 5x5x3', 4_800, filters),
        Reference('weights of a dense layer in their place', 154_140_672, dense),
    ]


def pictures(results):
    images, _ = predict.net(results, 0).examples('test', 1)
    return {
        'moved': moved_images.accuracy(results, (0, *SHIFTS), NUM_MOVED),
        'convolution': convolution.demonstration(images[0, ..., 0]),
    }
