"""What comes out of `resolve` is typed and frozen; what is wrong costs one line, before tracing."""

import dataclasses

import pytest
from flax import linen as nn
from small import make_config

from nnstudy import UserError
from nnstudy.data import device
from nnstudy.models import layers
from nnstudy.training import losses, resolve
from nnstudy.training.run import Static


def check(dataset, **fields):
    """Resolves a config and checks it against a data set."""
    config = resolve.study(make_config(**fields)).config
    resolve.check(config, device.prepare(dataset, **resolve.data_options(config)))
    return config


def test_fields_are_typed_and_frozen():
    config = resolve.study(make_config(batch_size=4, optimizer__momentum=0.5)).config
    assert config.batch_size == 4
    assert config.optimizer.arguments == {'learning_rate': 0.1, 'momentum': 0.5}
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.batch_size = 8


def test_a_point_has_all_fields_and_the_config_stays_as_it_is():
    config = make_config(optimizer__name='adam')
    points = [{'batch_size': 4}, {'optimizer.b1': 0.5}]
    resolved = resolve.study(config, points)
    assert [setting.batch_size for setting in resolved.settings] == [4, 8]
    # What a point leaves out is the config's own value, or the component's default.
    assert resolved.points == [
        {'batch_size': 4, 'optimizer.b1': 0.9},
        {'batch_size': 8, 'optimizer.b1': 0.5},
    ]
    assert resolved.settings[0].optimizer.arguments['b1'] == 0.9
    assert resolved.config.batch_size == config.batch_size == 8


def test_values_are_kept_as_the_fields_keep_them():
    """1 is a float where the field is, so that it shares a program with 0.5."""
    points = [{'optimizer.momentum': 1, 'model.widths': [4]}]
    assert resolve.study(make_config(), points).points == [
        {'optimizer.momentum': 1.0, 'model.widths': (4,)}
    ]
    assert type(resolve.study(make_config(), points).points[0]['optimizer.momentum']) is float


BAD_POINTS = [
    ([{'bach_size': 4}], "unknown swept field 'bach_size': did you mean 'batch_size'"),
    ([{'optimizer.learning_rat': 0.1}], "did you mean 'learning_rate'"),
    ([{'optimizer.b1': 0.1}], "unknown field of optimizer 'sgd' 'b1'"),
    ([{'optimizer.learning_rate': 'fast'}], "must be a number, not 'fast'"),
    ([{'optimizer.learning_rate': None}], 'needs a value'),
    ([{'optimizer.learning_rate': -0.1}], 'at least 0, not -0.1'),
    ([{'optimizer.learning_rate': float('nan')}], 'must be finite in float32, not nan'),
    ([{'batch_size': 2.5}], 'must be a whole number, not 2.5'),
    ([{'batch_size': 0}], 'at least 1, not 0'),
    ([{'seed': 3}], "cannot sweep 'seed'"),
    ([{'execution.lanes': 3}], 'it is the same for the whole study'),
    ([{'halving.factor': 3}], 'it is the same for the whole study'),
    ([{'model': 'lenet'}], "cannot sweep 'model': sweep 'model.name'"),
    ([{'epochs': 1}, {'epochs': 1}], 'points 0 and 1 of the sweep are equal'),
    ([{'model.name': 'lenett'}], "did you mean 'lenet'"),
    ([{'model.width': (3,)}], "unknown field of model 'mlp' 'width': did you mean 'widths'"),
    ({'epochs': 3}, 'a list of dicts'),
    ([3], 'a list of dicts'),
    ([{1: 2}], 'a list of dicts'),
    ([], 'the sweep has no points'),
]


@pytest.mark.parametrize(('points', 'message'), BAD_POINTS)
def test_bad_points(points, message):
    with pytest.raises(UserError, match=message) as caught:
        resolve.study(make_config(), points)
    assert '\n' not in str(caught.value)


BAD_FIELDS = [
    ({'epochs': 0}, 'config.epochs must be at least 1, not 0'),
    ({'num_seeds': 0}, 'config.num_seeds must be at least 1, not 0'),
    ({'optimizer__name': 'sdg'}, "unknown optimizer 'sdg': did you mean 'sgd'"),
    ({'schedule__name': 'cosin'}, "unknown schedule 'cosin': did you mean 'cosine'"),
    ({'schedule__factor': 0.1}, "unknown field of schedule 'constant' 'factor'"),
    ({'loss__name': 'hing'}, "unknown loss 'hing': did you mean 'hinge'"),
    ({'zoom__train': (3,)}, r'config.zoom.train\[0\] must be text, not 3'),
]


@pytest.mark.parametrize(('fields', 'message'), BAD_FIELDS)
def test_bad_fields(fields, message):
    with pytest.raises(UserError, match=message):
        resolve.study(make_config(**fields))


DO_NOT_FIT = [
    ({'batch_size': 37}, 'batch_size 37 is larger than the training set .* of 36'),
    ({'normalization': 'units'}, "did you mean 'unit'"),
    ({'split.train': 'trian'}, "did you mean 'train'"),
    ({'split.train': 'train[:99]'}, '99'),
    (
        {'halving__factor': 2, 'halving__min_epochs': 3, 'eval_every': 2},
        'halving.min_epochs 3 is not a multiple of config.eval_every 2',
    ),
    (
        {'stop__target': 0.9, 'stop__metric': 'tset_accuracy'},
        "unknown config.stop.metric 'tset_accuracy': did you mean 'test_accuracy'",
    ),
    ({'regularization__include': 'kernel'}, 'regularization.include has no effect'),
    ({'stop__metric': 'test_loss'}, 'stop.metric has no effect: set config.stop.target too'),
    ({'halving__min_epochs': 2}, 'min_epochs has no effect: set config.halving.factor too'),
    ({'model__name': 'embedding'}, "'embedding' does not take numbers, which 'digits' has"),
]


@pytest.mark.parametrize(('fields', 'message'), DO_NOT_FIT)
def test_what_does_not_fit_the_data(fields, message, dataset):
    with pytest.raises(UserError, match=message):
        check(dataset, **fields)


def test_classes_and_numbers_are_not_mixed_up(regression):
    with pytest.raises(UserError, match=r'needs class labels.*squared_error'):
        check(regression, **{'split.train': 'train', 'split.validation': None})
    with pytest.raises(UserError, match='config.augmentation.shift is for images'):
        check(
            regression,
            loss='squared_error',
            augmentation__shift=0.1,
            **{'split.train': 'train', 'split.validation': None},
        )


def test_sources_are_of_code_that_is_not_nnstudys(monkeypatch):
    def mine(outputs, labels):
        return losses.softmax_cross_entropy(outputs, labels)

    assert resolve.sources(resolve.study(make_config()).config) == {}
    monkeypatch.setitem(losses.LOSSES, 'mine', mine)
    assert resolve.sources(resolve.study(make_config(loss='mine')).config).keys() == {'loss mine'}


@pytest.mark.parametrize(
    ('registry', 'field', 'own'),
    [
        (layers.ACTIVATIONS, 'model.activation', lambda factor: lambda x: factor * x),
        (layers.KERNEL_INITS, 'model.kernel_init', nn.initializers.constant),
    ],
)
def test_an_activation_or_initialiser_of_ones_own_is_code_too(registry, field, own, monkeypatch):
    """Another one of the same name is another program, also if a library has made it."""
    of_name, settings = [], []
    for factor in (1.0, 2.0):
        monkeypatch.setitem(registry, 'mine', own(factor))
        config = make_config(**{field: 'mine'})
        settings.append(resolve.study(config).config)
        of_name.append(Static(settings[-1]))
    assert of_name[0] != of_name[1]
    assert of_name[1] == Static(settings[1])
    assert len({Static(resolve.study(make_config()).config) for _ in range(2)}) == 1
    is_own = field == 'model.activation'
    assert [*resolve.sources(settings[1])] == (['activation mine'] if is_own else [])
