import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from track.conftest import make_clip

from siamjax import weights
from siamjax.track import zoo
from siamjax.track.nanotrack import NanoTrack
from siamjax.track.proposals import choose

SMALL = NanoTrack(version=2, width=0.1, instance=191)


def test_points_from_the_middle_of_the_crop():
    even, odd = zoo.nanotrack(2).points(16), zoo.nanotrack(3).points(15)
    np.testing.assert_array_equal(even[0, :3], [[-128, -128], [-112, -128], [-96, -128]])
    np.testing.assert_array_equal(even[15, 15], [112, 112])
    np.testing.assert_array_equal(odd[7, 7], [0, 0])
    np.testing.assert_array_equal(odd[14, 0], [-112, 112])


def test_proposals_by_hand():
    raw = {
        "cls": np.log(np.float32([[3, 1], [1, 1], [1, 4], [1, 0.25]])).reshape(1, 2, 2, 1, 2),
        "loc": np.float32([[10, 20, 30, 60]] * 4).reshape(1, 2, 2, 1, 4),
    }
    boxes, scores, window = NanoTrack(version=3).proposals(raw)
    # Points (-16, -16), (0, -16), (-16, 0), (0, 0); centres 10 right of and 20 below them.
    wanted = [[-6, 4, 40, 80], [10, 4, 40, 80], [-6, 20, 40, 80], [10, 20, 40, 80]]
    np.testing.assert_allclose(boxes, [wanted])
    np.testing.assert_allclose(scores, [[0.25, 0.5, 0.8, 0.2]], rtol=1e-6)
    np.testing.assert_array_equal(window, np.zeros(4))  # Hann's window of two


def test_published_constants():
    second, third = zoo.tracker("nanotrack-v2"), zoo.tracker("nanotrack-v3")
    assert second.hyper() == (0.15, 0.49, 0.385)
    assert third.hyper() == (0.138, 0.455, 0.348)
    assert [(t.exemplar, t.instance) for t in (second, third)] == [(127, 255)] * 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"version": 1}, r"version: expected one of \(2, 3\), got 1"),
        ({"dtype": "float16"}, r"dtype: expected one of .* got 'float16'"),
    ],
)
def test_unknown_settings(setting, message):
    tracker = NanoTrack()
    for name, value in setting.items():  # what the constructor's types do not let through here
        object.__setattr__(tracker, name, value)
    with pytest.raises(ValueError, match=message):
        tracker.__post_init__()


@pytest.mark.slow
def test_scan_over_frames_and_targets_equals_a_loop():
    variables = SMALL.init_variables(jax.random.key(1))
    frames, box = make_clip(4)
    boxes = np.stack([box, box + np.float32([5, -3, 4, 2])])
    looped = []
    for start in boxes:
        state = SMALL.init(variables, frames[0], start)
        for frame in frames[1:]:
            state, out = SMALL.step(variables, state, frame)
            looped.append(np.asarray(out.box))

    def scanned(start):
        state = SMALL.init(variables, frames[0], start)
        step = lambda state, frame: SMALL.step(variables, state, frame)
        return jax.lax.scan(step, state, jnp.asarray(frames[1:]))[1].box

    got = jax.jit(jax.vmap(scanned))(boxes)
    np.testing.assert_allclose(got, np.reshape(looped, (2, 3, 4)), rtol=0, atol=1e-4)

    state = SMALL.init(variables, frames[0], np.float32([np.nan, 1, 2, 3]))
    _, out = SMALL.step(variables, state, frames[1])
    assert not bool(out.valid)
    assert np.isnan(out.box).all()


class Reference:
    """NanoTrack v3's run with drawn or with the published weights, RGB frames."""

    def __init__(self, shared, kind):
        golden = shared / "golden"
        data = np.load(golden / "tracker" / "nanotrack_v3.npz")
        clip = np.load(golden / "tracker" / f"clip_{data['clip']}.npz")
        if kind == "real":
            state_dict = weights.read_torch(shared / "weights" / "nanotrack" / "nanotrackv3.pth")
        else:
            spec = importlib.util.spec_from_file_location("drawn", golden / "weights.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            keys = module.load_spec(str(golden / "models" / "nanotrack_v3.keys.json"))
            state_dict = module.state_dict(keys, int(data["seed"]))
        self.config = json.loads(str(data["config_json"]))
        self.data = {
            key.removeprefix(f"{kind}/"): data[key] for key in data.files if key.startswith(kind)
        }
        self.frames = np.ascontiguousarray(clip["frames_bgr"][..., ::-1])
        self.tracker = zoo.tracker("nanotrack-v3")
        self.variables = weights.from_torch(state_dict, self.tracker)
        box = data["init_box"].astype(np.float32)
        self.first = self.tracker.init(self.variables, self.frames[0], box)

    def check(self, kind, index, state, out, pixels):
        got = np.concatenate([state.center, state.size])
        wanted = self.data[f"{kind}/state_after"][index]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=pixels)
        np.testing.assert_allclose(out.box, self.data[f"{kind}/bbox"][index], rtol=0, atol=pixels)
        score = float(self.data[f"{kind}/best_score"][index])
        assert float(out.score) == pytest.approx(score, abs=1e-4)
        assert bool(out.valid)


@pytest.fixture(scope="module", params=["random", "real"])
def run(request, shared):
    return Reference(shared, request.param)


def test_constants_are_those_of_the_reference(run):
    names = ("PENALTY_K", "WINDOW_INFLUENCE", "LR", "INSTANCE_SIZE", "EXEMPLAR_SIZE")
    ours = (*run.tracker.hyper(), run.tracker.instance, run.tracker.exemplar)
    assert [run.config[name] for name in names] == pytest.approx(list(ours))


def test_teacher_forced_steps(run):
    tracker = run.tracker
    respond = jax.jit(tracker.respond)
    for index, number in enumerate(run.data["tf/frame"]):
        before = run.data["tf/state_before"][index].astype(np.float32)
        state = run.first._replace(center=jnp.asarray(before[:2]), size=jnp.asarray(before[2:]))
        after, out = tracker.step(run.variables, state, run.frames[number])
        run.check("tf", index, after, out, 1e-3)

        (x,) = tracker._search_crops_each(run.frames[number], state)
        raw = respond(run.variables, state.template, np.asarray(x, np.float32)[None])
        boxes, scores, window = tracker.proposals(raw)
        size = state.size * tracker.scale(state)
        choice, _ = choose(boxes[0], scores[0], window, size, tracker.hyper())
        if run.data["tf/pscore_margin"][index] >= 1e-4:
            assert int(choice.which) == run.data["tf/best_idx"][index]


def test_free_run(run):
    state = run.first
    for index, number in enumerate(run.data["free/frame"]):
        state, out = run.tracker.step(run.variables, state, run.frames[number])
        run.check("free", index, state, out, 1e-2)
