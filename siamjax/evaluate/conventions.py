"""The named sets of choices in which toolkits for one-pass evaluation differ.

They agree on overlap, centre error and their curves, and differ in the frames that they count, in
thresholds and in what they do to boxes first. Each set's text goes into results and reports.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from siamjax import geometry
from siamjax.typing import AnyArray

OVERLAPS = np.linspace(0, 1, 21)

Masks = tuple[Bool[np.ndarray, " T"], Bool[np.ndarray, " T"]]


@dataclass(frozen=True)
class Convention:
    """Which frames count, and as what.

    `known` answers, from 1-based truths, where the overlap and where the centre error are
    defined. Elsewhere a frame leaves N (`leave_out`), or stays in N as overlap -1 (a miss) and
    centre error -1 (precise at every threshold).

    Attributes:
        text: for results and reports.
        known: see above.
        first: frame 0 counts with its box as stored, with the truth in its place, or not at all.
        hidden: what becomes of frames in which the dataset says that the target is not in sight:
            they are left out of N, are a miss (of precision too), or count as any other.
        truncate: the longer of truth and boxes is cut to the shorter.
        leave_out: see above.
        to_frame: truth and boxes are first cut to the frame, `cut_to_frame`.
        whole: truth and boxes are first rounded to whole pixels.
        overlaps: thresholds of the success curve.
        distances: normalised ones, of the normalised precision.
        trapezoid: areas under curves by the trapezoidal rule, not the mean of their values.
        decimals: to which centre errors are rounded.
        least_side: of a truth, in pixels, to which a shorter one is lengthened where centre errors
            are divided by it.
        divide_first: centres are divided by the truth's sides, then subtracted; the other way round
            otherwise. They differ in the last bit, which decides at thresholds.
    """

    text: str
    known: Callable[[Float64[np.ndarray, "T 4"]], Masks]
    first: Literal["stored", "truth", "left out"] = "stored"
    hidden: Literal["left out", "missed", "counted"] = "counted"
    truncate: bool = False
    leave_out: bool = False
    to_frame: bool = False
    whole: bool = False
    overlaps: tuple[float, ...] = tuple(OVERLAPS.tolist())
    distances: tuple[float, ...] = tuple(k / 100 for k in range(51))
    trapezoid: bool = False
    decimals: int | None = None
    least_side: float = 1e-16
    divide_first: bool = False

    def area(self, curve: Float64[np.ndarray, " thresholds"]) -> float:
        """Give the area under a curve over thresholds that are evenly apart, 0..1."""
        if self.trapezoid:
            return float(((curve[1:] + curve[:-1]) / 2).mean())
        return float(curve.mean())


def _rows(true: Bool[np.ndarray, "T n"]) -> Bool[np.ndarray, " T"]:
    return np.logical_and.reduce(true, axis=-1)


def present(truth: Shaped[AnyArray, "T 4"]) -> Bool[np.ndarray, " T"]:
    """Tell where the truth is a box: finite, with a width and height above zero."""
    truth = np.asarray(truth, np.float64)
    return _rows(np.isfinite(truth)) & _rows(truth[:, 2:] > 0)


def cut_to_frame(
    boxes: Float64[np.ndarray, "T 4"], size: tuple[int, int]
) -> Float64[np.ndarray, "T 4"]:
    """Move left and top edges into the frame, then shorten sides that reach out of it.

    A box that begins outside is moved, not cut, there; so the GOT-10k toolkit does it.
    """
    limit = np.asarray([size], np.float64)
    start = np.clip(boxes[:, :2], 0, limit)
    return np.concatenate([start, np.clip(boxes[:, 2:], 0, limit - start)], axis=1)


def _present_twice(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return present(truth), present(truth)


def _pysot(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return _rows(truth[:, 2:] > 0), _rows(np.asarray(geometry.pixel_center(truth)) > 0)


def _everywhere(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return np.ones(len(truth), np.bool_), np.ones(len(truth), np.bool_)


def _numbers(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    return _rows(~np.isnan(truth)), _rows(~np.isnan(truth))


def _all_positive(truth: Float64[np.ndarray, "T 4"]) -> Masks:
    positive = _rows(truth > 0)
    return positive, positive


CONVENTIONS = {
    "visible": Convention(
        text="the first frame counts; frames without truth (not finite, an empty box, or a target"
        " out of sight) are left out of N",
        known=_present_twice,
        hidden="left out",
        leave_out=True,
    ),
    "pysot": Convention(
        text="every frame counts, the first with the box as stored; a truth without width or height"
        " is a miss, a truth whose 1-based centre is not above zero is precise",
        known=_pysot,
        divide_first=True,
    ),
    "pysot-lasot": Convention(
        text="every frame counts, the first with the box as stored; frames in which the target is"
        " out of sight are a miss in every curve",
        known=_pysot,
        hidden="missed",
        divide_first=True,
    ),
    "got10k": Convention(
        text="every frame counts, the first as the truth itself; the longer of truth and boxes is"
        " cut to the shorter; a truth that is not a number is a miss",
        known=_everywhere,
        first="truth",
        truncate=True,
        least_side=1.0,
    ),
    "got10k-uav": Convention(
        text="frames whose truth is not a number are left out of N, the first counts as the truth"
        " itself (UAV123 and LaSOT as the GOT-10k toolkit scores them)",
        known=_numbers,
        first="truth",
        leave_out=True,
        least_side=1.0,
    ),
    "got10k-val": Convention(
        text="the first frame, and frames in which the target is out of sight, are left out of N;"
        " truth and boxes are moved and cut into the frame first; 101 overlap thresholds",
        known=_numbers,
        first="left out",
        hidden="left out",
        leave_out=True,
        to_frame=True,
        overlaps=tuple(np.linspace(0, 1, 101).tolist()),
        least_side=1.0,
    ),
    "jwlim": Convention(
        text="every frame counts, the first as the truth itself; centre errors are rounded to 4"
        " decimals; a truth with a 1-based value not above zero is a miss and precise",
        known=_all_positive,
        first="truth",
        overlaps=tuple(k / 20 for k in range(21)),
        decimals=4,
    ),
    "trackingnet": Convention(
        text="frames without truth are left out of N; truth and boxes are rounded to whole pixels"
        " first; 21 thresholds of overlap and of normalised distance up to 0.5; areas by the"
        " trapezoidal rule",
        known=_present_twice,
        leave_out=True,
        whole=True,
        distances=tuple(np.linspace(0, 0.5, 21).tolist()),
        trapezoid=True,
    ),
}


def convention(name: str) -> Convention:
    """Look a convention up by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in CONVENTIONS:
        raise ValueError(f"convention: {name!r} is not one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
