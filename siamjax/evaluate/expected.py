"""Expected average overlap: what overlap to expect over the first frames after a start.

Runs are cut into fragments at their failures, fragments averaged over their first k frames for
every k, and that curve averaged over the lengths that are typical of a year's sequences.
Source: Kristan et al., The visual object tracking VOT2015 challenge results, section 3; the
intervals and the handling of ends follow the code of PySOT and of the VOT toolkit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

SKIP = 5
"""Frames from a failure to the next start."""

INTERVALS = {
    "vot2015": (108, 371),
    "vot2016": (108, 371),
    "vot2017": (100, 356),
    "vot2018": (100, 356),
    "vot2019": (46, 291),
}
"""Lengths in frames over which the expected overlap is averaged, first and last."""


def interval(year: str | tuple[int, int]) -> tuple[int, int]:
    """Look up the lengths of a year, or take two that are given.

    Raises:
        ValueError: no such year, or not 1 <= first <= last.
    """
    if isinstance(year, str):
        if year not in INTERVALS:
            raise ValueError(f"year: {year!r} is not one of {', '.join(INTERVALS)}")
        return INTERVALS[year]
    if not 1 <= year[0] <= year[1]:
        raise ValueError(f"year: expected lengths 1 <= first <= last, got {year}")
    return year


class Fragment(NamedTuple):
    """Overlaps from a start to the failure after it, or to the end of the sequence."""

    overlaps: Float64[np.ndarray, " T"]
    failed: bool
    weight: float


def fragments(
    overlap: Float64[np.ndarray, " T"],
    failures: Int[np.ndarray, " failures"],
    tagged: Bool[np.ndarray, " T"],
    *,
    through_skip: bool = True,
) -> list[Fragment]:
    """Cut a run at its failures.

    Args:
        overlap: of each frame; NaN counts as zero.
        failures: numbers of the frames that failed.
        tagged: the frames of the attribute in question; a fragment's weight is the part that it
            has of them, 1 for an attribute that every frame has.
        through_skip: a failed fragment runs on to the next start (PySOT) or ends at the failure
            (the VOT toolkit).
    """
    values, total = np.nan_to_num(overlap), len(overlap)
    # A tracker that fails too late to start again leaves no fragment behind (as in PySOT).
    starts = [0, *(int(at) + SKIP for at in failures if at + SKIP <= total)]
    found = []
    for k, start in enumerate(starts):
        following = starts[k + 1] if k + 1 < len(starts) else None
        if not through_skip and k < len(failures):
            end, failed = int(failures[k]), True
        elif following is not None:
            end, failed = following + 1, True
        else:
            end, failed = total, False
        if end > start and start < total:
            whole = end - start  # a fragment may end beyond the sequence
            weight = float(tagged[start:end].sum()) / whole
            found.append(Fragment(values[start:end], failed, weight))
    return found


def sums(
    found: Sequence[Fragment], length: int
) -> tuple[Float64[np.ndarray, " length"], Float64[np.ndarray, " length"]]:
    """Give numerator and denominator of `mean_curve`, which add up over fragments; 0 at k = 0."""
    values = np.zeros((len(found), length))
    alive = np.zeros((len(found), length))
    for row, one in enumerate(found):
        values[row, : len(one.overlaps)] = one.overlaps
        alive[row, : length if one.failed else len(one.overlaps)] = one.weight
    means = np.cumsum(values[:, 1:], axis=1) / np.arange(1, length)[None]
    start = np.zeros(1)
    return (
        np.concatenate([start, (means * alive[:, 1:]).sum(axis=0)]),
        np.concatenate([start, alive[:, 1:].sum(axis=0)]),
    )


def mean_curve(found: Sequence[Fragment], length: int) -> Float64[np.ndarray, " length"]:
    """Give the expected overlap over the first k frames after a start, for k below `length`.

    curve(k) = sum_f w_f * mean(overlap_f(1), ..., overlap_f(k)) / sum_f w_f

    over the fragments f that are known for k frames: those that failed, zero from there on, and
    those that end with the sequence later than that. curve(0) = 1.
    """
    total, weights = sums(found, length)
    curve = total / np.where(weights > 0, weights, 1)
    return np.concatenate([np.ones(1), curve[1:]])


def average(
    curve: Float64[np.ndarray, " length"], year: str | tuple[int, int], *, first: int = -1
) -> float:
    """Average the expected overlap over a year's interval of lengths.

    Args:
        curve: from `mean_curve`.
        year: a key of `INTERVALS`, or first and last length.
        first: what is added to a length to give its place in the curve, counted from 0. Published
            slices: PySOT curve[low - 1 : high], the VOT toolkit curve[low : high + 1].

    Raises:
        ValueError: no such year, or a curve that ends before the interval.
    """
    low, high = interval(year)
    part = curve[low + first : high + first + 1]
    if not len(part):
        raise ValueError(
            f"year: lengths {low} to {high} are beyond the longest sequence, {len(curve)} frames"
        )
    return float(part.mean())
