"""Filters on one image, against SciPy."""

import numpy as np
import pytest
from scipy import signal

from configs.pictures import convolution
from nnstudy import UserError

IMAGE = np.random.default_rng(0).uniform(size=(20, 17))


@pytest.mark.parametrize('mode', convolution.MODES)
@pytest.mark.parametrize('kernel', [convolution.BLUR, convolution.VERTICAL, convolution.VERTICAL.T])
def test_each_mode_is_scipys(mode, kernel):
    expected = signal.correlate(IMAGE, kernel, mode)
    np.testing.assert_allclose(convolution.filtered(IMAGE, kernel, mode), expected, atol=1e-5)


def test_an_edge_is_found_and_a_plain_image_has_none():
    step = np.zeros((9, 9))
    step[:, 5:] = 1
    inside = np.s_[1:-1, 1:-1]  # beyond the border 'same' sees black
    found = convolution.filtered(step, convolution.VERTICAL)[inside]
    assert set(np.flatnonzero(found.any(axis=0)) + 1) == {4, 5}
    assert not convolution.filtered(np.ones((9, 9)), convolution.VERTICAL)[inside].any()


def test_the_cosine_is_highest_where_the_piece_is_from():
    piece = 3.0 * IMAGE[4:11, 6:13]  # brighter: the same direction
    match = convolution.cosine(IMAGE, piece)
    assert np.unravel_index(match.argmax(), match.shape) == (4, 6)
    assert match.max() == pytest.approx(1, abs=1e-5)
    assert not convolution.cosine(np.zeros((9, 9)), piece).any()


def test_the_picture_says_the_sizes():
    panels = convolution.demonstration(IMAGE).axes
    titles = ' '.join(panel.get_title() for panel in panels)
    assert len(panels) == 8
    assert all(size in titles for size in ('valid\n16x13', 'same\n20x17', 'full\n24x21'))


def test_a_mode_that_is_not_there():
    with pytest.raises(UserError, match='valid'):
        convolution.filtered(IMAGE, convolution.BLUR, 'vaild')
