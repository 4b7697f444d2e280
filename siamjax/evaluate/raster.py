"""Overlap of regions counted in pixels, as the VOT challenges of 2013 to 2019 count it.

A region is a box (x, y, width, height) or a polygon (x1, y1, x2, y2, ...), in pixels; a box is the
polygon of its corners x, y, x + width, y + height. Corners are rounded to whole pixels and the
pixels on the border belong to the region, so that a box of width 10 is 11 pixels wide. Behaviour
follows the region module of PySOT (that of TraX), whose numbers the tests compare.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from siamjax import polygons
from siamjax.typing import AnyArray

_LEAST_RATIO = 1e-10  # of the bounding boxes' areas; below it nothing is counted


class _Bounds(NamedTuple):
    """Sides of bounding boxes, float32[M], not rounded."""

    left: np.ndarray
    top: np.ndarray
    right: np.ndarray
    bottom: np.ndarray

    def area(self) -> np.ndarray:
        return (self.right - self.left) * (self.bottom - self.top)


class _Spans(NamedTuple):
    """Pixels of one row that are filled: columns `start` to `end`, both within; empty if less."""

    start: np.ndarray
    end: np.ndarray

    def pixels(self) -> np.ndarray:
        return np.maximum(self.end - self.start + 1, 0)


def overlap(
    a: Float[AnyArray, "M values_a"],
    b: Float[AnyArray, "M values_b"],
    bound: tuple[int | float, int | float] | None = None,
) -> Float64[np.ndarray, " M"]:
    """Give the overlap of regions, pair by pair: common pixels over pixels of either.

    Args:
        a: [M, 4] boxes or [M, 2 n] polygons; NaN where there is none.
        b: likewise.
        bound: (width, height); only pixels from 0 to these, both counted, count.

    Returns:
        [M] in 0..1; NaN where a region holds NaN or neither covers a pixel. 0 where the bounding
        boxes, before rounding, share no area: boxes that touch.

    Raises:
        ValueError: lengths differ, or values that are no region.
    """
    first, second = (polygons.corners(np.asarray(region, np.float32)) for region in (a, b))
    if len(first) != len(second):
        raise ValueError(f"b: expected {len(first)} regions, as many as a, got {len(second)}")
    result = np.full(len(first), np.nan)
    known = np.isfinite(first).all(axis=(1, 2)) & np.isfinite(second).all(axis=(1, 2))
    boxes = [_bounds(region, bound) for region in (first, second)]
    apart = known & _apart(*boxes)
    result[apart] = 0
    left = np.floor(np.minimum(boxes[0].left, boxes[1].left))
    top = np.floor(np.minimum(boxes[0].top, boxes[1].top))
    some = np.flatnonzero(known & ~apart)
    if not len(some):
        return result
    size = np.stack(
        [
            np.ceil(np.maximum(boxes[0].right, boxes[1].right)) - left,
            np.ceil(np.maximum(boxes[0].bottom, boxes[1].bottom)) - top,
        ],
        axis=1,
    )[some].astype(np.float64)  # number of the last column and row
    origin = np.stack([left, top], axis=1)[some, None]
    common, either = _count(
        _rounded(first[some] - origin), _rounded(second[some] - origin), size[:, 0], size[:, 1]
    )
    result[some] = np.where(either > 0, common / np.maximum(either, 1), np.nan)
    return result


def _bounds(region: np.ndarray, bound: tuple[int | float, int | float] | None) -> _Bounds:
    start, end = region.min(axis=1), region.max(axis=1)
    if bound is not None:
        start, end = np.maximum(start, 0), np.minimum(end, np.asarray([bound], np.float32))
    return _Bounds(start[:, 0], start[:, 1], end[:, 0], end[:, 1])


def _apart(a: _Bounds, b: _Bounds) -> Bool[np.ndarray, " M"]:
    """Tell which bounding boxes share no area, or are too unlike in size to be counted."""
    inner = _Bounds(
        np.maximum(a.left, b.left),
        np.maximum(a.top, b.top),
        np.minimum(a.right, b.right),
        np.minimum(a.bottom, b.bottom),
    )
    areas = np.stack([a.area(), b.area()]).astype(np.float64)
    outside = [
        (box.right < box.left) | (box.bottom < box.top) for box in (a, b)
    ]  # of the bound, which leaves sides the wrong way round
    with np.errstate(divide="ignore", invalid="ignore"):
        unlike = (areas[0] / areas[1] < _LEAST_RATIO) | (areas[1] / areas[0] < _LEAST_RATIO)
    disjoint = (inner.right <= inner.left) | (inner.bottom <= inner.top)
    both_empty = (areas == 0).all(axis=0)
    return (outside[0] | outside[1]) | unlike | (disjoint & ~both_empty)


def _rounded(values: np.ndarray) -> Float64[np.ndarray, "M corners 2"]:
    """Round half away from zero."""
    values = values.astype(np.float64)
    return np.copysign(np.floor(np.abs(values) + 0.5), values)


def _count(
    a: Float64[np.ndarray, "M corners_a 2"],
    b: Float64[np.ndarray, "M corners_b 2"],
    last_column: Float64[np.ndarray, " M"],
    last_row: Float64[np.ndarray, " M"],
) -> tuple[Float64[np.ndarray, " M"], Float64[np.ndarray, " M"]]:
    """Count the pixels of both and of either region, row by row of every pair at once."""
    rows = last_row.astype(np.int64) + 1
    starts = np.cumsum(rows) - rows
    row = np.arange(rows.sum()) - np.repeat(starts, rows).astype(np.float64)
    limit = np.repeat(last_column, rows)
    spans_a, spans_b = _fill(a, rows, row, limit), _fill(b, rows, row, limit)
    common = np.zeros(len(row))
    for one in spans_a:
        for other in spans_b:
            start, end = np.maximum(one.start, other.start), np.minimum(one.end, other.end)
            common += _Spans(start, end).pixels()
    filled = np.zeros(len(row))
    for one in (*spans_a, *spans_b):
        filled += one.pixels()
    shared = np.add.reduceat(common, starts)
    return shared, np.add.reduceat(filled, starts) - shared


def _fill(
    polygon: Float64[np.ndarray, "M corners 2"],
    rows: Int[np.ndarray, " M"],
    row: Float64[np.ndarray, " R"],
    limit: Float64[np.ndarray, " R"],
) -> list[_Spans]:
    """Fill polygons by rows: give sets of spans, no two of which share a pixel.

    An edge that is not level is met by the rows from one end to the other, both counted. What a row
    meets, cut to whole pixels and sorted, is taken in pairs; of neighbours that are equal the first
    is passed over, since a corner is met twice (so that a lone peak stays empty, as published).
    """
    crossings = np.sort(_crossings(polygon, rows, row), axis=0)
    cursor = np.zeros(len(row), np.int8)
    taken = np.full(len(row), -1.0)
    spans: list[_Spans] = []
    for i in range(len(crossings) - 1):
        here, following = crossings[i], crossings[i + 1]
        active = (cursor == i) & (following < np.inf)
        filled = active & (here != following)
        cursor += active
        cursor += filled
        if not filled.any():
            continue
        start = np.where(filled, np.maximum(here, taken + 1), 0)
        end = np.where(filled, np.minimum(following, limit), -1)
        taken = np.maximum(taken, end)
        if spans and not (filled & (spans[-1].end >= 0)).any():
            kept = spans.pop()
            start = np.where(filled, start, kept.start)
            end = np.where(filled, end, kept.end)
        spans.append(_Spans(start, end))
    return spans


def _crossings(
    polygon: Float64[np.ndarray, "M corners 2"],
    rows: Int[np.ndarray, " M"],
    row: Float64[np.ndarray, " R"],
) -> Float64[np.ndarray, "corners R"]:
    """Give the column at which each row meets each edge; infinite where it does not."""
    before = np.roll(polygon, 1, axis=1)
    found = np.full((polygon.shape[1], len(row)), np.inf)
    for edge in range(polygon.shape[1]):
        (x, y), (before_x, before_y) = polygon[:, edge].T, before[:, edge].T
        level = before_y == y
        if level.all():
            continue
        rise, run = np.where(level, 1, before_y - y), before_x - x
        low = np.repeat(np.where(level, np.inf, np.minimum(y, before_y)), rows)
        met = (low <= row) & (row <= np.repeat(np.maximum(y, before_y), rows))
        column = np.repeat(x, rows)
        if run.any():
            above = row - np.repeat(y, rows)
            column = np.trunc(column + above / np.repeat(rise, rows) * np.repeat(run, rows))
        found[edge, met] = column[met]
    return found
