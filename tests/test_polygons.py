import inspect

import numpy as np
import pytest

from siamjax import polygons

SQUARE = np.array([[0.0, 0, 10, 10]])
DIAMOND = np.array([[5.0, 0, 10, 5, 5, 10, 0, 5]])


def test_corners_go_round():
    np.testing.assert_array_equal(
        polygons.corners(np.array([[1.0, 2, 3, 4]])), [[[1, 2], [4, 2], [4, 6], [1, 6]]]
    )
    assert polygons.corners(DIAMOND.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match=r"regions: expected 4 values each, .* got 5"):
        polygons.corners(np.zeros((1, 5)))


def test_boxes_for_polygons():
    np.testing.assert_array_equal(polygons.outer_boxes(DIAMOND + 1.5), [[1.5, 1.5, 10, 10]])
    # Area 50 of 100: sides of 10 sqrt(1/2), and PySOT's pixel more, around (5, 5).
    side = 10 * np.sqrt(0.5) + 1
    np.testing.assert_allclose(
        polygons.equal_area_boxes(DIAMOND), [[5 - (side - 1) / 2, 5 - (side - 1) / 2, side, side]]
    )
    np.testing.assert_array_equal(polygons.equal_area_boxes(SQUARE), SQUARE)
    with pytest.raises(ValueError, match="expected four corners each, got 3"):
        polygons.equal_area_boxes(np.zeros((1, 6)))


def test_area_has_the_sign_of_the_direction():
    points = polygons.corners(DIAMOND)
    assert polygons.signed_area(points) == 50
    assert polygons.signed_area(points[:, ::-1]) == -50


def test_convex():
    bow_tie = [0.0, 0, 10, 10, 10, 0, 0, 10]
    dart = [0.0, 0, 10, 0, 2, 2, 0, 10]
    twice_round = np.array([[np.cos(0.8 * np.pi * k), np.sin(0.8 * np.pi * k)] for k in range(5)])
    shapes = polygons.corners(np.array([bow_tie, dart, *DIAMOND, [0.0] * 8]))
    assert polygons.convex(shapes).tolist() == [False, False, True, True]
    assert polygons.convex(twice_round[None]).tolist() == [False]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (SQUARE, SQUARE, 1),
        (SQUARE, [[5.0, 5, 10, 10]], 25 / 175),
        (SQUARE, [[10.0, 0, 10, 10]], 0),
        (SQUARE, [[2.0, 3, 4, 5]], 20 / 100),
        (SQUARE, DIAMOND, 0.5),
        (DIAMOND, [[5.0, 5, 10, 10]], 12.5 / 137.5),
        (DIAMOND, DIAMOND + np.array([[2.5] * 8]), 25 / 75),
        (DIAMOND[:, ::-1].reshape(1, 4, 2)[..., ::-1].reshape(1, 8), DIAMOND, 1),
        (np.roll(DIAMOND, 2, axis=1), DIAMOND, 1),
        ([[0.0, 0, 10, 0, 0, 10]], SQUARE, 0.5),
        ([[0.0, 0, 10, 0, 0, 10]], DIAMOND, 25 / 75),
        ([[5.0, 5, 0, 0]], [[5.0, 5, 0, 0]], 0),
        ([[5.0, 5, 0, 0]], SQUARE, 0),
        (SQUARE, [[5.0, 5, 0, 0]], 0),
    ],
)
def test_exact_overlap(a, b, expected):
    found = polygons.iou(np.asarray(a, np.float64), np.asarray(b, np.float64))
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_overlap_of_rotated_boxes_equals_counting_points():
    rng = np.random.default_rng(3)
    count = 12
    angle, half = rng.uniform(0, np.pi, (count, 2)), rng.uniform(5, 30, (count, 2, 2))
    centre = rng.uniform(90, 120, (count, 2, 2))
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=-1)
    turn = turn.reshape(count, 2, 2, 2)
    signs = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    boxes = np.einsum("nrkj,nrji->nrki", signs * half[:, :, None], turn) + centre[:, :, None]
    grid = np.stack(np.meshgrid(np.arange(40, 170, 0.5), np.arange(40, 170, 0.5)), axis=-1) + 0.25
    offset = grid[None, None] - centre[:, :, None, None]
    local = np.einsum("nryxi,nrji->nryxj", offset, turn)
    inside = (np.abs(local) < half[:, :, None, None]).all(axis=-1)
    counted = inside.all(axis=1).sum(axis=(1, 2)) / inside.any(axis=1).sum(axis=(1, 2))
    found = polygons.iou(boxes[:, 0].reshape(count, 8), boxes[:, 1].reshape(count, 8))
    assert (counted > 0.1).sum() > 4
    np.testing.assert_allclose(found, counted, atol=0.01)


def test_overlap_does_not_depend_on_the_place():
    far = polygons.iou(DIAMOND + 1e7, np.array([[1e7, 1e7, 10, 10]]))
    assert far[0] == pytest.approx(0.5, abs=1e-6)


def test_missing_regions_and_refusals():
    assert np.isnan(polygons.iou(SQUARE * np.nan, SQUARE)).all()
    with pytest.raises(ValueError, match="b: expected 1 regions, as many as a, got 2"):
        inspect.unwrap(polygons.iou)(SQUARE, np.concatenate([SQUARE, SQUARE]))
    with pytest.raises(ValueError, match=r"b: expected convex polygons, got .* at 0"):
        polygons.iou(SQUARE, np.array([[0.0, 0, 10, 0, 2, 2, 0, 10]]))
