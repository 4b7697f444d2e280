"""Boxes, corners and centres, and the overlap between boxes.

Every conversion between box conventions lives here. Functions take NumPy or JAX arrays of any
leading shape and answer in the same library and dtype, so evaluation keeps float64.
"""

import math
from types import ModuleType

import jax.numpy as jnp
import numpy as np

from siamjax.typing import AnyArray


def _library(array: AnyArray) -> ModuleType:
    return np if isinstance(array, np.ndarray | np.generic) else jnp


def _last_is_four(name: str, array: AnyArray) -> None:
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"{name}: expected shape [..., 4], got {tuple(array.shape)}")


def to_corners(box: AnyArray) -> AnyArray:
    """Turn boxes (x, y, width, height) into corners (left, top, right, bottom).

    Args:
        box: [..., 4], pixels. `right = x + width`: edges, not the last pixel inside.

    Returns:
        [..., 4] of the same dtype.

    Raises:
        ValueError: the last axis is not 4.
    """
    _last_is_four("box", box)
    return _library(box).concatenate([box[..., :2], box[..., :2] + box[..., 2:]], axis=-1)


def from_corners(corners: AnyArray) -> AnyArray:
    """Turn corners (left, top, right, bottom) into boxes (x, y, width, height)."""
    _last_is_four("corners", corners)
    start, end = corners[..., :2], corners[..., 2:]
    return _library(corners).concatenate([start, end - start], axis=-1)


def center(box: AnyArray) -> AnyArray:
    """Give the centres (x, y) of boxes as points between edges: `x + width / 2`."""
    _last_is_four("box", box)
    return box[..., :2] + box[..., 2:] / 2


def pixel_center(box: AnyArray) -> AnyArray:
    """Give the centres (x, y) of boxes in pixel coordinates: `x + (width - 1) / 2`.

    A box one pixel wide at x = 7 covers the pixel whose centre is 7. SiamFC, PySOT's `init` and
    the OTB centre error use this convention (REFERENCE: siamfc-pytorch, OTB toolkit).
    """
    _last_is_four("box", box)
    return box[..., :2] + (box[..., 2:] - 1) / 2


def from_pixel_center(center: AnyArray, size: AnyArray) -> AnyArray:
    """Give the boxes with these pixel centres (x, y) and sizes (width, height)."""
    return _library(center).concatenate([center - (size - 1) / 2, size], axis=-1)


def from_center(center: AnyArray, size: AnyArray) -> AnyArray:
    """Give the boxes with these edge-to-edge centres (x, y) and sizes (width, height)."""
    return _library(center).concatenate([center - size / 2, size], axis=-1)


def from_one_based(box: AnyArray) -> AnyArray:
    """Turn 1-based boxes (MATLAB, OTB files) into 0-based ones."""
    _last_is_four("box", box)
    return _library(box).concatenate([box[..., :2] - 1, box[..., 2:]], axis=-1)


def to_one_based(box: AnyArray) -> AnyArray:
    """Turn 0-based boxes into 1-based ones (MATLAB, OTB files)."""
    _last_is_four("box", box)
    return _library(box).concatenate([box[..., :2] + 1, box[..., 2:]], axis=-1)


def context_side(size: AnyArray, amount: int | float = 0.5) -> AnyArray | np.floating:
    """Give the side of the square exemplar window around targets, in frame pixels.

    side = sqrt((w + p) * (h + p)), p = amount * (w + h)

    Args:
        size: [..., 2], width and height.
        amount: context added to each side, as a part of `w + h`; 0.5 in every published tracker.

    Returns:
        [...], pixels.

    Source: Bertinetto et al., Fully-convolutional Siamese networks, 2016, section 3.4.
    """
    width, height = size[..., 0], size[..., 1]
    context = amount * (width + height)
    return _library(size).sqrt((width + context) * (height + context))


def area(box: AnyArray) -> AnyArray | np.floating:
    """Give the areas of boxes, in square pixels; negative sides count as zero."""
    _last_is_four("box", box)
    sides = _library(box).maximum(box[..., 2:], 0)
    return sides[..., 0] * sides[..., 1]


def iou(a: AnyArray, b: AnyArray) -> AnyArray | np.floating:
    """Give the intersection over union of boxes, pair by pair.

    Args:
        a: [..., 4], (x, y, width, height).
        b: [..., 4], broadcast against `a`.

    Returns:
        [...] in 0..1; 0 where the union is empty, NaN where a box holds NaN.
    """
    xp = _library(a)
    corners_a, corners_b = to_corners(a), to_corners(b)
    start = xp.maximum(corners_a[..., :2], corners_b[..., :2])
    end = xp.minimum(corners_a[..., 2:], corners_b[..., 2:])
    sides = xp.maximum(end - start, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = area(a) + area(b) - intersection
    return intersection / xp.where(union == 0, xp.ones_like(union), union)


def clip(box: AnyArray, width: int | float | AnyArray, height: int | float | AnyArray) -> AnyArray:
    """Cut boxes to `[0, width] x [0, height]`; a box outside becomes empty at the edge."""
    xp = _library(box)
    corners = to_corners(box)
    x = xp.clip(corners[..., 0::2], 0, width)
    y = xp.clip(corners[..., 1::2], 0, height)
    return from_corners(xp.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1))


def check_box(box: AnyArray, width: int, height: int, name: str = "box") -> np.ndarray:
    """Read a box given by a person and refuse one that cannot be tracked.

    Args:
        box: four numbers (x, y, width, height), pixels.
        width: of the frame.
        height: of the frame.
        name: of the argument, for the message.

    Returns:
        float32[4].

    Raises:
        ValueError: not four finite numbers, a side under one pixel, or no overlap with the frame.
    """
    four = "four numbers x, y, width, height"
    try:
        values = np.asarray(box, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected {four}, got {box!r}") from None
    shown = values.tolist()
    if values.shape != (4,):
        raise ValueError(f"{name}: expected {four}, got {shown}")
    if not all(math.isfinite(value) for value in shown):
        raise ValueError(f"{name}: expected finite numbers, got {shown}")
    x, y, w, h = shown
    if w < 1 or h < 1:
        raise ValueError(f"{name}: expected a width and height of at least 1 pixel, got {shown}")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(
            f"{name}: {shown} lies wholly outside the frame of {width}x{height} pixels"
        )
    return values.astype(np.float32)
