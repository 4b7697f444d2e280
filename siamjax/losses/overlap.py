"""Losses of boxes by their overlap: IoU in its two forms, and generalised IoU.

Boxes are corners (left, top, right, bottom) in any pixels; a point with its distances to the four
sides, as anchor-free trackers predict, gives corners too.
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Float

from siamjax.losses.axis import everywhere, total
from siamjax.typing import AnyArray, Array, Scalar

Corners = Float[AnyArray, "*cells 4"]
Weight = Float[AnyArray, "*cells"]


def iou(
    corners: Corners,
    truth: Corners,
    weight: Weight,
    *,
    form: Literal["linear", "log"] = "linear",
    smooth: float | int = 1.0,
    axis_name: str | None = None,
) -> Scalar:
    """Weighted mean of 1 - r or -log r, with r = (I + smooth) / (U + smooth).

    Args:
        corners: predicted boxes.
        truth: boxes wanted.
        weight: of each box, not negative; 0 leaves it out. All zero gives a loss of 0.
        form: "linear" (SiamBAN, NanoTrack) or "log" (UnitBox, FCOS).
        smooth: square pixels added to intersection and union; 0 is the paper's ratio, whose
            logarithm is infinite without overlap.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Raises:
        ValueError: `form` is unknown.

    Source: Yu et al., "UnitBox", 2016, equation 3; SiamBAN's `linear_iou` (REFERENCE 1.10).
    """
    if form not in ("linear", "log"):
        raise ValueError(f"form: expected 'linear' or 'log', got {form!r}")
    inside, union, _ = _areas(corners, truth, weight)
    ratio = (inside + smooth) / (union + smooth)
    return _mean(1 - ratio if form == "linear" else -jnp.log(ratio), weight, axis_name)


def giou(
    corners: Corners, truth: Corners, weight: Weight, *, axis_name: str | None = None
) -> Scalar:
    """Weighted mean of 1 - GIoU, GIoU = I / U - (C - U) / C with C the smallest enclosing box.

    Unlike IoU it tells how far apart boxes are that do not overlap; 0 to 2.

    Args:
        corners: predicted boxes.
        truth: boxes wanted, of some area.
        weight: of each box, not negative; 0 leaves it out. All zero gives a loss of 0.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 1.
    """
    inside, union, hull = _areas(corners, truth, weight)
    return _mean(2 - inside / union - union / hull, weight, axis_name)


def _areas(corners, truth, weight) -> tuple[Array, Array, Array]:
    """Give the areas of intersection, union and enclosing box."""
    # What has no weight may be no box, and must not leave NaN in sums or gradients.
    unit, counted = jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.asarray(weight)[..., None] > 0
    unit = unit.reshape((1,) * (counted.ndim - 1) + (4,))
    corners, truth = jnp.where(counted, corners, unit), jnp.where(counted, truth, unit)
    sides = lambda start, end: jnp.maximum(end - start, 0).prod(axis=-1)
    inside = sides(
        jnp.maximum(corners[..., :2], truth[..., :2]),
        jnp.minimum(corners[..., 2:], truth[..., 2:]),
    )
    both = sides(corners[..., :2], corners[..., 2:]) + sides(truth[..., :2], truth[..., 2:])
    hull = sides(
        jnp.minimum(corners[..., :2], truth[..., :2]),
        jnp.maximum(corners[..., 2:], truth[..., 2:]),
    )
    return inside, both - inside, hull


def _mean(values: Array, weight: AnyArray, axis_name: str | None) -> Scalar:
    weight = jnp.asarray(weight, values.dtype)
    whole = total(weight.sum(), axis_name)
    return everywhere((weight * values).sum() / jnp.where(whole > 0, whole, 1.0), axis_name)
