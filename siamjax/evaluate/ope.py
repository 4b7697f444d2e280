"""One-pass evaluation: success, precision and mean overlap of one run, in NumPy float64.

Boxes are (x, y, width, height) in pixels, 0-based unless `origin=1`; centres are pixel centres
`x + (width - 1) / 2`. Published toolkits agree on the formulas and differ in the frames that they
count: each set of choices has a name in `CONVENTIONS`. Source: Wu et al., Online object tracking:
a benchmark, 2013; behaviour follows the code of PySOT, got10k and jwlim/tracker_benchmark.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from siamjax import geometry
from siamjax.evaluate.conventions import (
    CONVENTIONS,
    OVERLAPS,
    Convention,
    convention,
    cut_to_frame,
    present,
)
from siamjax.typing import AnyArray

__all__ = [
    "CONVENTIONS",
    "HEADLINE_DISTANCE",
    "HEADLINE_PIXELS",
    "OVERLAPS",
    "PIXELS",
    "Convention",
    "Pooled",
    "Scores",
    "center_error",
    "convention",
    "mean",
    "normalised_error",
    "pooled",
    "present",
    "score",
]

PIXELS = np.arange(51.0)
HEADLINE_PIXELS = 20
HEADLINE_DISTANCE = 0.2

Curve = Float64[np.ndarray, " _"]


class Scores(NamedTuple):
    """What one run over one sequence, or the mean over several, is worth.

    `overlap` is the intersection over union per frame (NaN where the truth is absent); it is empty
    for a mean over sequences. `frames` is the number of frames counted, N. `convention` names
    what they were counted by.
    """

    success: Curve
    precision: Curve
    normalised: Curve
    mean_iou: float
    frames: int
    overlap: Float64[np.ndarray, " T"]
    convention: str

    @property
    def success_auc(self) -> float:
        """Area under the success curve; of 21 values with their mean, 20/21 for a perfect run."""
        return CONVENTIONS[self.convention].area(self.success)

    @property
    def precision_20(self) -> float:
        """Part of the frames whose centre is at most 20 pixels off."""
        return float(self.precision[HEADLINE_PIXELS])

    @property
    def normalised_20(self) -> float:
        """Part of the frames whose centre is off by at most 0.2 of the truth's sides (LaSOT)."""
        distances = np.array(CONVENTIONS[self.convention].distances)
        return float(self.normalised[int(np.abs(distances - HEADLINE_DISTANCE).argmin())])

    @property
    def normalised_auc(self) -> float:
        """Area under the normalised precision, from 0 to 0.5 (GOT-10k toolkit, TrackingNet)."""
        return CONVENTIONS[self.convention].area(self.normalised)


def center_error(
    truth: Shaped[AnyArray, "T 4"], boxes: Shaped[AnyArray, "T 4"]
) -> Float64[np.ndarray, " T"]:
    """Give the distances between pixel centres, in pixels; NaN where a box holds NaN."""
    truth, boxes = np.asarray(truth, np.float64), np.asarray(boxes, np.float64)
    offset = geometry.pixel_center(truth) - geometry.pixel_center(boxes)
    return np.sqrt((offset**2).sum(axis=-1))


def normalised_error(
    truth: Shaped[AnyArray, "T 4"],
    boxes: Shaped[AnyArray, "T 4"],
    least_side: float = 1e-16,
    *,
    divide_first: bool = False,
) -> Float64[np.ndarray, " T"]:
    """Give the distances between pixel centres, x in widths and y in heights of the truth.

    Args:
        truth: [T, 4].
        boxes: [T, 4]; NaN gives NaN.
        least_side: pixels that a shorter width or height of the truth is taken to be.
        divide_first: as `Convention` has it.

    Source: Fan et al., LaSOT, 2019, section 4.1 (after TrackingNet).
    """
    truth, boxes = np.asarray(truth, np.float64), np.asarray(boxes, np.float64)
    sides = np.maximum(truth[:, 2:], least_side)
    centers = np.asarray(geometry.pixel_center(truth)), np.asarray(geometry.pixel_center(boxes))
    if divide_first:
        offset = centers[0] / sides - centers[1] / sides
    else:
        offset = (centers[0] - centers[1]) / sides
    return np.sqrt((offset**2).sum(axis=-1))


def score(
    truth: Shaped[AnyArray, "T 4"],
    boxes: Shaped[AnyArray, "P 4"],
    convention_name: str = "visible",
    *,
    origin: int = 0,
    visible: Bool[np.ndarray, " T"] | None = None,
    size: tuple[int, int] | None = None,
) -> Scores:
    """Score the boxes of one run against the truth.

    success(t) = #(IoU > t) / N, precision(d) = #(centre error <= d) / N, normalised precision
    likewise with the centre error divided by the truth's width and height

    Args:
        truth: [T, 4], one box a frame; NaN where the target is absent.
        boxes: [P, 4], the tracker's boxes, P = T unless the convention cuts to the shorter. A box
            that holds NaN is a miss in success and in precision.
        convention_name: a key of `CONVENTIONS`.
        origin: coordinate of the first pixel in both arrays, 0 or 1. PySOT's and jwlim's tests for
            an absent truth are stated in 1-based coordinates.
        visible: frames in which the target is in sight, where the dataset tells it (GOT-10k, LaSOT)
            beside a box; all by default.
        size: (width, height) of the frames, for conventions that cut boxes to them.

    Returns:
        The curves over the convention's overlaps, 51 pixel distances and the convention's
        normalised distances. `mean_iou` is, under every convention, the mean over the frames that
        have a truth and are not left out (a NaN box counts 0).

    Raises:
        ValueError: unknown convention or origin, other shapes, lengths that differ, no size where
            one is needed, no frame with a truth.

    Source: Wu et al. 2013, section 4.2; the toolkits named in `CONVENTIONS`, whose curves the
        tests compare.
    """
    rules = convention(convention_name)
    if origin not in (0, 1):
        raise ValueError(f"origin: expected 0 or 1, got {origin}")
    truth, boxes = np.asarray(truth, np.float64), np.array(boxes, np.float64)
    seen = np.ones(len(truth), np.bool_) if visible is None else np.asarray(visible, np.bool_)
    if len(seen) != len(truth):
        raise ValueError(f"visible: expected {len(truth)}, one for each frame, got {len(seen)}")
    if rules.truncate:
        length = min(len(truth), len(boxes))
        truth, boxes, seen = truth[:length], boxes[:length], seen[:length]
    if len(truth) != len(boxes):
        raise ValueError(
            f"boxes: expected {len(truth)}, one for each frame of the truth, got {len(boxes)}"
        )
    if rules.first == "truth":
        boxes[:1] = truth[:1]
    if rules.to_frame:
        if size is None:
            raise ValueError(
                f"size: {convention_name!r} cuts boxes to the frame; expected its size"
            )
        truth, boxes = cut_to_frame(truth, size), cut_to_frame(boxes, size)
    if rules.whole:
        truth, boxes = np.rint(truth), np.rint(boxes)
    there = present(truth)
    if rules.first == "left out":
        there[:1] = False
    if rules.hidden == "left out":
        there &= seen
    if not there.any():
        raise ValueError(f"truth: none of the {len(truth)} frames has a box that counts")
    # Rounding may lift the overlap of a box with itself above 1, and so above every threshold.
    overlap = np.where(there, np.minimum(geometry.iou(truth, boxes), 1), np.nan)
    error = center_error(truth, boxes)
    if rules.decimals is not None:
        error = np.round(error, rules.decimals)
    relative = normalised_error(truth, boxes, rules.least_side, divide_first=rules.divide_first)
    shift = np.array([1 - origin, 1 - origin, 0, 0], np.float64)
    overlap_known, error_known = rules.known(truth + shift)
    if rules.first == "left out" or rules.hidden == "left out":
        overlap_known, error_known = overlap_known & there, error_known & there
    counted = overlap_known if rules.leave_out else np.ones_like(overlap_known)
    miss = ~seen if rules.hidden == "missed" else np.zeros_like(seen)
    overlap_used = np.where(overlap_known & ~miss, overlap, -1)[counted]
    error_used, relative_used = (
        np.where(miss, np.inf, np.where(error_known, values, -1))[counted]
        for values in (error, relative)
    )
    return Scores(
        success=(overlap_used[:, None] > np.array(rules.overlaps)[None]).mean(axis=0),
        precision=(error_used[:, None] <= PIXELS[None]).mean(axis=0),
        normalised=(relative_used[:, None] <= np.array(rules.distances)[None]).mean(axis=0),
        mean_iou=float(np.nan_to_num(overlap[there]).mean()),
        frames=int(counted.sum()),
        overlap=overlap,
        convention=convention_name,
    )


def mean(scores: Sequence[Scores]) -> Scores:
    """Average over sequences, each with the same weight however long it is.

    Raises:
        ValueError: `scores` is empty, or holds several conventions.
    """
    name = _only_convention(scores)
    return Scores(
        success=np.mean([one.success for one in scores], axis=0),
        precision=np.mean([one.precision for one in scores], axis=0),
        normalised=np.mean([one.normalised for one in scores], axis=0),
        mean_iou=float(np.mean([one.mean_iou for one in scores])),
        frames=sum(one.frames for one in scores),
        overlap=np.zeros(0),
        convention=name,
    )


class Pooled(NamedTuple):
    """GOT-10k's numbers over the frames of all sequences together.

    `ao` is the average overlap, `sr_50` and `sr_75` the parts of the frames above 0.5 and 0.75.
    """

    ao: float
    sr_50: float
    sr_75: float
    success: Curve
    frames: int


def pooled(scores: Sequence[Scores]) -> Pooled:
    """Pool the frames of sequences, so that each counts by its length.

    Raises:
        ValueError: `scores` is empty, or holds several conventions.

    Source: Huang et al., GOT-10k, 2019, section 4.1; frame-weighted as its toolkit's validation.
    """
    rules = CONVENTIONS[_only_convention(scores)]
    overlap = np.concatenate([one.overlap for one in scores])
    known = np.isfinite(overlap)
    success = (overlap[known, None] > np.array(rules.overlaps)[None]).mean(axis=0)
    return Pooled(
        ao=float(overlap[known].mean()),
        sr_50=float((overlap[known] > 0.5).mean()),
        sr_75=float((overlap[known] > 0.75).mean()),
        success=success,
        frames=int(known.sum()),
    )


def _only_convention(scores: Sequence[Scores]) -> str:
    names = {one.convention for one in scores}
    if not names:
        raise ValueError("scores: expected at least one sequence, got none")
    if len(names) > 1:
        raise ValueError(f"scores: expected one convention, got {', '.join(sorted(names))}")
    return names.pop()
