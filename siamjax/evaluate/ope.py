"""One-pass evaluation: success, precision and mean overlap of one run, in NumPy float64.

Boxes are (x, y, width, height) in pixels, 0-based unless `origin=1`; centres are pixel centres
`x + (width - 1) / 2`. Published toolkits agree on the formulas and differ in the frames that they
count: each set of choices has a name in `CONVENTIONS`. Source: Wu et al., Online object tracking:
a benchmark, 2013; behaviour follows the code of PySOT, got10k and jwlim/tracker_benchmark.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from siamjax import geometry
from siamjax.typing import AnyArray

OVERLAPS = np.linspace(0, 1, 21)
PIXELS = np.arange(51.0)
HEADLINE_PIXELS = 20

Curve = Float64[np.ndarray, " thresholds"]
Masks = tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " T"]]


class Scores(NamedTuple):
    """What one run over one sequence, or the mean over several, is worth.

    `overlap` is the intersection over union per frame (NaN where the truth is absent); it is empty
    for a mean over sequences. `frames` is the number of frames counted, N.
    """

    success: Curve
    precision: Curve
    mean_iou: float
    frames: int
    overlap: Float64[np.ndarray, " T"]

    @property
    def success_auc(self) -> float:
        """Mean of the 21 values of the success curve; 20/21 for a perfect run."""
        return float(self.success.mean())

    @property
    def precision_20(self) -> float:
        """Part of the frames whose centre is at most 20 pixels off."""
        return float(self.precision[HEADLINE_PIXELS])


@dataclass(frozen=True)
class Convention:
    """Which frames count, and as what.

    `known` answers, from 1-based truths, where the overlap and where the centre error are
    defined. Elsewhere a frame leaves N (`leave_out`), or stays in N as overlap -1 (a miss) and
    centre error -1 (precise at every threshold).
    """

    text: str
    known: Callable[[Float64[np.ndarray, "T 4"]], Masks]
    first_from_truth: bool = False
    truncate: bool = False
    leave_out: bool = False
    overlaps: tuple[float, ...] = tuple(OVERLAPS.tolist())
    decimals: int | None = None


def _rows(true: Bool[np.ndarray, "T n"]) -> Bool[np.ndarray, " T"]:
    return np.logical_and.reduce(true, axis=-1)


def present(truth: Shaped[AnyArray, "T 4"]) -> Bool[np.ndarray, " T"]:
    """Tell where the truth is a box: finite, with a width and height above zero."""
    truth = np.asarray(truth, np.float64)
    return _rows(np.isfinite(truth)) & _rows(truth[:, 2:] > 0)


def _present_twice(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return present(truth), present(truth)


def _pysot(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return _rows(truth[:, 2:] > 0), _rows(np.asarray(geometry.pixel_center(truth)) > 0)


def _everywhere(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return np.ones(len(truth), np.bool_), np.ones(len(truth), np.bool_)


def _all_positive(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    positive = _rows(truth > 0)
    return positive, positive


CONVENTIONS = {
    "visible": Convention(
        text="the first frame counts; frames without truth (not finite, or an empty box) are left"
        " out of N",
        known=_present_twice,
        leave_out=True,
    ),
    "pysot": Convention(
        text="every frame counts, the first with the box as stored; a truth without width or height"
        " is a miss, a truth whose 1-based centre is not above zero is precise",
        known=_pysot,
    ),
    "got10k": Convention(
        text="every frame counts, the first as the truth itself; the longer of truth and boxes is"
        " cut to the shorter; a truth that is not a number is a miss",
        known=_everywhere,
        first_from_truth=True,
        truncate=True,
    ),
    "jwlim": Convention(
        text="every frame counts, the first as the truth itself; centre errors are rounded to 4"
        " decimals; a truth with a 1-based value not above zero is a miss and precise",
        known=_all_positive,
        first_from_truth=True,
        overlaps=tuple(k / 20 for k in range(21)),
        decimals=4,
    ),
}


def center_error(
    truth: Shaped[AnyArray, "T 4"], boxes: Shaped[AnyArray, "T 4"]
) -> Float64[np.ndarray, " T"]:
    """Give the distances between pixel centres, in pixels; NaN where a box holds NaN."""
    truth, boxes = np.asarray(truth, np.float64), np.asarray(boxes, np.float64)
    offset = geometry.pixel_center(truth) - geometry.pixel_center(boxes)
    return np.sqrt((offset**2).sum(axis=-1))


def convention(name: str) -> Convention:
    """Look a convention up by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in CONVENTIONS:
        raise ValueError(f"convention: {name!r} is not one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def score(
    truth: Shaped[AnyArray, "T 4"],
    boxes: Shaped[AnyArray, "P 4"],
    convention_name: str = "visible",
    *,
    origin: int = 0,
) -> Scores:
    """Score the boxes of one run against the truth.

    success(t) = #(IoU > t) / N, precision(d) = #(centre error <= d) / N

    Args:
        truth: [T, 4], one box a frame; NaN where the target is absent.
        boxes: [P, 4], the tracker's boxes, P = T unless the convention cuts to the shorter. A box
            that holds NaN is a miss in success and in precision.
        convention_name: a key of `CONVENTIONS`.
        origin: coordinate of the first pixel in both arrays, 0 or 1. PySOT's and jwlim's tests for
            an absent truth are stated in 1-based coordinates.

    Returns:
        The curves over 21 overlaps and 51 pixel distances. `mean_iou` is, under every convention,
        the mean over the frames that have a truth (a NaN box counts 0).

    Raises:
        ValueError: unknown convention or origin, other shapes, lengths that differ, no frame with
            a truth.

    Source: Wu et al. 2013, section 4.2; the toolkits named in `CONVENTIONS`, whose curves the
        tests compare.
    """
    rules = convention(convention_name)
    if origin not in (0, 1):
        raise ValueError(f"origin: expected 0 or 1, got {origin}")
    truth, boxes = np.asarray(truth, np.float64), np.array(boxes, np.float64)
    if rules.truncate:
        length = min(len(truth), len(boxes))
        truth, boxes = truth[:length], boxes[:length]
    if len(truth) != len(boxes):
        raise ValueError(
            f"boxes: expected {len(truth)}, one for each frame of the truth, got {len(boxes)}"
        )
    there = present(truth)
    if not there.any():
        raise ValueError(f"truth: none of the {len(truth)} frames has a box")
    if rules.first_from_truth:
        boxes[0] = truth[0]
    overlap = np.where(there, geometry.iou(truth, boxes), np.nan)
    error = center_error(truth, boxes)
    if rules.decimals is not None:
        error = np.round(error, rules.decimals)
    shift = np.array([1 - origin, 1 - origin, 0, 0], np.float64)
    overlap_known, error_known = rules.known(truth + shift)
    counted = overlap_known if rules.leave_out else np.ones_like(overlap_known)
    overlap_used = np.where(overlap_known, overlap, -1)[counted]
    error_used = np.where(error_known, error, -1)[counted]
    return Scores(
        success=(overlap_used[:, None] > np.array(rules.overlaps)[None]).mean(axis=0),
        precision=(error_used[:, None] <= PIXELS[None]).mean(axis=0),
        mean_iou=float(np.nan_to_num(overlap[there]).mean()),
        frames=int(counted.sum()),
        overlap=overlap,
    )


def mean(scores: Sequence[Scores]) -> Scores:
    """Average over sequences, each with the same weight however long it is.

    Raises:
        ValueError: `scores` is empty.
    """
    if not scores:
        raise ValueError("scores: expected at least one sequence, got none")
    return Scores(
        success=np.mean([one.success for one in scores], axis=0),
        precision=np.mean([one.precision for one in scores], axis=0),
        mean_iou=float(np.mean([one.mean_iou for one in scores])),
        frames=sum(one.frames for one in scores),
        overlap=np.zeros(0),
    )
