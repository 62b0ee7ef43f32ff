"""Random changes of images: against NumPy and SciPy, and what they may depend on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import nnstudy
from nnstudy.data import augmentation
from nnstudy.spec import fields

KEY = jax.random.key(0)
STRENGTHS = {
    'horizontal_flip': 0.5,
    'shift': 0.25,
    'rotation': 30.0,
    'zoom': 0.3,
    'brightness': 0.2,
    'contrast': 0.5,
    'cutout': 0.5,
}


def make_images(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def augment_all(images, examples, strengths, epoch=0, key=KEY):
    return augmentation.augment(key, epoch, examples, images, strengths, 255.0)


augment = jax.jit(augment_all)


def augmented(images, strengths, **kwargs):
    """All images, numbered from 0."""
    return np.asarray(augment(images, np.arange(len(images)), strengths, **kwargs))


def draws(strengths, n=4000, size=(10, 7), epoch=0):
    """What the first n examples draw, by kind."""

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def draw(example, strengths):
        return augmentation.draw(KEY, epoch, example, strengths, size)

    return jax.tree.map(np.asarray, draw(jnp.arange(n), strengths))


def apply(images, max_value=255.0, **changes):
    """Changes of each image, or the same of all."""

    @jax.jit
    @jax.vmap
    def change(image, changes):
        return augmentation.apply(image, changes, max_value)

    for kind, value in changes.items():
        value = np.asarray(value, np.float32)
        ndim = 1 if kind == 'shift' else 0
        changes[kind] = np.broadcast_to(value, (len(images), *value.shape[value.ndim - ndim :]))
    return np.asarray(change(images, changes))


def test_every_kind_is_tested_here():
    assert tuple(STRENGTHS) == augmentation.KINDS


@pytest.mark.parametrize('kind', STRENGTHS)
def test_the_config_accepts_the_same_strengths(kind):
    low, high, *_ = fields.closed()[f'augmentation.{kind}'].range
    field = f'augmentation.{kind}'
    for value in (low, high):
        fields.closed()[field].check(field, float(value))
    for value in (low - 0.01, high + 0.01):
        with pytest.raises(nnstudy.UserError, match=field):
            fields.closed()[field].check(field, value)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 3), st.integers(1, 17), st.integers(1, 17), st.sampled_from([1, 3]))
def test_strength_0_changes_no_bit(num, height, width, channels):
    """Traced, in images of any size."""
    rng = np.random.default_rng(height)
    images = rng.uniform(0, 255, (num, height, width, channels)).astype(np.float32)
    got = augmented(images, dict.fromkeys(STRENGTHS, 0.0))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, images)


@pytest.mark.parametrize('kind', STRENGTHS)
def test_strength_0_changes_no_bit_alone(kind):
    images = np.random.default_rng(0).uniform(0, 255, (40, 7, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(augmented(images, {kind: 0.0}), images)


@pytest.mark.parametrize('size', [(7, 10), (32, 32)])
def test_strength_0_changes_no_bit_beside_others(size):
    """The whole-pixel moves stay exact where rotation and zoom are on with strength 0."""
    images = make_images((20, *size, 3))
    moves = {'horizontal_flip': 0.5, 'shift': 0.25}
    off = dict.fromkeys(STRENGTHS.keys() - moves.keys(), 0.0)
    np.testing.assert_array_equal(augmented(images, moves | off), augmented(images, moves))


def test_flips_are_exact():
    images = make_images((64, 5, 6, 3))
    np.testing.assert_array_equal(augmented(images, {'horizontal_flip': 1.0}), images[:, :, ::-1])
    got = augmented(images, {'horizontal_flip': 0.3})
    flipped = (got == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (got == images).all(axis=(1, 2, 3))).all()
    assert 8 <= flipped.sum() <= 31  # 64 · 0.3 ± 3 standard deviations


@pytest.mark.parametrize(
    ('size', 'strength', 'most'), [((8, 6), 0.25, (2, 2)), ((9, 5), 1, (9, 5))]
)
def test_shifts_are_crops_of_the_padded_image(size, strength, most):
    images = make_images((40, *size, 2))
    got = augmented(images, {'shift': strength})
    shifts = draws({'shift': strength}, 40, size)['shift'].astype(int)
    down, right = most
    padded = np.pad(images, ((0, 0), (down, down), (right, right), (0, 0)))
    for image, result, (y, x) in zip(padded, got, shifts, strict=True):
        crop = image[down - y :, right - x :][: size[0], : size[1]]
        np.testing.assert_array_equal(result, crop)


def test_flip_then_shift():
    images = make_images((3, 5, 6, 1))
    expected = np.zeros_like(images)
    expected[:, 1:, :-2] = images[:, :-1, ::-1][:, :, 2:]
    np.testing.assert_array_equal(apply(images, horizontal_flip=-1, shift=(1, -2)), expected)


@pytest.mark.parametrize('size', [(8, 8), (9, 9), (32, 32)])
@pytest.mark.parametrize('turns', [-2, -1, 1, 2])
def test_quarter_turns(size, turns):
    """Counter-clockwise, like `np.rot90`."""
    images = make_images((2, *size, 3)) / 255
    got = apply(images, rotation=90 * turns, max_value=1.0)
    np.testing.assert_allclose(got, np.rot90(images, turns, axes=(1, 2)), atol=1e-4)


@pytest.mark.parametrize('size', [(1, 4), (6, 6), (7, 12)])
def test_geometry_is_that_of_scipy(size):
    """One affine map; pixels outside are 0, also as neighbours of those at the border."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(60, *size, 2)).astype(np.float32)
    flips, angles = rng.choice([-1, 1], 60), rng.uniform(-180, 180, 60)
    factors, shifts = rng.uniform(0.4, 2, 60), rng.integers(-3, 4, (60, 2))
    got = apply(
        images, horizontal_flip=flips, rotation=angles, zoom=factors, shift=shifts, max_value=1.0
    )
    centre = (np.array(size) - 1) / 2
    for i, (image, angle) in enumerate(zip(images, np.deg2rad(angles), strict=True)):
        # From a pixel of the result to its origin: not moved and not scaled, turned back, flipped.
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        matrix = np.diag([1, flips[i]]) @ turn / factors[i]
        offset = centre - matrix @ (centre + shifts[i])
        for channel in range(2):
            expected = ndimage.affine_transform(
                image[..., channel].astype(float), matrix, offset, order=1, mode='grid-constant'
            )
            np.testing.assert_allclose(got[i, ..., channel], expected, atol=3e-5)


def test_the_border_rule():
    """Within the image as with scipy's 'constant', which cuts off where 'grid-constant' fades."""
    image = make_images((1, 9, 9, 1)) / 255
    got = apply(image, zoom=0.7, max_value=1.0)[0, ..., 0]
    matrix = np.eye(2) / 0.7
    expected = ndimage.affine_transform(
        image[0, ..., 0], matrix, 4 - matrix @ [4, 4], order=1, mode='constant'
    )
    np.testing.assert_allclose(got[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)
    assert not expected[1].any() and got[1, 2:-2].all()  # a pixel's fade
    assert not got[0].any()


def test_brightness_and_contrast():
    images = make_images((3, 4, 5, 3))
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(
        apply(images, brightness=0.2), np.clip(images + 51, 0, 255), atol=1e-3
    )
    np.testing.assert_allclose(
        apply(images, contrast=-0.4), mean + 0.6 * (images - mean), atol=1e-3
    )
    expected = np.clip(np.clip(mean + 1.5 * (images - mean), 0, 255) - 25.5, 0, 255)
    np.testing.assert_allclose(apply(images, contrast=0.5, brightness=-0.1), expected, atol=1e-3)


def test_what_is_outside_stays_black():
    """Brightness is of the picture, not of what a shift brings in."""
    images = make_images((1, 6, 6, 1))
    got = apply(images, brightness=0.5, contrast=0.5, shift=(2, 0))
    assert not got[:, :2].any() and got[:, 2:].all()


@pytest.mark.parametrize('size', [(8, 8), (9, 7), (6, 11)])
@pytest.mark.parametrize('strength', [0.25, 0.5, 1.0])
def test_cutout(size, strength):
    """A square around each pixel in turn, cut off at the border; all else is kept."""
    images = np.ones((600, *size, 2), np.float32)
    got = augmented(images, {'cutout': strength})
    side = round(strength * min(size))
    assert set(np.unique(got)) <= {0, 1}
    rows, columns = (got == 0).any(axis=(2, 3)), (got == 0).any(axis=(1, 3))
    expected = (rows[:, :, None] & columns[:, None])[..., None]
    np.testing.assert_array_equal(got == 0, expected.repeat(2, axis=-1))
    for lines, length in ((rows, size[0]), (columns, size[1])):
        counts = lines.sum(axis=1)
        assert counts.max() == min(side, length) and counts.min() == side // 2 + side % 2
        pieces = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(int), axis=1) == 1
        assert (pieces.sum(axis=1) == 1).all()
    # The centre is anywhere, each place as often: the first row of the square, uncut, too.
    centres = draws({'cutout': strength}, 600, size)['cutout'][:, 0] + side // 2
    counts = np.histogram2d(*centres.T, [np.arange(n + 1) for n in size])[0]
    assert counts.sum() == 600 and counts.min() > 0


@pytest.mark.parametrize(
    ('kind', 'strength', 'low', 'high'),
    [
        ('rotation', 30.0, -30, 30),
        ('zoom', 0.3, 0.7, 1.3),
        ('brightness', 0.2, -0.2, 0.2),
        ('contrast', 0.5, -0.5, 0.5),
    ],
)
def test_draws_are_uniform(kind, strength, low, high):
    values = draws({kind: strength}, epoch=3)[kind]
    places = (values - low) / (high - low)
    assert 0 <= places.min() < 0.002 and 0.998 < places.max() <= 1
    assert abs(places.mean() - 0.5) < 4 * np.sqrt(1 / 12 / len(values))
    np.testing.assert_allclose(np.histogram(places, 10, (0, 1))[0], 400, atol=80)


def test_shifts_are_uniform_and_whole():
    values = draws({'shift': 0.3})['shift']  # of 10 and 7 pixels: 3 and 2
    for axis, most in ((0, 3), (1, 2)):
        places, counts = np.unique(values[:, axis], return_counts=True)
        np.testing.assert_array_equal(places, np.arange(-most, most + 1))
        np.testing.assert_allclose(counts, 4000 / len(places), rtol=0.15)
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.06


def test_kinds_are_independent():
    strengths = dict.fromkeys(('rotation', 'zoom', 'brightness', 'contrast'), 0.5)
    correlations = np.corrcoef([*draws(strengths).values()])
    assert np.abs(correlations - np.eye(4)).max() < 0.06


def test_results_stay_in_range():
    """With images of the extremes only, at the largest strengths."""
    images = 255 * np.random.default_rng(0).integers(0, 2, (200, 7, 8, 3)).astype(np.float32)
    largest = {
        kind: float(fields.closed()[f'augmentation.{kind}'].range.high) for kind in STRENGTHS
    }
    for strengths in (STRENGTHS, largest):
        got = augmented(images, strengths)
        assert got.min() >= 0 and got.max() <= 255
    assert got.shape == images.shape


def test_keyed_by_run_epoch_and_example():
    """And by nothing else: not the place in the batch, not its size."""
    images = make_images((32, 8, 8, 1))
    got = augmented(images, STRENGTHS)
    examples = np.array([30, 7, 7, 1])
    other_batch = augment(images[examples], examples, STRENGTHS)
    np.testing.assert_allclose(other_batch, got[examples], atol=1e-4)
    for other in ({'epoch': 1}, {'key': jax.random.key(1)}):
        again = augmented(images, STRENGTHS, **other)
        assert (again != got).any(axis=(1, 2, 3)).all()
    same_image = augmented(np.repeat(images[:1], 32, axis=0), STRENGTHS)
    assert len(np.unique(same_image, axis=0)) == 32


def test_every_kind_is_new_in_every_epoch():
    first, second = (draws(STRENGTHS, 200, epoch=epoch) for epoch in (0, 1))
    for kind, values in first.items():
        same = (values == second[kind]).reshape(200, -1).all(axis=1)
        assert same.mean() < (0.65 if kind == 'horizontal_flip' else 0.1)


def test_draws_do_not_depend_on_other_kinds():
    together = draws(STRENGTHS, 20)
    for kinds in (['shift'], ['zoom'], ['cutout', 'horizontal_flip', 'rotation']):
        for kind, values in draws({kind: STRENGTHS[kind] for kind in kinds}, 20).items():
            np.testing.assert_array_equal(values, together[kind])


def test_runs_are_paired():
    """Twice the strength is twice the change: the random numbers are the same."""
    once, twice = (draws({'rotation': strength}, 50)['rotation'] for strength in (10.0, 20.0))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


def test_mapped_over_runs():
    """Each with its own key, examples and strengths."""
    images = make_images((3, 4, 6, 5, 1))
    keys = jax.random.split(KEY, 3)
    examples = jnp.arange(12).reshape(3, 4)
    strengths = {kind: s * jnp.array([0.0, 0.5, 1.0]) for kind, s in STRENGTHS.items()}
    in_axes = (0, 0, 0, None, 0)
    mapped = jax.jit(jax.vmap(augment_all, in_axes))
    got = mapped(images, examples, strengths, 1, keys)
    for run in range(3):
        own = {kind: values[run] for kind, values in strengths.items()}
        alone = augment(images[run], examples[run], own, 1, keys[run])
        np.testing.assert_allclose(got[run], alone, atol=1e-3)
    np.testing.assert_array_equal(got[0], images[0])


def test_what_is_off_is_not_in_the_program():
    def primitives(**strengths):
        program = str(jax.make_jaxpr(lambda images: augmented_traced(images, strengths))(images))
        return {name for name in ('cos', 'gather', 'random_wrap', 'div') if name in program}

    def augmented_traced(images, strengths):
        return augmentation.augment(KEY, 0, jnp.arange(2), images, strengths, 255.0)

    images = make_images((2, 4, 4, 1))
    assert not primitives()
    assert 'cos' in primitives(rotation=1.0)
    assert 'cos' not in primitives(horizontal_flip=0.5, shift=0.5, zoom=0.5)
    assert 'gather' not in primitives(brightness=0.5, contrast=0.5, cutout=0.5)
