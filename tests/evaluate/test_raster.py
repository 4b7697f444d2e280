import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from siamjax import polygons
from siamjax.evaluate import raster

CASES = json.loads(
    (Path(__file__).parents[1] / "golden" / "eval_region_overlap.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", [case for case in CASES if len(case["a"]) > 1])
def test_equals_the_region_module(case):
    bound = tuple(case["bound_wh"]) if case["bound_wh"] else None
    a, b = (np.array([case[side]], np.float64) for side in "ab")
    expected = np.nan if case["overlap"] is None else case["overlap"]
    np.testing.assert_allclose(raster.overlap(a, b, bound), [expected], atol=1e-6)
    np.testing.assert_allclose(raster.overlap(b, a, bound), [expected], atol=1e-6)


def test_pairs_are_counted_together_as_alone():
    boxes = [case for case in CASES if len(case["a"]) == len(case["b"]) == 4]
    free = [case for case in boxes if not case["bound_wh"]]
    a, b = (np.array([case[side] for case in free], np.float64) for side in "ab")
    expected = [np.nan if case["overlap"] is None else case["overlap"] for case in free]
    assert len(free) > 20
    np.testing.assert_allclose(raster.overlap(a, b), expected, atol=1e-6)


def _slow_mask(region, width, height):
    """Fill a polygon of whole corners with Python loops, as the published rule has it."""
    mask = np.zeros((height, width), bool)
    points = region.reshape(-1, 2)
    for row in range(height):
        nodes = []
        for (x, y), (before_x, before_y) in zip(points, np.roll(points, 1, axis=0), strict=True):
            if y != before_y and min(y, before_y) <= row <= max(y, before_y):
                nodes.append(int(x + (row - y) / (before_y - y) * (before_x - x)))
        nodes.sort()
        i = 0
        while i < len(nodes) - 1:
            if nodes[i] == nodes[i + 1]:
                i += 1
                continue
            mask[row, nodes[i] : nodes[i + 1] + 1] = True
            i += 2
    return mask


@pytest.mark.parametrize("corners", [3, 4, 6])
def test_polygons_of_any_shape(corners):
    rng = np.random.default_rng(corners)
    a, b = (rng.integers(0, 30, (60, 2 * corners)).astype(np.float64) for _ in range(2))
    assert polygons.convex(polygons.corners(a)).all() == (corners == 3)
    found = raster.overlap(a, b, (29, 29))
    for k in range(len(a)):
        masks = [_slow_mask(region[k], 30, 30) for region in (a, b)]
        either = (masks[0] | masks[1]).sum()
        expected = (masks[0] & masks[1]).sum() / either if either else np.nan
        if not polygons.iou(*(polygons.outer_boxes(region[k : k + 1]) for region in (a, b)))[0]:
            expected = 0  # by the bounding boxes alone
        assert found[k] == pytest.approx(expected, nan_ok=True)


def test_missing_regions():
    box = np.array([[0.0, 0, 10, 10]])
    assert np.isnan(raster.overlap(box * np.nan, box)).all()
    assert np.isnan(raster.overlap(box, np.full((1, 8), np.nan))).all()
    assert raster.overlap(box[:0], box[:0]).shape == (0,)
    with pytest.raises(ValueError, match="b: expected 1 regions, as many as a, got 2"):
        inspect.unwrap(raster.overlap)(box, np.concatenate([box, box]))
