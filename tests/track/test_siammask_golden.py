"""SiamMask against PySOT's own numbers: boxes, masks and rotated boxes, no cv2 before the last."""

import importlib.util
import json

import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import polygons, weights
from siamjax.track import zoo

pytestmark = pytest.mark.slow


class Reference:
    """PySOT's weights and run, RGB frames."""

    def __init__(self, golden):
        spec = importlib.util.spec_from_file_location("golden_weights", golden / "weights.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        keys = module.load_spec(str(golden / "models" / "siammask_r50_l3.keys.json"))
        self.data = np.load(golden / "tracker" / "siammask_r50_l3.npz")
        clip = np.load(golden / "tracker" / f"clip_{self.data['clip']}.npz")
        self.frames = np.ascontiguousarray(clip["frames_bgr"][..., ::-1])
        self.tracker = zoo.tracker("siammask-sharp")
        state_dict = module.state_dict(keys, int(self.data["seed"]))
        self.variables = weights.from_torch(state_dict, self.tracker)
        box = self.data["init_box"].astype(np.float32)
        self.first = self.tracker.init(self.variables, self.frames[0], box)

    def masks(self, kind):
        packed = self.data[f"{kind}/mask_bin_packed"]
        return np.unpackbits(packed, axis=-1)[..., : self.frames.shape[2]] > 0


@pytest.fixture(scope="module")
def run(shared):
    return Reference(shared / "golden")


def check(run, kind, index, out, pixels):
    """Compare box, mask and rotated box of a step."""
    data = run.data
    np.testing.assert_allclose(out.box, data[f"{kind}/bbox"][index], rtol=0, atol=pixels)
    assert float(out.score) == pytest.approx(float(data[f"{kind}/best_score"][index]), abs=1e-4)
    mask, wanted = np.asarray(out.mask) > out.mask_threshold, run.masks(kind)[index]
    assert (mask & wanted).sum() / (mask | wanted).sum() >= 0.999
    polygon = data[f"{kind}/polygon"][index]
    assert polygons.iou(out.rotated_box.reshape(1, 8), polygon.reshape(1, 8)) >= 0.99


def test_constants_and_start_are_the_published_ones(run):
    config = json.loads(str(run.data["config_json"]))
    names = ("PENALTY_K", "WINDOW_INFLUENCE", "LR", "INSTANCE_SIZE", "MASK_THRESHOLD")
    ours = (*run.tracker.hyper(), run.tracker.instance, run.tracker.mask_threshold)
    assert [config[name] for name in names] == pytest.approx(list(ours))
    assert config["MASK_OUTPUT_SIZE"] == 127
    np.testing.assert_allclose(run.first.center, run.data["init_center"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(run.first.size, run.data["init_size"], rtol=0, atol=1e-4)


def test_teacher_forced_steps(run):
    data = run.data
    for index, number in enumerate(data["tf/frame"]):
        before = data["tf/state_before"][index].astype(np.float32)
        state = run.first._replace(center=jnp.asarray(before[:2]), size=jnp.asarray(before[2:]))
        after, out = run.tracker.step(run.variables, state, run.frames[number])
        got = np.concatenate([after.center, after.size])
        np.testing.assert_allclose(got, data["tf/state_after"][index], rtol=0, atol=1e-3)
        check(run, "tf", index, out, pixels=1e-3)
        if index == 0:
            np.testing.assert_allclose(out.mask, data["tf/mask_prob_step0"], rtol=0, atol=1e-3)


def test_free_run(run):
    state = run.first
    for index, number in enumerate(run.data["free/frame"]):
        state, out = run.tracker.step(run.variables, state, run.frames[number])
        check(run, "free", index, out, pixels=1e-2)
