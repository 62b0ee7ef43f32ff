"""The documents' own numbers, as if they were our runs: their claims follow from them.

And they do not follow from the same numbers with the roles exchanged.
"""

import pandas as pd
import pytest
from small import ROOT
from test_configs import load, registries  # noqa: F401 (a fixture)

import nnstudy
from nnstudy import commands
from nnstudy.analysis import judging
from nnstudy.spec import config as config_lib
from nnstudy.spec import study_file
from nnstudy.spec.fields import Config

SEEDS = 8


def made(study, outcome):
    """Results in which every seed of a point has metrics `outcome(fields, epoch)`; None: over."""
    base = config_lib.flatten(study.config.to_dict())
    history = []
    for point, changes in enumerate(study.points):
        fields = config_lib.merge(base, changes)
        for epoch in range(fields['epochs'] + 1):
            metrics = outcome(fields, epoch)
            if metrics is not None:
                history += [
                    {'run': SEEDS * point + seed, 'point': point, 'seed': seed, 'epoch': epoch}
                    | {'step': 10 * epoch, 'steps': 10 * epoch, **metrics}
                    for seed in range(SEEDS)
                ]
    history = pd.DataFrame(history)
    return nnstudy.Results(
        name=study.name,
        config=Config().replace(config_lib.flatten(study.config)),
        points=study.points,
        runs=history.groupby('run').last().reset_index().assign(status='finished'),
        history=history.drop(columns='steps'),
        steps=None,
        claims=study.claims,
        references=[],
    )


def true_of_all(study, outcome):
    """Returns the names of the claims that are true of every seed."""
    judged = judging.judge(made(study, outcome))
    return set(judged.loc[judged['wins'] == judged['n'], 'claim'])


def lenet(dataset, names=('relu', 'tanh')):
    """The printed accuracies of ReLU, and those of sigmoid and tanh, until they end."""
    printed = study_file.load_module(ROOT / 'configs' / 'lenet_activations.py').PRINTED

    def outcome(fields, epoch):
        told = [0, *printed[dataset, names[fields['model.dense_activation'] != 'relu']]]
        return {'test_accuracy': told[epoch] / 100} if epoch < len(told) else None

    return outcome


def test_lenet_on_mnist():
    study, _ = load('lenet_activations', 'mnist')
    assert true_of_all(study, lenet('mnist')) == {'D1', 'D1 sooner', 'D2'}
    assert not true_of_all(study, lenet('mnist', names=('tanh', 'relu')))


def test_lenet_on_cifar10():
    """By our measure the document's own ReLU is the less stable one here."""
    study, _ = load('lenet_activations', 'cifar10')
    assert true_of_all(study, lenet('cifar10')) == {'D3', 'D4'}
    assert true_of_all(study, lenet('cifar10', names=('tanh', 'relu'))) == {'D2', 'D4'}


def test_boston_batch_size():
    study, _ = load('boston_batch_size', '')
    module = study_file.load_module(ROOT / 'configs' / 'boston_batch_size.py')

    def printed(fields, epoch):
        return {'test_loss': module.PRINTED[fields['batch_size']]}

    def reversed_(fields, epoch):
        return {'test_loss': -module.PRINTED[fields['batch_size']]}

    assert true_of_all(study, printed) == {'B8a', 'B8b', 'B8c'}
    assert not true_of_all(study, reversed_)
    placed = judging.place(made(study, printed), study.references)
    assert placed['median'].tolist() == list(module.PRINTED.values())
    assert placed['quantile'].between(0, 1, inclusive='neither').all()


def test_boston_lr_decay():
    study, _ = load('boston_lr_decay', '')
    metrics = 'train_loss', 'train_mae', 'test_loss', 'test_mae'

    def summary(fields, epoch, last=((21, 3, 28, 4), (7, 2, 23, 3))):
        is_b = fields['schedule.name'] == 'rounded'
        return dict(zip(metrics, last[is_b], strict=True))

    assert true_of_all(study, summary) == {'B7a', 'B7b'}
    assert not true_of_all(study, lambda *at: summary(*at, last=((7, 2, 23, 3), (21, 3, 28, 4))))
    dead = true_of_all(study, lambda *at: summary(*at, last=((616, 20, 616, 20), (7, 2, 23, 3))))
    assert dead == {'B7a', 'B7b', 'B7c A'}  # a dead net has no gap


def test_fashion800_architectures():
    study, _ = load('fashion800_architectures', '')
    metrics = 'train_loss', 'train_accuracy', 'test_loss', 'test_accuracy'
    resnet = (0.0, 1.0, 1.515, 0.8)

    def printed(fields, epoch, inception=(0.345, 0.858, 0.715, 0.758), resnet=resnet):
        told = inception if fields['model.name'] == 'inception' else resnet
        row = dict(zip(metrics, told, strict=True))
        row['train_loss'] += 0.1 * (fields['optimizer.learning_rate'] < 0.05)
        row['test_accuracy'] += 0.01 * (epoch > 100)
        return row

    every = {'B10a', 'B10b', 'B10c', 'B10d', 'B10e'}
    assert true_of_all(study, printed) == every
    exchanged = {'inception': resnet, 'resnet': (0.345, 0.858, 0.715, 0.758)}
    assert true_of_all(study, lambda *at: printed(*at, **exchanged)) == every - {'B10a', 'B10b'}
    both = {'inception': (0.7, 0.75, 0.7, 0.75), 'resnet': (0.7, 0.75, 0.7, 0.75)}
    assert true_of_all(study, lambda *at: printed(*at, **both)) == {'B10d', 'B10e'}


@pytest.mark.slow
def test_logistic_losses_agree_with_the_document(tmp_path):
    """Trained, not made: all printed numbers within 2e-4 or their own last digit, and a picture."""
    assert (
        commands.main(
            ['launch', f'--config={ROOT}/configs/logistic_losses.py', f'--workdir={tmp_path}']
        )
        == 0
    )
    verdicts = pd.read_csv(tmp_path / 'claims.csv')
    assert (verdicts['verdict'] == 'holds').all()
    assert len(verdicts) == 2
    placed = pd.read_csv(tmp_path / 'references.csv')
    means = placed[placed['reference'].str.contains('mean')]
    assert len(means) == 4
    assert (means['median'] - means['printed']).abs().max() <= 2e-4
    assert (placed['quantile'] == 0.5).all()  # equal at the digits that are printed
    assert (tmp_path / 'plots' / 'fitted_curve.png').is_file()
