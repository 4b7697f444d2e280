import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from track import siamfc_numpy
from track.conftest import TINY, make_clip

from siamjax.track import pyramid, siamfc
from siamjax.track.siamfc import SiamFC

CASES = {
    "v1-search": ({}, {}),
    "v2-stride-4": ({"backbone": "alexnet-v2"}, {"stride": 4}),
    "v3": ({"backbone": "alexnet-v3"}, {}),
    "five-scales": (
        {"scales": 5, "scale_step": 1.0255, "scale_penalty": 0.962, "scale_lr": 0.34},
        {"scales": 5, "step": 1.0255, "penalty": 0.962, "lr": 0.34},
    ),
    "limits": (
        {"scale_penalty": 1.6, "scale_step": 1.2, "min_scale": 0.95, "max_scale": 1.06},
        {"penalty": 1.6, "step": 1.2, "least": 0.95, "most": 1.06},
    ),
    "template-rate": ({"template_rate": 0.3}, {"template_rate": 0.3}),
    "template-pyramid": (
        {"pyramid": "template", "scale_step": 1.05, "scale_penalty": 1.1},
        {"templates": True, "step": 1.05, "penalty": 1.1},
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "v3" else n for n in CASES]
)
def test_tracking_equals_numpy(name):
    settings, constants = CASES[name]
    tracker = SiamFC(**{**TINY, **settings})
    variables = tracker.init_variables(jax.random.key(3))
    version = int(tracker.backbone[-1])
    embed = lambda crops: siamfc_numpy.alexnet(version, variables, crops)[-1]
    base = {"scales": 3, "step": 1.0375, "penalty": 0.9745, "lr": 0.59, "window": 0.176}
    sizes = {"exemplar": 95, "instance": 127, "upsampling": 4}
    reference = siamfc_numpy.Tracker(
        siamfc_numpy.Constants(**{**base, **sizes, **constants}),
        embed,
        embed,
        lambda z, x: 0.001 * siamfc_numpy.correlate(z, x),
    )
    frames, box = make_clip(5)
    reference.init(frames[0], box)
    state = tracker.init(variables, frames[0], box)
    chosen = set()
    for frame in frames[1:]:
        scale, _, score = reference.step(frame)
        chosen.add(int(scale))
        state, out = tracker.step(variables, state, frame)
        np.testing.assert_allclose(out.box, reference.box, rtol=0, atol=2e-3)
        np.testing.assert_allclose(state.search_side, reference.search_side, atol=2e-3)
        np.testing.assert_allclose(state.scale, reference.scale, atol=1e-5)
        assert float(out.score) == pytest.approx(score, abs=1e-4)
        assert 0 <= float(out.score) <= 1
    if name == "limits":
        assert float(state.scale) in (pytest.approx(0.95), pytest.approx(1.06))
    if name in ("limits", "template-pyramid"):
        assert chosen - {1}


def test_scan_and_users_jit_are_stepping(tiny, weights, clip):
    frames, box = clip
    state, boxes = tiny.init(weights, frames[0], box), []
    for frame in frames[1:]:
        state, out = tiny.step(weights, state, frame)
        boxes.append(out.box)

    @jax.jit
    def track(variables, frames, box):
        first = tiny.init(variables, frames[0], box)
        return jax.lax.scan(lambda s, f: tiny.step(variables, s, f), first, frames[1:])

    last, out = track(weights, frames, box)
    np.testing.assert_allclose(out.box, np.stack(boxes), atol=1e-3)
    np.testing.assert_allclose(last.center, state.center, atol=1e-3)


def test_vmap_over_hyper_is_a_loop(tiny, weights, clip):
    frames, box = clip
    preset = tiny.hyper()
    many = preset._replace(
        window_influence=jnp.array([0.0, 0.4]), scale_lr=jnp.array([0.2, 0.9]), scale_penalty=1.2
    )
    axes = type(preset)(None, None, 0, 0, None, None)
    state = tiny.init(weights, frames[0], box)
    run = jax.vmap(lambda h: tiny.step(weights, state, frames[1], h)[1], (axes,))
    got = run(many)
    for n in range(2):
        hyper = many._replace(
            window_influence=float(many.window_influence[n]), scale_lr=float(many.scale_lr[n])
        )
        one = tiny.step(weights, state, frames[1], hyper)[1]
        np.testing.assert_allclose(got.box[n], one.box, atol=1e-3)
    assert not np.allclose(got.box[0], got.box[1])


def count(monkeypatch, module, name):
    calls, original = [], getattr(module, name)

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, counted)
    return calls


@pytest.mark.parametrize(("clips", "sizes"), [(6, 3), pytest.param(30, 10, marks=pytest.mark.slow)])
def test_clips_of_many_sizes_compile_the_network_once(monkeypatch, weights, clips, sizes):
    networks = count(monkeypatch, pyramid, "cosine_window")
    crops = count(monkeypatch, siamfc, "crop")
    for number in range(clips):
        # Equal every time, and new to this process.
        tracker = SiamFC(**TINY, scale_lr=0.1 + clips / 1000)
        shape = (60 + number % sizes, 80)
        frames, box = make_clip(2, *shape, seed=number)
        state = tracker.init(weights, frames[0], box)
        tracker.step(weights, state, frames[1])
    assert len(networks) == 1
    assert len(crops) == 2 * sizes  # exemplar and search windows, once a frame size


def test_state_can_be_set(tiny, weights, clip):
    frames, box = clip
    state = tiny.init(weights, frames[0], box)
    moved = state._replace(center=jnp.array([20.0, 25]), size=jnp.array([8.0, 9]))
    still = tiny.hyper()._replace(scale_lr=0.0, window_influence=1.0)
    after, out = tiny.step(weights, moved, frames[1], still)
    np.testing.assert_allclose(after.size, [8, 9], rtol=1e-6)
    assert np.abs(np.asarray(after.center) - [20, 25]).max() <= 2  # the window's middle
    assert bool(out.valid)


@pytest.mark.parametrize(
    "box",
    [
        [np.nan, 3, 5, 5],
        [3, 3, 0, 5],
        [3, 3, 5, -5],
        [120, 3, 5, 5],
        [3, -9, 5, 9],
        [3, 3, np.inf, 5],
    ],
)
def test_unusable_boxes_are_not_valid(tiny, weights, clip, box):
    frames, _ = clip
    state = tiny.init(weights, frames[0], np.array(box, np.float32))
    for frame in frames[1:3]:
        state, out = tiny.step(weights, state, frame)
        assert not bool(out.valid)
        assert np.isnan(out.box).all()
        assert float(out.score) == 0


@pytest.mark.parametrize(
    "box", [[0, 0, 10, 10], [115, 85, 30, 30], [-50, -50, 300, 300], [-4, 40, 5, 5], [9, 9, 0.3, 2]]
)
def test_borders_and_sizes_stay_finite(tiny, weights, clip, box):
    frames, _ = clip
    state = tiny.init(weights, frames[0], np.array(box, np.float32))
    _, out = tiny.step(weights, state, frames[1])
    assert bool(out.valid)
    assert np.isfinite(out.box).all()
    assert 0 <= float(out.score) <= 1


def test_one_pixel_frame(tiny, weights):
    frame = np.full((1, 1, 3), 7, np.uint8)
    state = tiny.init(weights, frame, np.array([0, 0, 1, 1], np.float32))
    _, out = tiny.step(weights, state, frame)
    assert bool(out.valid)
    assert np.isfinite(out.box).all()


def test_wrong_frames_and_boxes(tiny, weights, clip):
    frames, box = clip
    init, step = inspect.unwrap(SiamFC.init), inspect.unwrap(SiamFC.step)
    state = tiny.init(weights, frames[0], box)
    for wrong in (frames[0][..., 0], frames, frames[0].astype(np.float32)):
        with pytest.raises(ValueError, match="frame: expected uint8"):
            init(tiny, weights, wrong, box)
        with pytest.raises(ValueError, match="frame: expected uint8"):
            step(tiny, weights, state, wrong)
    with pytest.raises(ValueError, match="box: expected 4 numbers"):
        init(tiny, weights, frames[0], box[:3])
