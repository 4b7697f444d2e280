import inspect

import cv2
import numpy as np
import pytest

from siamjax import polygons, rotated

NOWHERE = np.full(4, np.nan, np.float32)


def drawn(center, size, angle, shape=(160, 200)):
    """A mask of a rotated rectangle, and its corners."""
    points = cv2.boxPoints((center, size, angle))
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(points * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    return mask > 0, points


def shared_part(a, b):
    """IoU of two rectangles."""
    return float(polygons.iou(a.reshape(1, 8), b.reshape(1, 8))[0])


def same_rectangle(found, wanted, tolerance):
    """Whether two rectangles have the same corners, whichever comes first."""
    distances = np.linalg.norm(found[:, None] - np.asarray(wanted)[None], axis=2)
    return distances.min(axis=0).max() <= tolerance and distances.min(axis=1).max() <= tolerance


def filled(box, shape=(60, 80)):
    x, y, w, h = box
    mask = np.zeros(shape, bool)
    mask[y : y + h, x : x + w] = True
    return mask


@pytest.mark.parametrize("strategy", rotated.STRATEGIES)
def test_an_upright_block_has_its_outermost_pixels_for_corners(strategy):
    found = rotated.fit(filled((20, 10, 31, 16)), strategy)
    assert found.dtype == np.float32
    assert same_rectangle(found, [(20, 10), (50, 10), (50, 25), (20, 25)], 0.3)


@pytest.mark.parametrize("angle", [7, 33, 45, 81])
@pytest.mark.parametrize("strategy", ["mbr", "opt"])
def test_a_turned_block_is_found(strategy, angle):
    mask, corners = drawn((95, 70), (90, 40), angle)
    assert shared_part(rotated.fit(mask, strategy), corners) > 0.95


def test_the_least_rectangle_upright_ends_at_the_outermost_pixels():
    mask, _ = drawn((95, 70), (90, 40), 33)
    rows, columns = np.nonzero(mask)
    left, right, top, bottom = columns.min(), columns.max(), rows.min(), rows.max()
    wanted = [(left, top), (right, top), (right, bottom), (left, bottom)]
    np.testing.assert_array_equal(rotated.fit(mask, "min-max"), wanted)


def overlap(mask, corners):
    """IoU of a mask and the pixels that lie in a rectangle."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    first, second = corners[1] - corners[0], corners[3] - corners[0]
    offset = np.stack([x, y], -1) - corners[0]
    inside = np.ones(mask.shape, bool)
    for side in (first, second):
        along = offset @ side / (side @ side)
        inside &= (along >= -1e-6) & (along <= 1 + 1e-6)
    return (mask & inside).sum() / (mask | inside).sum()


def test_the_optimised_rectangle_leaves_a_thin_limb_out():
    mask, corners = drawn((80, 80), (60, 50), 20)
    mask[78:82, 80:190] = True  # an arm to the right
    of = {strategy: rotated.fit(mask, strategy) for strategy in rotated.STRATEGIES}
    scores = {strategy: overlap(mask, of[strategy]) for strategy in rotated.STRATEGIES}
    assert scores["opt"] > 0.85
    assert scores["mbr"] < 0.6
    assert scores["min-max"] < 0.6
    assert shared_part(of["opt"], corners) > 0.9


def test_no_rectangle_near_the_optimised_one_overlaps_more():
    rng = np.random.default_rng(0)
    mask = np.zeros((160, 200), np.uint8)
    for _ in range(6):
        center, axes = rng.integers((60, 50), (130, 100)), rng.integers(10, 35, 2)
        cv2.ellipse(mask, center.tolist(), axes.tolist(), float(rng.integers(180)), 0, 360, 1, -1)
    contour = rotated.largest_contour(mask > 0)
    inside = cv2.drawContours(np.zeros_like(mask), [contour], -1, 1, cv2.FILLED) > 0
    best = rotated.fit(mask > 0, "opt")
    score = overlap(inside, best)
    center, (w, h), angle = cv2.minAreaRect(best)
    assert score > overlap(inside, rotated.fit(mask > 0, "mbr"))
    for _ in range(200):
        moved = tuple(center + rng.normal(0, 4, 2))
        other = (moved, tuple((w, h) * rng.uniform(0.85, 1.15, 2)), angle + rng.normal(0, 8))
        assert overlap(inside, cv2.boxPoints(other)) < score + 0.015


def test_only_the_largest_part_counts():
    mask = filled((5, 5, 20, 20)) | filled((40, 20, 30, 25))
    assert same_rectangle(rotated.fit(mask), [(40, 20), (69, 20), (69, 44), (40, 44)], 0.01)


def test_holes_do_not_matter():
    mask = filled((20, 10, 31, 26))
    mask[15:30, 25:45] = False
    assert same_rectangle(rotated.fit(mask), [(20, 10), (50, 10), (50, 35), (20, 35)], 0.01)


@pytest.mark.parametrize("mask", [filled((20, 10, 11, 11)), filled((3, 3, 70, 2)), filled([0] * 4)])
@pytest.mark.parametrize("strategy", rotated.STRATEGIES)
def test_masks_of_a_hundred_square_pixels_or_less_have_no_rectangle(mask, strategy):
    # 11 x 11 pixels: 10 x 10 between the outermost centres.
    assert rotated.fit(mask, strategy) is None


def test_many_masks_with_thresholds_and_boxes_in_their_place():
    masks = np.stack([filled((20, 10, 31, 26)), filled((20, 10, 31, 26)), filled((0, 0, 4, 4))])
    masks = np.float32([0.6, 0.3, 0.9])[:, None, None] * masks
    boxes = np.float32([[1, 2, 3, 4], [1, 2, 3, 4], NOWHERE])
    found = rotated.boxes(masks[:, None], 0.5, boxes[:, None])
    assert found.shape == (3, 1, 4, 2)
    assert found.dtype == np.float32
    assert same_rectangle(found[0, 0], [(20, 10), (50, 10), (50, 35), (20, 35)], 0.01)
    assert found[1, 0].tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]
    assert np.isnan(found[2]).all()
    each = rotated.boxes(masks, np.float32([0.7, 0.2, 0.5]), boxes)
    assert each[0].tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]
    assert same_rectangle(each[1], found[0, 0], 0.01)


def test_unknown_strategies_are_refused():
    with pytest.raises(ValueError, match=r"strategy: expected one of .*got 'best'"):
        inspect.unwrap(rotated.fit)(filled((20, 10, 31, 26)), "best")
