"""Masks scored as DAVIS scores them: region similarity J and contour accuracy F, in NumPy.

Masks are bool[H, W], True on the object; void pixels count nowhere. A run over T frames is summed
up by its mean, recall and decay, the first frame (given) and the last one left out.
Source: Perazzi et al., A benchmark dataset and evaluation methodology for video object
segmentation, 2016; behaviour follows the code of davis2017-evaluation.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64, UInt8

RECALL = 0.5
"""A frame above it counts as recalled."""

BOUND = 0.008
"""How far contours may lie apart, as a part of the frame's diagonal."""

Mask = Bool[np.ndarray, "H W"]
Places = Literal["exact", "uint8"]


class Statistics(NamedTuple):
    """One measure over the frames of one object, or the mean of several objects' statistics."""

    mean: float
    recall: float
    """Part of the frames with a value above 0.5."""
    decay: float
    """Mean of the first quarter of the frames less the mean of the last quarter."""


class Scores(NamedTuple):
    """What the masks of one object, or of several on average, are worth.

    `region` and `contour` hold J and F of every frame of the clip, the first and the last too,
    which the statistics leave out; both are empty for a mean over objects.
    """

    j: Statistics
    f: Statistics
    region: Float64[np.ndarray, " T"]
    contour: Float64[np.ndarray, " T"]

    @property
    def j_and_f(self) -> float:
        """Mean of the means of J and F, by which DAVIS ranks."""
        return (self.j.mean + self.f.mean) / 2


def _check(mask: np.ndarray, truth: np.ndarray, void: np.ndarray | None) -> None:
    if mask.shape != truth.shape:
        raise ValueError(f"mask: expected {truth.shape} as the truth, got {mask.shape}")
    if void is not None and void.shape != truth.shape:
        raise ValueError(f"void: expected {truth.shape} as the truth, got {void.shape}")


def region(
    mask: Bool[np.ndarray, "H W"],
    truth: Bool[np.ndarray, "h w"],
    void: Bool[np.ndarray, "_h _w"] | None = None,
) -> float:
    """Give J, the intersection over union of two masks; 1 where both are empty.

    Args:
        mask: of the tracker.
        truth: of the same shape.
        void: pixels that count as neither, of the same shape.

    Raises:
        ValueError: shapes differ.
    """
    _check(mask, truth, void)
    both, either = mask & truth, mask | truth
    if void is not None:
        both, either = both & ~void, either & ~void
    union = int(either.sum())
    return int(both.sum()) / union if union else 1.0


def boundary(mask: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Mark the pixels that differ from their right, lower or lower right neighbour.

    In the last row and column there is no such neighbour, which then counts as equal: a mask that
    fills the frame has no boundary.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, across = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask != right) | (mask != below) | (mask != across)


def disk(radius: int) -> UInt8[np.ndarray, "{2*radius+1} {2*radius+1}"]:
    """Give the disk of all cells at most `radius` from the middle one, 1 inside."""
    squares = np.arange(-radius, radius + 1) ** 2
    return (squares[:, None] + squares[None] <= radius**2).astype(np.uint8)


def contour(
    mask: Bool[np.ndarray, "H W"],
    truth: Bool[np.ndarray, "h w"],
    void: Bool[np.ndarray, "_h _w"] | None = None,
    bound: float | int = BOUND,
) -> float:
    """Give F, how well the contours of two masks agree.

    F = 2 P R / (P + R), P the part of the mask's boundary that lies within a distance of the
    truth's, R the part of the truth's within that distance of the mask's

    Args:
        mask: of the tracker.
        truth: of the same shape.
        void: pixels taken out of both masks, of the same shape.
        bound: the distance in pixels, or under 1 as a part of the diagonal, rounded up.

    Returns:
        0..1; 1 where neither has a boundary, 0 where one alone has.

    Raises:
        ValueError: shapes differ, or the bound is not above 0.
    """
    _check(mask, truth, void)
    if not bound > 0:
        raise ValueError(f"bound: expected above 0, got {bound}")
    if void is not None:
        mask, truth = mask & ~void, truth & ~void
    reach = math.ceil(bound if bound >= 1 else bound * math.hypot(*mask.shape))
    ours, theirs = boundary(mask), boundary(truth)
    count, count_truth = int(ours.sum()), int(theirs.sum())
    if not count or not count_truth:
        return float(count == count_truth)
    near = disk(reach)
    precision = (ours & _dilated(theirs, near)).sum() / count
    recall = (theirs & _dilated(ours, near)).sum() / count_truth
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def _dilated(edges: np.ndarray, near: np.ndarray) -> np.ndarray:
    return cv2.dilate(edges.astype(np.uint8), near) > 0


def statistics(values: Float[np.ndarray, " T"], places: Places = "exact") -> Statistics:
    """Sum up one measure over the frames that count.

    Args:
        values: of the frames; NaN counts in no mean, and as not recalled.
        places: how the limits of the quarters are kept. `"uint8"` is what the official code does:
            limits over 255 wrap round, so the decay of longer clips is of other frames, or NaN.

    Returns:
        The decay compares frames `r(0)..r(1)` with `r(3)..r(4)`, both ends included, where
        `r(k) = round(k (T - 1) / 4)`, halves upwards.

    Raises:
        ValueError: no values, or none that is a number.
    """
    if not np.isfinite(values).any():
        raise ValueError(f"values: expected numbers, got {len(values)} values and none a number")
    limits = np.round(np.linspace(1, len(values), 5) + 1e-10) - 1
    limits = limits.astype(np.int64)
    kept = (limits.astype(np.uint8) if places == "uint8" else limits).tolist()
    first, last = (values[kept[k] : kept[k + 1] + 1] for k in (0, 3))
    return Statistics(
        mean=float(np.nanmean(values)),
        recall=float((values > RECALL).mean()),
        decay=_mean(first) - _mean(last),
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def score(
    masks: Sequence[Mask],
    truths: Sequence[Mask],
    voids: Sequence[Mask] | None = None,
    *,
    bound: float | int = BOUND,
    places: Places = "exact",
) -> Scores:
    """Score the masks of one object through a clip.

    Args:
        masks: of the tracker, one a frame.
        truths: as many.
        voids: as many, or None. The semi-supervised tasks of DAVIS pass none.
        bound: see `contour`.
        places: see `statistics`.

    Raises:
        ValueError: numbers or shapes differ, or there are fewer than three frames: the first and
            the last do not count.
    """
    if len(masks) != len(truths):
        raise ValueError(f"masks: expected {len(truths)}, one a frame, got {len(masks)}")
    if len(truths) < 3:
        raise ValueError(f"truths: expected at least 3 frames, got {len(truths)}")
    empty = [None] * len(truths)
    trios = list(zip(masks, truths, empty if voids is None else voids, strict=True))
    j = np.array([region(*trio) for trio in trios])
    f = np.array([contour(*trio, bound=bound) for trio in trios])
    return Scores(statistics(j[1:-1], places), statistics(f[1:-1], places), j, f)


def mean(scores: Sequence[Scores]) -> Scores:
    """Average over objects, each with the same weight however long its clip is.

    Raises:
        ValueError: `scores` is empty.
    """
    if not scores:
        raise ValueError("scores: expected at least one object, got none")
    measures = ([one.j for one in scores], [one.f for one in scores])
    j, f = (Statistics(*np.mean(measure, axis=0).tolist()) for measure in measures)
    return Scores(j, f, np.zeros(0), np.zeros(0))


def summary(scores: Scores) -> dict[str, float | None]:
    """Give the numbers by the names that `results.json` has; None for one that is not a number."""
    numbers = {"j_and_f": scores.j_and_f}
    for name, measure in (("j", scores.j), ("f", scores.f)):
        numbers |= {f"{name}_{key}": value for key, value in measure._asdict().items()}
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}
