import json
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import readahead
from siamjax.data.tracks import Track
from siamjax.evaluate import onepass, ope, page, run, store
from siamjax.track.siamfc import SiamFC
from siamjax.track.state import Out


class Clip:
    """Grey frames made on demand; remembers how many were asked for."""

    def __init__(self, frames, size=(64, 48)):
        self.frames, self.size, self.given = frames, size, 0

    name = "clip"

    def __len__(self):
        return self.frames

    def frame(self, i):
        return np.full((*self.size[::-1], 3), i % 256, np.uint8)

    def __iter__(self):
        for i in range(self.frames):
            self.given += 1
            yield self.frame(i)


class Constants(NamedTuple):
    speed: float = 2.0


class Drift:
    """Moves the box to the right by `speed` a frame; invalid in the frames given."""

    def __init__(self, invalid=()):
        self.invalid, self.steps = invalid, 0

    def __repr__(self):
        return f"Drift({self.invalid})"

    def hyper(self):
        return Constants()

    def init(self, variables, frame, box, hyper=None):
        return (np.asarray(box), 0)

    def step(self, variables, state, frame, hyper: Any = None):
        self.steps += 1
        box, index = state
        index += 1
        assert frame[0, 0, 0] == index, "frames come in order"
        speed = (hyper or self.hyper()).speed
        box = box + np.array([speed * variables["gain"], 0, 0, 0], np.float32)
        valid = index not in self.invalid
        shown = box if valid else np.full(4, np.nan, np.float32)
        return (box, index), Out(shown, np.float32(0.25), np.bool_(valid), np.bool_(False))


VARIABLES = {"gain": np.float32(1)}


def _track(name="a", frames=6, speed=2.0):
    boxes = np.tile(np.array([[4, 5, 20, 10]], np.float32), (frames, 1))
    boxes[:, 0] += speed * np.arange(frames, dtype=np.float32)
    return Track(name, Clip(frames), boxes)


def test_perfect_tracker_and_files(tmp_path):
    told = []
    out = tmp_path / "deep" / "out"
    summary = run.evaluate(
        [_track("a"), _track("b", frames=3)],
        Drift(),
        VARIABLES,
        out,
        format="folder",
        model="drift",
        data="made",
        on_frame=lambda *event: told.append(event),
    )
    assert summary["success_auc"] == pytest.approx(20 / 21)
    assert (summary["precision_20"], summary["mean_iou"], summary["frames"]) == (1, 1, 9)
    assert summary["fps"] > 0
    assert list(summary["sequences"]) == ["a", "b"]
    assert summary["sequences"]["b"]["frames"] == 3
    assert set(summary["sequences"]["a"]) == {
        "size",
        "success_auc",
        "precision_20",
        "normalised_20",
        "normalised_auc",
        "mean_iou",
        "fps",
        "fps_tracker",
        "frames",
    }
    assert summary["hyper"] == {"speed": 2.0}
    assert summary["conventions"]["name"] == "visible"
    assert {"siamjax", "jax", "numpy"} <= set(summary["versions"])
    assert json.loads((out / "results.json").read_text()) == summary
    lines = (out / "boxes" / "b.txt").read_text().splitlines()
    assert lines[0] == "4.0000,5.0000,20.0000,10.0000"
    assert lines[2] == "8.0000,5.0000,20.0000,10.0000"
    assert (out / "scores" / "b.txt").read_text() == "1.0000\n0.2500\n0.2500\n"
    assert told[-3:] == [("b", 1, 3), ("b", 2, 3), ("b", 3, 3)]
    assert not list(out.rglob(".*"))  # no temporary file left


def test_known_error_by_half_the_speed(tmp_path):
    # The truth stands still, the box moves 2 px a frame: centre errors 0, 2, ..., 38.
    summary = run.evaluate([_track(frames=20, speed=0)], Drift(), VARIABLES)
    assert summary["precision_20"] == 11 / 20
    # Overlap of 20 px wide boxes moved by d: (20 - d) / (20 + d), none from 20 px on.
    overlaps = [max(20 - d, 0) / (20 + d) for d in range(0, 40, 2)]
    assert summary["mean_iou"] == pytest.approx(np.mean(overlaps))
    assert summary["success_auc"] == pytest.approx(
        np.mean([np.mean([o > t for o in overlaps]) for t in np.linspace(0, 1, 21)])
    )


def test_invalid_answers_keep_the_last_valid_box():
    result = onepass.run_track(_track(frames=6), Drift(invalid=(2, 3)), VARIABLES)
    np.testing.assert_array_equal(result.boxes[:, 0], [4, 6, 6, 6, 12, 14])
    assert (result.timed, result.scores[0]) == (4, 1)


def test_short_clips_have_no_rate():
    for frames in (1, 2):
        result = onepass.run_track(_track(frames=frames), Drift(), VARIABLES)
        assert (result.timed, result.fps, len(result.boxes)) == (0, None, frames)
    assert run.evaluate([_track(frames=2)], Drift(), VARIABLES)["fps"] is None


def test_frames_are_streamed():
    track = _track(frames=40)
    given = []
    tracker = Drift()
    onepass.run_track(
        track,
        tracker,
        VARIABLES,
        on_frame=lambda n, done, t: given.append(track.media.given - done),
    )
    assert max(given) <= readahead.PREFETCH + 2  # frames decoded ahead of the answers


def _resumes(tmp_path, tracks, tracker, variables=VARIABLES, **settings):
    before = tracker.steps
    run.evaluate(tracks, tracker, variables, tmp_path, **settings)
    return tracker.steps - before


def test_resume(tmp_path):
    tracks = [_track("a"), _track("b")]
    tracker = Drift()
    first = run.evaluate(tracks, tracker, VARIABLES, tmp_path)
    assert tracker.steps == 10
    assert run.evaluate(tracks, tracker, VARIABLES, tmp_path) == first  # frames/s from the files
    assert tracker.steps == 10
    # Another truth later on or another convention is a matter of scoring alone.
    moved = [
        Track("a", tracks[0].media, np.vstack([tracks[0].boxes[:5], [[9, 9, 9, 9]]], dtype="f4"))
    ]
    assert _resumes(tmp_path, moved, tracker) == 0
    assert _resumes(tmp_path, tracks, tracker, convention="got10k") == 0
    assert _resumes(tmp_path, tracks, tracker, hyper=Constants(2.0)) == 0


def test_what_is_run_again(tmp_path):
    tracks = [_track("a"), _track("b")]
    tracker = Drift()
    assert _resumes(tmp_path, tracks, tracker) == 10
    assert _resumes(tmp_path, tracks, tracker, hyper=Constants(3.0)) == 10
    assert _resumes(tmp_path, tracks, tracker) == 10
    assert _resumes(tmp_path, tracks, tracker, {"gain": np.float32(2)}) == 10
    assert _resumes(tmp_path, tracks, Drift(invalid=(1,)), {"gain": np.float32(2)}) == 10
    assert _resumes(tmp_path, tracks, tracker) == 10
    boxes = tmp_path / "boxes" / "a.txt"
    boxes.write_text(boxes.read_text()[:-30])  # cut short
    assert _resumes(tmp_path, tracks, tracker) == 5
    (tmp_path / "timing" / "b.json").write_text("{")
    assert _resumes(tmp_path, tracks, tracker) == 5
    (tmp_path / "scores" / "b.txt").unlink()
    assert _resumes(tmp_path, tracks, tracker) == 5
    longer = [_track("a", frames=7), tracks[1]]
    assert _resumes(tmp_path, longer, tracker) == 6
    assert _resumes(tmp_path, longer, tracker) == 0


def test_interruption_keeps_finished_sequences(tmp_path):
    tracks = [_track("a"), _track("b")]

    def stop(name, done, total):
        if (name, done) == ("b", 3):
            raise KeyboardInterrupt

    tracker = Drift()
    with pytest.raises(KeyboardInterrupt):
        run.evaluate(tracks, tracker, VARIABLES, tmp_path, on_frame=stop)
    assert not (tmp_path / "results.json").exists()
    assert _resumes(tmp_path, tracks, tracker) == 5  # b alone


def test_score_of_stored_boxes_is_the_same(tmp_path):
    tracks = [_track("a", speed=0), _track("b", frames=9, speed=1.7)]
    third = {"gain": np.float32(1 / 3)}
    ran = run.evaluate(tracks, Drift(), third, tmp_path / "run")
    scored = run.score(tracks, tmp_path / "run" / "boxes", tmp_path / "score")
    for field in ("success_auc", "precision_20", "mean_iou", "curves", "frames"):
        assert scored[field] == ran[field]
    assert scored["fps"] is None
    assert (tmp_path / "score" / "report.html").exists()
    (tmp_path / "run" / "boxes" / "b.txt").write_text("1 2 3 4\n")
    with pytest.raises(ValueError, match="b: boxes: expected 9"):
        run.score(tracks, tmp_path / "run" / "boxes")
    (tmp_path / "run" / "boxes" / "b.txt").unlink()
    with pytest.raises(ValueError, match=r"b\.txt: cannot be read"):
        run.score(tracks, tmp_path / "run" / "boxes")


@pytest.mark.parametrize(
    ("values", "expected"),
    [(0.1, 0.1), (12.34567, 12.3457), (1023.99996, 1023.9999), (3000.0001, 3000.0), (-7.25, -7.25)],
)
def test_stored_boxes_are_read_back_exactly(tmp_path, values, expected):
    """Boxes rounded as `run_track` rounds them survive the text file bit for bit."""
    rounded = np.array([[values] * 4]).astype(np.float32).astype(np.float64).round(4)
    boxes = rounded.astype(np.float32)
    store.save(tmp_path, "a", store.Run(boxes, np.ones(1, np.float32), 1.5, 3), "key")
    found = store.load(tmp_path, "a", "key")
    np.testing.assert_array_equal(found.boxes, boxes)
    assert abs(found.boxes[0, 0] - expected) < 2e-4
    assert found.fps == 2
    assert store.load(tmp_path, "a", "other key") is None


def test_refusals(tmp_path):
    absent = _track()
    absent.boxes[0] = np.nan
    with pytest.raises(ValueError, match="a: the first frame has no truth"):
        run.evaluate([absent], Drift(), VARIABLES)
    with pytest.raises(ValueError, match="tracks: expected at least one sequence"):
        run.evaluate([], Drift(), VARIABLES)
    with pytest.raises(ValueError, match="two sequences have the name 'a'"):
        run.evaluate([_track(), _track()], Drift(), VARIABLES)
    with pytest.raises(ValueError, match=r"'\.\./a' cannot be a file's name"):
        run.evaluate([_track("../a")], Drift(), VARIABLES, tmp_path)
    with pytest.raises(ValueError, match="convention: 'vot'"):
        run.evaluate([_track()], Drift(), VARIABLES, convention="vot")
    short = Track("a", Clip(3), _track().boxes)
    with pytest.raises(ValueError, match="a: ends before frame 3 of 6"):
        run.evaluate([short], Drift(), VARIABLES)
    outside = _track()
    outside.boxes[0, 0] = 64
    with pytest.raises(ValueError, match=r"a: first truth: .* lies wholly outside"):
        run.evaluate([outside], Drift(), VARIABLES)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run.evaluate([_track()], Drift(), VARIABLES, tmp_path / "file" / "out")


def test_choose_suggests():
    tracks = [_track("Basketball"), _track("Bolt2")]
    assert [track.name for track in onepass.choose(tracks, ())] == ["Basketball", "Bolt2"]
    assert [track.name for track in onepass.choose(tracks, ("Bolt2",))] == ["Bolt2"]
    with pytest.raises(ValueError, match=r"'Basketbal': did you mean 'Basketball'\?"):
        onepass.choose(tracks, ("Basketbal",))
    with pytest.raises(ValueError, match="unknown sequence 'xyz': known are Basketball, Bolt2"):
        onepass.choose(tracks, ("xyz",))


class Textured(Clip):
    def frame(self, i):
        grid = np.arange(self.size[0])[None, :, None] * 3 + np.arange(self.size[1])[:, None, None]
        return np.broadcast_to((grid + 5 * i) % 256, (*self.size[::-1], 3)).astype(np.uint8)


def test_a_real_tracker_compiles_its_network_once_for_all_clips():
    tracker = SiamFC("alexnet-v1", width=1 / 16)
    variables = tracker.init_variables(jax.random.key(0))
    sizes = [(64, 48), (80, 60), (50, 70)]
    boxes = np.tile(np.array([[20, 15, 16, 12]], np.float32), (3, 1))
    tracks = [Track(f"clip{k}", Textured(3, size), boxes) for k, size in enumerate(sizes)]
    run.evaluate(tracks[:1], tracker, variables)
    traced = SiamFC._locate_each._cache_size()
    summary = run.evaluate(tracks, tracker, variables)
    assert SiamFC._locate_each._cache_size() == traced
    assert 0 < summary["mean_iou"] <= 1

    # Streaming with one frame in flight changes nothing: the boxes are those of plain stepping.
    state = tracker.init(variables, tracks[1].media.frame(0), boxes[0])
    for i in (1, 2):
        state, out = tracker.step(variables, state, tracks[1].media.frame(i))
    found = onepass.run_track(tracks[1], tracker, variables)
    np.testing.assert_allclose(found.boxes[2], out.box, atol=1e-4)


def test_digest_of_variables():
    tree = {"params": {"a": jnp.arange(3.0)}, "batch_stats": {"a": jnp.zeros(2)}}
    moved = {"params": {"a": jnp.array([0.0, 1.0, 2.5])}, "batch_stats": {"a": jnp.zeros(2)}}
    swapped = {"params": {"a": jnp.zeros(2)}, "batch_stats": {"a": jnp.arange(3.0)}}
    assert len({store.digest(one) for one in (tree, moved, swapped)}) == 3
    assert store.digest(tree) == store.digest(jax.tree.map(np.asarray, tree))


def test_report_holds_everything_and_escapes(tmp_path):
    tracks = [_track("<b>bold"), _track("plain", speed=0)]
    tracks[1].boxes[3] = np.nan
    summary = run.evaluate(tracks, Drift(), VARIABLES, tmp_path, model='a"<model>')
    shown = (tmp_path / "report.html").read_text()
    assert "<b>bold" not in shown
    assert "a&quot;&lt;model&gt;" in shown
    assert shown.count('<svg viewBox="0 0 340') == 3
    assert shown.count("data-open=") == 2
    assert shown.count("var(--absent)") >= 2  # the key, and the frame without truth
    assert f"<b>{summary['success_auc']:.3f}</b>" in shown
    for outside in ("http://", "https://", "src=", "<link", "@import", "url("):
        assert outside not in shown.replace("http://www.w3.org/2000/svg", "")


def test_strip_shows_where_the_target_was_lost():
    overlap = np.array([0.9, 0.9, np.nan, 0.1])
    drawn = page.strip(overlap)
    assert '<path d="M0 24V2h1V2h1V24" fill="var(--good)"/>' in drawn
    assert '<path d="M3 24V22h1V24" fill="var(--bad)"/>' in drawn
    assert '<path d="M2 24V23h1V24" fill="var(--absent)"/>' in drawn
    assert page.strip(np.ones(1000)).count("h1") == 150


def test_plot_places_points():
    drawn = page.plot([0.0, 0.5, 1.0], np.array([1.0, 0.5, 0.0]), {}, "axis")
    # The plotted area is 46..428 across and 14..256 down.
    assert 'points="46.0,14.0 237.0,135.0 428.0,256.0"' in drawn


def test_evaluate_boxes_names_the_track():
    assert run.evaluate_boxes(_track(), _track().boxes).success_auc == pytest.approx(20 / 21)
    assert isinstance(run.evaluate_boxes(_track(), _track().boxes), ope.Scores)
    with pytest.raises(ValueError, match="a: boxes: expected 6"):
        run.evaluate_boxes(_track(), _track().boxes[:2])
