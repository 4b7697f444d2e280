"""Affine augmentation on the device against OpenCV, and its randomness."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.metric.augment import Distort, affine, border, distort, distort_batch, warp


def picture(size=17, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (size, size, channels)).astype(np.uint8)


def test_warp_is_opencvs():
    image = picture(21, 3)
    matrix = np.array([[0.8, 0.3], [-0.4, 1.1]], np.float32)
    shift = np.array([0.1, -0.05], np.float32)
    fill = np.array([9, 99, 199], np.float32)
    got = warp(image, matrix, shift, fill)
    offset = shift * 21 + 10 - matrix @ np.array([10, 10])
    wanted = cv2.warpAffine(
        image.astype(np.float32), np.column_stack([matrix, offset]), (21, 21),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=fill.tolist(),
    )  # fmt: skip
    # OpenCV rounds places to 1/32 pixel: up to 255 / 16 levels between neighbours.
    assert np.abs(got - wanted).mean() < 1.5
    assert np.abs(got - wanted).max() < 16
    assert np.abs(np.asarray(image, np.float32) - wanted).mean() > 30


def test_whole_pixels_are_exact():
    image = picture()
    zero = np.zeros(2, np.float32)
    fill = np.array([7.0], np.float32)
    quarter = np.array([[0, -1], [1, 0]], np.float32)
    np.testing.assert_allclose(warp(image, np.eye(2, dtype=np.float32), zero, fill), image)
    got = warp(image, quarter, zero, fill)
    np.testing.assert_allclose(got, np.rot90(image, 1), atol=1e-3)
    moved = warp(image, np.eye(2, dtype=np.float32), np.array([2 / 17, 0], np.float32), fill)
    np.testing.assert_allclose(moved[:, :-2], image[:, 2:], atol=1e-3)
    np.testing.assert_allclose(moved[:, -2:], 7.0, atol=1e-3)


def test_the_border_fills_what_is_outside():
    image = np.full((9, 9, 1), 200, np.uint8)
    image[3:6, 3:6] = 0
    assert border(image) == 200
    out = distort(jax.random.key(0), image, Distort(scale=0.9, shift=0.5))
    assert out[0, 0, 0] == pytest.approx(200)


def test_defaults_change_nothing():
    image = picture()
    np.testing.assert_allclose(distort(jax.random.key(3), image, Distort()), image, atol=1e-3)


def draws(config):
    keys = jax.random.split(jax.random.key(0), 2000)
    return jax.vmap(lambda key: affine(key, config))(keys)


def test_what_is_drawn():
    matrix, shift = draws(Distort(rotation=30.0, shift=0.1))
    angle = np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert 29 < angle.max() <= 30
    assert -30 <= angle.min() < -29
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-5)
    assert 0.099 < np.abs(shift).max() <= 0.1

    sides = np.linalg.det(draws(Distort(scale=0.2))[0])
    assert 1 / 1.2**2 <= sides.min() < 0.71
    assert 1.5 < sides.max() <= 1 / 0.8**2 + 1e-5

    lean = draws(Distort(shear=20.0))[0][:, 0, 1]
    assert 0.35 < lean.max() <= np.tan(np.radians(20)) + 1e-6

    mirrored = np.linalg.det(draws(Distort(flip=0.25))[0]) < 0
    assert 0.2 < mirrored.mean() < 0.3


def test_brightness_and_contrast():
    image = np.array([[[100], [140]], [[100], [140]]], np.uint8)
    keys = jax.random.split(jax.random.key(0), 500)
    change = lambda config: np.asarray(jax.vmap(lambda k: distort(k, image, config))(keys))
    lighter = change(Distort(brightness=30.0)).mean(axis=(1, 2, 3)) - 120
    assert 28 < lighter.max() <= 30
    assert -30 <= lighter.min() < -28
    spread = np.ptp(change(Distort(contrast=0.5)), axis=(1, 2, 3)) / 40
    assert 1.45 < spread.max() <= 1.5 + 1e-5
    assert 0.5 - 1e-5 <= spread.min() < 0.55


def test_a_sample_depends_on_its_index_alone():
    config = Distort(rotation=30.0, brightness=20.0)
    pictures = np.stack([picture(seed=n) for n in range(4)])
    index = np.array([8, 9, 10, 11], np.uint32)
    key = jax.random.key(1)
    whole = distort_batch(key, pictures, index, config)
    part = distort_batch(key, pictures[2:], index[2:], config)
    np.testing.assert_array_equal(whole[2:], part)
    same = jnp.stack([pictures[0]] * 2)
    different = distort_batch(key, same, index[:2], config)
    assert np.abs(different[0] - different[1]).max() > 10
    other = distort_batch(key, pictures, index, config, 1)
    assert np.abs(other - whole).max() > 10


@pytest.mark.parametrize(
    "change",
    [{"rotation": -1.0}, {"shear": 80.0}, {"scale": 1.0}, {"flip": 1.5}, {"brightness": 300.0}],
)
def test_refusals(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}: expected"):
        Distort(**change)
