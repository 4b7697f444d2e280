import functools
import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.data import augment as A

FULL = A.Augment(
    shift=12.0, scale=0.2, stretch=0.1, color=1.0, brightness=20.0, contrast=0.2, blur=0.5,
    blur_size=9, gray=0.3, flip=0.5,
)  # fmt: skip


def smooth(side, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def box_of(image, threshold=128):
    rows, columns = np.where(np.asarray(image)[..., 0] > threshold)
    return [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_without_settings_it_is_a_centre_crop():
    image = smooth(41)
    box = np.float32([10, 12, 21, 17])  # centre 20, 20
    out, moved = A.augment(jax.random.key(0), image, box, 31, A.Augment())
    np.testing.assert_allclose(out, image[5:36, 5:36], atol=1e-3)
    np.testing.assert_allclose(moved, [5, 7, 21, 17], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_geometry_against_cv2(seed):
    image = smooth(91, seed)
    box = np.float32([30, 40, 25, 15])
    config = A.Augment(shift=9.0, scale=0.2, stretch=0.15)
    key = jax.random.key(seed)
    out, moved = A.augment(key, image, box, 51, config)
    drawn = A.window(jax.random.split(key, 8)[0], box, 51, config)
    center, side = (np.asarray(value, np.float64) for value in drawn)
    assert abs(center - [42, 47]).max() <= 9
    assert 51 * 0.8 * 0.85 <= side.min() <= side.max() <= 51 * 1.2 * 1.15
    i = np.arange(51)
    x, y = (center[a] + (i - 25) * side[a] / 51 for a in (0, 1))
    grid = [g.astype(np.float32) for g in np.meshgrid(x, y)]
    fill = image.mean((0, 1))
    expected = cv2.remap(image.astype(np.float32), *grid, cv2.INTER_LINEAR, borderValue=fill)
    # cv2 rounds positions to 1/32 pixel
    assert abs(np.asarray(out) - expected).max() < 3
    assert abs(np.asarray(out) - expected).mean() < 0.3
    scale = 51 / side
    np.testing.assert_allclose(moved[2:], box[2:] * scale, rtol=1e-5)
    middle = (np.asarray([42, 47]) - center) * scale + 25
    np.testing.assert_allclose(moved[:2], middle - (box[2:] * scale - 1) / 2, atol=1e-4)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_box_follows_the_pixels(seed, flip):
    image = np.zeros((131, 131, 3), np.uint8)
    image[50:90, 45:75] = 255
    config = A.Augment(shift=8.0, scale=0.2, stretch=0.2)
    out, box = A.augment(
        jax.random.key(seed),
        image,
        np.float32([45, 50, 30, 40]),
        91,
        config,
        flip=jnp.asarray(flip),
    )
    assert box_of(out) == pytest.approx(np.asarray(box), abs=1.01)
    plain, _ = A.augment(jax.random.key(seed), image, np.float32([45, 50, 30, 40]), 91, config)
    np.testing.assert_allclose(out, plain[:, ::-1] if flip else plain, atol=1e-3)


def test_outside_of_the_crop_is_its_mean_colour():
    image = smooth(21)
    out, _ = A.augment(jax.random.key(0), image, np.float32([5, 5, 11, 11]), 41, A.Augment())
    np.testing.assert_allclose(out[0, 0], image.mean((0, 1)), atol=1e-2)
    np.testing.assert_allclose(out[10:31, 10:31], image, atol=1e-3)


def test_colour_offsets_have_the_published_spread():
    keys = jax.random.split(jax.random.key(0), 20000)
    offsets = np.asarray(jax.vmap(lambda k: A.color_offset(k, A.Augment(color=1.0)))(keys))
    basis = np.asarray(A.COLOR_BASIS)
    np.testing.assert_allclose(np.cov(offsets.T), basis @ basis.T, atol=1.5)
    half = A.Augment(color=0.5, color_strength=2.0)
    some = np.asarray(jax.vmap(lambda k: A.color_offset(k, half))(keys))
    assert (some == 0).all(1).mean() == pytest.approx(0.5, abs=0.02)
    assert some[some[:, 0] != 0].std(0) == pytest.approx(2 * offsets.std(0), rel=0.05)


def test_levels_against_numpy():
    image = smooth(31)
    box = np.float32([10, 10, 11, 11])
    key = jax.random.key(3)
    plain = np.asarray(A.augment(key, image, box, 31, A.Augment())[0])
    bright = np.asarray(A.augment(key, image, box, 31, A.Augment(brightness=10.0))[0])
    added = (bright - plain)[5, 5, 0]
    np.testing.assert_allclose(bright - plain, added, atol=1e-3)
    assert 0 < abs(added) <= 10
    strong = np.asarray(A.augment(key, image, box, 31, A.Augment(contrast=0.3))[0])
    mean = plain.mean((0, 1))
    factor = (strong[3, 3, 0] - mean[0]) / (plain[3, 3, 0] - mean[0])
    assert 0.7 <= factor <= 1.3
    np.testing.assert_allclose(strong, (plain - mean) * factor + mean, atol=0.01)
    gray, _ = A.augment(key, image, box, 31, A.Augment(gray=1.0))
    np.testing.assert_allclose(
        gray, np.repeat(plain @ np.asarray([0.299, 0.587, 0.114])[:, None], 3, -1), atol=1e-2
    )


def host_batch(count, index):
    rng = np.random.default_rng(1)
    return {
        "template": rng.integers(0, 256, (count, 41, 41, 3), np.uint8),
        "template_box": np.tile(np.float32([13, 14, 15, 13]), (count, 1)),
        "search": rng.integers(0, 256, (count, 91, 91, 3), np.uint8),
        "search_box": np.tile(np.float32([38, 39, 15, 13]), (count, 1)),
        "positive": np.arange(count) % 2 == 0,
        "index": np.asarray(index, np.uint32),
    }


SIZES = {"template_size": 31, "search_size": 61}
BATCH = jax.jit(
    functools.partial(A.augment_batch, template_config=FULL, search_config=FULL, **SIZES)
)
PAIR = jax.jit(functools.partial(A.augment_pair, template_config=FULL, search_config=FULL, **SIZES))


def test_batch_shapes_range_and_reproducibility():
    batch = host_batch(4, [5, 6, 2**31 + 7, 8])
    out = BATCH(jax.random.key(0), batch)
    assert {name: (array.shape, str(array.dtype)) for name, array in out.items()} == {
        "template": ((4, 31, 31, 3), "float32"),
        "template_box": ((4, 4), "float32"),
        "search": ((4, 61, 61, 3), "float32"),
        "search_box": ((4, 4), "float32"),
        "positive": ((4,), "bool"),
    }
    assert out["positive"].tolist() == [True, False, True, False]
    for name in ("template", "search"):
        assert float(out[name].min()) >= 0
        assert float(out[name].max()) <= 255
    again = BATCH(jax.random.key(0), batch)
    other = BATCH(jax.random.key(1), batch)
    for name in ("template", "search", "template_box", "search_box"):
        np.testing.assert_array_equal(out[name], again[name])
        assert (np.asarray(out[name]) != np.asarray(other[name])).any()


def test_a_pair_depends_on_its_index_not_on_its_place():
    batch = host_batch(4, [5, 6, 7, 8])
    turned = {name: array[::-1] for name, array in batch.items()}
    out, back = BATCH(jax.random.key(0), batch), BATCH(jax.random.key(0), turned)
    for name in out:
        np.testing.assert_allclose(out[name], back[name][::-1], atol=1e-3)
    one = {name: array[1] for name, array in batch.items()}
    alone = PAIR(jax.random.fold_in(jax.random.key(0), 6), one)
    for name in alone:
        np.testing.assert_allclose(alone[name], out[name][1], atol=1e-3)


def test_flip_and_gray_are_common_to_a_pair():
    # A picture brighter to the right, red: flips show in the slope, grey in the channels.
    ramp = np.zeros((91, 91, 3), np.uint8)
    ramp[..., 0] = np.arange(91) * 2
    pair = {
        "template": ramp[25:66, 25:66],
        "template_box": np.float32([13, 14, 15, 13]),
        "search": ramp,
        "search_box": np.float32([38, 39, 15, 13]),
        "positive": np.asarray(True),
    }
    config = A.Augment(gray=0.5, flip=0.5)
    kinds = set()
    step = jax.jit(lambda key: A.augment_pair(key, pair, config, config, **SIZES))
    for seed in range(24):
        out = step(jax.random.key(seed))
        seen = [
            (bool(c[5, 25, 0] < c[5, 5, 0]), bool(abs(c[5, 5, 0] - c[5, 5, 1]) < 1e-3))
            for c in (out["template"], out["search"])
        ]
        assert seen[0] == seen[1]
        kinds.add(seen[0])
    assert len(kinds) == 4
    with pytest.raises(ValueError, match=r"flip: common to a pair, but got 0\.5 and 0\.0"):
        A.augment_pair(jax.random.key(0), pair, config, A.Augment(gray=0.5))


def test_settings_out_of_range():
    for wrong in (
        {"flip": 1.5}, {"color": -0.1}, {"scale": 1.0}, {"stretch": -0.1}, {"shift": -1.0},
        {"brightness": math.inf}, {"blur_size": 8}, {"blur_size": 3},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            A.Augment(**wrong)
    assert hash(A.Augment()) == hash(A.Augment())


@pytest.mark.parametrize("seed", range(3))
def test_masks_go_with_the_pixels(seed):
    """The search is black and white, and so its own mask, shifted, scaled and mirrored."""
    image = np.zeros((121, 121, 3), np.uint8)
    cv2.ellipse(image, (57, 62), (20, 13), 25, 0, 360, (255, 255, 255), -1)
    template = smooth(61)
    pair = {
        "template": template,
        "template_box": np.float32([18, 20, 25, 21]),
        "search": image,
        "search_box": np.float32([40, 50, 41, 25]),
        "positive": np.bool_(True),
    }
    masked = pair | {"search_mask": image[..., 0], "has_mask": np.bool_(True)}
    config = A.Augment(shift=9.0, scale=0.2, stretch=0.1, flip=float(seed % 2))
    call = functools.partial(
        A.augment_pair, template_config=config, search_config=config, template_size=31,
        search_size=61,
    )  # fmt: skip
    with_mask, without = (call(jax.random.key(seed), given) for given in (masked, pair))
    np.testing.assert_array_equal(
        with_mask["search_mask"], np.asarray(with_mask["search"])[..., 0] > 127.5
    )
    assert with_mask["search_mask"].mean() > 0.05
    assert with_mask["search_mask"].dtype == np.bool_
    assert bool(with_mask["has_mask"])
    assert set(with_mask) - set(without) == {"search_mask", "has_mask"}
    for name, value in without.items():
        np.testing.assert_allclose(with_mask[name], value, rtol=0, atol=1e-4)


def test_masks_keep_their_grey_levels():
    """Colour, brightness, contrast and blur leave what is not colour alone; it is 0 outside."""
    image = np.concatenate([smooth(41), np.full((41, 41, 1), 255, np.uint8)], axis=2)
    config = A.Augment(color=1.0, brightness=20.0, contrast=0.3, blur=1.0, blur_size=9, gray=1.0)
    out, _ = A.augment(jax.random.key(2), image, np.float32([15, 16, 11, 9]), 61, config)
    inside = np.asarray(out[..., 3])
    np.testing.assert_allclose(inside[11:50, 11:50], 255, atol=1e-3)
    assert not inside[:9].any()
    assert abs(np.asarray(out[10:50, 10:50, 0]) - image[:40, :40, 0]).mean() > 3
