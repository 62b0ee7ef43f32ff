"""A Python loop over one jitted JAX step, with `lax.conv_general_dilated` and plain autodiff."""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from benchmarks import problem as problem_lib
from benchmarks.problem import Layers, Problem
from benchmarks.sides import loop

VERSIONS = {'jax': jax.__version__, 'optax': optax.__version__}

Weights = Mapping[str, jax.Array]


def prepare(folder: str, seconds: float) -> 'Trainer':
    """Returns the loop of the problem in a folder, a repeat being `seconds` long."""
    return Trainer(problem_lib.load(Path(folder)), seconds)


class Trainer:
    """See `benchmarks.worker`."""

    settings: Mapping[str, Any] = {}

    def __init__(self, problem: Problem, seconds: float):
        self.problem = problem
        self.inputs, self.labels = jnp.asarray(problem.inputs), jnp.asarray(problem.labels)
        self.rng = np.random.default_rng(0)
        options = dict(problem.optimizer)
        make = {'adam': optax.adam, 'sgd': optax.sgd}[options.pop('name')]
        self.tx = make(**options)
        self.step = jax.jit(self._step, static_argnums=5, donate_argnums=0)
        self.measure = jax.jit(self._measure)
        self.count = 0
        self._start()
        self.losses, took = [], []
        for rows in problem.order:
            began = time.perf_counter()
            self.losses.append(float(self._take(rows, is_random=False)))
            took.append(time.perf_counter() - began)
        self.compile_seconds = took[0] - min(took[1:])
        self._timer = loop.Timer(problem, self.train, seconds)
        self.repeat = self._timer.repeat

    def _start(self) -> None:
        weights = {name: jnp.asarray(weight) for name, weight in self.problem.weights.items()}
        is_statistic = {name: name.endswith(('/mean', '/var')) for name in weights}
        params = {name: w for name, w in weights.items() if not is_statistic[name]}
        statistics = {name: w for name, w in weights.items() if is_statistic[name]}
        self.state = params, statistics, self.tx.init(params)

    def _take(self, rows: np.ndarray, is_random: bool) -> jax.Array:
        self.count += 1
        data = self.inputs, self.labels, rows
        self.state, loss = self.step(self.state, *data, self.count, is_random)
        return loss

    def _step(
        self,
        state: Any,
        inputs: jax.Array,
        labels: jax.Array,
        rows: jax.Array,
        count: jax.Array,
        is_random: bool,
    ) -> tuple[Any, jax.Array]:
        """Takes step number `count` on some of the examples; returns state and loss before it."""
        params, statistics, opt_state = state
        x, y = inputs[rows], labels[rows]
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(jax.random.key(0), count))
        if is_random and self.problem.augmentation:
            x = augmented(augment_key, x, **self.problem.augmentation)

        def objective(params: Weights) -> tuple[jax.Array, Weights]:
            updates = dict(statistics)
            rng = dropout_key if is_random else None
            outputs = forward(self.problem.net, params, x, updates, rng)
            return self.loss(outputs, y).mean(), updates

        (loss, statistics), grads = jax.value_and_grad(objective, has_aux=True)(params)
        deltas, opt_state = self.tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, deltas), statistics, opt_state), loss

    def loss(self, outputs: jax.Array, labels: jax.Array) -> jax.Array:
        """Returns the loss of each example."""
        if self.problem.loss == 'squared_error':
            return jnp.square(outputs - labels).mean(axis=-1)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)

    def _measure(
        self, params: Weights, inputs: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Returns loss and accuracy of a split, of nets without batch normalisation."""
        outputs = forward(self.problem.net, params, inputs, {}, None)
        return self.loss(outputs, labels).mean(), (outputs.argmax(axis=1) == labels).mean()

    def train(self, epochs: int) -> None:
        """Trains on all batches of so many epochs, shuffled."""
        size = self.problem.batch_size
        for _ in range(epochs):
            order = self.rng.permutation(self.problem.num_train)
            for first in range(0, len(order), size):
                self._take(order[first : first + size], is_random=True)
            if self.problem.evaluates:
                for rows in self.problem.split_rows():
                    measured = self.measure(self.state[0], self.inputs[rows], self.labels[rows])
                    [float(value) for value in measured]
        jax.block_until_ready(self.state)


def forward(
    net: Layers, params: Weights, x: jax.Array, statistics: dict[str, Any], rng: jax.Array | None
) -> jax.Array:
    """Returns the outputs of a net in training mode.

    Args:
      net: see `benchmarks.problem`.
      params: by name.
      x: `[B, ...]`.
      statistics: of batch normalisation, by name; updated in place.
      rng: random key of dropout; None for no dropout.
    """
    activations = {'relu': jax.nn.relu, 'sigmoid': jax.nn.sigmoid, 'identity': lambda x: x}
    for number, layer in enumerate(net):
        op = layer['op']
        if op == 'conv':
            name = layer['name']
            x = lax.conv_general_dilated(
                x,
                params[f'{name}/kernel'],
                (1, 1),
                layer['padding'],
                dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            )
            x = x + params[f'{name}/bias']
            if layer['norm']:
                x = _normalized(x, layer['norm'], params, statistics)
            x = activations[layer['activation']](x)
        elif op == 'dense':
            name = layer['name']
            x = x @ params[f'{name}/kernel'] + params[f'{name}/bias']
            x = activations[layer['activation']](x)
        elif op in ('max_pool', 'avg_pool'):
            size, stride = layer['size'], layer['stride']
            start, reduce = (-jnp.inf, lax.max) if op == 'max_pool' else (0.0, lax.add)
            window, strides = (1, size, size, 1), (1, stride, stride, 1)
            x = lax.reduce_window(x, start, reduce, window, strides, layer['padding'])
            x = x if op == 'max_pool' else x / size**2
        elif op == 'flatten':
            x = x.reshape(len(x), -1)
        elif op == 'global_mean':
            x = x.mean(axis=(1, 2))
        elif op == 'dropout':
            if rng is not None:
                keep = 1 - layer['rate']
                kept = jax.random.bernoulli(jax.random.fold_in(rng, number), keep, x.shape)
                x = jnp.where(kept, x / keep, 0)
        elif op == 'residual':
            shortcut = forward(layer['shortcut'], params, x, statistics, rng)
            x = activations[layer['activation']](
                forward(layer['body'], params, x, statistics, rng) + shortcut
            )
        elif op == 'branches':
            x = jnp.concatenate(
                [forward(branch, params, x, statistics, rng) for branch in layer['branches']],
                axis=-1,
            )
    return x


def _normalized(
    x: jax.Array, norm: Mapping[str, Any], params: Weights, statistics: dict[str, Any]
) -> jax.Array:
    """Batch normalisation by the batch, which also moves the running statistics."""
    name, momentum = norm['name'], norm['momentum']
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    for kind, value in (('mean', mean), ('var', var)):
        old = statistics[f'{name}/{kind}']
        statistics[f'{name}/{kind}'] = momentum * old + (1 - momentum) * value
    x = (x - mean) * lax.rsqrt(var + norm['epsilon'])
    return x * params[f'{name}/scale'] + params[f'{name}/bias']


def augmented(
    key: jax.Array, images: jax.Array, horizontal_flip: float, shift: float, rotation: float
) -> jax.Array:
    """Returns a batch `[B, H, W, C]` after random flips, shifts and rotations, bilinear.

    Args:
      key: random key.
      images: the batch.
      horizontal_flip: its probability.
      shift: at most, as a share of the side.
      rotation: at most, in degrees.
    """
    height, width = images.shape[1:3]

    def change(key: jax.Array, image: jax.Array) -> jax.Array:
        flip_key, angle_key, shift_key = jax.random.split(key, 3)
        image = jnp.where(jax.random.uniform(flip_key) < horizontal_flip, image[:, ::-1], image)
        angle = jnp.deg2rad(jax.random.uniform(angle_key, minval=-rotation, maxval=rotation))
        down, right = jax.random.uniform(shift_key, (2,), minval=-shift, maxval=shift)
        rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing='ij')
        rows, columns = rows - (height - 1) / 2, columns - (width - 1) / 2
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        places = [
            cos * rows + sin * columns + (height - 1) / 2 + down * height,
            cos * columns - sin * rows + (width - 1) / 2 + right * width,
        ]
        sample = functools.partial(
            jax.scipy.ndimage.map_coordinates, coordinates=places, order=1, mode='constant'
        )
        return jax.vmap(sample, in_axes=-1, out_axes=-1)(image)

    return jax.vmap(change)(jax.random.split(key, len(images)), images)
