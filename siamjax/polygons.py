"""Polygons in the frame: corners, the boxes that stand for them, exact areas and overlaps.

A region is a box (x, y, width, height) or a polygon (x1, y1, x2, y2, ...) in pixels, its corners
going round in either direction; a box is the polygon of x, y, x + width, y + height. All is NumPy
on the host, over any number of regions at once; NaN stands for a region that is not there.
"""

import numpy as np
from jaxtyping import Float, Float64

from siamjax.typing import AnyArray


def corners(regions: Float[AnyArray, "M values"]) -> Float[np.ndarray, "M corners 2"]:
    """Give the corners (x, y) of boxes [M, 4] or of polygons [M, 2 n], in their own dtype.

    Raises:
        ValueError: neither four values nor an even number from six on.
    """
    regions = np.asarray(regions)
    values = regions.shape[1]
    if values == 4:
        x, y, width, height = regions.T
        right, bottom = x + width, y + height
        return np.stack([x, y, right, y, right, bottom, x, bottom], axis=1).reshape(-1, 4, 2)
    if values < 6 or values % 2:
        raise ValueError(
            f"regions: expected 4 values each, or an even number from 6 on, got {values}"
        )
    return regions.reshape(len(regions), values // 2, 2)


def outer_boxes(regions: Float[AnyArray, "M values"]) -> Float[np.ndarray, "M 4"]:
    """Give the least box (x, y, width, height) around each region."""
    points = corners(regions)
    start, end = points.min(axis=1), points.max(axis=1)
    return np.concatenate([start, end - start], axis=1)


def equal_area_boxes(regions: Float[AnyArray, "M values"]) -> Float64[np.ndarray, "M 4"]:
    """Give boxes of the shape of the outer box and the area of the region, around its mean corner.

    side = sqrt(area of the region / area of the outer box) * outer side + 1

    The area is that of a rectangle: the product of the first two sides. PySOT starts its trackers
    from these on VOT's polygons; a box comes back as it is.

    Args:
        regions: boxes, or polygons of four corners.

    Returns:
        (x, y, width, height), `x = centre - (width - 1) / 2`.

    Raises:
        ValueError: polygons of another number of corners.

    Source: PySOT, `get_axis_aligned_bbox`.
    """
    regions = np.asarray(regions, np.float64)
    if regions.shape[1] == 4:
        return regions
    points = corners(regions)
    if points.shape[1] != 4:
        raise ValueError(f"regions: expected four corners each, got {points.shape[1]}")
    sides = np.linalg.norm(points[:, 1:3] - points[:, 0:2], axis=2)
    outer = outer_boxes(regions)[:, 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        shrink = np.sqrt(sides.prod(axis=1) / outer.prod(axis=1))
    size = shrink[:, None] * outer + 1
    return np.concatenate([points.mean(axis=1) - (size - 1) / 2, size], axis=1)


def signed_area(points: Float[np.ndarray, "M corners 2"]) -> Float64[np.ndarray, " M"]:
    """Give the area of polygons, negative where the corners go round against the clock's hands.

    (Seen in the frame, whose y points down.)
    """
    # About the first corner: far from the frame's origin, products of coordinates lose digits.
    x, y = np.moveaxis(np.asarray(points, np.float64) - points[:, :1], 2, 0)
    return (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1) / 2


def convex(points: Float[np.ndarray, "M corners 2"]) -> np.ndarray:
    """Tell which polygons are convex, bool[M]: they turn one way, and round once.

    A triangle is, and so is what has no area; one that holds NaN is not.
    """
    sides = np.roll(points, -1, axis=1) - points
    size = np.abs(sides).max(axis=(1, 2))
    following = np.roll(sides, -1, axis=1)
    turns = sides[..., 0] * following[..., 1] - sides[..., 1] * following[..., 0]
    slack = 1e-6 * size[:, None] ** 2  # float32 coordinates bend a straight side
    one_way = (turns >= -slack).all(axis=1) | (turns <= slack).all(axis=1)
    angles = np.arctan2(turns, (sides * following).sum(axis=2))
    return one_way & (np.abs(angles.sum(axis=1)) < 3 * np.pi)


def intersection_area(
    a: Float[np.ndarray, "M corners_a 2"], b: Float[np.ndarray, "M corners_b 2"]
) -> Float64[np.ndarray, " M"]:
    """Give the area that convex polygons share, pair by pair.

    Each `a` is cut along the sides of its `b` in turn; every cut adds one corner at most.

    Args:
        a: corners of convex polygons, in either direction.
        b: likewise, as many; NaN gives NaN.

    Raises:
        ValueError: a polygon that is not convex.

    Source: Sutherland and Hodgman, Reentrant polygon clipping, 1974.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    for name, polygons in (("a", first), ("b", second)):
        bent = np.isfinite(polygons).all(axis=(1, 2)) & ~convex(polygons)
        if bent.any():
            k = int(np.argmax(bent))
            raise ValueError(f"{name}: expected convex polygons, got {polygons[k].tolist()} at {k}")
    origin = second[:, :1]
    first, second = first - origin, second - origin
    backward = signed_area(second) < 0
    second = np.where(backward[:, None, None], second[:, ::-1], second)
    for edge in range(second.shape[1]):
        first = _cut(first, second[:, edge], second[:, (edge + 1) % second.shape[1]])
    # A `b` without area has no inside to cut to.
    return np.where(signed_area(second) == 0, 0.0, np.abs(signed_area(first)))


def _cut(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Keep what lies to the right of the line from `start` to `end`, as the frame shows it."""
    side = end - start
    height = side[:, :1] * (points[..., 1] - start[:, 1:]) - side[:, 1:] * (
        points[..., 0] - start[:, :1]
    )
    following, following_height = np.roll(points, -1, axis=1), np.roll(height, -1, axis=1)
    kept, kept_next = height >= 0, following_height >= 0
    crosses = kept != kept_next
    part = height / np.where(crosses, height - following_height, 1)
    crossing = points + part[..., None] * (following - points)
    # Corner and crossing of every side, those that stay first, and the first of them as filling.
    count = points.shape[1]
    found = np.stack([points, crossing], axis=2).reshape(len(points), 2 * count, 2)
    stays = np.stack([kept, crosses], axis=2).reshape(len(points), 2 * count)
    order = np.argsort(~stays, axis=1, kind="stable")[:, : count + 1]
    chosen = np.take_along_axis(found, order[..., None], axis=1)
    stays = np.take_along_axis(stays, order, axis=1)
    return np.where(stays[..., None], chosen, np.where(stays[:, :1, None], chosen[:, :1], 0.0))


def iou(
    a: Float[AnyArray, "M values_a"], b: Float[AnyArray, "M values_b"]
) -> Float64[np.ndarray, " M"]:
    """Give the intersection over union of boxes and convex polygons, exactly, pair by pair.

    Args:
        a: [M, 4] boxes or [M, 2 n] polygons, rotated boxes among them.
        b: likewise, as many.

    Returns:
        [M] in 0..1; 0 where the union is empty, NaN where a region holds NaN.

    Raises:
        ValueError: values that are no region, another number of them, a polygon that is not convex.
    """
    first, second = (corners(np.asarray(region, np.float64)) for region in (a, b))
    if len(first) != len(second):
        raise ValueError(f"b: expected {len(first)} regions, as many as a, got {len(second)}")
    known = np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
    result = np.full(len(first), np.nan)
    first, second = first[known], second[known]
    common = intersection_area(first, second)
    union = np.abs(signed_area(first)) + np.abs(signed_area(second)) - common
    result[known] = np.where(union > 0, common / np.where(union > 0, union, 1), 0)
    return result
