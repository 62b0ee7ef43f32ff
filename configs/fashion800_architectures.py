"""Inception against ResNet on 800 images of Fashion-MNIST (exercise B10).

    python launch.py --config=configs/fashion800_architectures.py          # 8 seeds, 2 h 20 min
    python launch.py --config=configs/fashion800_architectures.py:quick    # 128 images, a minute

Asked: is the net that fits the training images perfectly the one that is wrong with more
confidence?

Set: the first 800 training images, all 10,000 test images. SGD at 0.05 with momentum 0.8, batch 64,
100 epochs. *Inception*: two modules and max-pooling after each, 196,154 parameters. *ResNet*: three
residual blocks of 64 filters, each followed by max-pooling, 186,058 parameters. The document prints
losses and accuracies of one seed.

Ours, because the document's page cuts them off: ResNet's initialiser, Glorot's, which claims are
about, or He's (uniform), and the activation of its 1x1 shortcut, ReLU. For B10d Inception trains
for 200 epochs; everything else is said of it after 100. For B10e each net also trains for 20 epochs
at a fifth of the rate. *Generalises well* (B10c): less than 5 points of accuracy between the sets
(the document's Inception has 10).
"""

from pictures import batch_loss

import nnstudy
from nnstudy import Claim, Quantity, Reference
from nnstudy.report import histories

PICTURE = 'train_loss'
VARIANTS = {
    'quick': {
        'split.train': 'train[:128]',
        'split.test': 'test[:256]',
        'epochs': 2,
        'eval_every': 2,
        'num_seeds': 2,
        'study.as_printed': False,
    }
}

SLOW, FAST = nnstudy.choice('optimizer.learning_rate', [0.01, 0.05])
GLOROT, HE = nnstudy.choice('model.kernel_init', ['glorot_uniform', 'he_uniform'])
INCEPTION = {'model.name': 'inception', **FAST}
RESNET = {'model.name': 'pooled_resnet', **GLOROT, **FAST}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='fashion_mnist', epochs=100, eval_every=20, num_seeds=8)
    config.log_every_steps = 1
    config.split.update(train='train[:800]', validation=None)
    config.optimizer.update(learning_rate=0.05, momentum=0.8)
    config.study.as_printed = True  # the document's numbers are of 800 images and 100 epochs
    return config


def sweep(config):
    inception = {**INCEPTION, **GLOROT}
    return [
        {**inception, 'epochs': 2 * config.epochs},
        *({**RESNET, **init, 'epochs': config.epochs} for init in (GLOROT, HE)),
        *({**net, **SLOW, 'epochs': config.eval_every} for net in (inception, RESNET)),
    ]


def claims(config):
    train, test = Quantity('train_accuracy'), Quantity('test_accuracy')
    gap = (train - test).at(config.epochs)
    end, first = test.at(config.epochs), Quantity('train_loss').at(config.eval_every)
    loss = Quantity('test_loss').at(config.epochs)
    yield Claim(
        'B10a: ResNet fits the training set perfectly: all its images are classified rightly',
        train.where(RESNET).at(config.epochs) > 0.9999,
    )
    yield Claim(
        "B10b: ResNet's test loss is higher than Inception's although its accuracy is higher",
        *(metric.where(RESNET) > metric.where(INCEPTION) for metric in (loss, end)),
    )
    yield Claim(
        'B10c: Neither generalises well: more than 5 points between training and test accuracy',
        *(gap.where(net) > 0.05 for net in (RESNET, INCEPTION)),
    )
    yield Claim(
        'B10d: Inception has room to improve: after twice as many epochs its test accuracy is '
        'higher',
        test.where(INCEPTION) > end.where(INCEPTION),
    )
    yield Claim(
        f'B10e: A smaller rate makes convergence slower, not faster: after {config.eval_every} '
        'epochs the training loss is higher at 0.01 than at 0.05, for both nets',
        *(first.where(net, SLOW) > first.where(net) for net in (INCEPTION, RESNET)),
    )


def references(config):
    if not config.study.as_printed:
        return
    yield Reference('Inception, parameters', 196_154, Quantity('num_params').where(INCEPTION))
    yield Reference('ResNet, parameters', 186_058, Quantity('num_params').where(RESNET))
    metrics = 'train_loss', 'train_accuracy', 'test_loss', 'test_accuracy'
    for name, net, values in (
        ('Inception', INCEPTION, (0.345, 0.858, 0.715, 0.758)),
        ('ResNet', RESNET, (0.000, 1.000, 1.515, 0.800)),
    ):
        for metric, value in zip(metrics, values, strict=True):
            quantity = Quantity(metric).where(net).at(config.epochs)
            yield Reference(f'{name}, {metric.replace("_", " ")}', value, quantity, 3)


def pictures(results):
    resnets = {'ResNet (Glorot)': RESNET, 'ResNet (He)': {**RESNET, **HE}}
    nets = {'Inception': INCEPTION, **resnets}
    return {
        'train_loss': batch_loss.losses(results, nets),
        'train_and_test': histories.train_and_test(results, nets),
    }
