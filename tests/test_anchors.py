"""Anchors and targets against PySOT's own numbers, draws by what must hold of them."""

import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import anchors, targets
from siamjax.track.response import hann_window

GOLDEN = np.load(Path(__file__).parent / "golden" / "anchors_rpn.npz")
KEYS = jax.random.split(jax.random.key(4), 8)


@pytest.fixture(params=[17, 25])
def maps(request):
    """The reference's targets for a map of this size; the larger one from the research data."""
    if request.param == 17:
        return 17, GOLDEN
    return 25, np.load(request.getfixturevalue("shared") / "golden" / "train" / "anchor_target.npz")


def centered(corners):
    """Turn PySOT's corners in crops of 255 pixels into our boxes from the crop's centre."""
    middle = (corners[:, :2] + corners[:, 2:]) / 2 - 127
    return np.concatenate([middle, corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float32)


def test_shapes_are_pysots():
    half = np.asarray(anchors.shapes()) / 2
    np.testing.assert_array_equal(np.concatenate([-half, half], axis=1), GOLDEN["base_corner"])
    np.testing.assert_array_equal(
        anchors.shapes(), [[104, 32], [88, 40], [64, 64], [40, 80], [32, 96]]
    )


def test_shapes_of_other_strides_and_scales():
    # int(sqrt(256 / .5)) = 22, int(22 * .5) = 11; int(sqrt(256 / 3)) = 9, 27.
    np.testing.assert_array_equal(
        anchors.shapes(16, (0.5, 3), (2, 4)), [[44, 22], [88, 44], [18, 54], [36, 108]]
    )


@pytest.mark.parametrize("name", ["track17", "track21", "track25", "dasiam19"])
def test_grids_of_trackers(name):
    size = int(name[-2:])
    got = np.asarray(anchors.grid(size)).transpose(2, 0, 1, 3).reshape(-1, 4)
    np.testing.assert_array_equal(got, GOLDEN[f"{name}_cxcywh"])


@pytest.mark.parametrize("size", [17, 25])
def test_training_grid(size):
    got = np.asarray(anchors.grid(size, center=127)).transpose(3, 2, 0, 1)
    np.testing.assert_array_equal(got, GOLDEN[f"train{size}_center"])


def test_even_grid_of_stride_16_reaches_further_left():
    got = np.asarray(anchors.grid(16, 16, ratios=(1,), scales=(4,)))
    assert got.shape == (16, 16, 1, 4)
    np.testing.assert_array_equal(got[3, :, 0, 0], np.arange(-128, 113, 16))
    np.testing.assert_array_equal(got[3, :, 0, 1:], [[-80, 64, 64]] * 16)


@pytest.mark.parametrize("size", [17, 19, 21, 25])
def test_window(size):
    np.testing.assert_allclose(hann_window(size), GOLDEN[f"window{size}"], atol=1e-7)


def test_codes_are_inverse_and_broadcast():
    boxes = centered(GOLDEN["boxes_corner"])
    grid = anchors.grid(17)
    delta = anchors.encode(grid[None], boxes[:, None, None, None])
    assert delta.shape == (8, 17, 17, 5, 4)
    wanted = np.broadcast_to(boxes[:, None, None, None], delta.shape)
    np.testing.assert_allclose(anchors.decode(grid, delta), wanted, atol=2e-4, rtol=1e-6)
    np.testing.assert_array_equal(anchors.decode(grid, jnp.zeros(4)), grid)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: anchors.shapes(0), "got 0,"),
        (lambda: anchors.shapes(8, ()), r"got 8, \(\)"),
        (lambda: anchors.shapes(2, (0.1,)), "0.1 leaves a side of 0 pixels"),
        (lambda: inspect.unwrap(anchors.grid)(0), "size"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- targets ------------------------------------------------------------------------------------


def assign(size, boxes, positive, **settings):
    grid = anchors.grid(size)
    one = lambda key, box, positive: targets.assign(key, grid, box, positive, **settings)
    return jax.jit(jax.vmap(one))(KEYS[: len(boxes)], boxes, np.broadcast_to(positive, len(boxes)))


def test_overlaps_labels_and_codes(maps):
    size, golden = maps
    boxes = centered(golden["boxes_corner"])
    overlap = jax.vmap(targets.overlaps, (None, 0))(anchors.grid(size), boxes)
    order = (0, 3, 1, 2)
    np.testing.assert_allclose(
        np.asarray(overlap).transpose(order), golden[f"s{size}/overlap"], atol=1e-6
    )
    got = np.asarray(targets.candidates(overlap)).transpose(order)
    wanted = golden[f"s{size}/cls_all"]
    near = np.abs(golden[f"s{size}/overlap"][..., None] - [0.3, 0.6]).min(axis=-1) < 1e-6
    np.testing.assert_array_equal(got[~near], wanted[~near])
    assert (wanted == 1).sum() > 20
    assert near.sum() < 10
    delta = np.asarray(assign(size, boxes, True).delta).transpose(0, 4, 3, 1, 2)
    np.testing.assert_allclose(delta, golden[f"s{size}/delta"], atol=1e-4)


def test_draws_of_positive_pairs(maps):
    size, golden = maps
    got = assign(size, centered(golden["boxes_corner"]), True)
    whole = np.asarray(targets.candidates(got.overlap))
    for label, most in ((1, 16), (0, 48)):
        drawn = np.asarray(got.labels) == label
        assert not (drawn & (whole != label)).any()
        counts = np.minimum((whole == label).sum(axis=(1, 2, 3)), most)
        np.testing.assert_array_equal(drawn.sum(axis=(1, 2, 3)), counts)
        reference = golden[f"s{size}/cls_sampled_seed0"] == label
        np.testing.assert_array_equal(counts, reference.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(np.asarray(got.weight) > 0, np.asarray(got.labels) == 1)
    np.testing.assert_allclose(
        np.asarray(got.weight).max(axis=(1, 2, 3)), golden[f"s{size}/delta_weight_value"], rtol=1e-6
    )


def test_negative_pairs_draw_from_the_window_around_the_other_target(maps):
    size, golden = maps
    boxes = centered(golden["neg_boxes_corner"])
    region = golden[f"s{size}/neg_pair_region"] == 0
    marked = jax.vmap(lambda center: targets.negative_region(size, 8, center))(boxes[:, :2])
    marked = np.broadcast_to(np.asarray(marked)[:, None], region.shape)
    np.testing.assert_array_equal(marked, region)
    got = assign(size, boxes, False)
    drawn = (np.asarray(got.labels) == 0).transpose(0, 3, 1, 2)
    assert not (drawn & ~region).any()
    reference = golden[f"s{size}/neg_pair_sampled_seed0"] == 0
    np.testing.assert_array_equal(drawn.sum(axis=(1, 2, 3)), reference.sum(axis=(1, 2, 3)))
    assert not (np.asarray(got.labels) == 1).any()
    for array in (got.delta, got.weight, got.overlap):
        assert not np.asarray(array).any()


def test_siammasks_choices():
    boxes = centered(GOLDEN["boxes_corner"])
    got = assign(17, boxes, np.arange(8) != 2, negatives="rest", pair_region="center")
    labels = np.asarray(got.labels)
    positives = (labels == 1).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(positives, [9, 0, 0, 0, 0, 2, 7, 9])
    np.testing.assert_array_equal(
        (labels == 0).sum(axis=(1, 2, 3)), [55, 64, 16, 64, 64, 62, 57, 55]
    )
    rows, columns = np.nonzero((labels[2] == 0).any(axis=2))
    assert (np.abs(rows - 8) <= 3).all()
    assert (np.abs(columns - 8) <= 3).all()


def test_draw_is_uniform_and_by_the_key():
    mask = np.arange(40).reshape(8, 5) % 2 == 0
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.jit(jax.vmap(lambda key: targets.draw(key, mask, 5, 8)))(keys)
    assert (np.asarray(drawn).sum(axis=(1, 2)) == 5).all()
    share = np.asarray(drawn).mean(axis=0)
    np.testing.assert_array_equal(share[~mask], 0)
    np.testing.assert_allclose(share[mask], 5 / 20, atol=0.03)  # 4.4 standard deviations
    np.testing.assert_array_equal(drawn[7], targets.draw(keys[7], mask, 5, 8))
    np.testing.assert_array_equal(targets.draw(keys[0], mask, 8, 100).sum(), 8)
    np.testing.assert_array_equal(targets.draw(keys[0], mask, 100, 100), mask)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": (0.7, 0.6)}, "thresholds"),
        ({"positives": 65}, "positives, total"),
        ({"pair_negatives": 0}, "pair_negatives"),
        ({"negatives": "all"}, "negatives"),
        ({"pair_region": "middle"}, "pair_region"),
    ],
)
def test_assign_refuses(settings, message):
    call = inspect.unwrap(targets.assign)
    with pytest.raises(ValueError, match=message):
        call(KEYS[0], anchors.grid(5), jnp.array([0.0, 0, 9, 9]), True, **settings)
    with pytest.raises(ValueError, match="square"):
        call(KEYS[0], anchors.grid(5)[1:], jnp.array([0.0, 0, 9, 9]))
