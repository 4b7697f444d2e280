"""OpenCV's `TrackerNano`, the other side of `bench track nanotrack-v2`.

It reads NanoTrack v2's published ONNX files. It swaps red and blue of what it takes for a BGR
frame, so that its network sees RGB where the weights were trained on BGR; given an RGB frame, as
here, it sees BGR, as this package's does.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

import siamjax

FOLDER = Path(siamjax.__file__).parents[2] / "shared" / "weights" / "nanotrack"
"""Where the ONNX files of the published weights lie."""


class OpenCVNano:
    """The tracker; its state is its own object's, so that steps start where the last one ended."""

    def __init__(self, folder: Path = FOLDER):
        files = {part: folder / f"nanotrackv2_{part}.onnx" for part in ("backbone", "head")}
        missing = [path.name for path in files.values() if not path.is_file()]
        if missing:
            raise ValueError(f"bench track: {folder} has no {missing[0]}")
        nano: Any = cv2  # whose types leave these out
        parameters = nano.TrackerNano_Params()
        parameters.backbone, parameters.neckhead = (str(path) for path in files.values())
        self.tracker = nano.TrackerNano_create(parameters)

    def init(self, frame: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give what `step` starts anew from: the frame and the box (x, y, width, height)."""
        self.tracker.init(frame, [int(side) for side in box])
        return frame, box

    def step(self, state: Any, frame: np.ndarray) -> tuple[Any, np.ndarray]:
        """Find the target: the state, which says nothing, and the box in whole pixels."""
        return state, np.array(self.tracker.update(frame)[1], np.float64)
