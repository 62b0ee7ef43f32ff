"""A run as traced code sees it: config, keys and data, and the model and optimizer made of them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import optax

from nnstudy import errors, models
from nnstudy.data.device import Data
from nnstudy.spec import components, fields
from nnstudy.spec.fields import Config
from nnstudy.training import diagnostics, losses, metrics, optimizers, regularization, schedules
from nnstudy.training.state import HParams, Keys, make_keys

# From parameters to the objective, and beside it the loss, the metric and the changed variables.
Objective = Callable[[Any], tuple[jax.Array, tuple[jax.Array, jax.Array, models.Variables]]]


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Model, schedule and optimizer are made where they are used, not once: they are functions of
    traced numbers, which must not leave the loop or branch that they were traced in.

    Attributes:
      config: resolved, with the run's own traced values in its dynamic fields.
      keys: see `nnstudy.training.state.make_keys`.
      data: the splits.
    """

    config: Config
    keys: Keys
    data: Data

    @classmethod
    def bind(cls, config: Config, keys: Keys, hparams: HParams, data: Data) -> 'Run':
        """Returns a run with its dynamic fields, float32 [] by dotted name."""
        return cls(config.replace(hparams), keys, data)

    @classmethod
    def of_seed(cls, config: Config, seed: jax.Array, hparams: HParams, data: Data) -> 'Run':
        """Returns the run with the keys of a seed, int [], see `config.data_seeds`."""
        num = config.data_seeds
        keys = make_keys(seed) if num is None else make_keys(seed // num, seed % num)
        return cls.bind(config, keys, hparams, data)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.config, self.data.num_train)

    @property
    def model(self) -> models.Model:
        """The network, as two pure functions."""
        chosen = self.config.model
        return models.make(chosen.function, **chosen.keywords, **self.model_arguments)

    @property
    def model_arguments(self) -> dict[str, Any]:
        """The arguments of the model that follow from the data."""
        arguments: dict[str, Any] = {
            'num_outputs': losses.num_outputs(self.config.loss.name, self.data)
        }
        if models.takes_tokens(self.config.model.function):
            arguments['num_tokens'] = self.data.num_tokens
        return arguments

    @property
    def schedule(self) -> schedules.Schedule:
        """The learning rate at each step."""
        return schedules.make(
            self.config.schedule.function,
            self.config.schedule.keywords,
            self.config.optimizer.arguments['learning_rate'],
            self.steps_per_epoch,
            self.config.epochs,
        )

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

        Raises:
          UserError: the model's outputs [B, K] have another shape than the data need.
        """
        chosen = self.config.loss
        expected = len(labels), losses.num_outputs(chosen.name, self.data)
        if outputs.shape != expected:
            raise errors.UserError(
                f'model {self.config.model.name!r} gives outputs of shape {outputs.shape} for '
                f'{len(labels)} examples; the data need {expected}'
            )
        arguments = chosen.keywords
        if not train:
            arguments.pop('label_smoothing', None)
        return chosen.function(outputs, labels, **arguments)

    def predictions(self, outputs: jax.Array) -> jax.Array:
        """Returns what metrics compare with the labels: scores of the classes, or numbers."""
        if self.data.is_classification:
            return outputs
        return losses.traits(self.config.loss.name).link(outputs)

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

        def objective(params):
            outputs, updates = model.apply(
                {**variables, 'params': params},
                self.data.normalized(inputs),
                train=rng is not None,
                rng=rng,
                mask=mask,
            )
            loss = _mean(self.loss(outputs, labels, train=True), mask)
            measured = _mean(metric.statistics(self.predictions(outputs), labels), mask)
            penalty = regularization.penalty(params, self.penalized, strengths)
            return loss + penalty, (loss, measured, updates)

        return objective


def functions(config: Config) -> dict[str, Callable[..., Any]]:
    """Returns the functions that a config names: its components, metrics and diagnostics."""
    found = {f'{section} {c.name}': c.function for section, c in config.components.items()}
    for name in config.metrics:
        metric = metrics.METRICS[name]
        found |= {f'metric {name}': metric.statistics, f'metric {name} (value)': metric.value}
    return found | {
        f'diagnostic {name}': diagnostics.DIAGNOSTICS[name].measure for name in config.diagnostics
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Static:
    """A config but for its dynamic fields: two are equal where one compiled program serves both.

    With a component of a user's own they are only if the config is the same one, since such code
    may read a global that changes between two studies.

    Attributes:
      config: resolved.
    """

    config: Config

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static):
            return False
        return self.config is other.config or (
            all(map(components.is_library_code, functions(self.config).values()))
            and self.config.static(of_program=True) == other.config.static(of_program=True)
        )

    def __hash__(self) -> int:
        return hash(self.config.static(of_program=True))


def steps_per_epoch(config: Config, num_train: int) -> int:
    """Returns the number of mini-batches of an epoch; the last one may be short."""
    return math.ceil(num_train / config.batch_size)


def _mean(values: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns the mean of [B], of the examples that count."""
    return values.mean() if mask is None else (values * mask).sum() / mask.sum()
