"""Which learning rate, and is it luck of the seed? The main job.

    python launch.py --config=configs/lr_sweep.py                    # digits, an MLP
    python launch.py --config=configs/lr_sweep.py:mnist              # also :fashion_mnist, :cifar10
    python launch.py --config=configs/lr_sweep.py:mnist,lenet
    python launch.py --config=configs/lr_sweep.py:quick              # 5 epochs, 3 seeds
    python launch.py --config=configs/lr_sweep.py:mnist --config.model.name=cnn   # or any other

Asked: how much depends on the learning rate, and from which rate on do runs diverge?
"""

import nnstudy

PICTURE = 'metric_vs_optimizer.learning_rate'

LARGER = {'model.widths': (128, 128), 'batch_size': 64, 'epochs': 10, 'eval_train_examples': 5_000}
VARIANTS = {
    'digits': {'dataset': 'digits'},
    'mnist': {'dataset': 'mnist', **LARGER},
    'fashion_mnist': {'dataset': 'fashion_mnist', **LARGER},
    'cifar10': {'dataset': 'cifar10', 'normalization': 'symmetric', **LARGER},
    'mlp': {'model.name': 'mlp'},
    'lenet': {'model.name': 'lenet'},
    'quick': {'epochs': 5, 'num_seeds': 3},
}


def get_config():
    config = nnstudy.default_config()
    config.update(batch_size=32, epochs=30, num_seeds=8)
    config.model.update(widths=(64, 64), kernel_init='he_normal')
    return config


def sweep():
    return nnstudy.logspace('optimizer.learning_rate', 1e-4, 100.0, 19)
