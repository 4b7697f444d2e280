"""VOT's and DAVIS's protocols with fakes: runs, stored results, real time."""

import json

import cv2
import numpy as np
import pytest

from siamjax import cli, polygons
from siamjax.data import labels
from siamjax.data.readers import vot as readers
from siamjax.evaluate import protocols, regions, vot, vot_files
from siamjax.evaluate.realtime import RealTime

FRAMES = 24


def _truth(frames=FRAMES, speed=1.0):
    boxes = np.tile(np.array([[4, 5, 12, 10]], np.float64), (frames, 1))
    boxes[:, 0] += speed * np.arange(frames)
    return boxes


@pytest.fixture
def tree(tmp_path, write_pictures):
    """A VOT tree of one sequence; its truth as boxes, polygons or masks, and anchors."""

    def make(kind="boxes", anchors=()):
        place = tmp_path / "data" / "slow"
        write_pictures(place / "color", FRAMES)
        lines = [",".join(f"{v:g}" for v in row) for row in _truth()]
        if kind == "polygons":
            corners = polygons.corners(_truth()).reshape(FRAMES, 8)
            lines = [",".join(f"{v:g}" for v in row) for row in corners]
        if kind == "masks":
            lines = [f"m{row[0]:.0f},5,12,10,0,120" for row in _truth()]
        (place / "groundtruth.txt").write_text("\n".join(lines) + "\n")
        if anchors:
            values = np.zeros(FRAMES)
            for frame, value in anchors:
                values[frame] = value
            (place / "anchor.value").write_text("".join(f"{v:g}\n" for v in values))
        return tmp_path / "data"

    return make


def _main(*arguments):
    return cli.main(["evaluate", *map(str, arguments), "--json"])


def _summary(out):
    return json.loads((out / "results.json").read_text())


ANCHORS = ((2, 1), (20, -1))


def _overlap(drawn):
    """Overlap of boxes of 12 pixels that are so far off."""
    return np.maximum(12 - np.abs(drawn), 0) / (12 + np.minimum(np.abs(drawn), 12))


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_runs_from_anchors(kind, tree, tmp_path, trackers, capsys):
    root, out = tree(kind, ANCHORS), tmp_path / "out"
    arguments = (root, "--format", "vot", "--split", "2-8", "--out", out)
    assert _main(*arguments, "--model", "still") == 0
    summary = _summary(out)
    assert summary["conventions"]["name"] == "multistart"
    # Two runs, over 22 and 21 frames. The box stays, the truth leaves it: at a distance of 10 the
    # overlap is 1/11, at most 0.1 from there on, and ten such frames in a row are a failure.
    assert summary["sequences"]["slow"]["frames"] == 22 + 21
    assert (summary["sequences"]["slow"]["runs"], summary["frames"]) == (2, 43)
    assert summary["robustness"] == pytest.approx((10 + 10) / (22 + 21))
    before = _overlap(np.arange(10))
    before[0] = 0  # the anchor's own frame is not asked
    assert summary["accuracy"] == pytest.approx(before.mean())
    # The toolkit's slice ends one frame before the last length.
    curve = [_overlap(np.arange(1, k + 1)).mean() for k in range(2, 8)]
    assert summary["eao"] == pytest.approx(np.mean(curve))
    place = out / "results" / "still" / "baseline" / "slow"
    assert sorted(path.name for path in place.iterdir()) == [
        "slow_00000002.txt",
        "slow_00000002_time.value",
        "slow_00000020.txt",
        "slow_00000020_time.value",
    ]
    lines = (place / "slow_00000020.txt").read_text().splitlines()
    assert (lines[0], len(lines)) == ("1", 21)
    assert lines[1] == "24.0000,5.0000,12.0000,10.0000"  # where the truth is in frame 20
    steps = trackers["still"].steps
    assert steps == 21 + 20
    assert _main(*arguments, "--model", "still") == 0
    assert (trackers["still"].steps, _summary(out)) == (steps, summary)
    (place / "slow_00000020.txt").write_text("\n".join(lines[:-1]) + "\n")
    assert _main(*arguments, "--model", "still") == 0
    assert trackers["still"].steps == steps + 20  # the other run is not run again
    capsys.readouterr()
    assert cli.main(["evaluate", *map(str, arguments), "--model", "still"]) == 0
    assert f"{summary['robustness']:.3f}" in capsys.readouterr().out


def test_masks_are_answered_and_read_back(tree, tmp_path, trackers):
    root, out = tree("masks", ((0, 1),)), tmp_path / "out"
    arguments = (root, "--format", "vot", "--split", "2-8", "--out", out)
    assert _main(*arguments, "--model", "masks") == 0
    summary = _summary(out)
    assert (summary["eao"], summary["robustness"]) == (1, 1)
    assert summary["accuracy"] == pytest.approx((FRAMES - 1) / FRAMES)
    place = out / "results" / "masks"
    path = place / "baseline" / "slow" / "slow_00000000.txt"
    assert path.read_text().splitlines()[:2] == ["1", "m5,5,12,10,0,120"]
    both = tmp_path / "both"
    beside = (root, "--format", "vot", "--split", "2-8", "--out", both)
    assert _main(*beside, "--model", "still", "--boxes", place) == 0
    trackers_found = _summary(both)["trackers"]
    for key in ("eao", "accuracy", "robustness", "curves", "frames"):
        assert trackers_found["masks"][key] == summary[key]
    assert trackers_found["still"]["eao"] < 0.9
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "m1,2,3", *lines[6:]]) + "\n")
    assert _main(*beside, "--boxes", place) == 2


def test_years(tree, tmp_path):
    root = tree("boxes", ANCHORS)
    clips = readers.read(root)
    for split, kind in (("vot2018", "supervised"), ("vot2022", "anchored"), ("", "anchored")):
        assert protocols.Plan("vot", root, split).kind(clips) == kind
    assert protocols.Plan("vot", root, "vot2020").chosen(clips)["lengths"] == (115, 755)
    assert protocols.Plan("vot", root, "vot2019").chosen(clips)["year"] == "vot2019"
    (root / "slow" / "anchor.value").write_text("0\n" * FRAMES)
    with pytest.raises(ValueError, match=r"anchor\.value: expected 24 numbers, not all of them 0"):
        readers.read(root)


class Slow:
    """A clock: what passes in every second look at it, a call each, is told beforehand."""

    def __init__(self, seconds):
        self.now, self.looks, self.seconds = 0.0, 0, seconds

    def __call__(self):
        if self.looks % 2:
            call = self.looks // 2
            self.now += self.seconds[call] if call < len(self.seconds) else 0.0
        self.looks += 1
        return self.now


# At 10 frames a second: three calls of grace, however long; the fourth takes 2.5 frames, and the
# sixth 20, to the end.
TIMES = [9.0, 9.0, 9.0, 0.25, 0.1, 2.0]
SEEN = [0, 1, 2, 3, 5, 6]


def _held(frames):
    """The frame whose answer stands for each frame."""
    return [max(seen for seen in SEEN if seen <= frame) for frame in range(frames)]


def test_real_time_of_supervised_runs(tree, tmp_path, trackers):
    root, out = tree(), tmp_path / "out"
    plan = protocols.Plan("vot", root, "2-8", real_time=RealTime(10))
    tracker, variables = trackers["drift.npz"], {"gain": np.zeros(1)}
    given = {"model": "drift", "clock": Slow(TIMES)}
    summary = protocols.evaluate(plan, plan.clips(), tracker, variables, out, **given)
    (found,) = vot_files.read_supervised(out / "results" / "drift", "slow", FRAMES, "realtime")
    # The tracker moves by a pixel for every frame that it sees, to 9 in frame 6; the truth, 12
    # pixels wide, has left this box in frame 5 + 12.
    assert found.codes.tolist() == [1, *[vot.REGION] * 16, vot.FAILED, *[0] * 4, 1, vot.REGION]
    moved = [SEEN.index(frame) for frame in _held(17)]
    assert found.regions[1:17, 0].tolist() == [4 + one for one in moved[1:]]
    assert summary["lost"] == 1
    assert "arrive at 10 a second" in summary["conventions"]["run"]
    assert not (out / "results" / "drift" / "baseline").exists()


def test_real_time_of_runs_from_anchors(tree, tmp_path, trackers):
    root, out = tree("masks", ((0, 1),)), tmp_path / "out"
    plan = protocols.Plan("vot", root, "2-8", real_time=RealTime(10))
    tracker, variables = trackers["masks"], {"gain": np.zeros(1)}
    given = {"model": "masks", "clock": Slow(TIMES)}
    protocols.evaluate(plan, plan.clips(), tracker, variables, out, **given)
    name = "slow_00000000"
    found = vot_files.read_anchored(out / "results" / "masks", name, FRAMES, "realtime")
    assert tracker.steps == len(SEEN) - 1
    lefts = [regions.draw(one).left for one in found[1:]]
    assert lefts == [4 + SEEN.index(frame) for frame in _held(FRAMES)[1:]]
    times = (out / "results" / "masks" / "realtime" / "slow" / f"{name}_time.value").read_text()
    assert times.split()[:8] == [f"{v:.6f}" for v in (9, 9, 9, 0.25, 0, 0.1, 2, 0)]


def test_real_time_from_the_command_line(tree, tmp_path, trackers):
    """So many frames a second that none but the three of grace is in time."""
    root, out = tree("boxes", ((0, 1),)), tmp_path / "out"
    rates = (("1e12", 3), ("1e-9", FRAMES - 1))
    for rate, steps in rates:
        trackers["drift.npz"].steps = 0
        arguments = (root, "--format", "vot", "--split", "2-8", "--real-time", rate)
        assert _main(*arguments, "--model", "drift.npz", "--out", out / rate) == 0
        assert trackers["drift.npz"].steps == steps
    summaries = [_summary(out / rate) for rate, _ in rates]
    assert summaries[0]["eao"] < summaries[1]["eao"] == 1
    assert _main(*arguments, "--boxes", out / "1e-9" / "results" / "drift", "--out", out / "r") == 0
    assert _summary(out / "r")["eao"] == 1


def test_stored_supervised_and_long_term_runs(tree, tmp_path, trackers, capsys):
    root = tree("polygons")
    for name, kind in (("vot", ("--split", "2-8")), ("votlt", ())):
        if name == "votlt":
            lines = [",".join(f"{v:g}" for v in row) for row in _truth()]
            (root / "slow" / "groundtruth.txt").write_text("\n".join(lines) + "\n")
        out = tmp_path / name
        arguments = (root, "--format", name, *kind)
        assert _main(*arguments, "--model", "drift.npz", "still", "--out", out) == 0
        for tracker in ("drift", "still"):
            ran = _summary(out)["trackers"][tracker]
            place = out / tracker / "results" / tracker
            assert _main(*arguments, "--boxes", place, "--out", tmp_path / "read") == 0
            read = _summary(tmp_path / "read")
            for key in ("eao", "lost", "accuracy", "f", "precision", "frames", "curves"):
                assert read.get(key) == ran.get(key), key
            assert read["fps"] is None
        assert cli.main(["evaluate", *map(str, arguments), "--boxes", str(place)]) == 0
    # Of several runs over a sequence the mean counts.
    place = tmp_path / "vot" / "still" / "results" / "still" / "baseline" / "slow"
    other = tmp_path / "vot" / "drift" / "results" / "drift" / "baseline" / "slow"
    (place / "slow_002.txt").write_text((other / "slow_001.txt").read_text())
    lines = [",".join(f"{v:g}" for v in row) for row in polygons.corners(_truth()).reshape(-1, 8)]
    (root / "slow" / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    arguments = (root, "--format", "vot", "--split", "2-8", "--boxes", place.parents[1])
    assert _main(*arguments, "--out", tmp_path / "read") == 0
    assert _summary(tmp_path / "read")["lost"] == 0.5


def test_stored_label_maps(tmp_path, trackers, capsys):
    root, theirs = tmp_path / "data", tmp_path / "theirs"
    for i in range(6):
        for kind, off in (("masks", 0), ("theirs", 2)):
            found = np.zeros((48, 64), np.uint8)
            found[5:15, 4 + i + off : 16 + i + off] = 1
            place = theirs / "clip" if off else root / "clip" / kind
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i:05d}.png").write_bytes(labels.encode(found))
        cv2.imwrite(str(root / "clip" / f"{i:05d}.jpg"), np.full((48, 64, 3), 90, np.uint8))
    arguments = (root, "--format", "davis", "--out", tmp_path / "out")
    assert _main(*arguments, "--boxes", theirs) == 0
    summary = _summary(tmp_path / "out")
    assert summary["masks"]["j_mean"] == pytest.approx(10 / 14)
    assert summary["filled_boxes"]["j_mean"] == pytest.approx(10 / 14)
    assert summary["mean_iou"] == pytest.approx(10 / 14)
    (theirs / "clip" / "00003.png").write_bytes(labels.encode(np.zeros((4, 6), np.uint8)))
    assert _main(*arguments, "--boxes", theirs) == 2
    assert "00003.png: expected 64x48 pixels, got 6x4" in capsys.readouterr().err
    (theirs / "clip" / "00003.png").unlink()
    assert _main(*arguments, "--boxes", theirs) == 2
    assert "clip: expected 6 label maps, got 5" in capsys.readouterr().err
