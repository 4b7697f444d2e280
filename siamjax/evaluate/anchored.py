"""A run of VOT 2020 and later: from an anchor to an end of the clip, without a restart.

The tracker starts on the box of the anchor's truth, the box around it where that is a mask. It
answers with the mask it draws, with its box where it draws none.
Source: Kristan et al., The eighth visual object tracking VOT2020 challenge results, section 3.
"""

import functools
import time
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from siamjax import geometry
from siamjax.data.tracks import Track
from siamjax.evaluate import regions, vot
from siamjax.evaluate.drive import Clock, OnFrame, Tracker, next_frame, opened
from siamjax.evaluate.realtime import Pace, RealTime
from siamjax.evaluate.regions import Region
from siamjax.evaluate.supervised import known, truth_regions
from siamjax.track.state import Out
from siamjax.typing import Frame, Variables


class Anchored(NamedTuple):
    """What a tracker answered, the code 1 first, and the seconds of each call (NaN without)."""

    answers: list[Region]
    seconds: Float64[np.ndarray, " T"]


def region_of(out: Out) -> Region:
    """Read a tracker's region: its mask where it draws one that is not empty, else its box."""
    if out.mask is not None and out.mask_threshold is not None:
        inside = np.asarray(out.mask) > np.asarray(out.mask_threshold)
        if inside.any():
            return regions.from_mask(inside)
    return np.asarray(out.box, np.float64)


def truth_of(track: Track, i: int) -> Region:
    """Give the true region of frame `i`: a mask, a polygon or a box; the code 0 where absent."""
    if track.masks is not None:
        return regions.from_mask(track.masks.mask(i))
    one = truth_regions(track)[i]
    return np.asarray(one, np.float64) if known(one[None])[0] else vot.SKIPPED


def run(
    track: Track,
    tracker: Tracker,
    variables: Variables,
    *,
    real_time: RealTime | None = None,
    clock: Clock = time.perf_counter,
    on_frame: OnFrame | None = None,
) -> Anchored:
    """Follow one target from the first frame to the last.

    Where an answer is not valid, and in real time where there is none yet, the last one counts.

    Args:
        track: from `multistart.from_anchor`.
        tracker: with `init` and `step`.
        variables: the tracker's.
        real_time: None lets the frames wait.
        clock: seconds.
        on_frame: told after every frame.

    Raises:
        ValueError: the first frame's truth cannot be tracked, or the clip ends early.
    """
    total = len(track)
    seconds = np.full(total, np.nan)
    answers: list[Region] = [vot.STARTED]
    pace = Pace(real_time, clock)

    def go_on(state: Any, frame: Frame) -> tuple[Any, Region | None]:
        state, out = tracker.step(variables, state, frame)
        return state, region_of(out) if bool(out.valid) else None

    with opened(track.media) as frames:
        frame = next_frame(frames, track.name, 0, total)
        height, width = frame.shape[:2]
        box = geometry.check_box(track.boxes[0], width, height, f"{track.name}: first truth")
        state, seconds[0] = pace.call(lambda: tracker.init(variables, frame, box.copy()))
        region: Region = box.astype(np.float64)
        for index in range(total):
            if index:
                frame = next_frame(frames, track.name, index, total)
                if index == pace.due:
                    step = functools.partial(go_on, state, frame)
                    (state, found), seconds[index] = pace.call(step)
                    region = region if found is None else found
                answers.append(region)
            if on_frame:
                on_frame(track.name, index + 1, total)
    return Anchored(answers, seconds)
