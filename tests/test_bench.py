import importlib.util
import json

import jax
import numpy as np
import pytest

from siamjax import cli, weights
from siamjax.bench import crop, step, timing, track, xcorr
from siamjax.track.siamfc import SiamFC

SMALL = {
    "full": ((2, 3, 4), (5, 6, 4)),
    "up": ((2, 3, 4, 2), (5, 6, 4)),
    "depthwise": ((2, 3, 4), (5, 6, 4)),
}
ONE_BASED = np.array([1, 1, 0, 0])
ROW_KEYS = ["case", "batch", "pass", "ms", "torch_ms", "ratio"]


def test_measure_divides_by_calls_and_orders_quartiles():
    calls = []
    (alone,) = timing.measure([lambda: calls.append(1)], 5, calls=4)
    median, (low, high) = alone
    assert 0 < low <= median <= high
    assert len(calls) > 5
    with pytest.raises(ValueError, match="repeats: expected at least 1, got 0"):
        timing.measure([lambda: None], 0)


def test_sides_take_turns():
    log = []
    sides = [
        lambda: (log.append("a"), sum(range(200_000))),
        lambda: (log.append("b"), sum(range(200_000))),
    ]
    timing.measure(sides, 3)
    assert "".join(log).lstrip("a").lstrip("b").startswith("a")  # warm-up a, warm-up b, then turns
    assert log[-1] == "b"


def test_agree():
    timing.agree("x", [np.ones(2)], [np.array([1.0, 1.000001])], 1e-5)
    for other in ([np.array([1.0, 1.1])], [np.array([1.0, np.nan])]):
        with pytest.raises(ValueError, match=r"differ by .* nothing was timed"):
            timing.agree("x", [np.ones(2)], other, 1e-5)
    with pytest.raises(ValueError, match="shapes differ"):
        timing.agree("x", [np.ones(2)], [np.ones((2, 1))], 1e-5)


def test_xcorr_rows_without_torch():
    rows = [row.summary() for row in xcorr.rows(False, (1, 2), 1, SMALL)]
    assert [list(row) for row in rows] == [ROW_KEYS] * 12
    assert [(r["case"], r["batch"], r["pass"]) for r in rows[:4]] == [
        ("full", 1, "forward"),
        ("full", 1, "forward+backward"),
        ("full", 2, "forward"),
        ("full", 2, "forward+backward"),
    ]
    assert all(r["torch_ms"] is None and r["ratio"] is None and r["ms"] > 0 for r in rows)


def test_xcorr_rows_agree_with_torch():
    pytest.importorskip("torch")
    for row in xcorr.rows(True, (2,), 1, SMALL):
        summary = row.summary()
        assert summary["ratio"] == pytest.approx(summary["torch_ms"] / summary["ms"])


@pytest.mark.parametrize("op", SMALL)
def test_other_numbers_are_not_timed(op, monkeypatch):
    pytest.importorskip("torch")
    from siamjax.bench import torch_xcorr

    honest = torch_xcorr._correlate
    monkeypatch.setattr(torch_xcorr, "_correlate", lambda *args: honest(*args) * 1.001)
    with pytest.raises(ValueError, match=f"xcorr.{op}: the two sides differ"):
        list(xcorr.rows(True, (1,), 1, {op: SMALL[op]}))


def test_crop_rows_equal_opencv_everywhere():
    cases = [
        ("inside", (90, 120), (60.0, 45.0), 40, 31),
        ("corner", (90, 120), (5.0, 3.5), 61, 31),
        ("outside", (90, 120), (-200.0, 45.0), 40, 31),
        ("larger", (20, 30), (14.0, 9.0), 77, 31),
    ]
    rows = list(crop.rows(True, (1, 3), 1, cases))
    assert [(r.case, r.batch) for r in rows[:2]] == [("inside", 1), ("inside", 3)]
    assert len(rows) == 8


def test_step_rows():
    tracker = SiamFC("alexnet-v1", width=0.05, instance=143)
    variables = tracker.init_variables(jax.random.key(0))
    rows = list(step.rows(tracker, variables, (1, 2), 1, (96, 128)))
    assert [(r.case, r.batch) for r in rows] == [
        ("vmap", 1),
        ("many", 1),
        ("vmap", 2),
        ("many", 2),
    ]
    assert all(r.other_ms is None for r in rows)


def test_clip_moves_its_patch():
    frames = track.clip(2, (200, 300))
    assert frames[0].shape == (200, 300, 3)
    np.testing.assert_array_equal(frames[0][100:144, 200:260], frames[2][104:148, 206:266])
    assert (frames[0] != frames[2]).any()


def test_command_prints_one_json_object(capsys, monkeypatch):
    monkeypatch.setattr(xcorr, "SIZES", SMALL)
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)
    arguments = ["bench", "xcorr", "--batch", "1", "--repeats", "1", "--json"]
    assert cli.main(arguments) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["bench"] == "xcorr"
    assert summary["device"].startswith("cpu")
    assert summary["precision"] == "float32"
    assert [list(row) for row in summary["rows"]] == [ROW_KEYS] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["step", "--against", "torch"], "it has no other side"),
        (["crop", "--against", "torch"], "expected opencv"),
        (["xcorr", "--batch", "0"], "batch: expected numbers of at least 1"),
        (["xcorr", "--repeats", "0"], "repeats: expected at least 1"),
        (["step", "--model", "siamfc-lit"], "siamfc-lit"),
    ],
)
def test_command_errors(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)
    assert cli.main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------ the PyTorch tracker


@pytest.fixture(scope="module")
def reference(shared):
    """The recorded run of siamfc-pytorch and its weights by their PyTorch names."""
    pytest.importorskip("torch")
    folder = shared / "golden"
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = np.load(folder / "tracker" / "siamfc_alexnet_v1.npz")
    keys = module.load_spec(str(folder / "models" / "siamfc_alexnet_v1.keys.json"))
    clip = np.load(folder / "tracker" / f"clip_{run['clip']}.npz")["frames_bgr"][..., ::-1]
    return run, np.ascontiguousarray(clip), module.state_dict(keys, int(run["seed"]))


def test_torch_tracker_passes_the_golden_steps(reference):
    from siamjax.bench.torch_siamfc import TorchSiamFC

    run, clip, state_dict = reference
    peer = TorchSiamFC(state_dict)
    box = run["init_box_1based"] - (1, 1, 0, 0)
    start = peer.init(clip[0], box)
    np.testing.assert_allclose(start.search_side, run["init_x_sz"], rtol=1e-6)
    for i, index in enumerate(run["tf/frame"]):
        before = run["tf/state_before"][i]
        state = start._replace(
            center=before[:2].astype(np.float32),
            size=before[2:4].astype(np.float32),
            template_side=before[4],
            search_side=before[5],
        )
        _, box = peer.step(state, clip[index])
        np.testing.assert_allclose(box + ONE_BASED, run["tf/box_1based"][i], atol=1e-3)


def test_both_trackers_agree_on_a_free_run(reference):
    from siamjax.bench.torch_siamfc import TorchSiamFC

    run, clip, state_dict = reference
    peer, tracker = TorchSiamFC(state_dict), SiamFC("alexnet-v1")
    variables = weights.from_torch(state_dict, tracker)
    box = run["init_box_1based"] - (1, 1, 0, 0)
    theirs, ours = peer.init(clip[0], box), tracker.init(variables, clip[0], np.float32(box))
    for i, index in enumerate(run["free/frame"][:3]):
        theirs, want = peer.step(theirs, clip[index])
        ours, out = tracker.step(variables, ours, clip[index])
        np.testing.assert_allclose(out.box, want, atol=1e-2)
        np.testing.assert_allclose(want + ONE_BASED, run["free/box_1based"][i], atol=1e-2)
