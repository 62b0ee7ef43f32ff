"""Config files: a study as a Python module, which loading it runs.

    def get_config():           # -> ConfigDict
    VARIANTS = {'quick': {'epochs': 5}}     # fields by name, for --config=file.py:quick
    def sweep(config):          # -> list of points, see nnstudy.spec.sweep            (optional)
    def claims(config):         # -> list of nnstudy.Claim                           (optional)
    def references(config):     # -> list of nnstudy.Reference                       (optional)
    def get_data(config):       # -> nnstudy.Dataset, in place of config.dataset       (optional)
    def measure(results):       # -> columns to add to the table of runs               (optional)
    def pictures(results):      # -> figures by file name                              (optional)

A function of the config may leave its argument out. The last two are called when the runs are
trained.
"""

import ast
import dataclasses
import functools
import importlib.machinery
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from nnstudy import errors
from nnstudy.spec import config as config_lib
from nnstudy.spec import fields
from nnstudy.spec.claims import Claim, Reference
from nnstudy.spec.fields import Value
from nnstudy.spec.sweep import Point

# What tells of the study in a config file, and is no code of its components.
_ABOUT = {'get_config', 'sweep', 'claims', 'references', 'get_data', 'measure', 'pictures'}
_ABOUT |= {'VARIANTS', 'RECORDED', 'PICTURE'}  # the last two are for `nnstudy studies`

# The variant that makes a study small. Its values override those of other variants.
QUICK = 'quick'


@dataclasses.dataclass(frozen=True)
class StudyFile:
    """What a config file says, before anything is checked against models or data."""

    name: str
    config: ConfigDict
    points: list[Point]
    claims: list[Claim]
    references: list[Reference]
    get_data: Callable[[ConfigDict], Any] | None = None
    measure: Callable[[Any], Mapping[str, Any]] | None = None
    pictures: Callable[[Any], Mapping[str, Any]] | None = None


def load(spec: str, overrides: Mapping[str, Value] | None = None) -> StudyFile:
    """Loads a study; with no `sweep` in the file it has one point, the config itself.

    Args:
      spec: `path/to/config.py`, and perhaps after a colon names of its `VARIANTS`, with commas.
      overrides: values by dotted field name, as text or as Python values, that override the
        variants.

    Raises:
      UserError: the file is missing or fails, or does not say what a study needs.
    """
    path, _, variants = spec.partition(':')
    module = load_module(Path(path))
    function = functools.partial(_function, path, module)
    get_config = function('get_config')
    config = None if get_config is None else get_config()
    if not isinstance(config, ConfigDict):
        raise errors.UserError(
            f'{path} needs a function get_config, which must return an ml_collections.ConfigDict, '
            f'not {type(config)}'
        )
    for values in (*_variants(path, module, variants), overrides or {}):
        config = config_lib.override(config, values)

    def listed(name: str, kind: type, what: str, default: Iterable[Any] = ()) -> list[Any]:
        list_all = function(name)
        found = default if list_all is None else list_all(config)
        is_several = isinstance(found, Iterable) and not isinstance(found, str)
        found = _call(path, list, found) if is_several else [found]
        for one in found:
            if not isinstance(one, kind):
                raise errors.UserError(
                    f'{name} of {path} must return a list of {what}, not of {one!r}'
                )
        return found

    points = 'points such as {"optimizer.learning_rate": 0.1} (see nnstudy.grid, chain, zip_)'
    return StudyFile(
        # The name of a folder.
        name=re.sub(r'[^\w.-]+', '-', f'{Path(path).stem}-{variants}').strip('-'),
        config=config,
        points=[dict(point) for point in listed('sweep', Mapping, points, [{}])],
        claims=listed('claims', Claim, 'nnstudy.Claim'),
        references=listed('references', Reference, 'nnstudy.Reference'),
        get_data=function('get_data'),
        measure=function('measure'),
        pictures=function('pictures'),
    )


def _variants(path: str, module: types.ModuleType, names: str) -> list[Mapping[str, Value]]:
    """Returns the values of the named variants, in the order in which the file lists them."""
    known: Mapping[str, Mapping[str, Value]] = getattr(module, 'VARIANTS', {})
    if not isinstance(known, Mapping) or not all(isinstance(v, Mapping) for v in known.values()):
        raise errors.UserError(
            f"VARIANTS of {path} must be a dict such as {{'quick': {{'epochs': 5}}}}"
        )
    named = {*names.split(',')} - {''}
    for name in named:
        errors.check_known(f'variant of {path} (after the colon of --config)', name, known)
    ordered = sorted(named, key=lambda name: (name == QUICK, [*known].index(name)))
    set_by: dict[str, tuple[str, Value]] = {}
    for name in ordered:
        for field, value in known[name].items():
            field = config_lib.full(field)
            other, old = set_by.setdefault(field, (name, value))
            if name != QUICK and old != value:
                raise errors.UserError(
                    f'--config=...:{names}: {other} and {name} exclude each other, both set '
                    f'config.{field}'
                )
    return [known[name] for name in ordered]


def load_module(path: Path) -> types.ModuleType:
    """Runs a config file and returns it as a module."""
    if not path.is_file():
        raise errors.unknown('config file', str(path), map(str, path.parent.glob('*.py')))
    module = types.ModuleType(f'nnstudy_config_{path.stem}')
    module.__file__ = str(path.absolute())
    loader = importlib.machinery.SourceFileLoader(module.__name__, module.__file__)
    sys.modules[module.__name__] = module  # dataclasses and Linen modules look their module up
    beside = str(path.parent.resolve())  # a config may import what lies there
    sys.path.insert(0, beside)
    try:
        _call(str(path), loader.exec_module, module)
    finally:
        sys.path.remove(beside)
    return module


def without_hooks(code: str) -> str:
    """Returns the code of a config file without what only tells of the study."""
    parsed = ast.parse(code)
    parsed.body = [one for one in parsed.body if not _is_about(one)]
    return ast.unparse(parsed)


def _is_about(statement: ast.stmt) -> bool:
    """Whether a statement is a text, or makes one of the names in `_ABOUT`."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    made = statement.targets if isinstance(statement, ast.Assign) else [statement]
    return any(getattr(one, 'id', getattr(one, 'name', None)) in _ABOUT for one in made)


def _function(path: str, module: types.ModuleType, name: str) -> Callable[..., Any] | None:
    """Returns a function of a config file, which may leave out its arguments; None without it."""
    function = getattr(module, name, None)
    if function is None:
        return None
    if not callable(function):
        raise errors.UserError(f'{path}: {name} must be a function')
    takes = len(_call(path, inspect.signature, function).parameters)
    return lambda *args: _call(path, function, *args[:takes])


def _call(path: str, function: Any, *args: Any) -> Any:
    """Calls code of a config file; what it raises becomes one line that names file and line."""
    try:
        return function(*args)
    except (Exception, SystemExit) as error:
        line = errors.line_in(path, error)
        where = f'{path}, line {line}' if line else path
        message = ' '.join(str(error).split())
        unknown = re.match(r'\W*Key "(\w+)" does not exist', message)
        if unknown:  # ml_collections shows the whole config in its message
            known = fields.closed()
            raise errors.unknown(f'field of the config, {where}:', unknown[1], known) from error
        kind = '' if isinstance(error, errors.UserError) else f'{type(error).__name__}: '
        raise errors.UserError(f'{where}: {kind}{message}') from error
