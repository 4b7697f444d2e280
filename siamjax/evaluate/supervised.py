"""The supervised run of VOT 2013 to 2019: stopped at a failure, started again five frames later.

A tracker fails where its region shares no pixel with the truth (`raster`, within the frame). In
real-time mode frames arrive at a fixed rate whether the tracker is done or not.
Source: Kristan et al., A novel performance evaluation methodology for single-target trackers, 2016;
starts and failures as in PySOT's `test.py`.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Float64

from siamjax import polygons
from siamjax.data.tracks import Track
from siamjax.evaluate import expected, raster, vot
from siamjax.evaluate.drive import OnFrame, Tracker, next_frame
from siamjax.track.state import Out
from siamjax.typing import Variables


@dataclass(frozen=True)
class RealTime:
    """Frames that do not wait.

    A call takes one frame's time at least; if it takes longer, its answer stands for the frames
    that pass meanwhile, and the tracker next sees the frame that is there when it is done.

    Attributes:
        fps: frames that arrive in a second.
        grace: calls from a start on, itself counted, that are taken to be in time.
    """

    fps: float | int = 25.0
    grace: int = 3

    def __post_init__(self):
        if not self.fps > 0:
            raise ValueError(f"fps: expected more than 0, got {self.fps}")

    def frames(self, seconds: float, calls: int) -> float:
        """Give the frames that pass during the call with this number, counted from 1."""
        return 1.0 if calls <= self.grace else max(1.0, seconds * self.fps)


class Supervised(NamedTuple):
    """What a tracker answered, and the seconds of each call (NaN where there was none)."""

    answers: vot.Answers
    seconds: Float64[np.ndarray, " T"]


def truth_regions(track: Track) -> Float[np.ndarray, "T values"]:
    """Give the polygons of a track, its boxes where it has none."""
    return track.boxes if track.regions is None else track.regions


def known(regions: Float[np.ndarray, "T values"]) -> Bool[np.ndarray, " T"]:
    """Tell where there is a region: finite, with a width and height above zero."""
    boxes = polygons.outer_boxes(regions)
    values = np.concatenate([np.isfinite(regions), np.nan_to_num(boxes[:, 2:]) > 0], axis=1)
    return np.logical_and.reduce(values, axis=1)


def region_of(out: Out) -> Float64[np.ndarray, " values"]:
    """Read a tracker's region: the rotated box of its mask where it draws one, else its box."""
    rotated = out.rotated_box
    region = np.asarray(out.box) if rotated is None else rotated.reshape(8)
    return np.asarray(region, np.float64)


def run(
    track: Track,
    tracker: Tracker,
    variables: Variables,
    *,
    hyper: Any = None,
    real_time: RealTime | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_frame: OnFrame | None = None,
) -> Supervised:
    """Run a tracker over a clip, starting it again after each failure.

    Starts are on `polygons.equal_area_boxes` of the truth. Where an answer is not valid, the last
    one counts. A frame without truth is neither a start (the next one with truth is) nor a failure.

    Args:
        track: the clip and its truth.
        tracker: with `init` and `step`.
        variables: the tracker's.
        hyper: tracking constants; the tracker's preset by default.
        real_time: None lets the frames wait.
        clock: seconds.
        on_frame: told after every frame.

    Raises:
        ValueError: no frame with truth, or the clip ends early.
    """
    truth = truth_regions(track)
    there, total = known(truth), len(truth)
    if not there.any():
        raise ValueError(f"{track.name}: none of the {total} frames has a truth to start from")
    starts = polygons.equal_area_boxes(truth).astype(np.float32)
    codes, seconds = np.zeros(total, np.int64), np.full(total, np.nan)
    answers: list[Float64[np.ndarray, " values"]] = []
    frames = iter(track.media)
    start, due, passed, calls = 0, 0, 0.0, 0
    state: Any = None
    region = np.zeros(4)
    for index in range(total):
        frame = next_frame(frames, track.name, index, total)
        size = (frame.shape[1], frame.shape[0])
        began, called = clock(), False
        if index == start and there[index]:
            state = tracker.init(variables, frame, starts[index].copy(), hyper)
            jax.block_until_ready(state)
            codes[index] = vot.STARTED
            region, passed, calls, called = np.asarray(starts[index], np.float64), 0.0, 0, True
        elif index == start:
            start += 1
        elif index > start and index == due:
            state, out = tracker.step(variables, state, frame, hyper)
            region, called = region_of(out) if bool(out.valid) else region, True
        if called:
            seconds[index] = clock() - began
            calls += 1
            passed += real_time.frames(float(seconds[index]), calls) if real_time else 1.0
            due = start + math.floor(passed)
        if index > start:
            failed = there[index] and not raster.overlap(region[None], truth[index, None], size) > 0
            codes[index] = vot.FAILED if failed else vot.REGION
            start = index + expected.SKIP if failed else start
        answers.append(region)
        if on_frame:
            on_frame(track.name, index + 1, total)
    return Supervised(vot.Answers(codes, _stacked(codes, answers)), seconds)


def _stacked(codes: np.ndarray, answers: list[np.ndarray]) -> Float64[np.ndarray, "T values"]:
    """Put regions of one kind into one array, NaN in frames that hold a code."""
    given = [len(one) for code, one in zip(codes, answers, strict=True) if code == vot.REGION]
    regions = np.full((len(codes), max(given, default=4)), np.nan)
    for index in np.flatnonzero(codes == vot.REGION):
        one = answers[index]
        if len(one) != regions.shape[1]:  # a box stands in until the first polygon
            one = polygons.corners(one[None]).reshape(-1)
        regions[index] = one
    return regions
