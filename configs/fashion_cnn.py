"""A strided convolutional net on Fashion-MNIST, and on MNIST beside it (report, E2).

    python launch.py --config=configs/fashion_cnn.py             # 6 seeds, about 20 min
    python launch.py --config=configs/fashion_cnn.py:quick       # 2,000 images, about a minute

Asked: which classes does the net confuse?

Set: the net, of 3x3 convolutions with stride 2, valid, and ReLU; Adam at Keras's defaults, batch
32, 15 epochs.

Ours: the same net on MNIST, to compare with; the number of seeds; that training figures are those
of the first 10,000 images; what *confused* means in E2b: a share of right answers below that of all
classes together.
"""

import nnstudy
from nnstudy import Claim, Quantity
from nnstudy.report import examples, histories

PICTURE = 'confusion_fashion_mnist'
VARIANTS = {
    'quick': {
        'split.train': 'train[:2000]',
        'split.test': 'test[:2000]',
        'epochs': 3,
        'num_seeds': 2,
    }
}


def get_config():
    config = nnstudy.default_config()
    config.update(dataset='fashion_mnist', batch_size=32, epochs=15, num_seeds=6)
    config.update(eval_train_examples=10_000, metrics=('class_accuracy', 'confusion'))
    config.split.update(train='train', validation=None)
    config.model.update(name='cnn', widths=(32, 64, 128), dense_widths=(512,))
    config.model.update(flatten_dropout=0.2, dense_dropout=0.2, kernel_init='glorot_uniform')
    config.optimizer.update(name='adam', learning_rate=1e-3, eps=1e-7)
    return config


def sweep():
    return nnstudy.choice('dataset', ['fashion_mnist', 'mnist'])


def claims():
    accuracy = Quantity('test_accuracy')
    shirt, dress = Quantity('test_class_accuracy_6'), Quantity('test_class_accuracy_3')
    fashion, digits = (accuracy.where(dataset=name) for name in ('fashion_mnist', 'mnist'))
    yield Claim(
        'E2a: Fashion-MNIST is harder than MNIST for the same net: a lower test accuracy',
        fashion < digits,
    )
    yield Claim(
        'E2b: Shirt and dress (classes 6 and 3) are among the confused classes: recognised less '
        'often than the classes are on the whole',
        *(of_class.where(dataset='fashion_mnist') < fashion for of_class in (shirt, dress)),
    )


def pictures(results):
    drawn = {}
    for point, setting in enumerate(results.points):
        dataset = setting['dataset']
        drawn[f'confusion_{dataset}'] = examples.confusion(results, point)
        drawn[f'misclassified_{dataset}'] = examples.misclassified(results, point)
    return {**drawn, 'train_and_test': histories.train_and_test(results)}
