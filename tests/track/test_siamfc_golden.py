"""SiamFC against siamfc-pytorch's own numbers; the device crops, no cv2 here."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import weights
from siamjax.track.siamfc import SiamFC

NAME = "siamfc_alexnet_v1"


@pytest.fixture(scope="module")
def golden(shared):
    return shared / "golden"


@pytest.fixture(scope="module")
def tracker():
    return SiamFC("alexnet-v1")


@pytest.fixture(scope="module")
def variables(golden, tracker):
    """The deterministic weights that the reference ran with, by their PyTorch names."""
    spec = importlib.util.spec_from_file_location("golden_weights", golden / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = module.load_spec(str(golden / "models" / f"{NAME}.keys.json"))
    seed = int(np.load(golden / "models" / f"{NAME}.npz")["seed"])
    return weights.from_torch(module.state_dict(keys, seed), tracker)


@pytest.fixture(scope="module")
def model(golden):
    return np.load(golden / "models" / f"{NAME}.npz")


def relative(got, expected):
    got = np.asarray(got)
    assert got.shape == expected.shape
    return np.abs(got - expected).max() / np.abs(expected).max()


def test_network_outputs(tracker, variables, model):
    z, x, x239 = (model[key].astype(np.float32) for key in ("z", "x", "x239"))
    template = jax.jit(tracker.template)(variables, z)
    respond = jax.jit(tracker.respond)
    assert relative(template, model["z_feat"].transpose(0, 2, 3, 1)) <= 2e-5
    response = respond(variables, template, x)["response"]
    assert relative(response, model["response"][:, 0]) <= 2e-5
    response = respond(variables, template, x239)["response"]
    assert relative(response, model["response_239"][:, 0]) <= 2e-5


@pytest.mark.parametrize("side", ["z", "x"])
def test_network_stages(tracker, variables, model, side):
    backbone = tracker.net.bind(variables).backbone
    stages = backbone(model[side].astype(np.float32))
    for number in range(1, 6):
        prefix = f"stage/{side}/backbone.conv{number}/"
        got = np.asarray(stages[f"conv{number}"])
        if number <= 2:  # the reference's first two modules end with their pooling
            view = np.lib.stride_tricks.sliding_window_view(got, (3, 3), (1, 2))
            got = view[:, ::2, ::2].max((-1, -2))
        got = got.transpose(0, 3, 1, 2)
        assert list(got.shape) == list(model[prefix + "shape"])
        mean_std = [got.mean(dtype=np.float64), got.std(dtype=np.float64)]
        np.testing.assert_allclose(mean_std, model[prefix + "mean_std"], rtol=1e-4)
        _, _, height, width = got.shape
        probe = model[prefix + "probe"]
        assert relative(got[0, :16, height // 2, width // 2], probe) <= 1e-4


class Run:
    """The reference's run: RGB frames, 0-based boxes, (x, y) order."""

    def __init__(self, golden):
        self.data = np.load(golden / "tracker" / f"{NAME}.npz")
        clip = np.load(golden / "tracker" / f"clip_{self.data['clip']}.npz")
        self.frames = np.ascontiguousarray(clip["frames_bgr"][..., ::-1])
        self.box = (self.data["init_box_1based"] - [1, 1, 0, 0]).astype(np.float32)

    def boxes(self, kind):
        return self.data[f"{kind}/box_1based"] - [1, 1, 0, 0]


@pytest.fixture(scope="module")
def run(golden):
    return Run(golden)


def near(state, row, tolerance):
    """Compare a state with (cy, cx, h, w, z_sz, x_sz)."""
    np.testing.assert_allclose(state.center, row[[1, 0]], rtol=0, atol=tolerance)
    np.testing.assert_allclose(state.size, row[[3, 2]], rtol=0, atol=tolerance)
    np.testing.assert_allclose(state.template_side, row[4], rtol=0, atol=tolerance)
    np.testing.assert_allclose(state.search_side, row[5], rtol=0, atol=tolerance)


def test_init(tracker, variables, run):
    state = tracker.init(variables, run.frames[0], run.box)
    data = run.data
    row = [*data["init_center_yx"], *data["init_target_hw"], data["init_z_sz"], data["init_x_sz"]]
    near(state, np.array(row), 1e-4)
    np.testing.assert_allclose(state.fill, data["avg_color_rgb"], rtol=1e-6)
    crop = tracker._template_crops(run.frames[0], state, None)
    np.testing.assert_array_equal(crop[0], data["z_crop"])
    expected = tracker.template(variables, data["z_crop"][None].astype(np.float32))
    assert relative(state.template, np.asarray(expected)) <= 2e-5


def test_teacher_forced_steps(tracker, variables, run):
    first = tracker.init(variables, run.frames[0], run.box)
    data, boxes = run.data, run.boxes("tf")
    for index, frame in enumerate(data["tf/frame"]):
        before = data["tf/state_before"][index].astype(np.float32)
        state = first._replace(
            center=jnp.asarray(before[[1, 0]]),
            size=jnp.asarray(before[[3, 2]]),
            template_side=jnp.asarray(before[4]),
            search_side=jnp.asarray(before[5]),
        )
        after, out = tracker.step(variables, state, run.frames[frame])
        near(after, data["tf/state_after"][index], 1e-3)
        np.testing.assert_allclose(out.box, boxes[index], rtol=0, atol=1e-3)
        assert bool(out.valid)
        # The scale and the cell are what the state moved by.
        scale_id = int(data["tf/scale_id"][index])
        ratio = 1 + 0.59 * (1.0375 ** (scale_id - 1) - 1)
        assert float(after.scale) == pytest.approx(ratio, abs=1e-6)
        pixels = 8 / 16 * before[5] * 1.0375 ** (scale_id - 1) / 255
        loc = (np.asarray(after.center) - before[[1, 0]]) / pixels + 271 / 2
        np.testing.assert_allclose(loc, data["tf/loc_yx"][index][::-1], rtol=0, atol=1e-2)
        side_penalty = 1.0 if scale_id == 1 else 0.9745
        peak = data["tf/scale_peaks"][index][scale_id] / side_penalty
        assert float(out.score) == pytest.approx(1 / (1 + np.exp(-peak)), abs=1e-4)
        if index == 0:
            crops = tracker._search_crops(run.frames[frame], state, None)
            np.testing.assert_array_equal(crops, data["tf/x_crops_step0"])


def test_free_run(tracker, variables, run):
    state = tracker.init(variables, run.frames[0], run.box)
    for index, box in enumerate(run.boxes("free")):
        frame = run.frames[run.data["free/frame"][index]]
        state, out = tracker.step(variables, state, frame)
        near(state, run.data["free/state_after"][index], 1e-2)
        np.testing.assert_allclose(out.box, box, rtol=0, atol=1e-2)


def test_free_run_as_one_scan_under_the_users_jit(tracker, variables, run):
    @jax.jit
    def track(variables, frames, box):
        state = tracker.init(variables, frames[0], box)
        step = lambda state, frame: tracker.step(variables, state, frame)
        return jax.lax.scan(step, state, frames[1:])[1]

    assert list(run.data["free/frame"]) == list(range(1, len(run.frames)))
    out = track(variables, run.frames, run.box)
    np.testing.assert_allclose(out.box, run.boxes("free"), rtol=0, atol=1e-2)


def test_names_are_the_references_own(golden, tracker, variables):
    keys = json.loads((golden / "models" / f"{NAME}.keys.json").read_text())
    got = weights.to_torch(variables, tracker)
    assert {name: list(array.shape) for name, array in got.items()} == keys
