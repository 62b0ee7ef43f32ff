"""Which learning rate, and is it luck of the seed? The main job.

    python launch.py --config=configs/lr_sweep.py                    # digits, an MLP
    python launch.py --config=configs/lr_sweep.py:mnist              # also :fashion_mnist, :cifar10
    python launch.py --config=configs/lr_sweep.py:mnist,lenet
    python launch.py --config=configs/lr_sweep.py:quick              # 5 epochs, 3 seeds
    python launch.py --config=configs/lr_sweep.py:mnist --config.model.name=cnn   # or any other

What comes out: test accuracy against the learning rate over six decades, with all seeds. The low
end has hardly begun to learn when training ends, the high end diverges, and in between a range of
rates cannot be told apart with eight seeds. Below the table stand the rate from which on runs
diverge, of each seed, and how much hangs on the rate.

The picture: with the digits the accuracy climbs from a guess at 0.0001 to 91% at 0.46, and falls to
a guess at the next rate, 1; from 10 on runs diverge.
"""

import nnstudy

PICTURE = 'metric_vs_optimizer.learning_rate'

MODELS = ('mlp', 'lenet')
# Data set: width and number of the hidden layers, batch size, epochs, training examples that
# train_loss is taken on, and the normalization of the pixels.
SETTINGS = {
    'digits': ((64, 64), 32, 30, None, 'unit'),
    'mnist': ((128, 128), 64, 10, 5_000, 'unit'),
    'fashion_mnist': ((128, 128), 64, 10, 5_000, 'unit'),
    'cifar10': ((128, 128), 64, 10, 5_000, 'symmetric'),
}


def get_config(arg=''):
    config = nnstudy.default_config()
    dataset, model, quick = nnstudy.options(arg, tuple(SETTINGS), MODELS, ('', 'quick'))
    widths, config.batch_size, config.epochs, examples, config.normalization = SETTINGS[dataset]
    config.dataset = dataset
    config.split.train, config.split.validation = 'train[:80%]', 'train[80%:]'
    config.eval_train_examples = examples
    config.model.name = model
    if model == 'mlp':
        config.model.widths = widths
        config.model.kernel_init = 'he_normal'
    config.optimizer.name = 'sgd'
    config.optimizer.momentum = None
    config.num_seeds = 8
    if quick:
        config.epochs, config.num_seeds = 5, 3
    return config


def sweep(config):
    del config
    return nnstudy.logspace('optimizer.learning_rate', 1e-4, 100.0, 19)
