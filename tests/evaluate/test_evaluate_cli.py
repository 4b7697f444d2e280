import json

import cv2
import jax
import numpy as np
import pytest

from siamjax import cli, weights
from siamjax.data import labels
from siamjax.track.siamfc import SiamFC


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A bright square moving over noise: two sequences of pictures."""
    root = tmp_path_factory.mktemp("data")
    noise = np.random.RandomState(0).randint(0, 60, (48, 64, 3)).astype(np.uint8)
    for name, speed in (("left", 1), ("right", 2)):
        (root / name / "img").mkdir(parents=True)
        rows = []
        for i in range(4):
            frame = noise.copy()
            x = 10 + speed * i
            frame[15:31, x : x + 16] = 220
            cv2.imwrite(str(root / name / "img" / f"{i + 1:04d}.png"), frame)
            rows.append(f"{x},15,16,16\n")
        (root / name / "groundtruth_rect.txt").write_text("".join(rows))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.npz"
    tracker = SiamFC("alexnet-v1", width=1 / 16)
    variables = tracker.init_variables(jax.random.key(0))
    weights.save(path, tracker, variables, source="a test", licence="MIT")
    return path


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)


def _main(*arguments):
    return cli.main(["evaluate", *map(str, arguments)])


def test_json_is_the_last_line_and_equals_the_file(data, model, tmp_path, capsys):
    arguments = (data, "--format", "folder", "--model", model, "--out", tmp_path, "--json")
    assert _main(*arguments) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out.splitlines()[-1])
    assert len(printed.out.splitlines()) == 1  # the progress went to standard error
    assert summary == json.loads((tmp_path / "results.json").read_text())
    assert list(summary["sequences"]) == ["left", "right"]
    assert summary["model"] == str(model)
    assert (summary["format"], summary["conventions"]["name"]) == ("folder", "visible")
    assert (tmp_path / "report.html").is_file()
    first = (tmp_path / "boxes" / "right.txt").read_text().splitlines()[0]
    assert first == "10.0000,15.0000,16.0000,16.0000"

    timing = (tmp_path / "timing" / "left.json").stat().st_mtime_ns
    assert _main(*arguments) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert (tmp_path / "timing" / "left.json").stat().st_mtime_ns == timing  # not run again


def test_table_and_chosen_sequences(data, model, tmp_path, capsys):
    otb = ("--format", "otb", "--sequences", "right")
    assert _main(data, "--model", model, "--out", tmp_path, *otb) == 0
    printed = capsys.readouterr().out
    assert "right" in printed
    assert "left" not in printed
    assert "report.html" in printed
    summary = json.loads((tmp_path / "results.json").read_text())
    assert summary["conventions"]["name"] == "pysot"
    # The same file read as OTB's is 1-based.
    assert (tmp_path / "boxes" / "right.txt").read_text().startswith("9.0000,14.0000,16.0000")


def test_stored_boxes(data, tmp_path, capsys):
    boxes = tmp_path / "mine"
    boxes.mkdir()
    for name in ("left", "right"):
        truth = (data / name / "groundtruth_rect.txt").read_text()
        (boxes / f"{name}.txt").write_text(truth.replace(",", "\t"))
    assert _main(data, "--boxes", boxes, "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["success_auc"], summary["fps"]) == (pytest.approx(20 / 21), None)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The same square in DAVIS's tree, with its mask."""
    root = tmp_path_factory.mktemp("davis")
    for i in range(4):
        frame, found = np.full((48, 64, 3), 50, np.uint8), np.zeros((48, 64), np.uint8)
        for picture, value in ((frame, 220), (found, 1)):
            picture[15:31, 10 + i : 26 + i] = value
        places = [root / kind / "480p" / "square" for kind in ("JPEGImages", "Annotations")]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(places[0] / f"{i:05d}.jpg"), frame)
        (places[1] / f"{i:05d}.png").write_bytes(labels.encode(found))
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("square\n")
    return root


def test_davis_tree(tree, model, tmp_path, capsys):
    davis = ("--format", "davis", "--model", model, "--out", tmp_path)
    assert _main(tree, *davis, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "results.json").read_text())
    assert (summary["format"], summary["masks"]) == ("davis", None)  # SiamFC draws no masks
    assert 0 < summary["filled_boxes"]["j_mean"] <= 1
    assert _main(tree, *davis, "--sequences", "square", "--split", "2017/val") == 0
    printed = capsys.readouterr().out
    assert "the tracker draws no masks" in printed
    assert f"{summary['filled_boxes']['j_and_f']:.3f}" in printed
    assert (tmp_path / "boxes" / "square.txt").read_text().startswith("10.0000,15.0000,16.0000")
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "davis", "--boxes", "b"], "boxes: b: no such file or folder"),
        (["--format", "davis", "--convention", "otb"], "convention: not taken with --format davis"),
        (["--split", "2016/val"], "split: not taken with --format folder, got '2016/val'"),
        (["--format", "davis", "--split", "2016/val"], "val.txt: cannot be read"),
    ],
)
def test_what_davis_does_not_take(tree, model, capsys, arguments, message):
    assert _main(tree, "--model", model, *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "fodler"], "unknown format 'fodler': did you mean 'folder'?"),
        (["--convention", "pyso"], "unknown convention 'pyso': did you mean 'pysot' or"),
        (["--sequences", "rigth"], "unknown sequence 'rigth': did you mean 'right'?"),
    ],
)
def test_errors_suggest(data, model, tmp_path, capsys, arguments, message):
    assert _main(data, "--model", model, "--out", tmp_path / "out", *arguments) == 2
    printed = capsys.readouterr()
    assert f"siamjax: error: {message}" in printed.err
    assert printed.out == ""
    assert not (tmp_path / "out").exists()


def test_missing_data(model, tmp_path, capsys):
    assert _main(tmp_path / "nowhere", "--model", model) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
