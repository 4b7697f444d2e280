from pathlib import Path

import cv2
import numpy as np
import pytest

from siamjax import cli, weights
from siamjax.data.tracks import Track
from siamjax.evaluate import ope, summary
from siamjax.track.state import Out


class Drift:
    """Moves the first box to the right by `speed` a frame; surer than half in even frames.

    Draws its box as a mask where `masks` says so.
    """

    def __init__(self, speed, masks=False):
        self.speed, self.masks, self.steps = speed, masks, 0

    def __repr__(self):
        return f"Drift({self.speed}, {self.masks})"

    def init(self, variables, frame, box, hyper=None):
        return np.asarray(box), 0

    def step(self, variables, state, frame, hyper=None):
        self.steps += 1
        box, index = state[0] + np.array([self.speed, 0, 0, 0], np.float32), state[1] + 1
        score = np.float32(0.3 if index % 2 else 0.8)
        drawn = (None, None)
        if self.masks:
            left, top, width, height = box.astype(int)
            mask = np.zeros(frame.shape[:2], np.float32)
            mask[top : top + height, left : left + width] = 0.9
            drawn = (mask, np.float32(0.5))
        return (box, index), Out(box, score, np.bool_(True), np.bool_(False), *drawn)


@pytest.fixture
def trackers(monkeypatch):
    """Trackers in place of weights: "drift.npz" follows "slow", "still" stays where it began."""
    made = {"drift.npz": Drift(1.0), "still": Drift(0.0), "masks": Drift(1.0, masks=True)}
    variables = {"gain": np.zeros(1, np.float32)}
    monkeypatch.setattr(weights, "load", lambda model: (made[model], variables))
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)
    return made


@pytest.fixture(scope="session")
def write_pictures():
    """Write grey pictures of 64 x 48 into a new folder, numbered from `first` on."""
    data = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()

    def write(folder, frames, first=1, digits=8):
        folder.mkdir(parents=True)
        for i in range(frames):
            (folder / f"{i + first:0{digits}d}.jpg").write_bytes(data)

    return write


SIZE = (64, 48)


class Grey:
    """Grey frames made on demand."""

    name = "clip"

    def __init__(self, frames):
        self.frames = frames

    def __len__(self):
        return self.frames

    def frame(self, i):
        return np.full((*SIZE[::-1], 3), i % 256, np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(self.frames))


def _still(name, frames=8):
    """A target of 20 x 10 pixels that does not move."""
    boxes = np.tile(np.array([[4, 5, 20, 10]], np.float32), (frames, 1))
    return Track(name, Grey(frames), boxes)


@pytest.fixture
def evaluated(tmp_path):
    """Writes a folder of results: boxes beside the target by `shifts` pixels, one a sequence."""

    def write(
        model: str, shifts: dict[str, float], convention: str = "visible", tracks=None, data="made"
    ) -> Path:
        tracks = [_still(name) for name in shifts] if tracks is None else tracks
        results = []
        for track, shift in zip(tracks, shifts.values(), strict=True):
            boxes = track.boxes + np.array([[shift, 0, 0, 0]], np.float32)
            found = ope.score(track.boxes, boxes, convention, size=SIZE, visible=track.shown)
            results.append(summary.Result(track, boxes, found, None))
        header = {"model": model, "data": data, "format": "folder"}
        folder = tmp_path / (model.replace("/", "_") or "none")
        summary.finish(results, header, convention, folder)
        return folder

    return write
