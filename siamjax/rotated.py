"""Rotated boxes around masks, on the host: largest contour, three ways to put a rectangle there.

A rotated box is `float32[4, 2]`, its corners (x, y) in frame pixels, going round. Its sides run
through the centres of the outermost pixels, as OpenCV's do and as VOT's raster overlap counts them:
around a mask w pixels wide, side by side with the axes, it is w - 1 wide.
Source: Wang et al., Fast online object tracking and segmentation, 2019, section 4.1 (strategies);
PySOT's `siammask_tracker.py` (contour, least area, the axis-aligned box in its place).
"""

import math
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from siamjax import polygons
from siamjax.typing import AnyArray

Strategy = Literal["min-max", "mbr", "opt"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
LEAST = 100.0
"""Area that a contour must exceed to count, square pixels (PySOT)."""
_GRID = 96  # cells along the longer side of what `opt` looks at
_COARSE, _FINE = 5, 1  # degrees


def boxes(
    masks: Float[AnyArray, "*n H W"],
    threshold: Float[AnyArray, "*n"] | float | int,
    otherwise: Float[AnyArray, "*n 4"],
    strategy: Strategy = "mbr",
) -> Float[np.ndarray, "*n 4 2"]:
    """Give the rotated box of each mask.

    Args:
        masks: probabilities.
        threshold: the object is where its mask exceeds this.
        otherwise: box (x, y, width, height) whose corners stand in for an object without a contour
            of more than `LEAST` square pixels; NaN gives NaN.
        strategy: as `fit` has them.
    """
    masks, fallback = np.asarray(masks), np.asarray(otherwise, np.float32)
    lead = masks.shape[:-2]
    limits = np.broadcast_to(np.asarray(threshold, np.float32), lead)
    found = np.empty((*lead, 4, 2), np.float32)
    for index in np.ndindex(lead):
        rectangle = fit(masks[index] > limits[index], strategy)
        if rectangle is None:
            (rectangle,) = polygons.corners(fallback[index][None])
        found[index] = rectangle
    return found


def fit(mask: Bool[np.ndarray, "H W"], strategy: Strategy = "mbr") -> np.ndarray | None:
    """Put a rectangle around the largest object of a mask.

    Args:
        mask: True where the object is.
        strategy: `"min-max"`, upright, from the least to the greatest coordinates; `"mbr"`, the
            rectangle of least area that holds the contour; `"opt"`, the one that overlaps the
            object best, which leaves thin limbs out: see `best_overlap`.

    Returns:
        float32[4, 2], corners; None where no contour exceeds `LEAST` square pixels.

    Raises:
        ValueError: no such strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {STRATEGIES}, got {strategy!r}")
    contour = largest_contour(mask)
    if contour is None:
        return None
    if strategy == "mbr":
        return np.asarray(cv2.boxPoints(cv2.minAreaRect(contour)), np.float32)
    if strategy == "min-max":
        start, end = contour.min(axis=0), contour.max(axis=0)
        upright = np.concatenate([start, end - start]).astype(np.float32)
        return polygons.corners(upright[None])[0]
    return best_overlap(contour)


def largest_contour(mask: Bool[np.ndarray, "H W"]) -> Int[np.ndarray, "K 2"] | None:
    """Give the outer contour of most area, point by point (x, y).

    Returns:
        None where none exceeds `LEAST` square pixels.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(contour) for contour in found]
    if not areas or max(areas) <= LEAST:
        return None
    return np.asarray(found[int(np.argmax(areas))]).reshape(-1, 2)


class _Fit(NamedTuple):
    """An upright rectangle in turned coordinates, and how well it overlaps the object."""

    overlap: float
    angle: int
    sides: tuple[float, float, float, float]


def best_overlap(contour: Int[np.ndarray, "K 2"]) -> Float[np.ndarray, "4 2"]:
    """Give the rotated rectangle whose overlap (IoU) with the inside of a contour is greatest.

    The object is a grid of cells, 96 along its longer side. At each angle the cells are counted in
    turned coordinates, and pairs of opposite sides are moved in turn, each to the best of all
    places, until none gains; of all angles in steps of five degrees, then of one around the best,
    that of most overlap is taken. Upright is best among equals.

    Source: the aim of Vojir and Matas, Pixel-wise object segmentations for the VOT 2016 dataset,
    2017, who weigh object pixels outside against background pixels inside; here both are weighed
    as overlap weighs them, so that there is no constant to choose.
    """
    points, cell = _cells(contour)
    coarse = [_upright(points, cell, angle) for angle in range(0, 90, _COARSE)]
    best = max(coarse, key=lambda fit: fit.overlap)
    near = range(_FINE, _COARSE, _FINE)
    fine = [_upright(points, cell, best.angle + turn) for n in near for turn in (-n, n)]
    best = max([best, *fine], key=lambda fit: fit.overlap)
    left, top, right, bottom = best.sides
    # Half a pixel less on each side: through the centres of the outermost pixels.
    half = min(0.5, (right - left) / 2, (bottom - top) / 2)
    left, top, right, bottom = left + half, top + half, right - half, bottom - half
    upright = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return (upright @ _turn(best.angle)).astype(np.float32)


def _turn(angle: int) -> np.ndarray:
    """Give the matrix that turns rows (x, y) back from coordinates at this angle, degrees."""
    turn = math.radians(angle)
    return np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])


def _cells(contour: np.ndarray) -> tuple[np.ndarray, float]:
    """Give the centres of the cells inside a contour, frame pixels, and the side of a cell."""
    start = contour.min(axis=0)
    size = contour.max(axis=0) - start + 1
    inside = np.zeros((size[1], size[0]), np.uint8)
    cv2.drawContours(inside, [contour - start], -1, 1, cv2.FILLED)
    cell = float(max(size)) / _GRID
    count = np.maximum(np.rint(size / cell), 1).astype(int)
    x, y = (np.minimum(((np.arange(n) + 0.5) * cell).astype(int), m - 1) for n, m in
            zip(count, size, strict=True))  # fmt: skip
    rows, columns = np.nonzero(inside[y[:, None], x[None]])
    return np.stack([columns + 0.5, rows + 0.5], axis=1) * cell + start - 0.5, cell


def _upright(points: np.ndarray, cell: float, angle: int) -> _Fit:
    """Find the best rectangle at one angle."""
    turned = points @ _turn(angle).T
    low, high = turned.min(axis=0) - cell / 2, turned.max(axis=0) + cell / 2
    count = np.maximum(np.rint((high - low) / cell), 1).astype(int)
    steps = (high - low) / count
    at = np.minimum(((turned - low) / steps).astype(int), count - 1)
    held = np.bincount(at[:, 0] * count[1] + at[:, 1], minlength=count[0] * count[1])
    held = np.pad(held.reshape(count), ((1, 0), (1, 0)))
    held = held.cumsum(axis=0).cumsum(axis=1)  # cells left of and above a corner
    total, area = float(len(points)), float(np.prod(steps)) / cell**2
    x, y, overlap = (0, count[0]), (0, count[1]), 0.0
    while True:
        x, _ = _best_pair(held[:, y[1]] - held[:, y[0]], total, area * (y[1] - y[0]))
        y, found = _best_pair(held[x[1]] - held[x[0]], total, area * (x[1] - x[0]))
        if found <= overlap + 1e-9:
            break
        overlap = found
    sides = (*(low + steps * (x[0], y[0])), *(low + steps * (x[1], y[1])))
    return _Fit(overlap, angle, (sides[0], sides[1], sides[2], sides[3]))


def _best_pair(held: np.ndarray, total: float, area: float) -> tuple[tuple[int, int], float]:
    """Choose the first and last edge of most overlap, given the object before each edge."""
    inside = held[None, :] - held[:, None]
    edges = np.arange(len(held))
    covered = area * (edges[None, :] - edges[:, None])
    overlap = np.where(covered > 0, inside / np.maximum(total + covered - inside, 1e-9), -1.0)
    first, last = np.unravel_index(int(np.argmax(overlap)), overlap.shape)
    return (int(first), int(last)), float(overlap[first, last])
