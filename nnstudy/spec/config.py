"""What a study is, as plain data: the fields, their types, and the config file that sets them.

A config file is a Python module (so loading one runs it) with

    def get_config(arg=None):   # -> ConfigDict; `arg` is what follows ':' in --config=file.py:arg
    def sweep(config):          # -> list of points, see nnstudy.spec.sweep           (optional)
    def claims(config):         # -> list of nnstudy.analysis.claims.claim             (optional)
    def references(config):     # -> list of nnstudy.analysis.references.reference     (optional)
    def get_data(config):       # -> nnstudy.Dataset, in place of config.dataset       (optional)
    def measure(results):       # -> columns to add to the table of runs               (optional)
    def pictures(results):      # -> figures by file name                              (optional)

`claims` and `references` may leave the argument out; the last two are called when the runs are
trained.

Every float field is dynamic: each run of a sweep may have its own value and nothing is compiled
again. Every other field is static: it shapes the program. `None` means off, and is static.

The sections `model`, `loss`, `optimizer` and `schedule` are open: `name` chooses a component, and
the other fields of the section are that component's keyword arguments (see spec.components).
"""

import ast
import dataclasses
import functools
import importlib.util
import inspect
import math
import re
import sys
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict, config_dict

from nnstudy import errors

# The functions that a config file has for its study.
HOOKS = ('get_config', 'sweep', 'claims', 'references', 'get_data', 'measure', 'pictures')

OPEN_SECTIONS = ('model', 'loss', 'optimizer', 'schedule')


def default_config() -> ConfigDict:
    """Returns the config that a study starts from: all fields with their defaults, locked."""
    config = ConfigDict()
    # 'digits', 'mnist', 'fashion_mnist', 'cifar10', 'boston_housing', 'sms_spam', 'csv:<file>',
    # 'csv:<file>#<column>', 'tfds:<name>'; see nnstudy.data.
    config.dataset = 'digits'
    config.split = ConfigDict()
    config.split.train = 'train[:80%]'
    config.split.validation = 'train[80%:]'  # None: no validation, the best is chosen on test
    config.split.test = 'test'
    # What inputs are scaled to: 'unit' [0, 1], 'symmetric' [-1, 1], 'standard' (mean 0 and standard
    # deviation 1 over the training split, by channel or column). None: as they are.
    config.normalization = 'unit'
    # Images are resized to squares of so many pixels, once; None: as they are.
    config.image_size = config_dict.placeholder(int)
    # How texts become rows of token ids; see nnstudy.data.prepare.
    config.text = ConfigDict()
    # Ids by 'frequency' or first 'appearance' in the training split. None: 'frequency'.
    config.text.vocabulary = config_dict.placeholder(str)
    # Only so many of the first ids; the other words share one. None: no limit.
    config.text.vocabulary_size = config_dict.placeholder(int)
    # Tokens of an example. None: as many as the longest of the training split has.
    config.text.length = config_dict.placeholder(int)
    # Where shorter ones are filled up and longer ones cut: 'before' or 'after'. None: 'after'.
    config.text.padding = config_dict.placeholder(str)
    config.text.truncation = config_dict.placeholder(str)
    # Random changes of the training images, anew in every epoch; 0 leaves an image as it is. See
    # nnstudy.data.augmentation.
    config.augmentation = ConfigDict()
    config.augmentation.horizontal_flip = config_dict.placeholder(float)  # its probability
    config.augmentation.shift = config_dict.placeholder(float)  # at most, in sides of the image
    config.augmentation.rotation = config_dict.placeholder(float)  # at most, in degrees
    config.augmentation.zoom = config_dict.placeholder(float)  # at most; 0.1: 0.9 to 1.1 times
    config.augmentation.brightness = config_dict.placeholder(float)  # at most, of full intensity
    config.augmentation.contrast = config_dict.placeholder(float)  # at most; 0.1: 0.9 to 1.1 times
    config.augmentation.cutout = config_dict.placeholder(float)  # side of a black square, in sides

    config.model = ConfigDict({'name': 'mlp'})
    # The initial kernels are multiplied by it. None: as the model has them.
    config.init_scale = config_dict.placeholder(float)
    config.loss = ConfigDict({'name': 'softmax_cross_entropy'})
    config.optimizer = ConfigDict({'name': 'sgd', 'learning_rate': 0.1})
    config.optimizer.momentum = config_dict.placeholder(float)
    # How the rate changes from optimizer.learning_rate on.
    config.schedule = ConfigDict({'name': 'constant'})

    # Penalties that are added to the training loss, but not to the losses in the tables.
    config.regularization = ConfigDict()
    config.regularization.l2 = config_dict.placeholder(float)  # l2 Σ w², without a half
    config.regularization.l1 = config_dict.placeholder(float)  # l1 Σ |w|, by its subgradient
    # L1 by a proximal step after each step of the optimizer, which makes weights exactly zero.
    config.regularization.proximal_l1 = config_dict.placeholder(float)
    # Which parameters they and the weight decay fall on, as regular expressions that are searched
    # for in paths such as 'Dense_0/kernel'. None: all kernels are included, nothing is excluded.
    config.regularization.include = config_dict.placeholder(str)
    config.regularization.exclude = config_dict.placeholder(str)

    config.batch_size = 64
    config.epochs = 10
    # False: batches in file order, the same in every epoch.
    config.shuffle = True
    # Run k of a point uses seed + k: the same seeds, hence the same initial weights and the same
    # order of examples, at every point.
    config.seed = 0
    config.num_seeds = 1
    # Initial weights and data vary apart: the run of seed s has the initial weights of seed
    # s // data_seeds, and the order of examples (dropout and augmentation too) of seed
    # s % data_seeds. 20 seeds with data_seeds = 4: 5 initialisations, each with the same 4 orders.
    config.data_seeds = config_dict.placeholder(int)

    # Epochs between two evaluations; step 0 and the last step are always evaluated.
    config.eval_every = 1
    # Evaluations within the first epoch, evenly spaced, beside those; None: none.
    config.eval_in_first_epoch = config_dict.placeholder(int)
    # Measured beside the loss and the accuracy (of numbers to predict: the mean absolute error);
    # see nnstudy.training.metrics.
    config.metrics = ()
    # train_loss and train_accuracy are taken on this many first training examples; None: on all.
    config.eval_train_examples = config_dict.placeholder(int)
    # Measured at every evaluation too: 'sharpness', 'noise_scale'; see training.diagnostics.
    config.diagnostics = ()
    # Taken on this many first training examples; None: on all.
    config.diagnostic_examples = config_dict.placeholder(int)
    # Steps between two rows of steps.parquet (batch loss and accuracy); None: no such table.
    config.log_every_steps = config_dict.placeholder(int)
    # True: evaluations count the weights, biases and gradients of each layer too, see
    # nnstudy.training.histograms and Results.histograms. None: no.
    config.histograms = config_dict.placeholder(bool)

    # When a run stops before its last epoch; judged at every evaluation.
    config.stop = ConfigDict()
    # The metric passes the target: an accuracy above it, a loss or error below it. None: never.
    config.stop.metric = 'test_accuracy'
    config.stop.target = config_dict.placeholder(float)
    # So many evaluations in a row without a new best one (see best_step). None: never.
    config.stop.patience = config_dict.placeholder(int)

    # Successive halving: after min_epochs, min_epochs * factor, min_epochs * factor^2, ... epochs
    # the best 1/factor of the points go on, by the metric that the best point is chosen by; the
    # others' runs end there, 'pruned'. None: all points train to the end.
    config.halving = ConfigDict()
    config.halving.factor = config_dict.placeholder(int)
    config.halving.min_epochs = 1
    # Coarse to fine: a study for each of these training splits, one after the other. The first has
    # the points of the sweep, each later one those of a closer look about the best point of the one
    # before; see nnstudy.running.stages. They take the place of split.train. None: one study.
    config.zoom = ConfigDict()
    config.zoom.train = config_dict.placeholder(tuple)

    # How the study is executed. Not part of its identity: none of it changes what is computed,
    # except that another number of lanes may round differently.
    config.execution = ConfigDict()
    # Runs that a device advances together; None: by a rule of the model's cost and the backend.
    config.execution.lanes = config_dict.placeholder(int)
    # Memory for the runs that are on the devices at once, in GiB; None: half of what is there.
    config.execution.memory_gib = config_dict.placeholder(float)
    # Least time between two checkpoints, in seconds; 0: one after every segment.
    config.execution.checkpoint_seconds = 30.0
    return config.lock()


@dataclasses.dataclass(frozen=True)
class Study:
    """What a config file says, before anything is checked against models or data."""

    name: str
    config: ConfigDict
    points: list[dict[str, Any]]
    claims: list[Any]
    references: list[Any]
    get_data: Callable[[ConfigDict], Any] | None = None
    measure: Callable[[Any], Mapping[str, Any]] | None = None
    pictures: Callable[[Any], Mapping[str, Any]] | None = None


def load(spec: str, overrides: Mapping[str, Any] | None = None) -> Study:
    """Loads `path/to/config.py` or `path/to/config.py:arg`.

    Args:
      spec: the file, and after a colon what `get_config` is to be called with.
      overrides: values by dotted field name, as text or as Python values. They are set before
        `sweep(config)` is called.

    Returns:
      The study. With no `sweep` in the file it has one point, the config itself.

    Raises:
      UserError: the file is missing or fails, or does not say what a study needs.
    """
    path, _, arg = spec.partition(':')
    module = load_module(Path(path))
    if not callable(getattr(module, 'get_config', None)):
        raise errors.UserError(f'{path} has no function get_config(arg=None)')
    if arg and not inspect.signature(module.get_config).parameters:
        raise errors.UserError(f'{path} takes no argument, so nothing after the colon: {arg!r}')
    config = _call(path, module.get_config, *([arg] if arg else []))
    if not isinstance(config, ConfigDict):
        raise errors.UserError(
            f'get_config of {path} must return an ml_collections.ConfigDict, not {type(config)}'
        )
    config = complete(config)
    for field, value in sorted((overrides or {}).items(), key=_names_first):
        override(config, field, value)
    sweep: Any = getattr(module, 'sweep', lambda config: [{}])
    if not callable(sweep):
        raise errors.UserError(f'{path}: sweep must be a function sweep(config)')
    points = _call(path, sweep, config)
    if not isinstance(points, Sequence) or not all(isinstance(p, Mapping) for p in points):
        raise errors.UserError(
            f'sweep of {path} must return a list of points such as {{"optimizer.learning_rate": '
            '0.1}; see nnstudy.grid, chain, zip_'
        )
    return Study(
        name=re.sub(r'[^\w.-]+', '-', f'{Path(path).stem}-{arg}').strip('-'),  # a folder's name
        config=config,
        points=[dict(point) for point in points],
        claims=_listed(path, module, 'claims', config),
        references=_listed(path, module, 'references', config),
        **{name: _hook(path, module, name) for name in ('get_data', 'measure', 'pictures')},
    )


def options(arg: str, *choices: Sequence[str]) -> list[str]:
    """Returns what a config's argument chooses, such as `'mnist,quick'`.

    Args:
      arg: words, separated by commas, in any order.
      *choices: the words of each choice, of which the first one is taken where none is named.

    Raises:
      UserError: a word is unknown, or two are of one choice.
    """
    words = [word for word in arg.split(',') if word]
    known = [word for words_of_one in choices for word in words_of_one if word]
    for word in words:
        if word not in known:
            raise errors.unknown('word after the colon of --config', word, known)
    chosen = []
    for words_of_one in choices:
        named = [word for word in words if word in words_of_one]
        if len(named) > 1:
            raise errors.UserError(f'--config=...:{arg}: {" and ".join(named)} exclude each other')
        chosen.append(named[0] if named else words_of_one[0])
    return chosen


def complete(config: ConfigDict) -> ConfigDict:
    """Returns a locked copy of `config` with the fields that it leaves out at their defaults.

    Raises:
      UserError: a field is unknown or of the wrong type.
    """
    completed = default_config()
    for field, value in sorted(flatten(config).items(), key=_names_first):
        override(completed, field, value)
    return completed


def override(config: ConfigDict, field: str, value: Any) -> None:
    """Sets a field by its dotted name, in place.

    `loss=hinge` is short for `loss.name=hinge`, and likewise for the other open sections. Another
    name makes the section anew, since its fields are arguments of the component that was there;
    only the optimizer's `learning_rate` and `weight_decay` stay. Open sections take new fields
    here; whether the component has them is checked when the plan is made.

    Raises:
      UserError: there is no such field, or the value is not of its type.
    """
    if field in OPEN_SECTIONS:
        field += '.name'
    section, _, name = field.rpartition('.')
    known = flatten(config)
    if field not in known and section not in OPEN_SECTIONS:
        raise errors.unknown('field of config', field, known)
    value = coerce(field, value, field_type(config, field))
    if name == 'name' and value != known[field]:
        for gone in _own_fields(known, section):
            del known[gone]
            with config.unlocked():
                del config[section][gone.rpartition('.')[2]]
    if field in known and repr(value) == repr(known[field]):
        return  # as most fields of a config are the default, and unlocking goes through all
    with config.unlocked(), config.ignore_type():
        (config[section] if section else config)[name] = value


def merge(flat: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all fields of a point; another component leaves the fields of the old one behind."""
    gone: set[str] = set()
    for section in OPEN_SECTIONS:
        name = f'{section}.name'
        if point.get(name, flat[name]) != flat[name]:
            gone |= _own_fields(flat, section)
    return {**{field: value for field, value in flat.items() if field not in gone}, **point}


def _own_fields(flat: Mapping[str, Any], section: str) -> set[str]:
    """Returns the fields of a section that mean something to its component alone."""
    kept = {f'{section}.name', 'optimizer.learning_rate', 'optimizer.weight_decay'}
    return {field for field in flat if field.startswith(section + '.') and field not in kept}


def field_type(config: ConfigDict, field: str) -> type:
    """Returns the type that values of a field must have; `NoneType` if any will do here.

    Floats are known by the config. What else an argument of a component may be, the component
    says: see `nnstudy.spec.components.check`.
    """
    section, _, name = field.rpartition('.')
    parent = config[section] if section else config
    kind = parent.get_type(name) if name in parent else type(None)
    is_argument = section in OPEN_SECTIONS and name != 'name'
    return type(None) if is_argument and kind is not float else kind


def parse(text: str) -> Any:
    """Returns the Python value that `text` is a literal of, or else the text itself."""
    named: dict[str, Any] = {'nan': math.nan, 'inf': math.inf, '-inf': -math.inf}
    named |= {'true': True, 'false': False, 'none': None}
    if text.strip().lower() in named:
        return named[text.strip().lower()]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def coerce(field: str, value: Any, kind: type) -> Any:
    """Returns `value` as a field of type `kind` keeps it.

    Args:
      field: dotted name, for the message.
      value: text from the command line or a Python value.
      kind: the field's type; `NoneType` accepts everything.

    Raises:
      UserError: the value is of another type. A whole number is a float too, and one value is a
        tuple of one; nothing else is converted.
    """
    if isinstance(value, str) and kind is not str:
        value = parse(value)
    elif isinstance(value, str) and value.lower() == 'none':
        value = None
    if hasattr(value, 'item') and getattr(value, 'ndim', 0) == 0:
        value = value.item()  # NumPy and JAX scalars
    if isinstance(value, list):
        value = tuple(value)
    if value is None or kind is type(None):
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number:
        try:
            return float(value)
        except OverflowError:
            return math.inf  # refused by `check`
    if kind is int and isinstance(value, int) and is_number:
        return value
    if kind in (tuple, list):
        if isinstance(value, str):
            value = tuple(part.strip() for part in value.split(','))
        return value if isinstance(value, tuple) else (value,)
    if isinstance(value, kind) and kind not in (int, float):
        return value
    names = {float: 'a number', int: 'a whole number', bool: 'True or False', str: 'text'}
    raise errors.UserError(
        f'config.{field} must be {names.get(kind, kind.__name__)}, not {value!r}'
    )


def flatten(config: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields by dotted name, sections resolved: `{'optimizer.name': 'sgd', ...}`."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, (ConfigDict, Mapping)):
            flat.update({f'{key}.{name}': leaf for name, leaf in flatten(value).items()})
        else:
            flat[key] = value
    return flat


def unflatten(flat: Mapping[str, Any]) -> ConfigDict:
    """The inverse of `flatten`: a locked ConfigDict from values by dotted name."""
    config = ConfigDict()
    for field, value in flat.items():
        parent = config
        *sections, name = field.split('.')
        for section in sections:
            if section not in parent:
                parent[section] = ConfigDict()
            parent = parent[section]
        parent[name] = value
    return config.lock()


def check(flat: Mapping[str, Any]) -> None:
    """Raises UserError if a value that needs no model or data to be judged is out of range.

    Args:
      flat: fields by dotted name; a subset will do.
    """
    for field, value in flat.items():
        if value is None and field in _never_none():
            raise errors.UserError(f'config.{field} cannot be None')
        if isinstance(value, float) and not abs(value) <= _LARGEST:
            raise errors.UserError(f'config.{field} must be finite in float32, not {value}')
        if isinstance(value, float) and 0 < abs(value) < _SMALLEST:
            raise errors.UserError(f'config.{field} is too small for float32: {value}')
        if type(value) is int and abs(value) >= 2**31 and field != 'seed':
            raise errors.UserError(f'config.{field} must be below 2**31, not {value}')
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            _RANGES.get(field, _Range()).check(field, value)


class _Range(NamedTuple):
    """Accepted numbers: low <= value <= high, with `above` not low, with `below` not high."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def check(self, field: str, value: float) -> None:
        rule = ''
        if value < self.low or (self.above and value == self.low):
            rule = f'{"above" if self.above else "at least"} {self.low}'
        elif value > self.high or (self.below and value == self.high):
            rule = f'{"below" if self.below else "at most"} {self.high}'
        if rule:
            raise errors.UserError(f'config.{field} must be {rule}, not {value}')


_LARGEST, _SMALLEST = 3.4028234e38, 1.1754944e-38  # of float32, normal numbers


def limits(field: str) -> tuple[float, float]:
    """Returns the lowest and highest number that a field may be, or infinity."""
    accepted = _RANGES.get(field, _Range())
    return accepted.low, accepted.high


def _ranges() -> dict[str, _Range]:
    by_range = {
        _Range(1): (
            'batch_size epochs num_seeds eval_every eval_in_first_epoch eval_train_examples '
            'diagnostic_examples log_every_steps image_size '
            'text.length text.vocabulary_size stop.patience execution.lanes optimizer.memory_size '
            'halving.min_epochs'
        ),
        _Range(2): 'halving.factor data_seeds',
        _Range(0): (
            'seed init_scale execution.checkpoint_seconds '
            'optimizer.learning_rate optimizer.weight_decay optimizer.eps '
            'regularization.l1 regularization.l2 regularization.proximal_l1 '
            'model.batch_norm_epsilon schedule.warmup_epochs schedule.factor schedule.power '
            'schedule.final_factor schedule.start_factor schedule.min_factor schedule.decrement '
            'schedule.threshold'
        ),
        _Range(0, above=True): (
            'execution.memory_gib optimizer.clip_norm loss.delta schedule.timescale'
        ),
        _Range(0, 1): (
            'loss.label_smoothing model.batch_norm_momentum schedule.rise optimizer.momentum '
            'optimizer.decay optimizer.rho augmentation.horizontal_flip augmentation.shift '
            'augmentation.brightness augmentation.contrast augmentation.cutout'
        ),
        _Range(0, 1, below=True): (
            'optimizer.b1 optimizer.b2 model.dropout model.flatten_dropout model.dense_dropout'
        ),
        _Range(0, 180): 'augmentation.rotation',
        _Range(0, 0.9): 'augmentation.zoom',
    }
    return {field: accepted for accepted, fields in by_range.items() for field in fields.split()}


_RANGES = _ranges()


@functools.cache
def _never_none() -> frozenset[str]:
    """The fields that have no off: those that have a default, but for two."""
    defaults = flatten(default_config()).items()
    can_be_off = {'split.validation', 'normalization'}
    return frozenset(field for field, value in defaults if value is not None) - can_be_off


def _names_first(item: tuple[str, Any]) -> tuple[bool, str]:
    """Sorts the choice of a component before its arguments."""
    field = item[0]
    return (field not in OPEN_SECTIONS and not field.endswith('.name'), field)


def load_module(path: Path) -> types.ModuleType:
    """Runs a config file and returns it as a module."""
    if not path.is_file():
        raise errors.UserError(f'no config file {str(path)!r}{_nearby(path)}')
    spec = importlib.util.spec_from_file_location(f'nnstudy_config_{path.stem}', path)
    if spec is None or spec.loader is None:
        raise errors.UserError(f'config file {str(path)!r} is not a Python file (*.py)')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and Linen modules look their module up
    beside = str(path.parent.resolve())  # a config may import what lies there
    sys.path.insert(0, beside)
    try:
        _call(str(path), spec.loader.exec_module, module)
    finally:
        sys.path.remove(beside)
    return module


def _listed(path: str, module: types.ModuleType, name: str, config: ConfigDict) -> list[Any]:
    """Returns the list that a function of the module gives, if it has that function."""
    if not hasattr(module, name):
        return []
    function = getattr(module, name)
    arguments = [config] if inspect.signature(function).parameters else []
    return _call(path, lambda: list(function(*arguments)))


def _hook(path: str, module: types.ModuleType, name: str) -> Callable[[Any], Any] | None:
    """Returns a function of the module, if it has it; what it raises becomes one line."""
    if not hasattr(module, name):
        return None
    return functools.partial(_call, path, getattr(module, name))


def _nearby(path: Path) -> str:
    """Names the config files beside a file that is not there."""
    names = sorted(p.name for p in path.parent.glob('*.py')) if path.parent.is_dir() else []
    return f'; in {str(path.parent)!r} there are: {", ".join(names)}' if names else ''


def _call(path: str, function: Any, *args: Any) -> Any:
    """Calls code of a config file; what it raises becomes one line that names file and line."""
    try:
        return function(*args)
    except errors.UserError:
        raise
    except (Exception, SystemExit) as error:
        stack = traceback.extract_tb(error.__traceback__)
        frames = [f for f in stack if Path(f.filename).resolve() == Path(path).resolve()]
        line = getattr(error, 'lineno', None) or (frames[-1].lineno if frames else None)
        where = f'{path}, line {line}' if line else path
        message = ' '.join(str(error).split())
        unknown = re.match(r'\W*Key "(\w+)" does not exist', message)
        if unknown:  # ml_collections shows the whole config in its message
            raise errors.unknown(
                f'field of the config, {where}:', unknown[1], default_config()
            ) from error
        raise errors.UserError(f'{where}: {type(error).__name__}: {message}') from error
