import importlib.util
import json

import jax
import numpy as np
import pytest

from siamjax import cli, weights
from siamjax.bench import crop, distances, targets, timing, track, xcorr
from siamjax.track import zoo
from siamjax.track.siamfc import SiamFC
from siamjax.track.siamrpn import SiamRPN

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


def test_distance_rows(monkeypatch):
    monkeypatch.setattr(distances, "_peak", lambda *work: float(len(work)))
    rows = [row.summary() for row in distances.rows(True, (16,), 1, size=40, width=8)]
    keys = [*ROW_KEYS, "peak_mib", "other_peak_mib"]
    assert [list(row) for row in rows] == [keys] * 2
    assert [row["case"] for row in rows] == ["40 x 40 x 8, one matrix", "40 x 40 x 8, nearest 10"]
    assert all(row["ratio"] > 0 and row["peak_mib"] == 5.0 for row in rows)
    monkeypatch.setattr(distances, "all_pairs", lambda a, b, block: 1.001 * (a @ b.T))
    with pytest.raises(ValueError, match="differ by"):
        next(distances.rows(True, (16,), 1, size=40, width=8))


def test_memory_of_a_fresh_process():
    peak = distances._peak("numpy", "one matrix", 8, 2000, 4)
    if peak is not None:  # on Linux alone
        assert peak > 2000**2 * 4 / 2**20


def test_target_rows():
    tracker = SiamFC("alexnet-v1", width=0.05, instance=143)
    variables = tracker.init_variables(jax.random.key(0))
    rows = list(targets.rows(tracker, variables, (1, 3), 1, (96, 128), name="small"))
    assert [(r.case, r.batch) for r in rows] == [
        ("small many", 1),
        ("small vmap", 1),
        ("small many", 3),
        ("small vmap", 3),
    ]
    assert all(r.other_ms is None for r in rows)
    one, _, three, _ = (row.summary() for row in rows)
    assert list(one) == [*ROW_KEYS, "targets_per_s", "relative"]
    assert one["relative"] == pytest.approx(1)
    assert three["targets_per_s"] == pytest.approx(3e3 / three["ms"])
    speeds = three["targets_per_s"] / one["targets_per_s"]
    assert three["relative"] == pytest.approx(speeds)


def test_every_sample_does_the_work_of_the_largest_number(monkeypatch):
    tracker = SiamFC("alexnet-v1", width=0.05, instance=143)
    variables = tracker.init_variables(jax.random.key(0))
    sizes, batches = [], []

    def measure(sides, repeats):
        for side in sides:
            sizes.clear()
            side()
            batches.append(list(sizes))
        return [(6.0, (4.0, 8.0))] * len(sides)

    monkeypatch.setattr(targets, "measure", measure)
    monkeypatch.setattr(jax, "block_until_ready", lambda out: sizes.append(len(out[1].score)))
    rows = list(targets.rows(tracker, variables, (1, 2, 4), 1, (96, 128)))
    assert batches == [[1] * 4, [1] * 4, [2] * 2, [2] * 2, [4], [4]]
    assert [row.ms for row in rows] == [1.5, 1.5, 3, 3, 6, 6]
    assert rows[0].spread == (1, 2)
    assert [row.relative for row in rows] == [1] * 6


def test_clip_moves_its_patch():
    frames = track.clip(2, (200, 300))
    assert frames[0].shape == (200, 300, 3)
    np.testing.assert_array_equal(frames[0][100:144, 200:260], frames[2][104:148, 206:266])
    assert (frames[0] != frames[2]).any()


class Still:
    """A tracker of the other side that answers with boxes it was given."""

    def __init__(self, boxes):
        self.boxes = boxes

    def init(self, frame, box):
        np.testing.assert_array_equal(box, track.BOX)
        return 0

    def step(self, state, frame):
        return state + 1, self.boxes[state]


@pytest.fixture
def small_case(monkeypatch):
    """A case whose other side answers as this library does, but for what the test adds."""
    tracker = SiamRPN(backbone="alexnet", width=0.05, hidden=8, instance=143)
    monkeypatch.setattr(zoo, "tracker", lambda name: tracker)

    def install(error):
        def peers(name, tracker, variables):
            first, *rest = track.clip(2)
            boxes = track._ours(tracker, variables, first, rest)().boxes
            return {"eager": Still(boxes), "folded": Still(boxes + np.float32(error))}

        monkeypatch.setitem(track.CASES, "small", track.Case("143 px", "torch", peers, 0.01))

    return install


def test_track_rows(small_case):
    small_case(0.005)
    rows = list(track.rows(["small"], "torch", 1, frames=2))
    assert [row.case for row in rows] == [
        "small 480x270, 143 px; torch eager",
        "small 480x270, 143 px; torch folded",
    ]
    assert rows[0].ms == rows[1].ms > 0
    assert all(row.ratio == row.other_ms / row.ms for row in rows)
    (alone,) = track.rows(["small"], None, 1, frames=2)
    assert (alone.case, alone.ratio) == ("small 480x270, 143 px", None)


def test_other_boxes_are_not_timed(small_case):
    small_case(0.02)
    with pytest.raises(ValueError, match=r"folded's by 0\.02 px, .*; nothing was"):
        list(track.rows(["small"], "torch", 1, frames=2))
    with pytest.raises(ValueError, match="small is compared with torch, not opencv"):
        list(track.rows(["small"], "opencv", 1))
    with pytest.raises(ValueError, match="unknown case 'smal': did you mean 'small'"):
        list(track.rows(["smal"], None, 1))


def test_other_masks_are_not_timed():
    boxes, masks = np.zeros((2, 4)), [np.zeros((3, 5)), np.full((3, 5), 0.5)]
    off = [masks[0], masks[1] + 0.01]
    same = track.Answers(boxes, masks)
    assert track.compare(same, same) == (0, 0)
    assert track.compare(same, track.Answers(boxes + 0.25, off)) == (0.25, pytest.approx(0.01))
    assert track.compare(same, track.Answers(boxes, [])) == (0, np.inf)
    assert track.compare(track.Answers(boxes, []), track.Answers(boxes, [])) == (0, 0)


def test_random_weights_are_tamed():
    tracker = SiamRPN(backbone="alexnet", width=0.05, hidden=8, instance=143)
    variables = track.tame(tracker, tracker.init_variables(jax.random.key(0)))
    x = track.clip(0, (400, 400))[0][:143, :143].astype(np.float32)[None]
    raw = tracker.respond(variables, tracker.template(variables, x[:, 8:135, 8:135]), x)
    for name, deviation in (("cls", 1.0), ("loc", 0.1)):
        values = np.asarray(raw[name]).reshape(9, -1)
        np.testing.assert_allclose(values.mean(0), 0, atol=1e-3)
        np.testing.assert_allclose(values.std(0), deviation, rtol=1e-3)


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
        (["targets", "--against", "opencv"], "it has no other side"),
        (["track", "--case", "siamrpn"], "unknown case 'siamrpn'"),
        (["track", "--model", "default"], "model: expected one for one --case"),
        (["targets", "--model", "siamfc-lite", "--dtype", "bfloat16"], "in float32 alone"),
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
def golden(shared):
    """A reader of a recorded run: its numbers, frames (RGB), and weights by PyTorch's names."""
    pytest.importorskip("torch")
    folder = shared / "golden"
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def read(name):
        run = np.load(folder / "tracker" / f"{name}.npz")
        clip = np.load(folder / "tracker" / f"clip_{run['clip']}.npz")["frames_bgr"][..., ::-1]
        return run, np.ascontiguousarray(clip), drawn(name, int(run["seed"]))

    def drawn(name, seed):
        keys = module.load_spec(str(folder / "models" / f"{name}.keys.json"))
        return module.state_dict(keys, seed)

    read.weights = drawn
    read.models = folder / "models"
    return read


@pytest.fixture(scope="module")
def reference(golden):
    """The recorded run of siamfc-pytorch and its weights by their PyTorch names."""
    return golden("siamfc_alexnet_v1")


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


@pytest.mark.parametrize("mode", ["eager", "folded"])
@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("siamrpn-alexnet-dw", "siamrpn_alex_dwxcorr"),
        ("siamrpnpp-resnet50", "siamrpn_r50_l234_dwxcorr"),
    ],
)
def test_torch_siamrpn_passes_the_golden_steps(name, recorded, mode, golden):
    from siamjax.bench.torch_siamrpn import TorchSiamRPN

    run, clip, state_dict = golden(recorded)
    peer = TorchSiamRPN(name, state_dict, mode)
    start = peer.init(clip[0], run["init_box"])
    np.testing.assert_allclose(start.center, run["init_center"], atol=1e-9)
    for i, index in enumerate(run["tf/frame"]):
        before, after = run["tf/state_before"][i], run["tf/state_after"][i]
        state, box = peer.step(start._replace(center=before[:2], size=before[2:]), clip[index])
        assert state.best == run["tf/best_idx"][i]
        np.testing.assert_allclose(box, run["tf/bbox"][i], atol=1e-3)
        np.testing.assert_allclose([*state.center, *state.size], after, atol=1e-3)
        assert state.score == pytest.approx(run["tf/best_score"][i], abs=1e-4)


@pytest.mark.parametrize(("mode", "steps"), [("eager", (0, 4, 6)), ("folded", (5,))])
def test_torch_siammask_passes_the_golden_steps(mode, steps, golden):
    from siamjax.bench.torch_siammask import TorchSiamMask

    run, clip, state_dict = golden("siammask_r50_l3")
    peer = TorchSiamMask("siammask-sharp", state_dict, mode)
    start = peer.init(clip[0], run["init_box"])
    for i in steps:
        before, after = run["tf/state_before"][i], run["tf/state_after"][i]
        state = start._replace(center=before[:2], size=before[2:])
        state, box = peer.step(state, clip[run["tf/frame"][i]])
        assert state.best == run["tf/best_idx"][i]
        np.testing.assert_allclose(box, run["tf/bbox"][i], atol=1e-3)
        np.testing.assert_allclose([*state.center, *state.size], after, atol=1e-3)
        stored = np.unpackbits(run["tf/mask_bin_packed"][i], axis=-1)[:, : state.mask.shape[1]]
        found = state.mask > 0.15
        assert (found & (stored > 0)).sum() >= 0.999 * (found | (stored > 0)).sum()
        if i == 0:
            np.testing.assert_allclose(state.mask, run["tf/mask_prob_step0"], atol=1e-3)


@pytest.mark.parametrize("mode", ["eager", "folded"])
def test_torch_mobilenet_gives_the_golden_outputs(mode, golden):
    import torch

    from siamjax.bench.torch_siamrpn import TorchSiamRPN

    name = "siamrpn_mobilev2_l234_dwxcorr"
    recorded = np.load(golden.models / f"{name}.npz")
    state_dict = golden.weights(name, int(recorded["seed"]))
    net = TorchSiamRPN("siamrpnpp-mobilenetv2", state_dict, mode).net
    z, x = (torch.tensor(recorded[k]).permute(0, 3, 1, 2).float() for k in ("z", "x"))
    with torch.inference_mode():
        found = net(net.kernels(z), x)
    for mine, key in zip(found, ("cls", "loc"), strict=True):
        error = np.abs(mine.numpy() - recorded[key]).max() / np.abs(recorded[key]).max()
        assert error < 2e-5


def test_torch_siamrpn_agrees_on_a_free_run(golden):
    from siamjax.bench.torch_siamrpn import TorchSiamRPN

    run, clip, state_dict = golden("siamrpn_alex_dwxcorr")
    peer, tracker = (
        TorchSiamRPN("siamrpn-alexnet-dw", state_dict),
        zoo.tracker("siamrpn-alexnet-dw"),
    )
    variables = weights.from_torch(state_dict, tracker)
    box = run["init_box"]
    theirs, ours = peer.init(clip[0], box), tracker.init(variables, clip[0], np.float32(box))
    for i, index in enumerate(run["free/frame"][:3]):
        theirs, want = peer.step(theirs, clip[index])
        ours, out = tracker.step(variables, ours, clip[index])
        np.testing.assert_allclose(out.box, want, atol=1e-2)
        np.testing.assert_allclose(want, run["free/bbox"][i], atol=1e-2)
