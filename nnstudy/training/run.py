"""A run as traced code sees it: its config, keys and data, what is made of them, and its state."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from nnstudy import errors, models, ops
from nnstudy.data.device import Data
from nnstudy.models import layers, precision
from nnstudy.spec import components, fields
from nnstudy.spec.fields import Config
from nnstudy.training import diagnostics, losses, metrics, optimizers, regularization, schedules

Keys = dict[str, jax.Array]
HParams = Mapping[str, jax.Array | np.ndarray]


def make_keys(seed: int | jax.Array, data_seed: int | jax.Array | None = None) -> Keys:
    """Returns the random keys of a run, `'init'` and `'data'`, the latter of `data_seed` if given.

    `jax.vmap(make_keys)` gives the keys of several runs.
    """
    init_key, data_key = jax.random.split(jax.random.key(seed))
    if data_seed is not None:
        data_key = make_keys(data_seed)['data']
    return {'init': init_key, 'data': data_key}


def data_keys(keys: Keys) -> jax.Array:
    """Returns three keys of a run: for the order of examples, the steps and augmentation."""
    return jax.random.split(keys['data'], 3)


class Best(struct.PyTreeNode):
    """The best evaluation so far, on the validation split, or on test if there is none."""

    variables: Any
    score: jax.Array  # float32 [], larger is better
    step: jax.Array  # int32 []


class TrainState(struct.PyTreeNode):
    """The state of a run between two steps."""

    variables: Any  # of the model, with 'params'
    opt_state: Any  # of the optax transform
    schedule: Any  # of the schedule; most have none, ()
    loss_sum: jax.Array  # of the examples in the mini-batches since the last evaluation
    num_examples: jax.Array  # how many they are
    # The step at which the run ended early, because its loss was not finite or it was stopped; -1
    # before that. From then on nothing changes.
    frozen_at: jax.Array
    stopped: jax.Array  # whether by `config.stop`
    best: Best


# From parameters to the objective, and beside it the loss, the metric and the changed variables.
Objective = Callable[[Any], tuple[jax.Array, tuple[jax.Array, jax.Array, models.Variables]]]


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Model, schedule and optimizer are made where they are used, not once: they are functions of
    traced numbers, which must not leave the loop or branch that they were traced in.
    """

    config: Config  # resolved, with the run's own traced values in its dynamic fields
    keys: Keys  # {} for a run that is not trained
    data: Data
    # The orders of the training examples; None if they are taken as they come. It is made once, and
    # outside of the loop over steps, because its random bits take as long as a small step.
    shuffle: ops.Shuffle | None = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        shuffle, num_train = None, self.data.num_train
        if self.keys and self.config.shuffle and self.config.batch_size < num_train:
            shuffle = ops.Shuffle.make(data_keys(self.keys)[0], num_train)
        object.__setattr__(self, 'shuffle', shuffle)

    @classmethod
    def of_seed(cls, config: Config, seed: jax.Array, hparams: HParams, data: Data) -> 'Run':
        """Returns the run with the keys of a seed, int [], see `config.data_seeds`."""
        num = config.data_seeds
        keys = make_keys(seed) if num is None else make_keys(seed // num, seed % num)
        return cls(config.replace(hparams), keys, data)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.config, self.data.num_train)

    def places(self, number: jax.Array) -> jax.Array:
        """Returns the places of a step's examples in the order of its epoch, int32 [B].

        Those of a last batch that is short go on beyond the number of examples.
        """
        batch_size = self.config.batch_size
        return number % self.steps_per_epoch * batch_size + jnp.arange(batch_size)

    def examples(self, number: jax.Array) -> jax.Array:
        """Returns the numbers of a step's examples, int32 [B]; beyond the end any may stand."""
        places = jnp.minimum(self.places(number), self.data.num_train - 1)
        if self.shuffle is None:
            return places
        return self.shuffle.examples(number // self.steps_per_epoch, places)

    @property
    def num_outputs(self) -> int:
        """How many outputs the model has for an example."""
        return losses.num_outputs(self.config.loss.function, self.data)

    @property
    def model(self) -> models.Model:
        """The network, as two pure functions."""
        model = models.make(self.config.model.function, **self.model_arguments)
        return precision.within(model, self.config.precision)

    @property
    def model_arguments(self) -> dict[str, Any]:
        """The arguments of the model, those that follow from the data among them."""
        chosen = self.config.model
        tokens = (
            {'num_tokens': self.data.num_tokens} if models.takes_tokens(chosen.function) else {}
        )
        return {**chosen.keywords, 'num_outputs': self.num_outputs, **tokens}

    @property
    def schedule(self) -> schedules.Schedule:
        """The learning rate at each step."""
        config, chosen = self.config, self.config.schedule
        rate, per_epoch = config.optimizer.arguments['learning_rate'], self.steps_per_epoch
        return schedules.make(chosen.function, chosen.keywords, rate, per_epoch, config.epochs)

    @property
    def penalized(self) -> regularization.Mask:
        """Which parameters get penalties and weight decay."""
        penalties = self.config.regularization
        return regularization.make_mask(penalties.include, penalties.exclude)

    def optimizer(self, learning_rate: jax.Array) -> optax.GradientTransformationExtraArgs:
        """Returns the optax transform with a learning rate, float32 []."""
        chosen = self.config.optimizer
        arguments = {**chosen.keywords, 'learning_rate': learning_rate}
        return optimizers.make(chosen.function, arguments, self.penalized)

    def loss(self, outputs: jax.Array, labels: jax.Array, *, train: bool) -> jax.Array:
        """Returns the loss of each example, [B]; without label smoothing unless `train`.

        UserError if the model's outputs [B, K] have another shape than the data need.
        """
        expected = len(labels), self.num_outputs
        if outputs.shape != expected:
            raise errors.UserError(
                f'model {self.config.model.name!r} gives outputs of shape {outputs.shape} for '
                f'{len(labels)} examples; the data need {expected}'
            )
        arguments = self.config.loss.keywords
        if not train:
            arguments.pop('label_smoothing', None)
        return self.config.loss.function(outputs, labels, **arguments)

    def predictions(self, outputs: jax.Array) -> jax.Array:
        """Returns what metrics compare with the labels: scores of the classes, or numbers."""
        if self.data.is_classification:
            return outputs
        return losses.traits(self.config.loss.function).link(outputs)

    def objective(
        self,
        variables: models.Variables,
        inputs: jax.Array,
        labels: jax.Array,
        mask: jax.Array | None = None,
        rng: jax.Array | None = None,
    ) -> Objective:
        """Returns the objective of gradient descent, as a function of the parameters.

        It is the mean loss of a batch plus the penalties. Examples with mask 0 do not count; None
        counts all. Without `rng` the model is in evaluation mode.
        """
        model, strengths = self.model, fields.given(self.config.regularization)
        (metric,) = metrics.select((), self.data).values()

        def mean(values: jax.Array) -> jax.Array:
            return values.mean() if mask is None else (values * mask).sum() / mask.sum()

        def objective(params):
            outputs, updates = model.apply(
                {**variables, 'params': params},
                self.data.normalized(inputs),
                train=rng is not None,
                rng=rng,
                mask=mask,
            )
            loss = mean(self.loss(outputs, labels, train=True))
            measured = mean(metric.statistics(self.predictions(outputs), labels))
            penalty = regularization.penalty(params, self.penalized, strengths)
            return loss + penalty, (loss, measured, updates)

        return objective


def functions(config: Config) -> dict[str, Callable[..., Any]]:
    """Returns the functions that a config names: components, activations, metrics and others."""
    found = {f'{section} {c.name}': c.function for section, c in config.components.items()}
    named = jax.tree.leaves({**config.model.defaults, **config.model.arguments})
    registries = {'activation': layers.ACTIVATIONS, 'initializer': layers.KERNEL_INITS}
    for kind, registry in registries.items():
        found |= {f'{kind} {name}': registry[name] for name in registry if name in named}
    for name in config.metrics:
        metric = metrics.METRICS[name]
        found |= {f'metric {name}': metric.statistics, f'metric {name} (value)': metric.value}
    for name in config.diagnostics:
        found[f'diagnostic {name}'] = diagnostics.DIAGNOSTICS[name].measure
    return found


@dataclasses.dataclass(frozen=True)
class Static:
    """A resolved config but for its dynamic fields: two are equal if one program serves both.

    With a function of a user's own only the very same config is, since such code may read a global
    that changes between two studies.
    """

    config: Config = dataclasses.field(compare=False)
    key: Any = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = functions(self.config)
        is_own = not all(map(components.is_library_code, named.values()))
        key = self.config.static(of_program=True), *named.items(), is_own and id(self.config)
        object.__setattr__(self, 'key', key)


def steps_per_epoch(config: Config, num_train: int) -> int:
    """Returns the number of mini-batches of an epoch; the last one may be short."""
    return math.ceil(num_train / config.batch_size)
