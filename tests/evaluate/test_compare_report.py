import csv
import json
import re

import cv2
import numpy as np
import pytest

from siamjax import cli
from siamjax.data.media import PictureFolder
from siamjax.data.tracks import Track
from siamjax.evaluate import compare_report


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)


@pytest.fixture
def folders(evaluated):
    return [
        evaluated("far_1%", {"left": 10.0, "right": 12.0}),
        evaluated("near", {"left": 0.0, "right": 2.0}),
    ]


@pytest.fixture
def data(tmp_path):
    """The pictures of both sequences."""
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        place = tmp_path / "data" / name
        place.mkdir(parents=True)
        for i in range(8):
            frame = rng.integers(0, 255, (96, 960, 3), np.uint8)
            cv2.imwrite(str(place / f"{i:03d}.png"), frame)
        (place / "groundtruth.txt").write_text("4,5,20,10\n" * 8)
    return tmp_path / "data"


def _main(*arguments):
    return cli.main(["report", *map(str, arguments)])


def test_files_and_table(folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert _main(*folders, "--out", out, "--attributes") == 0
    printed = capsys.readouterr().out
    assert printed.index("near") < printed.index("far_1%")
    assert "near is ahead of far_1%: +0.595, " in printed
    assert f"report: {out / 'report.html'}" in printed
    assert re.search(r"low resolution \(derived\) +2 +0\.881 +0\.286", printed)
    kinds = ("success", "precision", "normalised")
    assert {path.name for path in out.iterdir()} == {
        "report.html",
        "ranking.tex",
        "sequences.csv",
        "attributes.csv",
        *(f"{kind}.{end}" for kind in kinds for end in ("svg", "png")),
    }
    assert cv2.imread(str(out / "success.png")).shape[2] == 3
    rows = list(csv.DictReader((out / "sequences.csv").read_text().splitlines()))
    assert [(row["tracker"], row["sequence"]) for row in rows] == [
        ("near", "left"),
        ("near", "right"),
        ("far_1%", "left"),
        ("far_1%", "right"),
    ]
    assert float(rows[0]["success_auc"]) == pytest.approx(20 / 21)
    assert rows[0]["fps"] == ""
    latex = (out / "ranking.tex").read_text()
    assert r"far\_1\% & 0." in latex
    assert r"near & \textbf{0.881} {\scriptsize [0.810, 0.952]} & " in latex
    assert latex.count("\\\\\n") == 3
    assert latex.count("&") == 3 * 5


def test_json_ranks(folders, tmp_path, capsys):
    assert _main(*folders, "--out", tmp_path / "out", "--names", "A", "B", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    first, second = told["ranking"]
    assert (first["name"], first["behind"], second["name"]) == ("B", None, "A")
    assert first["success_auc"] == pytest.approx((20 + 17) / 42)
    assert second["behind"][0] == pytest.approx(first["success_auc"] - second["success_auc"])
    low, high = first["intervals"]["success_auc"]
    assert (low, high) == (pytest.approx(17 / 21), pytest.approx(20 / 21))


def test_latex_letters():
    assert compare_report._escaped(r"a_b & 50% ~x^2 <\>") == (
        r"a\_b \& 50\% \textasciitilde{}x\textasciicircum{}2 \textless{}\textbackslash{}"
        r"\textgreater{}"
    )


def test_frames_lie_beside_the_page(folders, data, tmp_path):
    out = tmp_path / "out"
    assert _main(*folders, "--out", out, "--frames", 3, "--data", data) == 0
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
    assert found == [f"frames/{name}/{i:05d}.jpg" for name in ("left", "right") for i in (0, 3, 6)]
    assert cv2.imread(str(out / found[0])).shape == (48, 480, 3)
    text = (out / "report.html").read_text()
    assert '"pictures":{"0":"frames/left/00000.jpg","3":"frames/left/00003.jpg",' in text


def test_addresses_of_strange_names(tmp_path):
    picture = tmp_path / "0.png"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    boxes = np.array([[1, 1, 4, 4]], np.float32)
    strange = Track("50% #1 ü", PictureFolder((picture,)), boxes)
    found = compare_report.save_frames([strange], tmp_path / "out", 1)
    assert found == {"50% #1 ü": {0: "frames/50%25%20%231%20%C3%BC/00000.jpg"}}
    assert (tmp_path / "out" / "frames" / "50% #1 ü" / "00000.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "page.html"], "out: expected a folder (for report.html and plots), got page"),
        (["--frames", "5"], "data: expected the folder of the dataset for --frames 5"),
        (["--names", "one"], "names: expected 2, one for each folder, got 1"),
    ],
)
def test_refusals(folders, capsys, arguments, message):
    assert _main(*folders, *arguments) == 2
    assert message in capsys.readouterr().err


def test_data_without_a_sequence(folders, data, tmp_path, capsys):
    for path in (data / "right").iterdir():
        path.unlink()
    assert _main(*folders, "--out", tmp_path / "out", "--frames", 1, "--data", data) == 2
    assert "data: no sequence 'right' there, which the results are of" in capsys.readouterr().err


def test_other_kinds_of_results(tmp_path, capsys):
    (tmp_path / "results.json").write_text('{"eao": 0.3, "model": "m"}')
    assert _main(tmp_path) == 2
    assert "holds no 'success_auc'; expected the results of boxes" in capsys.readouterr().err
