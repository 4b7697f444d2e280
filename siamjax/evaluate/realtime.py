"""Real time: frames that arrive at a fixed rate, whether the tracker is done or not.

Source: Kristan et al., The visual object tracking VOT2017 challenge results, section 4.1; the three
calls of grace are those of its toolkits.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import jax

from siamjax.evaluate.drive import Clock

Result = TypeVar("Result")


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


def experiment_of(real_time: RealTime | None) -> str:
    """Give the VOT toolkit's name of an experiment, its folder's."""
    return "baseline" if real_time is None else "realtime"


def told_of(real_time: RealTime | None) -> str:
    """Say how frames come, for a report."""
    if real_time is None:
        return "frames wait for the tracker"
    return f"frames arrive at {real_time.fps:g} a second, {real_time.grace} calls of grace"


class Pace:
    """Tells which frame a tracker sees next, while its calls take their time.

    Attributes:
        due: number of that frame.
    """

    def __init__(self, real_time: RealTime | None = None, clock: Clock = time.perf_counter):
        """Let frames wait without `real_time`; `clock` tells seconds."""
        self.real_time, self.clock = real_time, clock
        self.start(0)

    def start(self, index: int) -> None:
        """Begin anew at a frame, whose call comes next."""
        self.first, self.due, self._passed, self._calls = index, index, 0.0, 0

    def call(self, function: Callable[[], Result]) -> tuple[Result, float]:
        """Call the tracker for the frame that is due; give its answer and its seconds."""
        began = self.clock()
        result = jax.block_until_ready(function())
        seconds = self.clock() - began
        self._calls += 1
        rule = self.real_time
        self._passed += rule.frames(seconds, self._calls) if rule else 1.0
        self.due = self.first + math.floor(self._passed)
        return result, seconds
