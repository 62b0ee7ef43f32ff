"""What a component's arguments may be: its own annotations and defaults say it."""

from typing import Any, Literal

import optax
import pytest
from small import make_config

import nnstudy
from nnstudy import UserError, models
from nnstudy.spec import values
from nnstudy.spec.values import Count, DropRate
from nnstudy.training import optimizers, resolve


def mine(num_outputs, dropout=0.5, rate: DropRate | None = None, widths: tuple[Count, ...] = (3,)):
    raise NotImplementedError


def resolved(section, name, **arguments):
    """Returns a section of a config of which a study file sets these fields."""
    config = nnstudy.default_config()
    config[section].name = name
    for argument, value in arguments.items():
        config[section][argument] = value
    return getattr(resolve.study(config).config, section)


def test_ranges_are_those_of_the_annotations(monkeypatch):
    """`dropout` of a model of one's own may be anything; what is annotated is checked."""
    monkeypatch.setitem(models.MODELS, 'mine', mine)
    assert resolved('model', 'mine', dropout=-7.0).keywords == {'dropout': -7.0}
    with pytest.raises(UserError, match=r'config.model.rate must be below 1, not 1\.0'):
        resolved('model', 'mine', rate=1.0)
    with pytest.raises(UserError, match=r'config.model.widths\[1\] must be at least 1, not 0'):
        resolved('model', 'mine', widths=(4, 0))
    with pytest.raises(UserError, match='config.model.dropout must be a number'):
        resolved('model', 'mine', dropout='half')


@pytest.mark.parametrize(
    ('annotation', 'value', 'message'),
    [
        (tuple[Count, ...], (1, 2), None),
        (tuple[Count, ...], (1, 2.0), r'field\[1\] must be a whole number, not 2.0'),
        (tuple[float, ...], (1, 2.5), None),
        (tuple[tuple[Count, ...] | Literal['pool'], ...], ((1,), 'pool'), None),
        (tuple[tuple[Count, ...], ...], ((1,), 'pool'), r'field\[1\] must be a tuple, not .pool.'),
        (tuple[tuple[Count, ...], ...], ((1, 0),), r'field\[0\]\[1\] must be at least 1, not 0'),
        (tuple[str, ...] | str, ('a', 1), r'field\[1\] must be text, not 1'),
        (Literal['mean', 'max'] | None, 'mean', None),
        (Literal['mean', 'max'] | None, 'mex', "value of config.field 'mex': did you mean 'max'"),
        (tuple[Any, ...] | DropRate, (1, 'a'), None),
        (tuple[int, ...] | DropRate, 1.0, 'field must be below 1'),
    ],
)
def test_what_an_annotation_says(annotation, value, message):
    if message is None:
        values.read(annotation).check('field', value)
    else:
        with pytest.raises(UserError, match=message):
            values.read(annotation).check('field', value)


@pytest.mark.parametrize('name', ['lars', 'sm3'])
def test_what_is_on_by_default_stays_on(name):
    """The default config's fields are those of another optimizer, and do not matter."""
    assert resolved('optimizer', name).keywords.get('momentum', 0.9) == 0.9
    assert resolved('optimizer', name, momentum=0.5).keywords['momentum'] == 0.5
    with pytest.raises(UserError, match='config.optimizer.momentum needs a value'):
        resolved('optimizer', name, momentum=None)


def test_an_own_optimizer_keeps_its_defaults(monkeypatch):
    def own(learning_rate, momentum: float = 0.9):
        return optax.sgd(learning_rate, momentum)

    monkeypatch.setitem(optimizers.OPTIMIZERS, 'own', own)
    assert resolved('optimizer', 'own').keywords == {'learning_rate': 0.1}
    points = nnstudy.choice('optimizer.name', ['sgd', 'own'])
    points[0]['optimizer.momentum'] = 0.5
    found = resolve.study(nnstudy.default_config(), points).points
    assert [point['optimizer.momentum'] for point in found] == [0.5, 0.9]


@pytest.mark.parametrize('points', [None, [{'model.width': 32}]])
def test_a_field_that_a_component_lacks(points):
    """The fields of the model are named, not those of another section."""
    config = make_config()
    if points is None:
        config.model.width = 32
    with pytest.raises(UserError) as raised:
        resolve.study(config, points)
    assert str(raised.value) == (
        "unknown field of model 'mlp' 'width': did you mean 'widths'? known: activation, "
        'batch_norm, batch_norm_epsilon, batch_norm_momentum, dropout, kernel_init, '
        'output_activation, widths'
    )


def test_annotations_as_text_that_mean_nothing_at_run_time_say_nothing():
    def component(rate: 'Missing' = None):  # noqa: F821
        raise NotImplementedError

    assert values.signature(component)['rate'].is_optional
