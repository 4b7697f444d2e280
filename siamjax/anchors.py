"""Anchors of a region proposal network: shapes, grids, and the code of a box against an anchor.

Boxes here are (cx, cy, width, height) in crop pixels, centres relative to the crop's centre (or to
`center`); grids are [y, x, anchor, 4]. Source: PySOT's `anchor.py` and trackers (REFERENCE 1.5).
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from siamjax.typing import AnyArray, Array

RATIOS = (0.33, 0.5, 1, 2, 3)
SCALES = (8,)


def shapes(
    stride: int = 8,
    ratios: Sequence[int | float] = RATIOS,
    scales: Sequence[int | float] = SCALES,
) -> Float[Array, "A 2"]:
    """Give the width and height of each anchor, crop pixels; scales vary fastest.

    w = int(sqrt(stride^2 / ratio)), h = int(w * ratio), both times each scale: areas are near
    (stride * scale)^2, and the two truncations are part of every published network.

    Args:
        stride: crop pixels from one cell to the next.
        ratios: height / width.
        scales: factors, in units of the stride.

    Raises:
        ValueError: nothing to combine, a number that is not positive, or a side of zero pixels.
    """
    if not (ratios and scales) or min(stride, *ratios, *scales) <= 0:
        raise ValueError(
            "stride, ratios and scales: expected positive numbers,"
            f" got {stride}, {tuple(ratios)}, {tuple(scales)}"
        )
    sides = []
    for ratio in ratios:
        width = int(math.sqrt(stride * stride / ratio))
        height = int(width * ratio)
        if width * height == 0:
            raise ValueError(f"ratios: {ratio} leaves a side of 0 pixels at stride {stride}")
        sides += [(width * scale, height * scale) for scale in scales]
    return jnp.asarray(sides, jnp.float32)


def grid(
    size: int,
    stride: int = 8,
    ratios: Sequence[int | float] = RATIOS,
    scales: Sequence[int | float] = SCALES,
    *,
    center: int | float = 0.0,
) -> Float[Array, "{size} {size} A 4"]:
    """Lay the anchors on a square map of cells.

    The centre of column i is `center - (size // 2) * stride + stride * i`, that of rows likewise:
    an even map reaches one cell further to the left and the top.

    Args:
        size: cells on a side.
        stride: crop pixels from one cell to the next.
        ratios: height / width.
        scales: factors, in units of the stride.
        center: where the crop's centre lies: 0 for a tracker; 127 gives PySOT's training grid for
            search crops of 255 pixels, in the crop's own pixel coordinates.

    Returns:
        Anchors [y, x, anchor, (cx, cy, width, height)].

    Raises:
        ValueError: `size` is below 1, or as `shapes`.
    """
    if size < 1:
        raise ValueError(f"size: expected at least 1 cell, got {size}")
    sides = shapes(stride, ratios, scales)
    along = jnp.asarray(center - (size // 2) * stride + stride * np.arange(size), jnp.float32)
    plane = (size, size, len(sides))
    parts = [
        jnp.broadcast_to(along[None, :, None], plane),
        jnp.broadcast_to(along[:, None, None], plane),
        jnp.broadcast_to(sides[None, None, :, 0], plane),
        jnp.broadcast_to(sides[None, None, :, 1], plane),
    ]
    return jnp.stack(parts, axis=-1)


def encode(
    anchors: Float[AnyArray, "*#n 4"], boxes: Float[AnyArray, "*#n 4"]
) -> Float[Array, "*n 4"]:
    """Give the code (dx, dy, dw, dh) of boxes against anchors, the inverse of `decode`.

    dx = (cx - cx_a) / w_a, dw = log(w / w_a); y and h likewise.

    Args:
        anchors: (cx, cy, width, height).
        boxes: (cx, cy, width, height), sides over zero; broadcast against `anchors`.
    """
    anchors, boxes = jnp.broadcast_arrays(*_aligned(anchors, boxes))
    offset = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    return jnp.concatenate([offset, jnp.log(boxes[..., 2:] / anchors[..., 2:])], axis=-1)


def decode(
    anchors: Float[AnyArray, "*#n 4"], delta: Float[AnyArray, "*#n 4"]
) -> Float[Array, "*n 4"]:
    """Give the boxes that a network's `loc` means.

    cx = dx * w_a + cx_a, w = exp(dw) * w_a; y and h likewise.

    Args:
        anchors: (cx, cy, width, height).
        delta: (dx, dy, dw, dh), broadcast against `anchors`.

    Returns:
        (cx, cy, width, height), in the anchors' coordinates.
    """
    anchors, delta = jnp.broadcast_arrays(*_aligned(anchors, delta))
    center = delta[..., :2] * anchors[..., 2:] + anchors[..., :2]
    return jnp.concatenate([center, jnp.exp(delta[..., 2:]) * anchors[..., 2:]], axis=-1)


def _aligned(a: AnyArray, b: AnyArray) -> tuple[Array, Array]:
    """Give two arrays the same number of axes, new ones in front."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    rank = max(a.ndim, b.ndim)
    wide = lambda v: v.reshape((1,) * (rank - v.ndim) + v.shape)
    return wide(a), wide(b)
