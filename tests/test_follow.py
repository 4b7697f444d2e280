import dataclasses
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import follow, readahead, video
from siamjax.track.many import init_many, step_many
from siamjax.track.siamfc import SiamFC
from siamjax.track.siammask import SiamMask
from siamjax.track.state import Out

SMALL = SiamFC("alexnet-v1", width=0.05)


@pytest.fixture(scope="module")
def weights():
    return SMALL.init_variables(jax.random.key(0))


@dataclasses.dataclass(frozen=True)
class Shift(SiamFC):
    """A stand-in that moves its box by the red value of each frame's first pixel."""

    def init(self, variables, frame, box, hyper=None):
        return jnp.asarray(box)

    def step(self, variables, state, frame, hyper=None):
        moved = state.at[0].add(jnp.asarray(frame)[0, 0, 0].astype(jnp.float32))
        valid = moved[0] < 100
        box = jnp.where(valid, moved, jnp.nan)
        return moved, Out(box, jnp.float32(0.5), valid, ~valid & False)


@dataclasses.dataclass(frozen=True)
class Disc(SiamMask):
    """A stand-in that moves its box a pixel a frame and draws a disc in it, fading from its centre.

    The state counts how often it was stepped; after three steps the target is not found.
    """

    def init(self, variables, frame, box, hyper=None):
        return jnp.asarray(box), jnp.int32(0)

    def step(self, variables, state, frame, hyper=None):
        box, steps = state
        box = box.at[0].add(1.0)
        height, width = frame.shape[:2]
        x, y = jnp.arange(width)[None], jnp.arange(height)[:, None]
        radius = jnp.hypot((x - box[0]) / box[2] - 0.5, (y - box[1]) / box[3] - 0.5)
        valid = steps < 3
        mask = jnp.where(valid, jnp.clip(1 - radius, 0, 1), 0)
        shown = jnp.where(valid, box, jnp.nan)
        out = Out(shown, jnp.float32(0.5), valid, steps == 1, mask, jnp.float32(0.5))
        return (box, steps + 1), out


def plain(count=6, size=(40, 60), red=2):
    return [np.full((*size, 3), (red, 0, i), np.uint8) for i in range(count)]


def textured(count=4, seed=0):
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 255, (count, 60, 80, 3), np.uint8))


def run(source, boxes, **options):
    return follow.track_video(source, boxes, tracker=Shift(), variables={}, **options)


def write(path, images, rate=25):
    with video.VideoWriter(path, rate) as writer:
        for image in images:
            writer.write(image)
    return path


def test_tracks_of_arrays():
    tracks = run(plain(), [5, 6, 10, 12])
    np.testing.assert_array_equal(tracks.frames, range(6))
    np.testing.assert_allclose(tracks.times, np.arange(6) / 25)
    np.testing.assert_allclose(tracks.boxes[:, 0, 0], [5, 7, 9, 11, 13, 15])
    np.testing.assert_allclose(tracks.boxes[:, 0, 1:], [[6, 10, 12]] * 6)
    np.testing.assert_allclose(tracks.scores[:, 0], [1, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert tracks.valid.all()
    shapes = [array.shape for array in tracks]
    assert shapes == [(6,), (6,), (6, 1, 4), (6, 1), (6, 1)]
    kinds = [array.dtype for array in tracks]
    assert kinds == [np.int64, np.float64, np.float32, np.float32, bool]


def test_tracks_of_a_file_from_a_start_frame(tmp_path):
    path = write(tmp_path / "clip.mp4", plain(20), rate=10)
    tracks = run(path, (5, 6, 10, 12), start=15, limit=3)
    np.testing.assert_array_equal(tracks.frames, [15, 16, 17])
    np.testing.assert_allclose(tracks.times, [1.5, 1.6, 1.7], atol=1e-3)


def test_start_and_limit_of_arrays():
    tracks = run(iter(plain(10)), [5, 6, 10, 12], start=3, limit=4)
    np.testing.assert_array_equal(tracks.frames, [3, 4, 5, 6])
    np.testing.assert_allclose(tracks.boxes[:, 0, 0], [5, 7, 9, 11])


def test_frames_keep_their_own_numbers_and_times():
    frames = [video.Frame(10 * i, 0.3 * i, image) for i, image in enumerate(plain(3))]
    tracks = run(frames, [5, 6, 10, 12])
    np.testing.assert_array_equal(tracks.frames, [0, 10, 20])
    np.testing.assert_allclose(tracks.times, [0, 0.3, 0.6])


def test_lost_targets_are_nan_and_not_valid():
    tracks = run(plain(4, red=40), [5, 6, 10, 12])
    assert tracks.valid[:, 0].tolist() == [True, True, True, False]
    assert np.isnan(tracks.boxes[3]).all()
    np.testing.assert_allclose(tracks.boxes[2, 0, 0], 85)


def test_masks_are_merged_and_boxed_from_the_first_frame_on():
    boxes = np.float32([[5, 6, 20, 16], [19, 8, 24, 14]])
    results = list(follow.follow(plain(5), boxes, tracker=Disc(), variables={}))
    np.testing.assert_array_equal(results[0].boxes, boxes)  # given, though a step was made
    assert results[0].scores.tolist() == [1, 1]
    for n, result in enumerate(results[:4]):
        ahead = 1 if n == 0 else n  # the first frame's masks are one step's as well
        assert result.masks.shape == (2, 40, 60)
        assert result.masks.dtype == np.float32
        assert result.labels.shape == (40, 60)
        x = boxes[:, 0] + ahead
        row = result.labels[14]
        assert row[int(x[0]) + 10] == 1
        assert row[int(x[1]) + 12] == 2
        assert row[int(x[0]) - 2] == 0
        middle = (x[0] + 20 + x[1]) / 2  # discs touch; each pixel goes to the nearer centre
        assert row[int(middle) - 3] == 1
        assert row[int(middle) + 4] == 2
        sides = result.rotated_boxes.max(axis=1) - result.rotated_boxes.min(axis=1)
        np.testing.assert_allclose(sides, boxes[:, 2:] - 2, atol=1e-3)  # between pixel centres
    np.testing.assert_array_equal([r.lost[0] for r in results], [False, False, True, False, False])
    last = results[4]
    assert not last.valid.any()
    assert (last.labels == 0).all()
    assert np.isnan(last.rotated_boxes).all()


def test_one_target_has_masks_too():
    boxes = [5, 6, 20, 16]
    results = list(follow.follow(plain(3), boxes, tracker=Disc(), variables={}))
    assert results[2].masks.shape == (1, 40, 60)
    assert results[2].rotated_boxes.shape == (1, 4, 2)
    assert set(np.unique(results[2].labels)) == {0, 1}
    tracks = follow.track_video(plain(3), boxes, tracker=Disc(), variables={})
    np.testing.assert_array_equal(tracks.boxes[:, 0, 0], [5, 6, 7])


def test_trackers_without_masks_give_none():
    (*_, result) = follow.follow(plain(3), [5, 6, 10, 12], tracker=Shift(), variables={})
    assert (result.masks, result.labels, result.rotated_boxes) == (None, None, None)
    assert result.lost.tolist() == [False]


def test_on_frame_sees_every_result_with_its_picture():
    seen = []
    images = plain(5)
    tracks = run(images, [5, 6, 10, 12], on_frame=seen.append)
    assert [result.frame for result in seen] == [0, 1, 2, 3, 4]
    for result, image, boxes in zip(seen, images, tracks.boxes, strict=True):
        np.testing.assert_array_equal(result.image, image)
        np.testing.assert_array_equal(result.boxes, boxes)


def test_one_target_is_the_plain_step(weights):
    images, box = textured(), np.array([20, 15, 24, 20], np.float32)
    tracks = follow.track_video(images, box, tracker=SMALL, variables=weights)
    state = SMALL.init(weights, images[0], box)
    for n, image in enumerate(images[1:], start=1):
        state, out = SMALL.step(weights, state, image)
        np.testing.assert_array_equal(tracks.boxes[n, 0], out.box)
        np.testing.assert_array_equal(tracks.scores[n, 0], out.score)


def test_many_targets_are_the_mapped_step(weights):
    images = textured(3)
    boxes = np.array([[20, 15, 24, 20], [40, 30, 16, 18], [5, 5, 30, 12]], np.float32)
    tracks = follow.track_video(images, boxes, tracker=SMALL, variables=weights)
    assert tracks.boxes.shape == (3, 3, 4)
    np.testing.assert_array_equal(tracks.boxes[0], boxes)
    states = init_many(SMALL, weights, images[0], boxes)
    for n, image in enumerate(images[1:], start=1):
        states, outs = step_many(SMALL, weights, states, image)
        np.testing.assert_array_equal(tracks.boxes[n], outs.box)
    alone = follow.track_video(images, boxes[1], tracker=SMALL, variables=weights)
    np.testing.assert_allclose(tracks.boxes[:, 1], alone.boxes[:, 0], atol=1e-3)


def test_frame_size_may_change_in_mid_clip(weights):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 255, (*size, 3), np.uint8) for size in [(60, 80), (50, 70), (60, 80)]]
    tracks = follow.track_video(images, [20, 15, 24, 20], tracker=SMALL, variables=weights)
    assert tracks.valid.all()
    assert np.isfinite(tracks.boxes).all()


def test_one_pixel_frames_have_an_answer(weights):
    images = [np.full((1, 1, 3), 9, np.uint8)] * 3
    tracks = follow.track_video(images, [0, 0, 1, 1], tracker=SMALL, variables=weights)
    assert tracks.boxes.shape == (3, 1, 4)
    assert (np.isfinite(tracks.boxes).all(axis=2) == tracks.valid).all()


BAD = {
    "grey": np.zeros((40, 60), np.uint8),
    "grey with an axis": np.zeros((40, 60, 1), np.uint8),
    "rgba": np.zeros((40, 60, 4), np.uint8),
    "float": np.zeros((40, 60, 3), np.float32),
    "int": np.zeros((40, 60, 3), np.int64),
    "batch": np.zeros((1, 40, 60, 3), np.uint8),
    "empty": np.zeros((0, 60, 3), np.uint8),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("at", [0, 2])
def test_frames_of_another_kind_are_refused_by_number(name, at):
    images = [*plain(at), BAD[name]]
    with pytest.raises(ValueError, match=rf"frame {at}: expected uint8\[height, width, 3\]"):
        run(images, [5, 6, 10, 12])


def test_things_that_are_no_frames():
    with pytest.raises(ValueError, match="frame 0: expected an array, got str"):
        run(iter(["a.png", "b.png"]), [5, 6, 10, 12])


def test_no_frames():
    with pytest.raises(ValueError, match="source: expected at least one frame, got none"):
        run([], [5, 6, 10, 12])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([np.nan, 1, 5, 5], "boxes: expected finite numbers"),
        ([5, 5, -3, 4], "boxes: expected a width and height of at least 1 pixel"),
        ([5, 5, 0, 4], "boxes: expected a width and height of at least 1 pixel"),
        ([5, 5, 0.5, 4], "boxes: expected a width and height of at least 1 pixel"),
        ([60, 5, 4, 4], r"boxes: \[60.0, 5.0, 4.0, 4.0\] lies wholly outside the frame of 60x40"),
        ([[5, 5, 4, 4], [-9, 5, 4, 4]], r"boxes\[1\]: .*outside"),
        ([], r"boxes: expected at least one box x, y, width, height, got \[\]"),
        ([5, 5, 4], "boxes: expected four numbers"),
        ("5 5 4 4", "boxes: expected at least one box"),
        (np.zeros((2, 2, 4)), r"boxes\[0\]: expected four numbers"),
    ],
)
def test_boxes_that_cannot_be_tracked(boxes, message):
    with pytest.raises(ValueError, match=message):
        run(plain(), boxes)


def test_boxes_are_checked_against_the_start_frame():
    images = [*plain(1, size=(400, 600)), *plain(2, size=(40, 60))]
    with pytest.raises(ValueError, match="outside the frame of 60x40"):
        run(images, [300, 200, 20, 20], start=1)


@pytest.mark.parametrize("box", [[-5, -5, 20, 20], [50, 30, 30, 30], [-10, -10, 200, 200]])
def test_boxes_over_the_border_are_accepted(box):
    assert run(plain(2), box).boxes[0, 0].tolist() == box


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start: expected a frame number >= 0, got -1"),
        ({"limit": 0}, "limit: expected at least 1 frame, got 0"),
    ],
)
def test_ranges(options, message):
    with pytest.raises(ValueError, match=message):
        run(plain(), [5, 6, 10, 12], **options)


def test_tracker_without_variables():
    with pytest.raises(ValueError, match="variables: expected with the other"):
        follow.track_video(plain(), [5, 6, 10, 12], tracker=Shift())


def test_errors_of_the_decoding_thread_arrive(tmp_path):
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"no\.mp4: not a video"):
        run(tmp_path / "no.mp4", [5, 6, 10, 12])
    with pytest.raises(FileNotFoundError, match=r"nothing\.mp4"):
        run(str(tmp_path / "nothing.mp4"), [5, 6, 10, 12])
    path = write(tmp_path / "short.mp4", plain(5))
    with pytest.raises(ValueError, match="start: frame 5 lies beyond"):
        run(path, [5, 6, 10, 12], start=5)


def test_truncated_file_gives_its_part(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "cut.mp4", list(rng.integers(0, 255, (60, 40, 60, 3), np.uint8)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"cut\.mp4: truncated"):
        tracks = run(path, [5, 6, 10, 12])
    assert 5 < len(tracks.frames) < 45


def decoders():
    return [thread for thread in threading.enumerate() if thread.name == "decode-ahead"]


def test_decoding_runs_ahead_a_little_and_ends_with_the_caller(tmp_path):
    path = write(tmp_path / "long.mp4", plain(40))
    read = []

    def counted(*args, **kwargs):
        for frame in original(*args, **kwargs):
            read.append(frame.index)
            yield frame

    original = video.frames
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow.video, "frames", counted)
        results = follow.follow(path, [5, 6, 10, 12], tracker=Shift(), variables={})
        next(results)
        until = time.monotonic() + 10
        while len(read) < readahead.PREFETCH + 2 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        # one is with the caller, PREFETCH wait, one is in the thread's hand
        assert len(read) == readahead.PREFETCH + 2
        assert decoders()
        results.close()
    assert not decoders()


def test_caller_may_break_off_at_any_frame(tmp_path):
    path = write(tmp_path / "clip.mp4", plain(30))

    def stop(result):
        if result.frame == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, [5, 6, 10, 12], on_frame=stop)
    assert not decoders()


def test_bundled_clip():
    clip = follow.bundled_clip()
    info = video.info(clip.path)
    assert (info.width, info.height, info.count) == (640, 360, 132)
    assert clip.path.stat().st_size < 1_000_000
    assert clip.frames == tuple(range(20, 140, 10))
    assert clip.boxes.shape == (12, 4)
    assert clip.boxes[0].tolist() == [195, 114, 71, 88]
    ends = clip.boxes[:, :2] + clip.boxes[:, 2:]
    assert (clip.boxes[:, :2] > 0).all()
    assert (ends < [640, 360]).all()
    licence = clip.path.with_name("bigbuckbunny.LICENSE.txt").read_text()
    for words in ("Blender Foundation", "creativecommons.org/licenses/by/3.0", "Changes made"):
        assert words in licence
