"""The workloads: studies as nnstudy has them, and their nets as the plain layers of `problem`."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

import nnstudy
from benchmarks.problem import Layers
from nnstudy.spec import config as config_lib
from nnstudy.spec import study_file

ROOT = Path(__file__).parents[1]
NUM_TEST = 8  # examples of an evaluation where training alone is timed


@dataclasses.dataclass(frozen=True)
class Workload:
    """A study to be timed.

    Attributes:
      name: such as 'W1'.
      title: what it trains.
      net: its layers, see `benchmarks.problem`.
      shape: of an input.
      fields: of the config, by dotted name; None: `configs/lr_sweep.py` as shipped.
      rates: learning rates of the sweep.
      num_seeds: runs of each rate.
      quick: fields that make a run shorter.
      keras: whether Keras takes part.
      tolerance: relative difference of losses within which the sides do the same.
    """

    name: str
    title: str
    net: Layers
    shape: tuple[int, ...]
    fields: dict[str, Any] | None
    rates: tuple[float, ...]
    num_seeds: int
    quick: dict[str, Any]
    keras: bool = True
    tolerance: float = 1e-4

    @property
    def evaluates(self) -> bool:
        """Whether evaluations are timed too: those of a config as it is shipped are."""
        return self.fields is None

    def study(self, *, quick: bool = False, num_runs: int | None = None) -> study_file.StudyFile:
        """Returns the config and the points.

        Args:
          quick: shorter runs.
          num_runs: only so many, of the first rate; None for all.
        """
        if self.fields is None:
            study, fields = study_file.load(str(ROOT / 'configs' / 'lr_sweep.py')), {}
        else:
            points = nnstudy.choice('optimizer.learning_rate', self.rates)
            study = study_file.StudyFile(self.name, nnstudy.default_config(), points, [], [])
            fields = {'num_seeds': self.num_seeds, 'split.validation': None, **self.fields}
            # One evaluation at the start and one at the end, of a few examples.
            fields |= {'eval_every': 1000, 'eval_train_examples': NUM_TEST}
        changes = {**fields, **(self.quick if quick else {})}
        if num_runs is not None:
            changes['num_seeds'] = num_runs
            study = dataclasses.replace(study, points=study.points[:1])
        return dataclasses.replace(study, config=config_lib.override(study.config, changes))

    def dataset(self, config: ConfigDict, data_dir: str | None) -> nnstudy.Dataset:
        """Returns the data; random numbers of the same shape where there is no directory."""
        if config.dataset == 'digits' or data_dir is not None:
            whole = nnstudy.data.load(config.dataset, data_dir)
            if self.evaluates:
                return whole
            inputs, labels = whole.splits['test']
            splits = {**whole.splits, 'test': (inputs[:NUM_TEST], labels[:NUM_TEST])}
            return dataclasses.replace(whole, splits=splits)
        rng = np.random.default_rng(0)

        def split(size: int) -> tuple[np.ndarray, np.ndarray]:
            if len(self.shape) == 1:
                table = rng.normal(size=(size, *self.shape)).astype(np.float32)
                return table, rng.uniform(5, 50, size).astype(np.float32)
            labels = np.concatenate([[9], rng.integers(0, 10, size - 1)])
            return rng.integers(0, 256, (size, *self.shape), np.uint8), labels

        num_train = 404 if len(self.shape) == 1 else 12_800
        return nnstudy.Dataset(config.dataset, {'train': split(num_train), 'test': split(NUM_TEST)})


def conv(
    features: int, size: int, *, padding: str = 'SAME', activation: str = 'relu', norm: bool = False
) -> dict[str, Any]:
    """A convolution; its norm as nnstudy's models have it by default."""
    statistics = {'momentum': 0.9, 'epsilon': 1e-5} if norm else None
    return dict(
        op='conv',
        features=features,
        size=size,
        padding=padding,
        activation=activation,
        norm=statistics,
    )


def dense(features: int, activation: str = 'identity') -> dict[str, Any]:
    return dict(op='dense', features=features, activation=activation)


def pool(op: str, size: int = 2, stride: int = 2) -> dict[str, Any]:
    return dict(op=op, size=size, stride=stride, padding='SAME')


def named(net: Layers, counts: dict[str, int] | None = None) -> Layers:
    """Gives layers with weights the names that Linen gives them, in the order of their creation."""
    counts = {} if counts is None else counts

    def name(kind: str) -> str:
        counts[kind] = counts.get(kind, -1) + 1
        return f'{kind}_{counts[kind]}'

    layers = []
    for layer in net:
        layer = dict(layer)
        if layer['op'] in ('conv', 'dense'):
            layer['name'] = name(layer['op'].capitalize())
        if layer.get('norm'):
            layer['norm'] = {**layer['norm'], 'name': name('BatchNorm')}
        for part in ('body', 'shortcut'):
            if part in layer:
                layer[part] = named(layer[part], counts)
        if 'branches' in layer:
            layer['branches'] = [named(branch, counts) for branch in layer['branches']]
        layers.append(layer)
    return layers


def mlp(*widths: int, activation: str, output: str = 'identity') -> Layers:
    return named([*(dense(width, activation) for width in widths[:-1]), dense(widths[-1], output)])


def lenet() -> Layers:
    return named(
        [
            conv(6, 5),
            pool('avg_pool'),
            conv(16, 5, padding='VALID'),
            pool('avg_pool'),
            dict(op='flatten', shape=[5, 5, 16]),
            *(dense(120, 'relu'), dense(84, 'relu'), dense(10)),
        ]
    )


def resnet(*widths: int) -> Layers:
    """B10: a block changes the number of channels where its input has another one."""
    net: Layers = []
    before = 1
    for width in widths:
        body = [conv(width, 3), conv(width, 3, activation='identity')]
        shortcut = [conv(width, 1)] if width != before else []
        net.append(dict(op='residual', body=body, shortcut=shortcut, activation='relu'))
        net.append(pool('max_pool'))
        before = width
    return named([*net, dict(op='global_mean'), dense(10)])


def inception(*modules: tuple[int, int, int, int, int, int]) -> Layers:
    """B10: numbers of filters in the order of `nnstudy.models.inception`."""
    net: Layers = []
    for one, reduce_three, three, reduce_five, five, pooled in modules:
        branches = [
            [conv(one, 1)],
            [conv(reduce_three, 1), conv(three, 3)],
            [conv(reduce_five, 1), conv(five, 5)],
            [pool('max_pool', 3, 1), conv(pooled, 1)],
        ]
        net += [dict(op='branches', branches=branches), pool('max_pool')]
    return named([*net, dict(op='global_mean'), dense(10)])


def vgg() -> Layers:
    """E4: three groups of two convolutions with batch normalisation, then a dense layer."""
    net: Layers = []
    for width in (32, 64, 128):
        net += [conv(width, 3, norm=True), conv(width, 3, norm=True), pool('max_pool')]
    return named(
        [
            *net,
            dict(op='flatten', shape=[4, 4, 128]),
            dict(op='dropout', rate=0.2),
            dense(1024, 'relu'),
            dict(op='dropout', rate=0.5),
            dense(10),
        ]
    )


def flops(net: Layers, shape: tuple[int, ...]) -> float:
    """Returns the floating-point operations of a training step for one example.

    Those of convolutions and dense layers, as two for each multiplication with addition: forward,
    the gradient of the weights, and that of the input, which the first layers do not need. What
    zeros at the border contribute is counted, as is usual.

    Args:
      net: see `benchmarks.problem`.
      shape: of an input.
    """
    total = 0.0

    def through(layers: Layers, shape: tuple[int, ...], is_input: bool) -> tuple[int, ...]:
        nonlocal total
        for layer in layers:
            op, times = layer['op'], 2 if is_input else 3
            if op == 'conv':
                height, width, channels = shape
                lost = layer['size'] - 1 if layer['padding'] == 'VALID' else 0
                shape = (height - lost, width - lost, layer['features'])
                total += times * 2 * np.prod(shape) * layer['size'] ** 2 * channels
                is_input = False
            elif op == 'dense':
                total += times * 2 * np.prod(shape) * layer['features']
                shape, is_input = (layer['features'],), False
            elif op in ('max_pool', 'avg_pool'):
                sides = (-(-side // layer['stride']) for side in shape[:2])
                shape = (*sides, shape[2])
            elif op == 'flatten':
                shape = (int(np.prod(shape)),)
            elif op == 'global_mean':
                shape = shape[2:]
            elif op == 'residual':
                through(layer['shortcut'], shape, is_input)
                shape, is_input = through(layer['body'], shape, is_input), False
            elif op == 'branches':
                outputs = [through(branch, shape, is_input) for branch in layer['branches']]
                shape, is_input = (*outputs[0][:2], sum(out[2] for out in outputs)), False
        return shape

    through(net, shape, True)
    return total


def _sgd(rate: float, momentum: float | None = None) -> dict[str, Any]:
    return {
        'optimizer.name': 'sgd',
        'optimizer.learning_rate': rate,
        'optimizer.momentum': momentum,
    }


def _adam(rate: float) -> dict[str, Any]:
    # The epsilon of Keras, for all sides.
    return {
        'optimizer.name': 'adam',
        'optimizer.learning_rate': rate,
        'optimizer.eps': 1e-7,
    }


def _images(dataset: str, num: int, batch_size: int) -> dict[str, Any]:
    """A run is one epoch of so many images, which are whole batches."""
    return {
        'dataset': dataset,
        'split.train': f'train[:{num}]',
        'batch_size': batch_size,
        'epochs': 1,
    }


def _one_epoch(num: int) -> dict[str, Any]:
    return {'split.train': f'train[:{num}]'}


_SIGMOID_MLP: dict[str, Any] = {
    'model.name': 'mlp',
    'model.widths': (784, 100),
    'model.activation': 'sigmoid',
}
_FASHION = ('fashion_mnist', 768, 64)  # 12 whole batches of the 800 images

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            'W1',
            'Boston MLP 13-16-8-1, Adam, batch 32',
            mlp(16, 8, 1, activation='relu', output='relu'),
            shape=(13,),
            fields={
                'dataset': 'boston_housing',
                'split.train': 'train',
                'normalization': 'standard',
                'batch_size': 32,
                'epochs': 50,
                'model.name': 'mlp',
                'model.widths': (16, 8),
                'model.output_activation': 'relu',
                'loss.name': 'squared_error',
                **_adam(1e-3),
            },
            rates=(1e-3, 2e-3, 5e-3, 1e-2),
            num_seeds=256,
            quick={'epochs': 10},
        ),
        Workload(
            'W2',
            'MLP 784-784-100-10, batch 128',
            mlp(784, 100, 10, activation='sigmoid'),
            shape=(28, 28, 1),
            fields={**_images('mnist', 12_800, 128), **_SIGMOID_MLP, **_sgd(0.1)},
            rates=(0.1, 0.2, 0.5, 1.0),
            num_seeds=8,
            quick=_one_epoch(3_200),
        ),
        Workload(
            'W3',
            'MLP 784-784-100-10, batch 1',
            mlp(784, 100, 10, activation='sigmoid'),
            shape=(28, 28, 1),
            fields={**_images('mnist', 1_000, 1), **_SIGMOID_MLP, **_sgd(0.01)},
            rates=(0.01, 0.02, 0.05, 0.1),
            num_seeds=8,
            quick=_one_epoch(250),
        ),
        Workload(
            'W4',
            'LeNet 28x28, batch 64',
            lenet(),
            shape=(28, 28, 1),
            fields={**_images('mnist', 2_560, 64), 'model.name': 'lenet', **_sgd(0.1)},
            rates=(0.1, 0.05, 0.02, 0.01),
            num_seeds=8,
            quick=_one_epoch(640),
        ),
        Workload(
            'W5',
            'ResNet, 3 blocks x 64, 28x28, batch 64',
            resnet(64, 64, 64),
            shape=(28, 28, 1),
            fields={**_images(*_FASHION), 'model.name': 'pooled_resnet', **_sgd(0.05, 0.8)},
            rates=(0.05, 0.02),
            num_seeds=4,
            quick=_one_epoch(320),
            tolerance=1e-3,
        ),
        Workload(
            'W6',
            'Inception, 2 modules, 28x28, batch 64',
            inception((32, 32, 32, 32, 32, 16), (32, 64, 64, 64, 64, 16)),
            shape=(28, 28, 1),
            fields={**_images(*_FASHION), 'model.name': 'inception', **_sgd(0.05, 0.8)},
            rates=(0.05, 0.02),
            num_seeds=4,
            quick=_one_epoch(320),
            keras=False,
            tolerance=1e-3,
        ),
        Workload(
            'W7',
            'VGG-like with batch norm and augmentation, 32x32, batch 32',
            vgg(),
            shape=(32, 32, 3),
            fields={
                **_images('cifar10', 640, 32),
                'model.name': 'vgg',
                'model.batch_norm': 'before',
                'model.flatten_dropout': 0.2,
                'model.dense_dropout': 0.5,
                'augmentation.horizontal_flip': 0.5,
                'augmentation.shift': 0.1,
                'augmentation.rotation': 15.0,
                **_adam(1e-4),
            },
            # At the lower one the losses that are compared are stable.
            rates=(1e-4, 1e-3),
            num_seeds=2,
            quick=_one_epoch(160),
            keras=False,
            tolerance=1e-3,
        ),
        Workload(
            'W8',
            'lr_sweep as shipped: digits, MLP 64-64-64-10, batch 32, evaluations',
            mlp(64, 64, 10, activation='relu'),
            shape=(8, 8, 1),
            fields=None,
            rates=(),
            num_seeds=8,
            quick={'epochs': 5},
            keras=False,
        ),
    )
}


def data_dir(given: str | None) -> str | None:
    """Returns the directory of the data sets, or None."""
    return given or os.environ.get('NNSTUDY_DATA_DIR')
