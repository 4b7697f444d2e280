"""Clips cut for validation, and success on them."""

import numpy as np
import pytest

from siamjax.data.tracks import Track
from siamjax.track.state import Out
from siamjax.train import validation


class Clip:
    """Frames whose pixels are their number."""

    name = "clip"

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def frame(self, i):
        return np.full((20, 30, 3), i, np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(self.count))


class Still:
    """A tracker that answers with the first box, and knows which frames it saw."""

    def __init__(self):
        self.seen = []

    def init(self, variables, frame, box, hyper=None):
        self.seen.append(int(frame[0, 0, 0]))
        return np.asarray(box)

    def step(self, variables, state, frame, hyper=None):
        self.seen.append(int(frame[0, 0, 0]))
        return state, Out(state, np.float32(variables["score"]), np.bool_(True), np.bool_(False))


def track(boxes, **more):
    return Track("clip", Clip(len(boxes)), np.array(boxes, np.float32), **more)


NONE = [np.nan] * 4
BOX = [2.0, 3.0, 10.0, 8.0]


def test_a_clip_begins_where_its_target_does():
    cut = validation.prepare(
        [track([NONE, NONE, BOX, NONE, BOX, BOX], cover=np.arange(6), tags={"blur": np.arange(6)})],
        3,
    )[0]
    np.testing.assert_array_equal(cut.boxes, np.array([BOX, NONE, BOX], np.float32))
    assert cut.cover.tolist() == [2, 3, 4]
    assert cut.tags["blur"].tolist() == [2, 3, 4]
    assert len(cut.media) == 3
    assert [int(frame[0, 0, 0]) for frame in cut.media] == [2, 3, 4]
    assert cut.media.frame(1)[0, 0, 0] == 3
    assert cut.media.name == "clip"
    with pytest.raises(IndexError, match="frame 3 of 3"):
        cut.media.frame(3)


def test_clips_without_two_boxes_are_left_out():
    good = track([BOX, BOX, BOX])
    kept = validation.prepare([track([NONE, NONE]), track([NONE, BOX]), good], 100)
    assert [len(cut) for cut in kept] == [3]
    with pytest.raises(ValueError, match="boxes in two frames, got 1 clips"):
        validation.prepare([track([NONE, BOX])], 100)
    with pytest.raises(ValueError, match="clip_frames: expected at least 2, got 1"):
        validation.prepare([good], 1)


def test_success():
    away = [12.0, 3.0, 10.0, 8.0]  # beside the first box: no overlap
    tracker = Still()
    clips = validation.prepare([track([NONE, BOX, BOX, away, BOX])], 10)
    found = validation.success(tracker, clips, {"score": 0.5})
    assert tracker.seen == [1, 2, 3, 4]
    # Three of four frames at an overlap of 1: 20 of 21 thresholds each.
    assert found == {"clip": pytest.approx(3 / 4 * 20 / 21)}
