"""Stride or pooling, maximum or average, and images that are moved (report, E1).

    python launch.py --config=configs/pooling.py           # 10 seeds, about 8 min
    python launch.py --config=configs/pooling.py:quick     # 1,000 images, about a minute

A net of two 3x3 convolutions (16 and 32 filters, 'same', ReLU). After each the image is halved: by
a stride of the convolution, by max-pooling or by average-pooling 2x2. A dense layer reads the
pixels that are left, or only the average or the maximum of each filter over the image (global
pooling, which takes images of any size).

What comes out: test accuracy of each, on the test images as they are and on the same ones moved by
1, 2 and 4 pixels up, down, left and right, which no net was trained on.

Ours: all of it, since the report explains these layers without an experiment: 4,000 images of
MNIST, 5,000 test images (500 that are moved), Adam at 0.003, batch 64, 10 epochs, and He
initialisation.
"""

import jax
import numpy as np
from flax import linen as nn

import nnstudy
from nnstudy import models, ops, predict
from nnstudy.analysis.claims import claim, greater, less
from nnstudy.analysis.quantities import quantity
from nnstudy.models import layers

SHIFTS = (1, 2, 4)  # pixels
NUM_MOVED = 500  # images
POOLS = {'max': ops.max_pool, 'mean': ops.avg_pool}


class Halving(nn.Module):
    """Convolutions with the image halved after each, and a dense layer.

    Attributes:
      num_outputs: width of the last layer.
      halved_by: 'stride', 'max' or 'mean'.
      read: what the dense layer reads: 'pixels', or the 'max' or 'mean' of each filter.
    """

    num_outputs: int
    halved_by: str = 'max'
    read: str = 'pixels'

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = 'he_normal'
        for width in (16, 32):
            stride = 2 if self.halved_by == 'stride' else 1
            x = layers.conv(x, width, 3, activation='relu', kernel_init=init, stride=stride)
            x = x if stride == 2 else POOLS[self.halved_by](x)
        x = x.reshape(len(x), -1) if self.read == 'pixels' else layers.global_pool(x, self.read)
        return layers.dense(x, self.num_outputs, kernel_init=init)


models.MODELS['halving'] = Halving


def get_config(arg=''):
    (quick,) = nnstudy.options(arg, ('', 'quick'))
    config = nnstudy.default_config()
    config.dataset = 'mnist'
    config.split.train = 'train[:1000]' if quick else 'train[:4000]'
    config.split.validation = None
    config.split.test = 'test[:1000]' if quick else 'test[:5000]'
    config.model.name = 'halving'
    config.optimizer.name = 'adam'
    config.optimizer.learning_rate = 3e-3
    config.batch_size = 64
    config.epochs = 5 if quick else 10
    config.eval_every = 5
    config.num_seeds = 8 if quick else 10
    return config


def sweep(config):
    del config
    halved_by = nnstudy.choice('model.halved_by', ['stride', 'max', 'mean'])
    return nnstudy.grid(halved_by, nnstudy.choice('model.read', ['pixels', 'mean', 'max']))


def moved(images, shift):
    """Returns images [N, H, W, C] moved up, down, left and right by `shift` pixels, [4 N, ...]."""
    around = np.pad(images, [(0, 0), (shift, shift), (shift, shift), (0, 0)])
    _, height, width, _ = images.shape
    starts = [(0, shift), (2 * shift, shift), (shift, 0), (shift, 2 * shift)]
    return np.concatenate([around[:, i : i + height, j : j + width] for i, j in starts])


def measure(results):
    """Returns the accuracy of each run on moved test images, and what is lost by the move."""
    accuracies = {shift: {} for shift in (0, *SHIFTS)}
    for point, runs in results.runs.groupby('point'):
        net = predict.net(results, point)
        images, labels = net.examples('test', NUM_MOVED)
        inputs = {shift: moved(images, shift) if shift else images for shift in accuracies}
        for run in runs['run']:
            variables = results.variables(run, 'final')
            for shift, x in inputs.items():
                classes = np.asarray(net.apply(variables, x)).argmax(axis=-1)
                accuracies[shift][run] = np.mean(classes.reshape(-1, len(labels)) == labels)
    of_runs = {s: results.runs['run'].map(by_run) for s, by_run in accuracies.items()}
    columns = {f'moved_{s}_accuracy': of_runs[s] for s in SHIFTS}
    return columns | {f'moved_{s}_lost': of_runs[0] - of_runs[s] for s in SHIFTS}


def claims():
    def of(metric, halved_by, read='pixels'):
        return quantity(metric, {'model.halved_by': halved_by, 'model.read': read})

    return [
        claim(
            'E1a',
            'Max-pooling has a higher test accuracy than a stride, and than average-pooling (ours)',
            greater(of('test_accuracy', 'max'), of('test_accuracy', 'stride')),
            greater(of('test_accuracy', 'max'), of('test_accuracy', 'mean')),
        ),
        claim(
            'E1b',
            'Pooling is for translation: of images moved by 2 pixels, a net with max-pooling loses '
            'less accuracy than one with a stride (ours)',
            less(of('moved_2_lost', 'max'), of('moved_2_lost', 'stride')),
        ),
        claim(
            'E1c',
            'Global max-pooling loses less by a move of 4 pixels than a dense layer on all pixels, '
            'however the image is halved (ours)',
            *(
                less(of('moved_4_lost', by, 'max'), of('moved_4_lost', by))
                for by in ('stride', 'max', 'mean')
            ),
        ),
        claim(
            'E1d',
            'Images as they are it reads worse: a lower test accuracy than that layer (ours)',
            *(
                less(of('test_accuracy', by, 'max'), of('test_accuracy', by))
                for by in ('stride', 'max', 'mean')
            ),
        ),
    ]
