import inspect

import cv2
import numpy as np
import pytest

from siamjax.data.readers import vot as readers
from siamjax.data.tracks import Track
from siamjax.evaluate import realtime, supervised, vot, vot_files
from siamjax.track.state import Out


class Clip:
    name = "clip"

    def __init__(self, frames):
        self.frames = frames

    def __len__(self):
        return self.frames

    def frame(self, i):
        return np.full((60, 80, 3), i, np.uint8)

    def __iter__(self):
        return (self.frame(i) for i in range(self.frames))


class Scripted:
    """Answers with the box it was started on, moved in the frames given; notes what it was told.

    `seconds` says how long each call takes, by the number of its frame.
    """

    def __init__(self, moved=None, invalid=(), seconds=None, mask=None):
        self.moved, self.invalid = moved or {}, invalid
        self.seconds, self.mask = seconds or {}, mask
        self.starts, self.seen, self.now = [], [], 0.0

    def clock(self):
        return self.now

    def init(self, variables, frame, box, hyper=None):
        index = int(frame[0, 0, 0])
        self.starts.append((index, box.tolist()))
        self.now += self.seconds.get(index, 0)
        return np.asarray(box)

    def step(self, variables, state, frame, hyper=None):
        index = int(frame[0, 0, 0])
        self.seen.append(index)
        self.now += self.seconds.get(index, 0)
        box = state + np.array([self.moved.get(index, 0), 0, 0, 0], np.float32)
        valid = index not in self.invalid
        mask = None
        if self.mask is not None:
            mask = np.zeros((60, 80), np.float32)
            mask[self.mask] = 1
        out = Out(box if valid else box * np.nan, np.float32(1), np.bool_(valid), np.bool_(False),
                  mask, None if mask is None else np.asarray(0.5, np.float32))  # fmt: skip
        return state, out


BOX = [20.0, 20, 10, 10]


def _track(frames=16, **changes):
    boxes = np.tile(np.array([BOX], np.float32), (frames, 1))
    return Track(**{"name": "one", "media": Clip(frames), "boxes": boxes, **changes})


def test_starts_again_five_frames_after_a_failure():
    tracker = Scripted({4: 30})
    found = supervised.run(_track(), tracker, {}).answers
    assert found.codes.tolist() == [1, -1, -1, -1, 2, 0, 0, 0, 0, 1, *[-1] * 6]
    assert tracker.starts == [(0, BOX), (9, BOX)]
    assert tracker.seen == [1, 2, 3, 4, *range(10, 16)]
    np.testing.assert_array_equal(found.regions[found.codes == -1], np.tile([BOX], (9, 1)))
    assert np.isnan(found.regions[found.codes != -1]).all()
    np.testing.assert_array_equal(found.failures, [4])


def test_touching_boxes_are_a_failure_and_one_pixel_is_none():
    assert supervised.run(_track(3), Scripted({1: 10}), {}).answers.codes.tolist() == [1, 2, 0]
    assert supervised.run(_track(3), Scripted({1: 9}), {}).answers.codes.tolist() == [1, -1, -1]


def test_failure_too_late_to_start_again():
    assert supervised.run(_track(8), Scripted({5: 30}), {}).answers.codes.tolist() == [
        1, -1, -1, -1, -1, 2, 0, 0,
    ]  # fmt: skip


def test_polygons_start_the_tracker_on_a_box_of_their_area():
    # A square of side 10 sqrt(2) on its corner, around (40, 30).
    diamond = np.array([[40, 20, 50, 30, 40, 40, 30, 30]], np.float32)
    tracker = Scripted()
    found = supervised.run(_track(3, regions=np.tile(diamond, (3, 1))), tracker, {}).answers
    side = 10 * np.sqrt(2) + 1
    start = 40 - (side - 1) / 2
    np.testing.assert_allclose(tracker.starts[0][1], [start, start - 10, side, side], rtol=1e-6)
    assert found.codes.tolist() == [1, -1, -1]


def test_rotated_boxes_of_masks():
    tracker = Scripted(mask=(slice(18, 34), slice(15, 35)), invalid=(1,))
    found = supervised.run(_track(4), tracker, {}).answers
    assert found.regions.shape == (4, 8)
    # The box it was started on stands in until the first valid answer.
    assert found.regions[1].tolist() == [20, 20, 30, 20, 30, 30, 20, 30]
    corners = found.regions[2].reshape(4, 2)
    assert sorted(map(tuple, corners)) == [(15, 18), (15, 33), (34, 18), (34, 33)]


def test_answer_that_is_not_valid():
    found = supervised.run(_track(5), Scripted({1: 3, 2: 30}, invalid=(2,)), {}).answers
    assert found.codes.tolist() == [1, -1, -1, -1, -1]
    assert found.regions[1:4, 0].tolist() == [23, 23, 20]


def test_frames_without_truth():
    boxes = np.tile(np.array([BOX], np.float32), (9, 1))
    boxes[[0, 4, 7]] = np.nan
    tracker = Scripted({2: 30, 4: 30})
    found = supervised.run(_track(9, boxes=boxes), tracker, {}).answers
    # No start at 0 nor at 7, where there is no truth, and no failure at 4.
    assert found.codes.tolist() == [0, 1, 2, 0, 0, 0, 0, 0, 1]
    tracker = Scripted({4: 30})
    assert supervised.run(_track(6, boxes=boxes[:6]), tracker, {}).answers.codes.tolist() == [
        0, 1, -1, -1, -1, -1,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="one: none of the 9 frames has a truth"):
        supervised.run(_track(9, boxes=boxes * np.nan), Scripted(), {})


def test_real_time():
    # At 10 frames a second: the call for frame 3 takes 2.5 frames and is the fourth, out of grace.
    tracker = Scripted({3: 2, 5: 30}, seconds={0: 5.0, 1: 5.0, 2: 5.0, 3: 0.25})
    real_time = realtime.RealTime(fps=10)
    found = supervised.run(_track(9), tracker, {}, real_time=real_time, clock=tracker.clock)
    # Three calls in grace, however long; 3 + 2.5 frames later the next one seen is 5.
    assert tracker.seen == [1, 2, 3, 5]
    assert found.answers.codes.tolist() == [1, -1, -1, -1, -1, 2, 0, 0, 0]
    assert found.answers.regions[1:5, 0].tolist() == [20, 20, 22, 22]
    np.testing.assert_allclose(found.seconds[[0, 1, 2, 3, 5]], [5, 5, 5, 0.25, 0])
    assert np.isnan(found.seconds[[4, 6, 7, 8]]).all()
    # Frames that wait: every one is seen.
    tracker = Scripted(seconds={3: 9.0})
    supervised.run(_track(9), tracker, {}, clock=tracker.clock)
    assert tracker.seen == list(range(1, 9))


def test_an_answer_that_is_late_is_judged_by_the_frames_that_pass():
    boxes = np.tile(np.array([BOX], np.float32), (9, 1))
    boxes[5:, 0] += 40
    tracker = Scripted(seconds={3: 0.5})
    found = supervised.run(
        _track(9, boxes=boxes),
        tracker,
        {},
        real_time=realtime.RealTime(fps=10, grace=0),
        clock=tracker.clock,
    )
    assert tracker.seen == [1, 2, 3]
    assert found.answers.codes.tolist() == [1, -1, -1, -1, -1, 2, 0, 0, 0]


def test_scores_of_a_run():
    track = _track(40)
    answers = supervised.run(track, Scripted({30: 30}), {}).answers
    scores = vot.analyse([vot.Recording("one", track.boxes, (80, 60), (answers,))], (5, 20))
    assert (scores.accuracy, scores.lost, scores.frames) == (1, 1, 40)
    # To frame 20 only the fragment that fails at 30 and the whole of one are known.
    assert scores.eao == 1


def test_a_tree_run_with_two_trackers_written_and_read_back(tmp_path):
    place = tmp_path / "data" / "ants"
    (place / "color").mkdir(parents=True)
    for k in range(30):
        cv2.imwrite(str(place / "color" / f"{k + 1:08d}.png"), np.full((60, 80, 3), k, np.uint8))
    (place / "groundtruth.txt").write_text("20,20,30,20,30,30,20,30\n" * 30)
    (place / "occlusion.tag").write_text("1\n" * 20)
    (track,) = readers.read(tmp_path / "data")
    found = {}
    for name, tracker in (("good", Scripted()), ("bad", Scripted({14: 30}))):
        answers = supervised.run(track, tracker, {}).answers
        vot_files.write_supervised(tmp_path / name, track.name, [answers])
        again = vot_files.read_supervised(tmp_path / name, track.name, len(track))
        for runs in ((answers,), again):
            recording = vot.Recording(
                track.name, supervised.truth_regions(track), track.size(), runs, track.tags
            )
            scores = vot.analyse([recording], (1, 10))
            found.setdefault(name, []).append((scores.accuracy, scores.lost, scores.eao))
            assert vot.analyse([recording], (1, 10), tag="occlusion").frames == 20
    assert found["good"][0] == found["good"][1]
    assert found["bad"][0] == found["bad"][1]
    assert (found["good"][0][1], found["bad"][0][1]) == (0, 1)
    assert found["good"][0][2] >= found["bad"][0][2] > 0.1


def test_refusals():
    with pytest.raises(ValueError, match="fps: expected more than 0, got 0"):
        realtime.RealTime(fps=0)
    short = _track(4, media=Clip(3), boxes=np.tile(np.array([BOX], np.float32), (4, 1)))
    with pytest.raises(ValueError, match="one: ends before frame 3 of 4"):
        inspect.unwrap(supervised.run)(short, Scripted(), {})
