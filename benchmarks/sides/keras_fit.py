"""Keras 3 on TensorFlow as its documentation has it: compile, then fit on arrays in memory."""

import os

os.environ['KERAS_BACKEND'] = 'tensorflow'
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import time
from pathlib import Path

import keras
import tensorflow as tf

from benchmarks import problem as problem_lib
from benchmarks.problem import Layers, Problem
from benchmarks.sides import loop

VERSIONS = {'keras': keras.__version__, 'tensorflow': tf.__version__}


def prepare(folder: str, seconds: float) -> 'Trainer':
    """Returns the training of the problem in a folder, a repeat being `seconds` long."""
    return Trainer(problem_lib.load(Path(folder)), seconds)


class Trainer:
    """See `benchmarks.worker`."""

    def __init__(self, problem: Problem, seconds: float):
        keras.backend.clear_session()
        self.problem = problem
        self.model = _model(problem)
        self.losses, took = [], []
        for rows in problem.order:
            began = time.perf_counter()
            self.model.reset_metrics()  # else the loss would be a running mean
            inputs, labels = problem.inputs[rows], problem.labels[rows]
            self.losses.append(float(self.model.train_on_batch(inputs, labels)))
            took.append(time.perf_counter() - began)
        self.compile_seconds = took[0] - min(took[1:])
        self.settings = {'jit_compile': bool(self.model.jit_compile)}
        self._timer = loop.Timer(problem, self.train, seconds)
        self.repeat = self._timer.repeat

    def train(self, epochs: int) -> None:
        """Trains so many epochs, shuffled."""
        train = slice(self.problem.num_train)
        self.model.fit(
            self.problem.inputs[train],
            self.problem.labels[train],
            batch_size=self.problem.batch_size,
            epochs=epochs,
            verbose=0,
        )


def _model(problem: Problem) -> keras.Model:
    inputs = keras.Input(problem.inputs.shape[1:])
    model = keras.Model(inputs, _through(problem.net, inputs))
    for layer in model.layers:
        if layer.weights:
            names = [f'{layer.name}/kernel', f'{layer.name}/bias']
            layer.set_weights([problem.weights[name] for name in names])
    options = dict(problem.optimizer)
    name, rate = options.pop('name'), options.pop('learning_rate')
    if name == 'adam':
        optimizer = keras.optimizers.Adam(rate, epsilon=options['eps'])
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=options['momentum'] or 0.0)
    losses = {
        'squared_error': keras.losses.MeanSquaredError(),
        'softmax_cross_entropy': keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    model.compile(optimizer, losses[problem.loss])
    return model


def _through(net: Layers, x: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the layers on a symbolic tensor."""
    layers = keras.layers
    for layer in net:
        op, activation = layer['op'], layer.get('activation')
        if op == 'conv':
            x = layers.Conv2D(
                layer['features'],
                layer['size'],
                padding=layer['padding'].lower(),
                activation=None if activation == 'identity' else activation,
                name=layer['name'],
            )(x)
        elif op == 'dense':
            activation = None if activation == 'identity' else activation
            x = layers.Dense(layer['features'], activation, name=layer['name'])(x)
        elif op in ('max_pool', 'avg_pool'):
            kind = layers.MaxPooling2D if op == 'max_pool' else layers.AveragePooling2D
            x = kind(layer['size'], layer['stride'], padding=layer['padding'].lower())(x)
        elif op == 'flatten':
            x = layers.Flatten()(x)
        elif op == 'global_mean':
            x = layers.GlobalAveragePooling2D()(x)
        elif op == 'residual':
            total = layers.Add()([_through(layer['body'], x), _through(layer['shortcut'], x)])
            x = layers.Activation(activation)(total)
        else:
            raise NotImplementedError(op)
    return x
