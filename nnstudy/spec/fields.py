"""The fields of a config: their types, defaults and ranges.

A person writes an `ml_collections.ConfigDict` of them (`nnstudy.default_config`). It is resolved
once, by `nnstudy.training.resolve`, to a `Config`, which is typed and frozen. All other code takes
that.

Every float field is dynamic: each run of a sweep may have its own value and nothing is compiled
again. Every other field is static: it shapes the program. `None` means off, and is static.

The sections `model`, `loss`, `optimizer` and `schedule` are open: `name` chooses a component, and
the other fields of the section are that component's keyword arguments.
"""

import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from flax import traverse_util

from nnstudy.spec import values
from nnstudy.spec.values import (
    OUTSIDE,
    Count,
    Field,
    Fixed,
    Fraction,
    NonNegative,
    Positive,
    Range,
    Value,
)

_WHOLE_STUDY = Fixed('it is the same for the whole study')


def _unresolved(**arguments: Any) -> Any:
    raise TypeError('the config is not resolved')


@dataclasses.dataclass(frozen=True)
class Component:
    """An open section: a component by name, with keyword arguments."""

    name: str  # in the registry of the section
    # The section's other fields; None means off.
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    function: Callable[..., Any] = _unresolved  # the component itself, once the config is resolved

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the function's arguments."""
        return {name: field.default for name, field in values.signature(self.function).items()}

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments of a call. One that is off is left out, unless it is on by default."""
        defaults = self.defaults
        return {
            name: value
            for name, value in self.arguments.items()
            if value is not None or defaults.get(name) is not None
        }


@dataclasses.dataclass(frozen=True)
class Split:
    """Which examples are for training, validation and test, see `nnstudy.data.splits`."""

    train: str = 'train[:80%]'
    validation: str | None = 'train[80%:]'  # None: the best is chosen on test
    test: str = 'test'


@dataclasses.dataclass(frozen=True)
class Text:
    """How texts become rows of token ids, see `nnstudy.data.text`."""

    # The order of the words' ids, by the training split. None: 'frequency'.
    vocabulary: Literal['frequency', 'appearance'] | None = None
    vocabulary_size: Count | None = None  # all further words share an id; None: no limit
    length: Count | None = None  # tokens of an example; None: those of the longest in training
    # Where shorter ones are filled up and longer ones cut. None: 'after'.
    padding: Literal['before', 'after'] | None = None
    truncation: Literal['before', 'after'] | None = None


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images, anew in every epoch, see `nnstudy.data.augmentation`.

    They are in the order of their random numbers: a new one goes to the end.
    """

    horizontal_flip: Fraction | None = None  # its probability
    shift: Fraction | None = None  # at most, along each axis, in sides; to whole pixels
    rotation: Annotated[float, Range(0, 180)] | None = None  # at most, in degrees
    zoom: Annotated[float, Range(0, 0.9)] | None = None  # at most; 0.1: 0.9 to 1.1 times
    brightness: Fraction | None = None  # at most, of full intensity
    contrast: Fraction | None = None  # at most; 0.1: 0.9 to 1.1 times
    cutout: Fraction | None = None  # side of a black square, in shorter sides; to whole pixels


@dataclasses.dataclass(frozen=True)
class Regularization:
    """Penalties that are added to the training loss, but not to the losses in the tables."""

    l2: NonNegative | None = None  # l2 Σ w², without a half
    l1: NonNegative | None = None  # l1 Σ |w|, by its subgradient
    # L1 by a proximal step after each step of the optimizer, which makes weights exactly zero.
    proximal_l1: NonNegative | None = None
    # Which parameters get penalties and weight decay: regular expressions that are searched for in
    # paths such as 'Dense_0/kernel'. None: all kernels are included, and nothing is excluded.
    include: str | None = None
    exclude: str | None = None


@dataclasses.dataclass(frozen=True)
class Stop:
    """When a run stops before its last epoch; decided at every evaluation."""

    metric: str = 'test_accuracy'
    target: float | None = None  # the metric is better than it; None: never
    patience: Count | None = None  # so many evaluations in a row are no new best; None: never


@dataclasses.dataclass(frozen=True)
class Halving:
    """Successive halving: after min_epochs * factor^k epochs, the best 1/factor of points go on.

    The metric is the one that chooses the best point. None: all points train to the end.
    """

    factor: Annotated[int, Range(2)] | None = None
    min_epochs: Count = 1


@dataclasses.dataclass(frozen=True)
class Zoom:
    """Coarse to fine: a study for each of these training splits, in place of `split.train`.

    Each has points around the best one of the study before. None: one study.
    """

    train: tuple[str, ...] | None = None


Precision = Literal['float32', 'tensorfloat32', 'bfloat16']


@dataclasses.dataclass(frozen=True)
class Execution:
    """How the study is executed; it is the same study with other values.

    With another number of lanes, numbers may round differently.
    """

    # Runs that a device advances together. None: by a rule, from the model's cost and the backend.
    lanes: Count | None = None
    # Memory for the runs that are on the devices at once. None: half of it.
    memory_gib: Positive | None = None
    # The least time between two checkpoints. 0: one after every segment.
    checkpoint_seconds: NonNegative = 30.0


@dataclasses.dataclass(frozen=True)
class Config:
    """All fields of a study, or of one of its points."""

    # 'digits', 'mnist', 'fashion_mnist', 'cifar10', 'boston_housing', 'sms_spam', 'csv:<file>',
    # 'csv:<file>#<column>', 'tfds:<name>'; see nnstudy.data.
    dataset: Annotated[str, OUTSIDE] = 'digits'
    split: Annotated[Split, OUTSIDE] = Split()
    # What inputs are scaled to: 'unit' [0, 1], 'symmetric' [-1, 1], 'standard' (mean 0 and standard
    # deviation 1 over the training split, by channel or column). None: as they are.
    normalization: Annotated[str | None, OUTSIDE] = 'unit'
    # Images are resized to squares with sides of so many pixels. None: as they are.
    image_size: Annotated[Count | None, OUTSIDE] = None
    text: Annotated[Text, OUTSIDE] = Text()
    augmentation: Augmentation = Augmentation()

    model: Component = Component('mlp')
    # The initial kernels are multiplied by it. None: they are not.
    init_scale: NonNegative | None = None
    loss: Component = Component('softmax_cross_entropy')
    optimizer: Component = Component('sgd', {'learning_rate': 0.1})
    # How the learning rate changes in training; it starts from optimizer.learning_rate.
    schedule: Component = Component('constant')
    regularization: Regularization = Regularization()

    # Of the network's arithmetic: 'float32', 'tensorfloat32' (GPUs) or 'bfloat16'. Parameters, the
    # optimizer, statistics and losses are float32 in any case. None: as JAX has it, products of
    # float32 on a CPU, of TensorFloat-32 on a GPU and of bfloat16 on a TPU.
    precision: Precision | None = None

    batch_size: Count = 64
    epochs: Count = 10
    # False: batches in file order, the same in every epoch.
    shuffle: bool = True
    # Run k of a point uses seed + k: the same initial weights and order of examples at every point.
    seed: Annotated[
        int,
        Range(0, 2**32 - 1),
        OUTSIDE,
        Fixed('every point runs config.num_seeds seeds from config.seed on'),
    ] = 0
    num_seeds: Annotated[Count, OUTSIDE, Fixed('every point has the same number of seeds')] = 1
    # The run of seed s has the initial weights of seed s // data_seeds, and the order of examples,
    # dropout and augmentation of seed s % data_seeds: with 4, 20 seeds are 5 initialisations, each
    # with the same 4 orders.
    data_seeds: Annotated[int | None, Range(2), Fixed('all points have the same seeds')] = None

    # Epochs between two evaluations. There is always one at step 0 and one after the last step.
    eval_every: Count = 1
    # Further evaluations within the first epoch, evenly spaced. None: none.
    eval_in_first_epoch: Count | None = None
    # Beside the loss and the accuracy (of numbers, the mean absolute error); see training.metrics.
    metrics: tuple[str, ...] = ()
    # train_loss and train_accuracy use only this many training examples, the first. None: all.
    eval_train_examples: Count | None = None
    # Also measured: 'sharpness', 'noise_scale'; see training.diagnostics.
    diagnostics: tuple[str, ...] = ()
    # They use only this many training examples, the first. None: all.
    diagnostic_examples: Count | None = None
    # Steps between two rows of steps.parquet (batch loss and accuracy). None: no such table.
    log_every_steps: Count | None = None
    # Whether evaluations make histograms of each layer, see Results.histograms. None: no.
    histograms: bool | None = None

    stop: Stop = Stop()
    halving: Annotated[Halving, OUTSIDE, _WHOLE_STUDY] = Halving()
    zoom: Annotated[Zoom, Fixed('its stages are those of the whole study')] = Zoom()
    execution: Annotated[Execution, OUTSIDE, _WHOLE_STUDY] = Execution()
    # Any fields, for the functions of a config file. Training does not read them.
    study: Annotated[Mapping[str, Value], OUTSIDE, _WHOLE_STUDY] = dataclasses.field(
        default_factory=dict
    )

    @functools.cached_property
    def flat(self) -> dict[str, Value]:
        """The fields by dotted name: `{'optimizer.name': 'sgd', ...}`."""
        own = {field: operator.attrgetter(field)(self) for field in closed()}
        open_ = {section: c.arguments for section, c in self.components.items()}
        for section, given in {**open_, 'study': self.study}.items():
            own |= {f'{section}.{name}': value for name, value in given.items()}
        return own

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as nested plain data."""
        return traverse_util.unflatten_dict(self.flat, sep='.')

    def replace(self, values: Mapping[str, Any]) -> 'Config':
        """Returns the config with other values, by dotted name."""
        changed = traverse_util.unflatten_dict(dict(values), sep='.')
        for section in changed.keys() & {field.rpartition('.')[0] for field in values}:
            old, new = getattr(self, section), changed[section]
            if isinstance(old, Component):
                name = new.pop('name', old.name)
                new = {'name': name, 'arguments': {**old.arguments, **new}}
            is_open = isinstance(old, Mapping)
            changed[section] = {**old, **new} if is_open else dataclasses.replace(old, **new)
        return dataclasses.replace(self, **changed)

    @functools.cached_property
    def hparams(self) -> dict[str, np.ndarray]:
        """The dynamic fields: `{'optimizer.learning_rate': float32 []}`, by dotted name.

        float32 whatever the model computes in: bfloat16 would turn `b2 = 0.999` into 1.
        """
        return {
            field: np.asarray(value, np.float32)
            for field, value in self.flat.items()
            if _is_dynamic(field, value)
        }

    def static(self, *, of_program: bool = False) -> tuple[Any, ...]:
        """Returns a key that is equal for configs with equal static fields and components.

        Values are compared as text, since 1 and True are equal but not the same. `of_program`
        leaves out the fields that do not change a run's program.
        """
        kept = {
            field: None if _is_dynamic(field, value) else repr(value)
            for field, value in self.flat.items()
            if not (of_program and _is_outside(field))
        }
        return (*sorted(kept.items()), *(c.function for c in self.components.values()))

    @functools.cached_property
    def components(self) -> dict[str, Component]:
        """The open sections by name."""
        return {section: getattr(self, section) for section in OPEN_SECTIONS}


OPEN_SECTIONS = tuple(f.name for f in dataclasses.fields(Config) if f.type is Component)


@functools.cache
def closed() -> dict[str, Field]:
    """Returns all fields of closed sections, and the names of components, by dotted name."""
    return dict(_closed(Config()))


def _closed(
    section: Any, prefix: str = '', inherited: tuple[Any, ...] = ()
) -> Iterator[tuple[str, Field]]:
    for name, hint in typing.get_type_hints(type(section), include_extras=True).items():
        field = values.read(hint, getattr(section, name))
        marks = (*inherited, *field.marks)
        if isinstance(field.default, Component):
            yield f'{name}.name', values.read(str, field.default.name)
        elif dataclasses.is_dataclass(field.default):
            yield from _closed(field.default, f'{name}.', marks)
        elif not isinstance(field.default, Mapping):
            yield prefix + name, field._replace(marks=marks)


def given(section: Any) -> dict[str, Any]:
    """Returns the fields of a closed section that are on, by name."""
    return {name: value for name, value in vars(section).items() if value is not None}


def _is_outside(field: str) -> bool:
    known = closed().get(field)
    return field.startswith('study.') if known is None else OUTSIDE in known.marks


def _is_dynamic(field: str, value: Value) -> bool:
    """Whether a field's value is an input of the compiled program, not a constant in it."""
    return isinstance(value, float) and not _is_outside(field)
