import os
import subprocess
import sys

import numpy as np
import pytest

from nnstudy import data, errors


def test_first_steps():
    digits = data.load('digits')
    inputs, labels = data.select(digits, 'train[:100]')
    assert inputs.shape == (100, 8, 8, 1) and labels.shape == (100,)


def test_own_arrays():
    x, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    assert data.Dataset('mine', {'train': (x, y), 'test': (x, y)}).num_outputs == 2


def test_own_name(monkeypatch):
    mine = data.Dataset('mine', {'train': (np.zeros((2, 1)), [0, 1])})
    monkeypatch.setitem(data.DATASETS, 'mine', lambda data_dir: mine)
    assert data.load('mine') is mine


def test_unknown():
    with pytest.raises(errors.UserError, match="unknown dataset 'minst': did you mean 'mnist'"):
        data.load('minst')
    known = (
        'boston_housing, cifar10, csv:<file>, digits, fashion_mnist, mnist, sms_spam, tfds:<name>'
    )
    for name in (None, '', ':', 'mnist:', 'xyz:file'):
        with pytest.raises(errors.UserError, match=f'known: {known}'):
            data.load(name)


def test_registered_under_its_own_name(published):
    assert data.load('fashion_mnist', published('fashion_mnist')).name == 'fashion_mnist'


def test_import_is_light():
    code = """
import sys
import nnstudy.data
heavy = {'pooch', 'requests', 'sklearn', 'tensorflow', 'tensorflow_datasets'}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, '-c', code], env=environment, check=True)
