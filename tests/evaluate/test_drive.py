import threading
from pathlib import Path

import numpy as np
import pytest

from siamjax.data.media import PictureFolder
from siamjax.data.tracks import Track
from siamjax.evaluate import drive, formats, run, store

FRAME = np.zeros((4, 4, 3), np.uint8)


class Clock:
    """Tells the seconds that the work done so far took."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def spend(self, seconds, result):
        self.now += seconds
        return result


def test_times_with_decoding_and_without():
    clock, taken, told = Clock(), [], []
    frames = (clock.spend(10.0, FRAME) for _ in range(4))
    times = drive.drive(
        frames,
        "clip",
        5,
        lambda: clock.spend(3.0, 0),
        lambda state, frame: clock.spend(state + 1.0, (state + 1, state)),
        lambda index, out: taken.append((index, out)),
        lambda *event: told.append(event),
        clock,
    )
    assert taken == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert times.steps.tolist() == [3, 1, 2, 3, 4]
    # From the answer for frame 1 to the last: three frames decoded, three steps.
    assert (times.seconds, times.timed) == (30 + 2 + 3 + 4, 3)
    assert told == [("clip", done, 5) for done in range(1, 6)]
    found = store.Run(np.zeros((5, 4), np.float32), np.zeros(5, np.float32), *times)
    assert (found.fps, found.fps_tracker) == (3 / 39, 3 / 9)
    other = found._replace(seconds=1.0, timed=1, steps=None)
    assert store.rate([found, other]) == 4 / 40
    assert store.rate_alone([found, other]) == 3 / 9  # of those that tell it
    with pytest.raises(ValueError, match="clip: ends before frame 2 of 5"):
        drive.drive(iter([FRAME]), "clip", 5, lambda: 0, lambda s, f: (s, s), lambda *_: None)


def test_a_clip_is_decoded_in_a_thread_that_ends_with_it():
    names = lambda: [one.name for one in threading.enumerate()]
    with drive.opened([FRAME] * 3) as frames:
        next(frames)
    assert "decode-ahead" not in names()


def test_stored_runs_are_averaged_and_tell_their_times():
    truth = np.tile(np.array([[4, 5, 20, 10]], np.float32), (4, 1))
    track = Track("a", PictureFolder((Path("1.png"),) * 4), truth, frame_size=(64, 48))
    exact, off = truth.astype(np.float64), truth + np.array([10.0, 0, 0, 0])
    runs = [formats.Result(exact, np.array([0, 0, 0.25, 0.75])), formats.Result(off)]
    summary = run.score([track], {"a": runs}, convention="visible")
    assert summary["mean_iou"] == pytest.approx((1 + 1 / 3) / 2)
    assert summary["frames"] == 4
    assert (summary["fps"], summary["fps_tracker"]) == (None, 2)  # of the two frames with a time
