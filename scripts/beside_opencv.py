"""Frames a second beside OpenCV: `python scripts/beside_opencv.py VIDEO --box X Y W H`.

CSRT and KCF are in OpenCV's contrib build alone, which stands in the place of the usual one: use an
environment of its own (`pip install -e . && pip uninstall -y opencv-python-headless && pip install
opencv-contrib-python-headless`). Every round runs each tracker once through the clip; only the
tracker's calls are timed, frames are decoded before.
"""

import functools
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import tyro

from siamjax import video, weights

Follow = Callable[[list[np.ndarray], np.ndarray], float]


@dataclass(frozen=True)
class Beside:
    """Time trackers on one clip, turn by turn."""

    path: Annotated[Path, tyro.conf.Positional]
    """video"""
    box: tuple[float, float, float, float]
    """target in its first frame, x y width height"""
    model: tuple[str, ...] = ("default",)
    """names of bundled weights, or weights files"""
    nano: tuple[Path, Path] | None = None
    """NanoTrack's ONNX files, backbone and head, for OpenCV's `TrackerNano`"""
    rounds: int = 5
    """times that each tracker runs through the clip"""
    frames: int = 100
    """of the clip that are used"""


def ours(model: str) -> Follow:
    """Make the run of a tracker of this project; it waits for every box."""
    tracker, variables = weights.load(model)

    def follow(frames: list[np.ndarray], box: np.ndarray) -> float:
        state = tracker.init(variables, frames[0], box)
        state, out = tracker.step(variables, state, frames[1])
        np.asarray(out.box)
        start = time.perf_counter()
        for frame in frames[2:]:
            state, out = tracker.step(variables, state, frame)
            np.asarray(out.box)
        return (len(frames) - 2) / (time.perf_counter() - start)

    return follow


def theirs(make: Callable[[], Any]) -> Follow:
    """Make the run of a tracker of OpenCV's."""

    def follow(frames: list[np.ndarray], box: np.ndarray) -> float:
        pictures = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
        tracker = make()
        tracker.init(pictures[0], tuple(int(value) for value in box))
        tracker.update(pictures[1])
        start = time.perf_counter()
        for picture in pictures[2:]:
            tracker.update(picture)
        return (len(frames) - 2) / (time.perf_counter() - start)

    return follow


def main(options: Beside) -> None:
    """Print each tracker's frames a second: the median and range of the rounds."""
    found = itertools.islice(video.frames(options.path), options.frames)
    frames = [frame.image for frame in found]
    runs = {model: ours(model) for model in options.model}
    for name in ("KCF", "CSRT"):
        make = getattr(cv2, f"Tracker{name}_create", None)
        if make is None:
            raise ValueError(f"OpenCV {cv2.__version__} here has no {name}: it is no contrib build")
        runs[f"OpenCV {cv2.__version__} {name}"] = theirs(make)
    if options.nano is not None:
        nano: Any = cv2  # whose types leave these out
        parameters = nano.TrackerNano_Params()
        parameters.backbone, parameters.neckhead = map(str, options.nano)
        create = functools.partial(nano.TrackerNano_create, parameters)
        runs[f"OpenCV {cv2.__version__} Nano"] = theirs(create)
    box = np.asarray(options.box, np.float32)
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            speed = run(frames, box)
            if number:
                speeds[name].append(speed)
    height, width = frames[0].shape[:2]
    print(f"{len(frames)} frames of {width}x{height}, {options.rounds} rounds, frames a second:")
    for name, each in speeds.items():
        print(f"{name:32} {np.median(each):7.1f}  ({min(each):.1f} to {max(each):.1f})")


if __name__ == "__main__":
    main(tyro.cli(Beside))
