import numpy as np
from sklearn import datasets as sklearn_datasets

from nnstudy import data as data_lib


def test_digits():
    data = data_lib.load('digits')
    train, train_labels = data.splits['train']
    test, test_labels = data.splits['test']
    assert train.shape == (1437, 8, 8, 1) and test.shape == (360, 8, 8, 1)
    assert train.dtype == np.uint8 and train.max() == 16 == data.max_value
    assert len(data.class_names) == 10
    images, labels = sklearn_datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(np.concatenate([train, test]).reshape(1797, 64), images)
    np.testing.assert_array_equal(np.concatenate([train_labels, test_labels]), labels)


def test_every_class_is_in_both_splits():
    for _, labels in data_lib.load('digits').splits.values():
        assert np.bincount(labels, minlength=10).min() > 30
