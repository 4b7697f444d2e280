"""Regions of any kind, one by one: boxes, polygons and masks, as VOT 2020 on compares them.

A region is an array of numbers (4 of a box, 2 n of a polygon), `Drawn` pixels of a mask, or an
integer where a result file holds a code in its place. Overlaps are counted in pixels of the frame;
a box has those from its rounded corner on, as many as its rounded width and height. Source:
behaviour of the VOT toolkit's `region` package.
"""

import itertools
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from siamjax.data.readers.vot import RunLengths, parse_mask, run_lengths
from siamjax.data.tracks import Mask


class Drawn(NamedTuple):
    """Pixels of a region: those of a window of the frame that are `inside`."""

    left: int
    top: int
    inside: Bool[np.ndarray, "height width"]


Region = int | Float64[np.ndarray, " _"] | Drawn

_NOTHING = Drawn(0, 0, np.zeros((0, 0), np.bool_))


def from_row(row: list[int]) -> Drawn:
    """Unroll a mask in VOT's run lengths: left, top, width, height, then the runs."""
    return Drawn(row[0], row[1], RunLengths([row], (0, 0)).window(0))


def from_mask(mask: Mask) -> Drawn:
    """Cut a frame's mask to its bounds."""
    return from_row(run_lengths(mask))


def draw(region: Region) -> Drawn:
    """Give the pixels of a region; none for codes, for NaN and for boxes without a size."""
    if isinstance(region, Drawn):
        return region
    if isinstance(region, int) or not np.isfinite(region).all():
        return _NOTHING
    if len(region) == 4:
        left, top, width, height = np.round(region).astype(int).tolist()
        return Drawn(left, top, np.ones((max(height, 0), max(width, 0)), np.bool_))
    return _polygon(region.reshape(-1, 2))


def _polygon(corners: Float64[np.ndarray, "corners 2"]) -> Drawn:
    """Fill a polygon of rounded corners, its edges included.

    A row meets the edges that reach it, ends counted, level ones at their first corner. What it
    meets, cut to whole pixels and sorted, is taken in pairs; of two that are equal, a corner met
    twice, the first is passed over unless they are the last.
    """
    corners = np.round(corners)
    origin = corners.min(axis=0)
    columns, rows = (corners.max(axis=0) - origin).astype(int) + 1
    points = corners - origin
    row, met = np.arange(float(rows)), []
    for (x, y), (before_x, before_y) in zip(points, np.roll(points, 1, axis=0), strict=True):
        low, high = min(y, before_y), max(y, before_y)
        reached = (low <= row) & (row <= high)
        column = x + (row - y) / (before_y - y or 1) * (before_x - x if low < high else 0)
        met.append(np.where(reached, np.floor(column), np.inf))
    nodes = np.sort(np.stack(met), axis=0)
    count = np.isfinite(nodes).sum(axis=0)
    inside, cursor = np.zeros((rows, columns), np.bool_), np.zeros(rows, int)
    across = np.arange(columns)[None]
    for k, (start, end) in enumerate(itertools.pairwise(nodes)):
        pair = (cursor == k) & np.isfinite(end)
        filled = pair & ((start != end) | (k >= count - 2))
        span = (start[:, None] <= across) & (across <= end[:, None])
        inside |= filled[:, None] & span
        cursor += pair + filled.astype(int)
    return Drawn(int(origin[0]), int(origin[1]), inside)


def overlap(a: Region, b: Region, size: tuple[int, int]) -> float:
    """Give the overlap of two regions within a frame: common pixels over pixels of either.

    Args:
        a: a region.
        b: another.
        size: (width, height) of the frame.

    Returns:
        0 to 1; 1 where both regions are empty, 0 where both lie outside the frame.
    """
    first, second = draw(a), draw(b)
    if not first.inside.any() and not second.inside.any():
        return 1.0
    one, other = _cut(first, 0, 0, *size), _cut(second, 0, 0, *size)
    right, bottom = (other.left + other.inside.shape[1], other.top + other.inside.shape[0])
    shared = _cut(one, other.left, other.top, right, bottom)
    within = _cut(other, *_bounds(shared))
    common = int((shared.inside & within.inside).sum())
    either = int(one.inside.sum()) + int(other.inside.sum()) - common
    return common / either if either else 0.0


def _bounds(region: Drawn) -> tuple[int, int, int, int]:
    height, width = region.inside.shape
    return region.left, region.top, region.left + width, region.top + height


def _cut(region: Drawn, left: int, top: int, right: int, bottom: int) -> Drawn:
    """Keep what lies between columns left and right, rows top and bottom, the ends left out."""
    x, y = max(left - region.left, 0), max(top - region.top, 0)
    height, width = max(bottom - region.top, 0), max(right - region.left, 0)
    return Drawn(region.left + x, region.top + y, region.inside[y:height, x:width])


def shown(region: Region) -> str:
    """Write a region as a line of a result file: a code, numbers, or `m` and run lengths."""
    if isinstance(region, int):
        return str(region)
    if isinstance(region, Drawn):
        left, top, *rest = run_lengths(region.inside)
        moved = (left + region.left, top + region.top) if rest[0] else (0, 0)
        return "m" + ",".join(map(str, (*moved, *rest)))
    return ",".join(f"{value:.4f}" for value in region.tolist())


def parse(text: str) -> Region:
    """Read a region as `shown` writes it; one with NaN is the code 0, as none was given.

    Raises:
        ValueError: it is none.
    """
    if text.startswith("m"):
        return from_row(parse_mask(text))
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1 and values[0] in (0, 1, 2):
        return int(values[0])
    if len(values) < 4 or len(values) % 2 or np.isinf(values).any():
        expected = "a code, four numbers, a polygon or a mask, separated by commas"
        raise ValueError(f"expected {expected}, got {text[:60]!r}")
    region = np.asarray(values)
    return 0 if np.isnan(region).any() else region


def unpack(path: Path, data: bytes) -> list[Region]:
    """Read the regions of the VOT toolkit's binary result file.

    It is little-endian: the version 1 (int16) and a count (uint32), then for each region a byte of
    its kind: 0 a code (uint32), 1 a box (4 float32), 2 a polygon (uint16 corners, float32 pairs),
    3 a mask (int16 left, top, uint16 width, height, runs, then uint16 runs).

    Raises:
        ValueError: naming the file: another version or kind, or an early end.
    """
    place = 0

    def take(form: str) -> tuple:
        nonlocal place
        values = struct.unpack_from(f"<{form}", data, place)
        place += struct.calcsize(f"<{form}")
        return values

    found: list[Region] = []
    try:
        version, count = take("hI")
        if version != 1:
            raise ValueError(f"version {version}")
        for _ in range(count):
            (kind,) = take("B")
            if kind == 0:
                found.append(int(take("I")[0]))
            elif kind == 1:
                found.append(np.asarray(take("4f"), np.float64))
            elif kind == 2:
                found.append(np.asarray(take(f"{2 * take('H')[0]}f"), np.float64))
            elif kind == 3:
                *bounds, runs = take("hhHHH")
                found.append(from_row([*bounds, *take(f"{runs}H")]))
            else:
                raise ValueError(f"a region of kind {kind}")
    except (struct.error, ValueError) as error:
        at = f"region {len(found) + 1}"
        raise ValueError(f"{path}, {at}: not a result of the VOT toolkit ({error})") from error
    return found
