"""The supervised run of VOT 2013 to 2019: stopped at a failure, started again five frames later.

A tracker fails where its region shares no pixel with the truth (`raster`, within the frame).
Source: Kristan et al., A novel performance evaluation methodology for single-target trackers, 2016;
starts and failures as in PySOT's `test.py`.
"""

import functools
import time
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64

from siamjax import polygons
from siamjax.data.tracks import Track
from siamjax.evaluate import expected, raster, vot
from siamjax.evaluate.drive import Clock, OnFrame, Tracker, next_frame, opened
from siamjax.evaluate.realtime import Pace, RealTime
from siamjax.track.state import Out
from siamjax.typing import Frame, Variables


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
    clock: Clock = time.perf_counter,
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
    pace, start = Pace(real_time, clock), 0
    state: Any = None
    region = np.zeros(4)

    def begin(frame: Frame, index: int) -> Any:
        return tracker.init(variables, frame, starts[index].copy(), hyper)

    def go_on(frame: Frame, state: Any) -> tuple[Any, Float64[np.ndarray, " values"] | None]:
        state, out = tracker.step(variables, state, frame, hyper)
        return state, region_of(out) if bool(out.valid) else None

    with opened(track.media) as frames:
        for index in range(total):
            frame = next_frame(frames, track.name, index, total)
            size = (frame.shape[1], frame.shape[0])
            if index == start and there[index]:
                pace.start(index)
                state, seconds[index] = pace.call(functools.partial(begin, frame, index))
                codes[index] = vot.STARTED
                region = np.asarray(starts[index], np.float64)
            elif index == start:
                start += 1
            elif index > start and index == pace.due:
                found, seconds[index] = pace.call(functools.partial(go_on, frame, state))
                state, region = found[0], region if found[1] is None else found[1]
            if index > start:
                shared = raster.overlap(region[None], truth[index, None], size)
                failed = there[index] and not shared > 0
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
