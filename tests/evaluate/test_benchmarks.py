import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from siamjax import cli
from siamjax.evaluate import benchmarks, formats, vot, vot_files

FRAMES = 16
SPEEDS = {"slow": 1.0, "fast": 2.0}


def _truth(name):
    boxes = np.tile(np.array([[4, 5, 20, 10]], np.float64), (FRAMES, 1))
    boxes[:, 0] += SPEEDS[name] * np.arange(FRAMES)
    return boxes


@pytest.fixture(autouse=True)
def _trackers(trackers):
    """Every test here runs fakes."""


def _pictures(folder, first=1, digits=8):
    folder.mkdir(parents=True)
    data = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    for i in range(FRAMES):
        (folder / f"{i + first:0{digits}d}.jpg").write_bytes(data)


def _write(path, boxes, origin=0):
    shown = np.asarray(boxes) + np.array([origin, origin, 0, 0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(f"{v:g}" for v in row) + "\n" for row in shown))


def _got10k(root, name, split="val", boxes: Any = None):
    _pictures(root / split / name)
    _write(root / split / name / "groundtruth.txt", _truth(name) if boxes is None else boxes)
    (root / split / "list.txt").write_text("slow\nfast\n")


def _lasot(root, name):
    _pictures(root / "kind" / name / "img")
    _write(root / "kind" / name / "groundtruth.txt", _truth(name), 1)


def _uav123(root, name):
    _pictures(root / "data_seq" / "UAV123" / name, digits=6)
    _write(root / "anno" / "UAV123" / f"{name}.txt", _truth(name), 1)


def _nfs(root, name):
    _pictures(root / name / "30" / name, digits=5)
    lines = (
        f'0 {x:g} {y:g} {x + width:g} {y + height:g} {i} 0 0 0 "thing"\n'
        for i, (x, y, width, height) in enumerate(_truth(name))
    )
    (root / name / "30" / f"{name}.txt").write_text("".join(lines))


def _tcolor128(root, name):
    _pictures(root / name / "img", digits=4)
    _write(root / name / f"{name}_gt.txt", _truth(name), 1)


def _folder(root, name):
    _pictures(root / name, digits=4)
    _write(root / name / "groundtruth.txt", _truth(name))


def _dtb70(root, name):
    _pictures(root / name / "img", digits=5)
    _write(root / name / "groundtruth_rect.txt", _truth(name), 1)


def _trackingnet(root, name, split="TRAIN_0", boxes: Any = None):
    _pictures(root / split / "frames" / name, first=0, digits=1)
    _write(root / split / "anno" / f"{name}.txt", _truth(name) if boxes is None else boxes)


def _vot(root, name):
    _pictures(root / name / "color")
    _write(root / name / "groundtruth.txt", _truth(name))


def _plain(place, tracker, name):
    return formats.read_otb(place / tracker, name, FRAMES)


class Case(NamedTuple):
    """A format: how its tree is made and its results are read, its convention, a perfect AUC."""

    make: Callable[..., None]
    back: Callable[[Path, str, str], np.ndarray]
    convention: str
    perfect: float
    split: str = ""
    place: str = "results/drift"  # of the results of "drift", from the output folder on


CASES = {
    "folder": Case(
        _folder,
        lambda place, tracker, name: formats.read_boxes(
            place.parent / "boxes" / f"{name}.txt", FRAMES
        ),
        "visible",
        20 / 21,
        place="boxes",
    ),
    "otb": Case(_dtb70, _plain, "pysot", 20 / 21),
    "got10k": Case(
        _got10k,
        lambda place, tracker, name: formats.read_got10k(place / tracker, name, FRAMES)[0].boxes,
        "got10k-val",
        100 / 101,
    ),
    "lasot": Case(
        _lasot,
        lambda place, tracker, name: formats.read_lasot(place, tracker, name, FRAMES),
        "pysot-lasot",
        20 / 21,
        place="results/drift_tracking_result",
    ),
    "uav123": Case(_uav123, _plain, "got10k-uav", 20 / 21),
    "nfs": Case(
        _nfs,
        lambda place, tracker, name: formats.read_boxes(place / tracker / f"{name}.txt", FRAMES),
        "got10k",
        20 / 21,
    ),
    "tcolor128": Case(_tcolor128, _plain, "pysot", 20 / 21),
    "dtb70": Case(_dtb70, _plain, "pysot", 20 / 21),
    "trackingnet": Case(
        _trackingnet,
        lambda place, tracker, name: formats.read_trackingnet(
            place / f"{tracker}.zip", {name: FRAMES}
        )[name],
        "trackingnet",
        39 / 40,
        "TRAIN_0",
        "results/drift.zip",
    ),
}


def _main(*arguments):
    return cli.main(["evaluate", *map(str, arguments), "--json"])


def _summary(out):
    return json.loads((out / "results.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_one_pass(name, tmp_path, trackers):
    case, root, out = CASES[name], tmp_path / "data", tmp_path / "out"
    for sequence in SPEEDS:
        case.make(root, sequence)
    split = ("--split", case.split) if case.split else ()
    arguments = (root, "--format", name, "--out", out, *split)
    assert _main(*arguments, "--model", "drift.npz") == 0
    summary = _summary(out)
    slow, fast = (summary["sequences"][one] for one in SPEEDS)
    assert (summary["format"], summary["conventions"]["name"]) == (name, case.convention)
    assert slow["success_auc"] == pytest.approx(case.perfect)
    assert (slow["precision_20"], slow["normalised_20"], slow["mean_iou"]) == (1, 1, 1)
    assert fast["success_auc"] < 0.9  # it is half as fast as "fast"
    assert summary["success_auc"] == pytest.approx((slow["success_auc"] + fast["success_auc"]) / 2)
    assert trackers["drift.npz"].steps == 2 * (FRAMES - 1)
    assert _main(*arguments, "--model", "drift.npz") == 0
    assert trackers["drift.npz"].steps == 2 * (FRAMES - 1)  # resumed
    assert _summary(out) == summary
    for sequence in SPEEDS:  # as the benchmark's own toolkit reads them
        found = case.back(out / "results", "drift", sequence)
        np.testing.assert_allclose(found, _truth("slow"), atol=1e-3)
    assert (out / "report.html").stat().st_size > 1000
    # The same results as those of somebody else, beside a tracker that is run.
    beside = (root, "--format", name, "--out", tmp_path / "both", *split)
    assert _main(*beside, "--model", "still", "--boxes", out / case.place) == 0
    both = _summary(tmp_path / "both")
    theirs = benchmarks.tracker_name(case.place)
    assert set(both["trackers"]) == {"still", theirs}
    assert [one["name"] for one in both["ranking"]] == [theirs, "still"]
    read = both["trackers"][theirs]
    for key in ("success_auc", "precision_20", "normalised_auc", "mean_iou", "frames"):
        assert read[key] == pytest.approx(summary[key]), key
    assert read["fps"] is None
    assert json.loads((tmp_path / "both" / theirs / "results.json").read_text()) == read
    assert (tmp_path / "both" / "report.html").stat().st_size > 1000


def test_got10k_numbers_and_two_trackers(tmp_path):
    root = tmp_path / "data"
    for sequence in SPEEDS:
        _got10k(root, sequence)
    (root / "val" / "fast" / "cover.label").write_text("8\n" * 8 + "0\n" * 8)
    for model in ("drift.npz", "still"):
        assert _main(root, "--format", "got10k", "--model", model, "--out", tmp_path / "out") == 0
    summary = _summary(tmp_path / "out")  # of "still"
    # A box of 20 pixels that is d off overlaps by (20 - d) / (20 + d); no first frame, and none
    # in which nothing of the target is seen.
    off = [*range(1, 16), *range(2, 16, 2)]
    overlaps = np.array([(20 - d) / (20 + d) for d in off])
    assert summary["ao"] == pytest.approx(overlaps.mean())
    assert summary["sr_50"] == pytest.approx((overlaps > 0.5).mean())
    assert summary["sr_75"] == pytest.approx((overlaps > 0.75).mean())
    assert summary["frames"] == 22
    results = tmp_path / "out" / "results"
    for tracker, boxes in (("drift", _truth("slow")), ("still", _truth("slow")[[0] * FRAMES])):
        (found,) = formats.read_got10k(results / tracker, "fast", FRAMES)
        np.testing.assert_allclose(found.boxes, boxes, atol=1e-3)
    assert found.seconds is not None
    assert found.seconds[:2].tolist() == [0, 0]
    assert (found.seconds[2:] > 0).all()
    assert not (results / "still.zip").exists()


@pytest.mark.parametrize(("name", "split"), [("got10k", "test"), ("trackingnet", "TEST")])
def test_submission(name, split, tmp_path, trackers, capsys):
    for sequence in SPEEDS:
        CASES[name].make(tmp_path, sequence, split, _truth(sequence)[:1])
    out = tmp_path / "out"
    arguments = (tmp_path, "--format", name, "--split", split, "--out", out, "--model", "still")
    assert _main(*arguments) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary == _summary(out)
    assert summary["submission"] == "results/still.zip"
    assert "success_auc" not in summary
    with zipfile.ZipFile(out / summary["submission"]) as archive:
        held = archive.namelist()
    assert ("slow/slow_001.txt" in held) if name == "got10k" else (held == ["fast.txt", "slow.txt"])
    np.testing.assert_allclose(
        CASES[name].back(out / "results", "still", "fast"), _truth("fast")[[0] * FRAMES], atol=1e-3
    )
    assert cli.main(["evaluate", *map(str, arguments)]) == 0
    assert "still.zip" in capsys.readouterr().out
    assert trackers["still"].steps == 2 * (FRAMES - 1)


def test_vot(tmp_path, trackers, capsys):
    root, out = tmp_path / "data", tmp_path / "out"
    for sequence in SPEEDS:
        _vot(root, sequence)
    (root / "list.txt").write_text("slow\nfast\n")
    arguments = (root, "--format", "vot", "--split", "2-4", "--out", out)
    assert _main(*arguments, "--model", "still") == 0
    summary = _summary(out)
    # On "fast" it shares no pixel with the truth from frame 10 on, and starts again in frame 15.
    assert (summary["lost"], summary["robustness"]) == (1, pytest.approx(100 / 32))
    assert summary["reliability"] == pytest.approx(np.exp(-30 / 32))
    assert summary["sequences"]["fast"]["accuracy"] is None  # no frame 10 after a start is left
    # VOT counts pixels that an edge touches: 21 in a width of 20.
    assert summary["sequences"]["slow"]["accuracy"] == pytest.approx(
        np.mean([(21 - d) / (21 + d) for d in range(10, 16)])
    )
    assert summary["accuracy"] == summary["sequences"]["slow"]["accuracy"]
    curve = summary["curves"]["expected_overlap"]  # both conventions have slices of their own
    assert summary["eao"] == pytest.approx(np.mean(curve[1:4]))
    (found,) = vot_files.read_supervised(out / "results" / "still", "fast", FRAMES)
    assert found.codes.tolist() == [vot.STARTED, *[vot.REGION] * 9, vot.FAILED, *[0] * 4, 1]
    steps = trackers["still"].steps
    assert _main(*arguments, "--model", "still") == 0
    assert (trackers["still"].steps, _summary(out)) == (steps, summary)
    path = out / "results" / "still" / "baseline" / "fast" / "fast_001.txt"
    path.write_text(path.read_text().replace("4.0000", "5.0000", 1))
    assert _main(*arguments, "--model", "still") == 0
    assert trackers["still"].steps == steps + 10  # what was changed is run again
    assert _main(*arguments, "--model", "drift.npz", "--convention", "toolkit") == 0
    other = _summary(out)
    assert (other["lost"], other["conventions"]["name"]) == (0, "toolkit")
    assert other["eao"] == pytest.approx(np.mean(other["curves"]["expected_overlap"][2:5]))
    assert path.is_file()
    capsys.readouterr()
    assert cli.main(["evaluate", *map(str, arguments), "--model", "still"]) == 0
    assert f"{summary['eao']:.3f}" in capsys.readouterr().out
    assert _main(root, "--format", "vot", "--model", "still", "--out", out) == 2
    assert "lengths 100 to 356 are beyond the longest sequence" in capsys.readouterr().err


def test_votlt(tmp_path, trackers):
    root, out = tmp_path / "data", tmp_path / "out"
    for sequence in SPEEDS:
        _vot(root, sequence)
    truth = root / "slow" / "groundtruth.txt"
    lines = truth.read_text().splitlines()
    truth.write_text("\n".join([*lines[:12], *["nan,nan,nan,nan"] * 4]) + "\n")
    arguments = (root, "--format", "votlt", "--out", out, "--model", "drift.npz")
    assert _main(*arguments, "--sequences", "slow") == 0
    summary = _summary(out)
    # Answers are the even frames from 2 to 14, of which 12 and 14 show no target, or all 15; it is
    # right in all of the 12 that show it but in the first, which is no answer.
    assert summary["precision"] == pytest.approx(11 / 15)
    assert summary["recall"] == pytest.approx(11 / 12)
    assert summary["f"] == pytest.approx(2 * 11 / (15 + 12))
    found = vot_files.read_longterm(out / "results" / "drift", "slow", FRAMES)
    np.testing.assert_allclose(found.boxes[1:], _truth("slow")[1:], atol=1e-4)
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence[1:3], [0.3, 0.8])
    assert _main(*arguments) == 0
    assert trackers["drift.npz"].steps == 2 * (FRAMES - 1)
    assert list(_summary(out)["sequences"]) == ["fast", "slow"]


def test_masks_of_vot_are_refused_for_restarts(tmp_path, capsys):
    _vot(tmp_path, "slow")
    (tmp_path / "slow" / "groundtruth.txt").write_text("m4,5,2,2,0,4\n" * FRAMES)
    arguments = (tmp_path, "--format", "vot", "--model", "still", "--out", tmp_path / "out")
    assert _main(*arguments, "--split", "vot2018") == 2
    assert "slow: expected boxes or polygons (VOT to 2019), got masks" in capsys.readouterr().err
    assert _main(*arguments) == 2
    assert "slow: expected anchors to start from, in anchor.value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "a/x.npz", "x"), "model, boxes: two trackers have the name 'x'"),
        (("--format", "got10k", "--real-time", "25"), "real_time: not taken with --format got10k"),
        (("--format", "vot", "--real-time", "-1"), "fps: expected more than 0, got -1.0"),
        (
            ("--format", "vot", "--real-time", "25", "--processes", "2"),
            "processes: expected 1 with --real-time, got 2",
        ),
        (("--format", "votlt", "--convention", "x"), "convention: not taken with --format votlt"),
        (("--format", "vot", "--convention", "pyso"), "unknown convention 'pyso': did you mean"),
        (("--format", "dtb70", "--split", "x"), "split: not taken with --format dtb70, got 'x'"),
        (("--format", "nfs", "--split", "x"), "split: expected 30 or 240 frames a second, got 'x'"),
        (("--format", "nfs", "--split", "60"), "fps: expected 30 or 240, got 60"),
        (("--format", "uav132"), "unknown format 'uav132': did you mean 'uav123'"),
    ],
)
def test_refusals(arguments, message, tmp_path, capsys):
    assert _main(tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_names_of_trackers():
    models = ("default", "/some/where/siamfc-v1.2.npz", "")
    assert [benchmarks.tracker_name(one) for one in models] == ["default", "siamfc-v1.2", "tracker"]
