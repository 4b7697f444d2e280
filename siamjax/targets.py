"""What a region proposal network is to answer: labels and box codes of anchors, on the device.

One function of one pair, pure in its key; `vmap` it over a batch. Anchors and boxes are
(cx, cy, width, height) in crop pixels from the crop's centre, maps [y, x, anchor].
Source: PySOT's `anchor_target.py` and SiamMask's (REFERENCE 1.8).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Int8, Key

from siamjax import geometry
from siamjax.anchors import encode
from siamjax.typing import AnyArray, Array

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
REACH = 3


class Targets(NamedTuple):
    """The answer for every anchor."""

    labels: Int8[AnyArray, "*n y x A"]
    """1 target, 0 background, -1 ignored."""
    delta: Float[AnyArray, "*n y x A 4"]
    """Code of the box against each anchor (`siamjax.anchors.encode`)."""
    weight: Float[AnyArray, "*n y x A"]
    """1 / (positives drawn + 1e-6) at the positives, else 0."""
    overlap: Float[AnyArray, "*n y x A"]
    """Intersection over union of each anchor with the box."""


def overlaps(anchors: Float[AnyArray, "*n 4"], box: Float[AnyArray, "4"]) -> Float[Array, "*n"]:
    """Give the intersection over union of anchors with one box, all (cx, cy, width, height)."""
    anchors, box = jnp.asarray(anchors), jnp.asarray(box)
    aligned = box.reshape((1,) * (anchors.ndim - 1) + (4,))
    overlap = geometry.iou(
        geometry.from_center(anchors[..., :2], anchors[..., 2:]),
        geometry.from_center(aligned[..., :2], aligned[..., 2:]),
    )
    return jnp.asarray(overlap)


def candidates(
    overlap: Float[AnyArray, "*n"], thresholds: tuple[float, float] = (0.3, 0.6)
) -> Int8[Array, "*n"]:
    """Label anchors by their overlap: below the first threshold 0, above the second 1, else -1."""
    low, high = thresholds
    overlap = jnp.asarray(overlap)
    label = jnp.where(overlap < low, NEGATIVE, IGNORED)
    return jnp.where(overlap > high, POSITIVE, label).astype(jnp.int8)


def negative_region(
    size: int, stride: int | float, center: Float[AnyArray, "2"]
) -> Bool[Array, "{size} {size}"]:
    """Mark the 7 x 7 cells around a point, from which negative pairs draw their anchors.

    The middle column is size // 2 + ceil(x / stride + 0.5), its row likewise: for a target at the
    crop's centre one cell to the right of and below the map's own middle, as in PySOT. What lies
    outside the map is cut off.

    Args:
        size: cells on a side.
        stride: crop pixels from one cell to the next.
        center: (x, y) of the (other) target, crop pixels from the crop's centre.
    """
    middle = size // 2 + jnp.ceil(jnp.asarray(center) / stride + 0.5)
    return _square(size, middle)


def draw(
    key: Key[Array, ""],
    mask: Bool[AnyArray, "*n"],
    keep: int | Int[AnyArray, ""],
    most: int,
) -> Bool[Array, "*n"]:
    """Choose `keep` of the true elements at random, all where there are fewer.

    Args:
        key: same key, same choice.
        mask: which may be chosen.
        keep: how many; may be traced.
        most: static bound of `keep`.
    """
    mask = jnp.asarray(mask)
    flat = mask.reshape(-1)
    most = min(most, flat.size)
    lottery = jnp.where(flat, jax.random.uniform(key, flat.shape), -1.0)
    _, winners = jax.lax.top_k(lottery, most)
    chosen = jnp.zeros(flat.shape, bool).at[winners].set(jnp.arange(most) < keep)
    return (chosen & flat).reshape(mask.shape)


def assign(
    key: Key[Array, ""],
    anchors: Float[AnyArray, "y x A 4"],
    box: Float[AnyArray, "4"],
    positive: bool | Bool[AnyArray, ""] = True,
    *,
    stride: int | float = 8,
    thresholds: tuple[float, float] = (0.3, 0.6),
    positives: int = 16,
    total: int = 64,
    negatives: Literal["fixed", "rest"] = "fixed",
    pair_negatives: int = 16,
    pair_region: Literal["target", "center"] = "target",
) -> Targets:
    """Label the anchors of one search crop and draw those that count.

    A pair of the same object: at most `positives` anchors whose overlap with the box is above the
    second threshold, and at most `total - positives` below the first one. A pair of two objects
    (`positive` False): at most `pair_negatives` anchors of a 7 x 7 window, labelled background; no
    box code. Everything else is ignored.

    Args:
        key: decides the draw; the shapes do not depend on it.
        anchors: of the whole map (`siamjax.anchors.grid`).
        box: the target in the search crop, sides over zero.
        positive: whether the search shows the template's object.
        stride: crop pixels from one cell to the next.
        thresholds: of the overlap: background below, target above.
        positives: most positives.
        total: most anchors drawn.
        negatives: "fixed", at most `total - positives` (PySOT), or "rest", at most `total` minus
            the positives drawn (SiamMask).
        pair_negatives: most anchors of a pair of two objects.
        pair_region: its window lies around the "target" of the search, shifted with it (PySOT), or
            around the map's "center" (SiamMask).

    Returns:
        `delta` for every anchor (zeros for a pair of two objects, as are `weight` and `overlap`).

    Raises:
        ValueError: the map is not square, counts or thresholds out of order, an unknown choice.

    Source: PySOT `AnchorTarget`; its draw is NumPy's, from which a key's differs.
    """
    size = anchors.shape[0]
    if anchors.shape[1] != size:
        raise ValueError(f"anchors: expected a square map, got {tuple(anchors.shape)}")
    if not 0 <= thresholds[0] <= thresholds[1] <= 1:
        raise ValueError(f"thresholds: expected 0 <= low <= high <= 1, got {thresholds}")
    if not 1 <= positives <= total or pair_negatives < 1:
        raise ValueError(
            "positives, total, pair_negatives: expected 1 <= positives <= total and"
            f" pair_negatives >= 1, got {positives}, {total}, {pair_negatives}"
        )
    if negatives not in ("fixed", "rest"):
        raise ValueError(f"negatives: expected 'fixed' or 'rest', got {negatives!r}")
    if pair_region not in ("target", "center"):
        raise ValueError(f"pair_region: expected 'target' or 'center', got {pair_region!r}")
    anchors, box = jnp.asarray(anchors), jnp.asarray(box)
    overlap = overlaps(anchors, box)
    label = candidates(overlap, thresholds)
    positive_key, negative_key = jax.random.split(key)

    target = draw(positive_key, label == POSITIVE, positives, positives)
    if negatives == "fixed":
        room, most = total - positives, total - positives
    else:
        room, most = total - target.sum(), total
    if pair_region == "target":
        region = negative_region(size, stride, box[:2])
    else:
        region = _square(size, jnp.full(2, size // 2))
    same = jnp.asarray(positive)
    target &= same
    possible = jnp.where(same, label == NEGATIVE, region[:, :, None])
    keep = jnp.where(same, room, pair_negatives)
    background = draw(negative_key, possible, keep, max(most, pair_negatives))

    label = jnp.where(background, NEGATIVE, jnp.where(target, POSITIVE, IGNORED))
    weight = target / (target.sum() + 1e-6)
    return Targets(
        labels=label.astype(jnp.int8),
        delta=jnp.where(same, encode(anchors, box), 0.0),
        weight=weight.astype(jnp.float32),
        overlap=jnp.where(same, overlap, 0.0),
    )


def _square(size: int, middle: AnyArray) -> Array:
    """Mark the cells at most `REACH` columns and rows from `middle` (column, row)."""
    cells = jnp.arange(size)
    near = [jnp.abs(cells - place) <= REACH for place in (middle[0], middle[1])]
    return near[1][:, None] & near[0][None, :]
