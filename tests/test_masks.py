import inspect

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import masks
from siamjax.masks import Patch


def patch(values, window, threshold=0.5):
    return Patch(*(np.asarray(a, np.float32) for a in (values, window, threshold)))


def warped(values, window, height, width):
    """PySOT's way: an affine map whose corners are pixel centres, by OpenCV."""
    side = len(values)
    x, y, scale = window[0], window[1], side / window[2]
    a, b = (width - 1) / (width * scale), (height - 1) / (height * scale)
    matrix = np.array([[a, 0, a * x * scale], [0, b, b * y * scale]])
    return cv2.warpAffine(values, matrix, (width, height), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=0.0)  # fmt: skip


@pytest.mark.parametrize(
    ("window", "size"),
    [
        ((113.7, 5.2, 165.1), (240, 320)),  # enlarged
        ((-30.4, 200.3, 90.6), (240, 320)),  # over a corner of the frame
        ((40.2, 30.9, 20.3), (100, 90)),  # reduced
        ((-50.0, -70.0, 300.0), (60, 80)),  # all around the frame
        ((500.0, 10.0, 50.0), (60, 80)),  # outside
        ((3.0, 2.0, 9.0), (1, 40)),
    ],
)
def test_a_mask_lies_where_opencv_puts_it(window, size):
    values = np.random.default_rng(0).random((127, 127)).astype(np.float32)
    got = masks.paste(patch(values, window), *size)
    assert got.shape == size
    if size[0] > 1:
        np.testing.assert_allclose(got, warped(values, window, *size), rtol=0, atol=1e-4)
    assert np.isfinite(got).all()


def test_a_constant_mask_fills_its_window_and_fades_around_it():
    got = np.asarray(masks.paste(patch(np.ones((4, 4)), (10, 20, 8)), 1001, 1001))
    # Cells of two pixels: full from the first to the last, half a cell outside, nothing beyond.
    assert got[22, 8:20] == pytest.approx([0, 0.5, 1, 1, 1, 1, 1, 1, 1, 0.5, 0, 0], abs=0.05)
    assert got[17:30, 12] == pytest.approx([0, 0, 0.5, *[1] * 7, 0.5, 0, 0], abs=0.05)
    assert got.sum() == pytest.approx(64, abs=1)


@pytest.mark.parametrize("window", [(np.nan, 3, 9), (3, np.nan, 9), (3, 3, np.nan)])
def test_a_window_that_is_not_finite_gives_zeros(window):
    assert (np.asarray(masks.paste(patch(np.ones((4, 4)), window), 30, 40)) == 0).all()


def test_mapped_paste_is_the_plain_one():
    rng = np.random.default_rng(1)
    values = rng.random((3, 16, 16)).astype(np.float32)
    windows = np.float32([[3, 4, 20], [10, -2, 33], [-5, 20, 16]])
    many = jax.vmap(lambda p: masks.paste(p, 40, 50))(Patch(values, windows, np.zeros(3, "f")))
    for n in range(3):
        one = masks.paste(patch(values[n], windows[n]), 40, 50)
        np.testing.assert_allclose(many[n], one, rtol=0, atol=1e-6)


def test_merging_gives_pixels_to_the_most_probable_object():
    stack = np.float32([[[0.9, 0.6, 0.2, 0.5]], [[0.8, 0.7, 0.4, 0.5]], [[0.1, 0.0, 0.6, 0.4]]])
    assert masks.merge(stack, 0.3).tolist() == [[1, 2, 3, 1]]
    assert masks.merge(stack, 0.5).tolist() == [[1, 2, 3, 0]]  # at the threshold: background
    assert masks.merge(stack, 0.65).tolist() == [[1, 2, 0, 0]]
    assert masks.merge(stack, 0.3).dtype == jnp.uint8


def test_an_object_below_its_own_threshold_hides_no_other():
    stack = np.float32([[[0.6]], [[0.5]]])
    assert masks.merge(stack, np.float32([0.7, 0.4])).tolist() == [[2]]
    assert masks.merge(stack, np.float32([0.4, 0.7])).tolist() == [[1]]


@pytest.mark.parametrize("count", [0, 256])
def test_maps_tell_255_objects_apart(count):
    with pytest.raises(ValueError, match=f"masks: expected 1 to 255 objects, got {count}"):
        inspect.unwrap(masks.merge)(np.zeros((count, 2, 2), np.float32), 0.5)
    most = np.zeros((255, 1, 1), np.float32)
    most[254] = 1
    assert masks.merge(most, 0.5).tolist() == [[255]]
