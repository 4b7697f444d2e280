import dataclasses
import json

import cv2
import jax
import numpy as np
import pytest

from siamjax import cli, tune, weights
from siamjax.bench.track import tame
from siamjax.data.readers import folder
from siamjax.evaluate.onepass import run_track
from siamjax.evaluate.run import evaluate_boxes
from siamjax.track import zoo
from siamjax.track.siamfc import SiamFC
from siamjax.track.siamrpn import SiamRPN

SIAMFC = SiamFC(width=1 / 48, exemplar=95, instance=127, upsampling=4)
SIAMRPN = SiamRPN(backbone="alexnet", width=0.05, hidden=8, instance=143)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A textured patch moving over noise: two clips of pictures, of two sizes."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, (height, width), speed in (("big", (90, 120), 2), ("small", (72, 96), -1)):
        (root / name).mkdir()
        ground = random.integers(0, 120, (height, width, 3), np.uint8)
        patch = random.integers(100, 256, (20, 26, 3), np.uint8)
        rows = []
        for index in range(4):
            frame = ground.copy()
            x = 40 + speed * index
            frame[30:50, x : x + 26] = patch
            cv2.imwrite(str(root / name / f"{index:04d}.png"), frame)
            rows.append(f"{x},30,26,20\n")
        (root / name / "groundtruth.txt").write_text("".join(rows))
    return root


@pytest.fixture(scope="module")
def tracks(data):
    return folder.read(data)


@pytest.fixture(scope="module")
def rpn():
    return tame(SIAMRPN, SIAMRPN.init_variables(jax.random.key(1)))


def test_draw_keeps_the_preset_first_and_the_ranges():
    within = {"lr": (0.2, 0.5), "penalty_k": (0.1, 0.1)}
    drawn = tune.draw(SIAMRPN, within, 50, seed=3)
    assert [float(column[0]) for column in drawn] == pytest.approx([0.04, 0.44, 0.4])
    assert drawn.window_influence.tolist() == [np.float32(0.44)] * 50
    assert drawn.penalty_k[1:].tolist() == [np.float32(0.1)] * 49
    assert 0.2 <= drawn.lr.min() < 0.25 < 0.45 < drawn.lr.max() <= 0.5
    np.testing.assert_array_equal(drawn.lr, tune.draw(SIAMRPN, within, 50, seed=3).lr)
    assert (drawn.lr[1:] != tune.draw(SIAMRPN, within, 50, seed=4).lr[1:]).all()


@pytest.mark.parametrize(
    ("within", "count", "message"),
    [
        ({}, 0, "count: expected at least 1, got 0"),
        ({"scale_lr": (0.0, 1.0)}, 2, "no constant scale_lr; known are penalty_k"),
        ({"lr": (0.5, 0.2)}, 2, "lr: expected two numbers in order, got 0.5 and 0.2"),
        ({"lr": (0.5, float("nan"))}, 2, "lr: expected two numbers in order"),
        ({"lr": (0.5, float("inf"))}, 2, "lr: expected two numbers in order"),
    ],
)
def test_draw_refuses(within, count, message):
    with pytest.raises(ValueError, match=message):
        tune.draw(SIAMRPN, within, count)


@pytest.mark.parametrize("name", [name for name in zoo.names() if not name.startswith("siamfc")])
def test_ranges_hold_the_published_constants(name):
    tracker = zoo.tracker(name)
    for constant, (low, high) in tune.ranges(tracker).items():
        assert low <= getattr(tracker.hyper(), constant) <= high


def check_against_single_runs(tracker, variables, tracks, count):
    settings = tune.draw(tracker, tune.ranges(tracker), count, seed=1)
    told = []
    found = tune.search(
        tracker, variables, tracks, settings, on_clip=lambda name, auc: told.append((name, auc))
    )
    expected = []
    for index in range(count):
        hyper = jax.tree.map(lambda column, index=index: column[index], settings)
        runs = [run_track(track, tracker, variables, hyper=hyper) for track in tracks]
        pairs = zip(tracks, runs, strict=True)
        expected.append([evaluate_boxes(track, run.boxes).success_auc for track, run in pairs])
    expected = np.array(expected)
    assert len(np.unique(expected.mean(1))) > 1  # the constants matter here
    assert [name for name, _ in told] == ["big", "small"]
    np.testing.assert_allclose(np.stack([auc for _, auc in told], axis=1), expected, atol=1e-9)
    order = np.argsort(-expected.mean(1), kind="stable")
    np.testing.assert_allclose(found.success_auc, expected.mean(1)[order], atol=1e-9)
    assert found.preset_auc == pytest.approx(expected.mean(1)[0])
    best = {name: float(column[order[0]]) for name, column in settings._asdict().items()}
    assert found.settings[0] == best
    assert found.seconds > 0
    assert found.hyper(tracker) == tracker.hyper()._replace(**best)
    alone, seconds = tune.alone(tracker, variables, tracks, found.hyper(tracker))
    assert alone == pytest.approx(found.success_auc[0])
    assert seconds > 0


def test_a_search_scores_siamfc_as_single_runs_do(tracks):
    variables = SIAMFC.init_variables(jax.random.key(0))
    check_against_single_runs(SIAMFC, variables, tracks, 4)


def test_a_search_scores_siamrpn_as_single_runs_do(tracks, rpn):
    check_against_single_runs(SIAMRPN, rpn, tracks, 4)


def test_frames_without_an_answer_keep_the_last_box(tracks, rpn):
    settings = tune.draw(SIAMRPN, {}, 2)
    settings = settings._replace(lr=np.array([0.4, np.nan], np.float32))
    found = tune.search(SIAMRPN, rpn, tracks[:1], settings)
    still = np.tile(tracks[0].boxes[:1], (4, 1))
    broken = evaluate_boxes(tracks[0], still).success_auc
    assert broken in found.success_auc.tolist()


def test_no_clips_and_clips_that_end_early(tracks, rpn):
    settings = tune.draw(SIAMRPN, {}, 1)
    with pytest.raises(ValueError, match="tracks: expected at least one clip"):
        tune.search(SIAMRPN, rpn, [], settings)
    boxes = np.vstack([tracks[0].boxes, tracks[0].boxes[-1:]])
    longer = dataclasses.replace(tracks[0], boxes=boxes)
    with pytest.raises(ValueError, match="big: ends before frame 4 of 5"):
        tune.search(SIAMRPN, rpn, [longer], settings)


# ------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def model(tmp_path_factory, rpn):
    path = tmp_path_factory.mktemp("model") / "small.npz"
    weights.save(path, SIAMRPN, rpn, source="a test", licence="MIT")
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)
    return cli.main(["tune", *map(str, arguments)])


def test_command(data, model, tmp_path, capsys, monkeypatch):
    out = tmp_path / "best.json"
    arguments = ["--data", data, "--model", model, "--settings", 3, "--seed", 5, "--compare", 2]
    arguments += ["--range", "lr", 0.2, 0.3, "--range", "penalty_k", 0, 0.1]
    assert run(monkeypatch, *arguments, "--clips", "small", "--out", out, "--json") == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out.splitlines()[-1])
    assert len(printed.out.splitlines()) == 1
    assert summary == json.loads(out.read_text())
    assert (summary["clips"], summary["seed"], summary["data"]) == (["small"], 5, data.name)
    assert summary["ranges"] == {"lr": [0.2, 0.3], "penalty_k": [0, 0.1]}
    assert len(summary["settings"]) == 3
    assert set(summary["settings"][0]) == {"success_auc", "lr", "penalty_k"}
    assert summary["best"] == summary["settings"][0]
    assert summary["alone_auc"] == pytest.approx(summary["best"]["success_auc"])
    assert summary["preset_auc"] <= summary["best"]["success_auc"]
    assert summary["single_seconds_all"] == pytest.approx(3 * summary["single_seconds"])
    assert summary["wall_seconds"] > summary["seconds"] > 0
    assert "3 single runs" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "smal"], "did you mean 'small'"),
        (["--range", "speed", 0, 1], "no constant speed"),
        (["--settings", 0], "count: expected at least 1"),
        (["--settings", 2, "--compare", 3], "compare: expected 0 to 2, got 3"),
        (["--model", "siamrpn-alexnet-dw"], "siamrpn-alexnet-dw"),
    ],
)
def test_command_errors(arguments, message, data, model, capsys, monkeypatch):
    assert run(monkeypatch, "--data", data, "--model", model, *arguments) == 2
    assert message in capsys.readouterr().err
