import inspect

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamjax.crop import check_frame, crop, mean_color, sample

# Shapes of frames and crops are few, since each compiles its own program; all else varies freely.
SHAPES = (((2, 5), 127), ((37, 50), 255), ((120, 90), 287))


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reference(frame, center, side, size, fill, window):
    """The window by cv2, with each tracker's rounding in float64."""
    whole = int(np.rint(side))
    if window == "pysot":
        start = np.floor(np.float64(center) - (whole + 1) / 2 + 0.5).astype(int)
        fill = [int(value) for value in fill]  # written into a uint8 canvas
    else:
        start = np.rint(np.float64(center) - (whole - 1) / 2).astype(int)
        fill = [float(value) for value in fill]
    end = start + whole
    height, width = frame.shape[:2]
    margin = int(max(0, -start.min(), end[0] - width, end[1] - height))
    padded = cv2.copyMakeBorder(frame, *[margin] * 4, cv2.BORDER_CONSTANT, value=fill)
    x, y = start + margin
    return cv2.resize(padded[y : y + whole, x : x + whole], (size, size))


@pytest.mark.parametrize("window", ["pysot", "siamfc"])
def test_golden_crops(shared, window):
    golden = np.load(shared / "golden" / "tracker" / "crops.npz")
    for index, (frame, x, y, side, size) in enumerate(golden["cases"]):
        expected = golden[f"{window}_{index:02d}"]
        image, fill = golden[f"frame{int(frame)}_bgr"], golden["mean_bgr"][int(frame)]
        if window == "siamfc":
            image, fill, side = image[..., ::-1], fill[::-1], golden["siamfc_size"][index]
        center = np.array([x, y], np.float32)
        got = crop(np.ascontiguousarray(image), center, float(side), int(size), fill, window)
        np.testing.assert_array_equal(got, expected, err_msg=str(golden["comments"][index]))


@settings(deadline=None, max_examples=150)
@given(
    shape=st.sampled_from(SHAPES),
    eighths=st.tuples(*[st.integers(-160, 1120)] * 2),
    side=st.one_of(
        st.integers(1, 900).map(float),
        st.integers(1, 899).map(lambda n: n + 0.5),  # ties of the rounding
        st.floats(1, 900, width=32),
    ),
    fill=st.tuples(*[st.integers(0, 1020).map(lambda n: n / 4)] * 3),
    window=st.sampled_from(["pysot", "siamfc"]),
)
def test_equals_cv2(shape, eighths, side, fill, window):
    frame, size = picture(*shape[0]), shape[1]
    center = np.array(eighths, np.float32) / 8  # halves among them
    got = crop(frame, center, side, size, np.array(fill, np.float32), window)
    np.testing.assert_array_equal(got, reference(frame, center, side, size, fill, window))


@pytest.mark.slow
@pytest.mark.parametrize("size", [127, 255, 287])
def test_equals_cv2_at_every_side(size):
    frame, fill = picture(240, 320), np.full(3, 127.5, np.float32)
    center = np.array([160.5, 100.0], np.float32)
    for side in range(1, 901):
        got = crop(frame, center, float(side), size, fill, "siamfc")
        expected = reference(frame, center, side, size, fill, "siamfc")
        np.testing.assert_array_equal(got, expected, err_msg=str(side))


def test_vmap_is_a_loop():
    frame, fill = picture(37, 50), np.array([1.5, 99.4, 255.0], np.float32)
    centers = np.array([[3, 4], [25.5, 17], [80, -20]], np.float32)
    sides = np.array([7.0, 40.5, 90.0], np.float32)
    got = jax.vmap(lambda c, s: crop(frame, c, s, 31, fill, "siamfc"))(centers, sides)
    loop = [
        crop(frame, c, s, 31, fill, "siamfc")
        for c, s in zip(centers, jnp.asarray(sides), strict=True)
    ]
    np.testing.assert_array_equal(got, np.stack(loop))
    frames = np.stack([frame, frame[::-1]])
    one = lambda f: crop(f, centers[1], 40.5, 31, fill)
    np.testing.assert_array_equal(jax.vmap(one)(frames), np.stack([one(f) for f in frames]))


def test_one_pixel_frame():
    frame = np.array([[[10, 20, 30]]], np.uint8)
    fill = np.array([200, 100, 0], np.float32)
    inside = crop(frame, np.zeros(2, np.float32), 1.0, 5, fill, "siamfc")
    np.testing.assert_array_equal(inside, np.broadcast_to(frame[0, 0], (5, 5, 3)))
    three = crop(frame, np.zeros(2, np.float32), 3.0, 3, fill, "siamfc")
    expected = np.broadcast_to(fill.astype(np.uint8), (3, 3, 3)).copy()
    expected[1, 1] = frame[0, 0]
    np.testing.assert_array_equal(three, expected)


def test_a_state_without_a_place_does_not_crash():
    frame, fill = picture(20, 30), np.array([9, 8, 7], np.float32)
    for center, side in (
        ([np.nan, np.nan], np.nan),
        ([np.inf, -np.inf], 50.0),
        ([3.0, 3.0], np.inf),
        ([3.0, 3.0], -4.0),
        ([1e30, 1e30], 60.0),
    ):
        got = crop(frame, np.array(center, np.float32), np.float32(side).item(), 31, fill, "siamfc")
        assert got.shape == (31, 31, 3)
    far = crop(frame, np.array([1e30, 1e30], np.float32), 60.0, 31, fill)
    np.testing.assert_array_equal(far, np.broadcast_to(fill.astype(np.uint8), (31, 31, 3)))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((8, 9), np.uint8),
        np.zeros((8, 9, 1), np.uint8),
        np.zeros((8, 9, 4), np.uint8),
        np.zeros((2, 8, 9, 3), np.uint8),
        np.zeros((8, 9, 3), np.float32),
        np.zeros((8, 9, 3), np.int32),
        np.zeros((0, 9, 3), np.uint8),
    ],
    ids=["grey", "one-channel", "rgba", "batch", "float", "int32", "empty"],
)
def test_wrong_frames_are_refused(frame):
    shape = r"\[" + ", ".join(map(str, frame.shape)) + r"\]"
    words = rf"frame: expected uint8\[height, width, 3\] \(RGB\), got {frame.dtype}{shape}"
    with pytest.raises(ValueError, match=words):
        check_frame(frame)
    with pytest.raises(ValueError, match=words):
        jax.jit(lambda f: check_frame(f))(frame)
    plain = inspect.unwrap(crop)  # as users run it, without the tests' own check of annotations
    with pytest.raises(ValueError, match=words):
        plain(frame, np.zeros(2, np.float32), 5.0, 5, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=words):
        jax.jit(lambda f: plain(f, jnp.zeros(2), 5.0, 5, jnp.zeros(3)))(frame)


def test_wrong_size_and_window_are_refused():
    frame, center, fill = picture(4, 4), np.zeros(2, np.float32), np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="size: expected at least 1 pixel, got 0"):
        crop(frame, center, 5.0, 0, fill)
    with pytest.raises(ValueError, match="window: expected 'pysot' or 'siamfc', got 'round'"):
        inspect.unwrap(crop)(frame, center, 5.0, 5, fill, "round")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("side", [33.3, (20.0, 61.5)])
def test_sample_is_bilinear(dtype, side):
    image = picture(23, 31).astype(dtype)
    center, size = np.array([11.3, 17.8], np.float32), 40
    fill = np.array([5.0, 60.0, 250.0], np.float32)
    got = sample(image, center, np.float32(side) if np.ndim(side) else side, size, fill)
    assert got.dtype == jnp.float32

    wide = np.broadcast_to(np.float64(side), 2)
    steps = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.float64(center)[:, None] + steps * wide[:, None]
    margin = 60  # of fill around the image, so that plain indexing serves
    padded = np.empty((23 + 2 * margin, 31 + 2 * margin, 3))
    padded[:] = fill
    padded[margin : margin + 23, margin : margin + 31] = image
    x, y = x + margin, y + margin
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    u, v = (x - left)[None, :, None], (y - top)[:, None, None]
    at = lambda row, column: padded[row][:, column]
    expected = (1 - v) * ((1 - u) * at(top, left) + u * at(top, left + 1)) + v * (
        (1 - u) * at(top + 1, left) + u * at(top + 1, left + 1)
    )
    assert np.abs(np.asarray(got) - expected).max() < 2e-3


def test_sample_at_scale_one_copies():
    image = picture(9, 9).astype(np.float32)
    got = sample(image, np.array([4, 4], np.float32), 9.0, 9, np.zeros(3, np.float32))
    np.testing.assert_allclose(got, image, atol=1e-3)


@pytest.mark.parametrize(
    "frame",
    [
        np.full((1080, 1920, 3), 255, np.uint8),
        picture(1081, 1919),
        picture(1, 1),
        np.full((3, 20000, 3), (1, 128, 254), np.uint8),
    ],
    ids=["white", "noise", "one-pixel", "wide"],
)
def test_mean_color_loses_nothing(frame):
    expected = frame.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(mean_color(frame), expected, rtol=2e-7)
