import json

import cv2
import numpy as np
import pytest

from siamjax.bench import input as inputs
from siamjax.cli import main
from siamjax.data import cache

RECIPE = """
from pathlib import Path

from siamjax.data.pairs import PairConfig, Source
from siamjax.data.readers import folder
from siamjax.track import zoo
from siamjax.train.recipe import Recipe

RECIPE = Recipe(
    name="small", steps=4, batch_size=4, tracker=zoo.tracker("siamfc-lite"), data=Path("nowhere"),
    sources=lambda data: [Source(folder.read(data), name="mine")],
    pairs=PairConfig(template_size=191, search_size=431),
)
"""


@pytest.fixture
def call(tmp_path):
    place = tmp_path / "data" / "one"
    place.mkdir(parents=True)
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(place / f"{i}.jpg"), noise)
    (place / "2.jpg").write_bytes(b"no picture")
    (place / "groundtruth.txt").write_text("10,12,20,16\n" * 3)
    (tmp_path / "small.py").write_text(RECIPE)
    return ["bench", "input", "--recipe", str(tmp_path / "small.py"), "--json", "--repeats", "3",
            "--data", str(tmp_path / "data"), "--threads", "1"]  # fmt: skip


def test_stages_and_batches(call, capsys):
    before = cache.shared.budget
    assert main([*call, "--seconds", "0", "--no-steps"]) == 0
    assert cache.shared.budget == before
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["bench"], summary["recipe"], summary["threads"]) == ("input", "small", 1)
    names = [row["case"] for row in summary["rows"]]
    assert names == ["draw", "decode", "crop", "all, one thread", "batches", "batches, kept"]
    assert all(row["ms"] > 0 for row in summary["rows"])
    assert summary["rows"][0]["pairs_per_second"] == pytest.approx(1e3 / summary["rows"][0]["ms"])
    assert summary["waits"] is None


@pytest.mark.slow
def test_steps(call, capsys):
    assert main([*call, "--seconds", "0.1"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["case"] for row in summary["rows"]][-2:] == ["steps, one batch", "steps"]
    assert 0 <= summary["waits"] <= 1


def test_waiting_is_what_batches_add_to_steps():
    rows = [inputs.Row("steps, one batch", 3.0), inputs.Row("steps", 4.0)]
    assert inputs.waits(rows) == 0.25
    assert inputs.waits([rows[0], inputs.Row("steps", 2.9)]) == 0.0
    assert inputs.waits(rows[:1]) is None


def test_nothing_to_time(call, tmp_path, capsys):
    for i in range(2):
        (tmp_path / "data" / "one" / f"{i}.jpg").write_bytes(b"")
    assert main([*call, "--seconds", "0", "--no-steps"]) == 2
    assert "0 of 30 pairs can be decoded" in capsys.readouterr().err
    assert main(["bench", "input", "--recipe", "omniglot"]) == 2
    assert "does not train on pairs of crops" in capsys.readouterr().err
