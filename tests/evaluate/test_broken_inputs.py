"""Damaged datasets and damaged results: an error that names file and line, or a stated rule."""

import json
import shutil
import zipfile

import pytest
from test_benchmarks import CASES, FRAMES, SPEEDS, _vot

from siamjax import cli

MAKERS = {name: case.make for name, case in CASES.items()} | {"vot": _vot, "votlt": _vot}
LENGTHS = {"vot": ("--split", "2-4"), "trackingnet": ("--split", "TRAIN_0")}


@pytest.fixture(autouse=True)
def _trackers(trackers):
    """Every test here runs fakes."""


@pytest.fixture(params=MAKERS)
def tree(request, tmp_path):
    """A dataset in a benchmark's layout: its name, its folder, and the truth of "slow"."""
    for name in SPEEDS:
        MAKERS[request.param](tmp_path / "data", name)
    (truth,) = (p for p in (tmp_path / "data").rglob("*.txt") if "slow" in str(p) and p.stem)
    return request.param, tmp_path / "data", truth


def _run(tree, out, *arguments):
    name, root, _ = tree
    given = (root, "--format", name, *LENGTHS.get(name, ()), "--out", out, *arguments)
    status = cli.main(["evaluate", *map(str, given), "--sequences", "slow", "--json"])
    return json.loads((out / "results.json").read_text()) if status == 0 else status


def _replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_missing_truth(tree, tmp_path, capsys):
    tree[2].unlink()
    assert _run(tree, tmp_path / "out", "--model", "still") == 2
    assert "slow" in capsys.readouterr().err


def test_too_few_lines(tree, tmp_path, capsys):
    lines = tree[2].read_text().splitlines(keepends=True)
    tree[2].write_text("".join(lines[:-2]))
    assert _run(tree, tmp_path / "out", "--model", "still") == 2
    expected = (
        f"{tree[2]}: {FRAMES} frames but {FRAMES - 2} annotations; expected as many (line 15)"
    )
    assert expected in capsys.readouterr().err


def test_wrong_separators(tree, tmp_path, capsys):
    _replace(tree[2], " " if tree[0] == "nfs" else ",", "|")
    assert _run(tree, tmp_path / "out", "--model", "still") == 2
    assert f"{tree[2]}, line 1: expected " in capsys.readouterr().err


def test_absent_frames(tree, tmp_path, capsys):
    pictures = sorted(p for p in tree[1].rglob("*.jpg") if "slow" in str(p))
    for path in pictures[5:7]:
        path.unlink()
    assert _run(tree, tmp_path / "out", "--model", "still") == 2
    expected = f"{tree[2]}: {FRAMES - 2} frames but {FRAMES} annotations"
    assert expected in capsys.readouterr().err


def test_a_damaged_frame(tree, tmp_path, capsys):
    pictures = sorted(p for p in tree[1].rglob("*.jpg") if "slow" in str(p))
    pictures[5].write_bytes(pictures[5].read_bytes()[:-20])
    assert _run(tree, tmp_path / "out", "--model", "still") == 2
    assert f"{pictures[5]}: the picture ends early" in capsys.readouterr().err


# Frames of 16 that count where the truth of one is NaN: by each convention's own rule, the first
# frame is left out too (got10k-val), or the absent one stays in N as a miss, or not at all.
COUNTED = {
    "visible": 15,
    "pysot": 16,
    "pysot-lasot": 16,
    "got10k": 16,
    "got10k-uav": 15,
    "got10k-val": 14,
    "trackingnet": 15,
}


def test_truth_of_a_frame_that_is_nan(tree, tmp_path):
    lines = tree[2].read_text().splitlines()
    separator = " " if tree[0] == "nfs" else ","
    words = lines[7].split(separator)
    words[1 if tree[0] == "nfs" else 0] = "nan"
    lines[7] = separator.join(words)
    tree[2].write_text("\n".join(lines) + "\n")
    summary = _run(tree, tmp_path / "out", "--model", "drift.npz")
    if tree[0] == "vot":
        assert (summary["lost"], summary["frames"]) == (0, FRAMES)  # nothing can fail there
    elif tree[0] == "votlt":
        assert summary["recall"] == pytest.approx(14 / 15)  # the first frame is no answer
    else:
        assert summary["frames"] == COUNTED[summary["conventions"]["name"]]
        assert summary["mean_iou"] == 1


def test_no_truth_to_start_from(tree, tmp_path, capsys):
    lines = tree[2].read_text().splitlines()
    separator = " " if tree[0] == "nfs" else ","
    words = lines[0].split(separator)
    words[1 if tree[0] == "nfs" else 0] = "nan"
    tree[2].write_text("\n".join([separator.join(words), *lines[1:]]) + "\n")
    assert _run(tree, tmp_path / "out", "--model", "still") == 2
    assert "slow: the first frame has no truth to start from" in capsys.readouterr().err


@pytest.fixture
def results(tree, tmp_path, capsys):
    """The results of a tracker on the dataset: their folder, and the file of "slow"."""
    assert _run(tree, tmp_path / "out", "--model", "drift.npz")
    name = tree[0]
    place = tmp_path / "out" / (CASES[name].place if name in CASES else "results/drift")
    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive:
            archive.extractall(place := tmp_path / "extracted")
    found = [p for p in place.rglob("*.txt") if not p.stem.endswith("_time")]
    (path,) = (p for p in found if p.name.startswith("slow"))
    capsys.readouterr()
    return place, path


TRUNCATE = ("got10k",)


def test_results_shorter_than_the_sequence(tree, results, tmp_path, capsys):
    place, path = results
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-2]) + "\n")
    told = _run(tree, tmp_path / "read", "--boxes", place)
    if tree[0] in CASES and CASES[tree[0]].convention in TRUNCATE:
        assert told["frames"] == FRAMES - 2  # its toolkit cuts the sequence
    else:
        assert told == 2
        assert f"{path}, line 15: missing, expected 16 lines" in capsys.readouterr().err


def test_results_with_nan(tree, results, tmp_path, capsys):
    place, path = results
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], "nan,nan,nan,nan", *lines[10:]]) + "\n")
    told = _run(tree, tmp_path / "read", "--boxes", place)
    if tree[0] == "vot":
        assert told == 2
        assert f"{path}, line 10: not a region, [nan" in capsys.readouterr().err
    elif tree[0] == "votlt":
        assert told["recall"] == pytest.approx(14 / 16)  # nor is the first frame an answer
    else:
        counted = told["frames"]
        at_half = told["curves"]["overlaps"].index(0.5)
        assert told["curves"]["success"][at_half] == pytest.approx((counted - 1) / counted)


def test_results_with_other_separators(tree, results, tmp_path, capsys):
    place, path = results
    _replace(path, ",", "|")
    assert _run(tree, tmp_path / "read", "--boxes", place) == 2
    line = 2 if tree[0] in ("vot", "votlt") else 1  # the first holds a code
    assert f"{path}, line {line}: expected " in capsys.readouterr().err


def test_results_that_are_missing(tree, results, tmp_path, capsys):
    place, path = results
    path.unlink()
    assert _run(tree, tmp_path / "read", "--boxes", place) == 2
    assert f"{path}: " in capsys.readouterr().err
    shutil.rmtree(place)
    assert _run(tree, tmp_path / "read", "--boxes", place) == 2
    assert f"boxes: {place}: no such file or folder" in capsys.readouterr().err
