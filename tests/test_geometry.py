import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamjax import geometry

BOX = np.array([10.0, 20.0, 5.0, 8.0])
# Multiples of 1/8 below 2**20: sums and halves are exact in float64 (and 1/16 still is).
EIGHTHS = st.integers(-(2**13), 2**13).map(lambda n: n / 8)
BOXES = hnp.arrays(np.float64, st.tuples(st.integers(0, 4), st.just(4)), elements=EIGHTHS)
WHOLE = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(0, 9)] * 2)


def test_conventions_by_hand():
    np.testing.assert_array_equal(geometry.to_corners(BOX), [10, 20, 15, 28])
    np.testing.assert_array_equal(geometry.from_corners(np.array([10.0, 20, 15, 28])), BOX)
    np.testing.assert_array_equal(geometry.center(BOX), [12.5, 24])
    np.testing.assert_array_equal(geometry.pixel_center(BOX), [12, 23.5])
    np.testing.assert_array_equal(geometry.from_one_based(BOX), [9, 19, 5, 8])
    np.testing.assert_array_equal(geometry.to_one_based(BOX), [11, 21, 5, 8])
    np.testing.assert_array_equal(geometry.pixel_center(np.array([7.0, 7, 1, 1])), [7, 7])


@given(BOXES)
def test_round_trips_are_exact(boxes):
    size = boxes[..., 2:]
    for back in (
        geometry.from_corners(geometry.to_corners(boxes)),
        geometry.from_center(geometry.center(boxes), size),
        geometry.from_pixel_center(geometry.pixel_center(boxes), size),
        geometry.to_one_based(geometry.from_one_based(boxes)),
        geometry.from_one_based(geometry.to_one_based(boxes)),
    ):
        np.testing.assert_array_equal(back, boxes)


@given(WHOLE, WHOLE)
def test_iou_counts_pixels(a, b):
    mask = np.zeros((2, 24, 24), bool)
    for plane, (x, y, w, h) in zip(mask, (a, b), strict=True):
        plane[y : y + h, x : x + w] = True
    common, union = (mask[0] & mask[1]).sum(), (mask[0] | mask[1]).sum()
    expected = common / union if union else 0.0
    got = geometry.iou(np.array(a, float), np.array(b, float))
    assert got == pytest.approx(expected, abs=1e-12)
    assert geometry.iou(np.array(b, float), np.array(a, float)) == got


def test_iou_broadcasts_and_passes_nan_on():
    a = np.array([[0.0, 0, 2, 2], [np.nan, 0, 2, 2], [0, 0, -2, -2], [1, 1, 2, 2]])
    np.testing.assert_allclose(
        geometry.iou(a, np.broadcast_to(a[0], a.shape)), [1, np.nan, 0, 1 / 7]
    )
    table = geometry.iou(a[:, None], a[None, [0, 3]])
    np.testing.assert_allclose(table[[0, 3]], [[1, 1 / 7], [1 / 7, 1]])


def test_numpy_keeps_its_dtype_and_jax_stays_jax():
    functions = (
        geometry.to_corners,
        geometry.from_corners,
        geometry.center,
        geometry.pixel_center,
        geometry.from_one_based,
        geometry.to_one_based,
        geometry.area,
        lambda box: geometry.iou(box, box),
        lambda box: geometry.clip(box, 20, 30),
        lambda box: geometry.context_side(box[2:]),
        lambda box: geometry.from_center(box[:2], box[2:]),
        lambda box: geometry.from_pixel_center(box[:2], box[2:]),
    )
    fine = BOX + 1e-12  # lost if anything passes through float32
    for function in functions:
        double = function(fine)
        assert isinstance(double, np.ndarray | np.generic)
        assert double.dtype == np.float64
        assert function(BOX.astype(np.float32)).dtype == np.float32
        traced = jax.jit(function)(jnp.asarray(BOX, jnp.float32))
        assert isinstance(traced, jax.Array)
        np.testing.assert_allclose(traced, double, rtol=1e-6)
    assert geometry.to_corners(fine)[2] != 15.0


def test_context_side_of_the_paper():
    # p = (5 + 8) / 2 = 6.5: sqrt(11.5 * 14.5)
    assert geometry.context_side(BOX[2:]) == pytest.approx(12.913171570144957, rel=1e-12)
    assert geometry.context_side(BOX[2:], amount=0) == pytest.approx(40**0.5)
    square = geometry.context_side(np.array([[50.0, 50.0], [10, 10]]))
    np.testing.assert_allclose(square, [100, 20])


def test_clip_cuts_and_empties():
    boxes = np.array([[-5.0, -5, 10, 10], [8, 8, 10, 10], [20, 2, 3, 3], [-9, 1, 3, 3]])
    expected = [[0, 0, 5, 5], [8, 8, 2, 1], [10, 2, 0, 3], [0, 1, 0, 3]]
    np.testing.assert_array_equal(geometry.clip(boxes, 10, 9), expected)


@given(BOXES, st.integers(1, 900), st.integers(1, 900))
def test_clip_stays_inside_and_repeats(boxes, width, height):
    boxes = np.concatenate([boxes[:, :2], np.abs(boxes[:, 2:])], 1)
    cut = geometry.clip(boxes, width, height)
    corners = geometry.to_corners(cut)
    assert (corners >= 0).all()
    assert (corners[:, 0::2] <= width).all()
    assert (corners[:, 1::2] <= height).all()
    np.testing.assert_array_equal(geometry.clip(cut, width, height), cut)


@pytest.mark.parametrize(
    "function",
    [geometry.to_corners, geometry.center, geometry.pixel_center, geometry.area],
)
def test_wrong_last_axis(function):
    with pytest.raises(ValueError, match=r"box: expected shape \[\.\.\., 4\], got \(2, 3\)"):
        function(np.zeros((2, 3)))


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 64, 48),
        (-20, -20, 200, 200),  # larger than the frame
        (0, 0, 1, 1),
        (63, 47, 5, 5),  # one pixel inside
        (-4, -4, 5, 5),
        (59, 43, 5, 5),  # touches the border from inside
        (10.25, 3.5, 1.5, 2.5),
    ],
)
def test_check_box_allows(box):
    got = geometry.check_box(np.array(box, np.float64), 64, 48)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.array(box, np.float32))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((np.nan, 0, 5, 5), "finite"),
        ((0, 0, np.inf, 5), "finite"),
        ((0, 0, -5, 5), "at least 1 pixel"),
        ((0, 0, 5, 0), "at least 1 pixel"),
        ((3, 3, 0.5, 5), "at least 1 pixel"),
        ((64, 0, 5, 5), "wholly outside the frame of 64x48"),
        ((0, 48, 5, 5), "wholly outside"),
        ((-5, 0, 5, 5), "wholly outside"),
        ((0, -9, 5, 9), "wholly outside"),
        ((1, 2, 3), "four numbers"),
        (((1, 2, 3, 4),), "four numbers"),
    ],
)
def test_check_box_refuses(box, words):
    with pytest.raises(ValueError, match=words) as error:
        geometry.check_box(np.array(box, np.float64), 64, 48, name="--box")
    assert str(error.value).startswith("--box: ")
