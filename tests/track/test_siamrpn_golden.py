"""SiamRPN trackers against PySOT's own numbers; the device crops, no cv2 here."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax import weights
from siamjax.track import zoo
from siamjax.track.proposals import choose

MODELS = {
    "siamrpn_alex_dwxcorr": "siamrpn-alexnet-dw",
    "siamrpn_r50_l234_dwxcorr": "siamrpnpp-resnet50",
}


class Reference:
    """One reference tracker's weights and run, RGB frames."""

    def __init__(self, golden, name):
        spec = importlib.util.spec_from_file_location("golden_weights", golden / "weights.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        keys = module.load_spec(str(golden / "models" / f"{name}.keys.json"))
        self.data = np.load(golden / "tracker" / f"{name}.npz")
        clip = np.load(golden / "tracker" / f"clip_{self.data['clip']}.npz")
        self.frames = np.ascontiguousarray(clip["frames_bgr"][..., ::-1])
        self.tracker = zoo.tracker(MODELS[name])
        state_dict = module.state_dict(keys, int(self.data["seed"]))
        self.variables = weights.from_torch(state_dict, self.tracker)
        self.box = self.data["init_box"].astype(np.float32)
        self.first = self.tracker.init(self.variables, self.frames[0], self.box)


@pytest.fixture(scope="module", params=sorted(MODELS))
def run(request, shared):
    return Reference(shared / "golden", request.param)


def test_constants_are_the_published_ones(run):
    config = json.loads(str(run.data["config_json"]))
    tracker = run.tracker
    names = ("PENALTY_K", "WINDOW_INFLUENCE", "LR", "INSTANCE_SIZE", "EXEMPLAR_SIZE")
    ours = (*tracker.hyper(), tracker.instance, tracker.exemplar)
    assert [config[name] for name in names] == pytest.approx(list(ours))


def test_init(run):
    data = run.data
    cropped = run.tracker._start(run.frames[0], run.box)[1]
    np.testing.assert_array_equal(np.asarray(cropped)[..., ::-1], data["z_crop"])
    np.testing.assert_allclose(run.first.fill, data["channel_average"][::-1], rtol=1e-6)


def test_teacher_forced_steps(run):
    data, tracker = run.data, run.tracker
    for index, number in enumerate(data["tf/frame"]):
        before = data["tf/state_before"][index].astype(np.float32)
        state = run.first._replace(center=jnp.asarray(before[:2]), size=jnp.asarray(before[2:]))
        after, out = tracker.step(run.variables, state, run.frames[number])
        got = np.concatenate([after.center, after.size])
        np.testing.assert_allclose(got, data["tf/state_after"][index], rtol=0, atol=1e-3)
        np.testing.assert_allclose(out.box, data["tf/bbox"][index], rtol=0, atol=1e-3)
        assert float(out.score) == pytest.approx(float(data["tf/best_score"][index]), abs=1e-4)
        assert bool(out.valid)
        assert not bool(out.lost)


@pytest.mark.slow
def test_what_is_chosen(run):
    data, tracker = run.data, run.tracker
    respond = jax.jit(tracker.respond)
    for index, number in enumerate(data["tf/frame"]):
        before = data["tf/state_before"][index].astype(np.float32)
        state = run.first._replace(center=jnp.asarray(before[:2]), size=jnp.asarray(before[2:]))
        (x,) = tracker._search_crops_each(run.frames[number], state)
        raw = respond(run.variables, state.template, np.asarray(x, np.float32)[None])
        boxes, scores, window = tracker.proposals(raw)
        size = state.size * tracker.scale(state)
        choice, ranks = choose(boxes[0], scores[0], window, size, tracker.hyper())
        if data["tf/pscore_margin"][index] > 1e-4:
            assert int(choice.which) == int(data["tf/best_idx"][index])
        best = float(data["tf/pscore_best"][index])
        assert float(ranks[choice.which]) == pytest.approx(best, abs=1e-4)
        if index == 0:
            np.testing.assert_array_equal(np.asarray(x)[..., ::-1], data["tf/crop_step0"])
            np.testing.assert_allclose(scores[0], data["tf/score_step0"], rtol=0, atol=1e-4)
            np.testing.assert_allclose(ranks, data["tf/pscore_step0"], rtol=0, atol=1e-4)


def test_free_run(run):
    state = run.first
    for index, number in enumerate(run.data["free/frame"]):
        state, out = run.tracker.step(run.variables, state, run.frames[number])
        np.testing.assert_allclose(out.box, run.data["free/bbox"][index], rtol=0, atol=1e-2)
