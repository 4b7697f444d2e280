import dataclasses

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import region_numpy as ref
from siammask_small import BASE, SHARP, draw_variables
from track.conftest import make_clip

from siamjax.crop import crop
from siamjax.track import region, zoo
from siamjax.track.distractors import Aware
from siamjax.track.siammask import SiamMask
from siamjax.track.state import Out


@pytest.fixture(scope="module")
def ready():
    """The sharp tracker's weights, a clip and a first box."""
    return draw_variables(SHARP), *make_clip(5)


def pasted(values, window, height, width):
    """PySOT's `_crop_back` of a mask that covers (x, y, side) of the frame."""
    scale = len(values) / window[2]
    x, y, w, h = -window[0] * scale, -window[1] * scale, width * scale, height * scale
    a, b = (width - 1) / w, (height - 1) / h
    return cv2.warpAffine(values, np.array([[a, 0, -a * x], [0, b, -b * y]]), (width, height))


def stepped(tracker, variables, state, frame, margin):
    """PySOT's step in NumPy around the network's outputs: box, and mask in the frame."""
    size, center = np.asarray(state.size, float), np.asarray(state.center, float)
    side = round(ref.side(*size) * tracker.instance / 127)
    x = crop(frame, state.center, jnp.float32(side), tracker.instance, state.fill, "pysot")
    respond, refine = jax.jit(tracker.respond), jax.jit(tracker.refine)
    raw = respond(variables, state.template, np.asarray(x, np.float32)[None])
    boxes, score = ref.read(raw["cls"][0], raw["loc"][0])
    scale = 127 / ref.side(*size)
    index, penalty, _ = ref.choose(
        boxes, score, size, scale, tracker.penalty_k, tracker.window_influence
    )
    rate = penalty[index] * score[index] * tracker.lr
    moved, sides = ref.clipped(*ref.moved(center, size, boxes[index], rate, scale), 120, 90)

    count = raw["cls"].shape[1]
    _, row, column = np.unravel_index(index, (5, count, count))
    logits = refine(variables, raw["features"], np.array([[[row, column]]]))[0, 0]
    pixels = side / tracker.instance
    corner = center - side / 2 + (np.array([column, row]) - margin) * 8 * pixels
    values = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    mask = pasted(values.astype(np.float32), (*corner, 127 * pixels), 90, 120)
    return np.array([*(moved - sides / 2), *sides]), mask


@pytest.mark.parametrize(("tracker", "margin"), [(SHARP, 4), (BASE, 0)], ids=["sharp", "base"])
def test_steps_are_those_of_numpy(tracker, margin, ready):
    variables = ready[0] if tracker == SHARP else draw_variables(tracker)
    _, frames, box = ready
    state = tracker.init(variables, frames[0], box)
    center = [52.5, 39.5] if tracker == SHARP else [53, 40]
    np.testing.assert_allclose(state.center, center)
    for frame in frames[1 : 3 if tracker == SHARP else 2]:
        wanted, mask = stepped(tracker, variables, state, frame, margin)
        state, out = tracker.step(variables, state, frame)
        np.testing.assert_allclose(out.box, wanted, rtol=0, atol=1e-3)
        assert out.mask.shape == (90, 120)
        assert 0.05 < (np.asarray(out.mask) > 0.5).mean() < 0.5
        np.testing.assert_allclose(out.mask, mask, rtol=0, atol=1e-3)
        assert float(out.mask_threshold) == 0.5


def test_a_scan_over_mapped_steps_equals_the_loop(ready):
    variables, frames, box = ready
    boxes = np.stack([box, box + np.float32([9, -4, 6, 3])])
    states, looped = [], []
    for start in boxes:
        states.append(SHARP.init(variables, frames[0], start))
        state = states[-1]
        for frame in frames[1:]:
            state, out = SHARP.step(variables, state, frame)
            looped.append(out)

    @jax.jit
    def run(variables, states, frames):
        step = jax.vmap(SHARP.step, (None, 0, None))
        return jax.lax.scan(lambda s, frame: step(variables, s, frame), states, frames)[1]

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    outs = run(variables, stacked, jnp.asarray(frames[1:]))
    assert outs.mask.shape == (4, 2, 90, 120)
    assert outs.rotated_box.shape == (4, 2, 4, 2)
    for n, out in enumerate(looped):
        target, step = divmod(n, 4)
        np.testing.assert_allclose(outs.box[step, target], out.box, rtol=0, atol=1e-4)
        np.testing.assert_allclose(outs.mask[step, target], out.mask, rtol=0, atol=1e-4)


def test_a_frame_of_another_size_compiles_crop_and_paste_alone(ready):
    variables, frames, box = ready
    state = SHARP.init(variables, frames[0], box)
    state, _ = SHARP.step(variables, state, frames[1])
    located, pasted = SHARP._locate_each._cache_size(), region._paste_each._cache_size()
    _, out = SHARP.step(variables, state, frames[2][:80, :110])
    assert out.mask.shape == (80, 110)
    assert SHARP._locate_each._cache_size() == located
    assert region._paste_each._cache_size() == pasted + 1


def test_unusable_boxes_have_no_mask(ready):
    variables, frames, _ = ready
    state = SHARP.init(variables, frames[0], np.float32([np.nan, 1, 5, 5]))
    _, out = SHARP.step(variables, state, frames[1])
    assert not bool(out.valid)
    assert (np.asarray(out.mask) == 0).all()
    assert np.isnan(out.rotated_box).all()


@pytest.mark.parametrize(
    ("settings", "cells", "side", "position", "window"),
    [
        ({}, 25, None, (0, 0), (-32, -32, 127)),
        ({}, 25, 255, (12, 12), (64, 64, 127)),
        ({}, 25, 255, (3, 10), (48, -8, 127)),  # row 3, column 10
        ({}, 3, 143, (2, 1), (8, 16, 127)),
        ({}, 97, 831, (0, 96), (8 * 92, -32, 127)),
        ({"stride": 16}, 9, 255, (8, 3), (48, 128, 127)),
    ],
)
def test_windows_of_positions(settings, cells, side, position, window):
    tracker = dataclasses.replace(zoo.siammask(), **settings)
    got = tracker.mask_window(np.array([[position]]), cells, side)
    np.testing.assert_array_equal(got, [[window]])


def test_trackers_without_masks_answer_none():
    out = Out(np.ones(4, np.float32), np.float32(1), np.bool_(True), np.bool_(False))
    assert out.mask is None
    assert out.rotated_box is None


def test_the_rotated_box_of_a_result():
    mask = np.zeros((2, 60, 80), np.float32)
    mask[:, 10:26, 20:51] = [[[0.4]], [[0.6]]]
    box = np.float32([[1, 2, 3, 4], [1, 2, 3, 4]])
    yes = np.array([True, True])
    out = Out(box, np.ones(2, np.float32), yes, ~yes, mask, np.full(2, 0.5, np.float32))
    corners = out.rotated_box
    assert corners[0].tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]
    assert (corners[1].min(axis=0).tolist(), corners[1].max(axis=0).tolist()) == (
        pytest.approx([20, 10]),
        pytest.approx([50, 25]),
    )


@pytest.mark.slow
def test_masks_of_wider_searches_and_among_distractors(ready):
    variables, frames, box = ready
    plain = SHARP.init(variables, frames[0], box)
    _, wanted = SHARP.step(variables, plain, frames[1])
    aware = dataclasses.replace(SHARP, aware=Aware(most=2, candidates=4, weight=0.0))
    _, out = aware.step(variables, aware.init(variables, frames[0], box), frames[1])
    np.testing.assert_allclose(out.box, wanted.box, rtol=0, atol=1e-3)
    np.testing.assert_allclose(out.mask, wanted.mask, rtol=0, atol=1e-3)
    wider = dataclasses.replace(SHARP, wider=(191,), lost_below=0.5)
    state = wider.init(variables, frames[0], box)
    _, out = wider.step(variables, state, frames[1])
    np.testing.assert_allclose(out.mask, wanted.mask, rtol=0, atol=1e-3)
    _, out = wider.step(variables, state._replace(search=jnp.int32(1)), frames[1])
    other = dataclasses.replace(SHARP, instance=191)
    _, wanted = other.step(variables, plain, frames[1])
    np.testing.assert_allclose(out.mask, wanted.mask, rtol=0, atol=1e-3)


def test_the_named_ones():
    sharp, base = zoo.tracker("siammask-sharp"), zoo.tracker("siammask-base")
    assert sharp == zoo.siammask() == SiamMask(penalty_k=0.1, window_influence=0.41, lr=0.32)
    assert (*sharp.hyper(), sharp.mask_threshold) == (0.1, 0.41, 0.32, 0.15)
    assert (*base.hyper(), base.mask_threshold) == (0.09, 0.39, 0.38, 0.3)
    davis = zoo.siammask("base", preset="davis")
    assert (*davis.hyper(), davis.mask_threshold) == (0.04, 0.4, 1.0, 0.35)
    assert (sharp.net.refined, base.net.refined) == (True, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ("layer2", "layer3"), "features": ()}, "layers: expected one stage, got"),
        ({"backbone": "alexnet", "layers": ()}, "backbone: masks are refined with resnet18, "),
        ({"head": "up"}, "head: masks are drawn from 'depthwise', got 'up'"),
        ({"mask_threshold": 1.5}, "mask_threshold: expected 0 to 1, got 1.5"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SHARP, **settings)
