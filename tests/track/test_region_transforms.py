"""`scan` over frames, `vmap` over targets and over clips, and both, against a loop of steps."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from track.conftest import make_clip

from siamjax.bench.track import tame
from siamjax.data.readers import folder
from siamjax.track import zoo
from siamjax.track.siamrpn import SiamRPN

PIXELS = 1e-4
SMALL = SiamRPN(backbone="alexnet", width=0.05, hidden=8, instance=143)


@functools.cache
def ready(name):
    """A tracker and its weights, and clips [2, T, H, W, 3] with boxes [2, 2, 4]."""
    tracker = SMALL if name == "siamrpn" else zoo.siamfc()
    if name == "siamfc":
        tracker = dataclasses.replace(tracker, width=1 / 48, instance=127, exemplar=95)
    variables = tracker.init_variables(jax.random.key(3))
    if name == "siamrpn":
        variables = tame(tracker, variables)
    pairs = [make_clip(5, seed=seed) for seed in (0, 1)]
    clips = np.stack([frames for frames, _ in pairs])
    boxes = np.stack([np.stack([box, box + np.float32([9, -4, 6, 3])]) for _, box in pairs])
    return tracker, variables, clips, boxes


def looped(tracker, variables, clips, boxes):
    """Boxes [clips, targets, T - 1, 4], one step at a time."""
    found = []
    for frames, starts in zip(clips, boxes, strict=True):
        for box in starts:
            state = tracker.init(variables, frames[0], box)
            for frame in frames[1:]:
                state, out = tracker.step(variables, state, frame)
                found.append(np.asarray(out.box))
    return np.reshape(found, (*boxes.shape[:2], clips.shape[1] - 1, 4))


def scanned(tracker, variables, state, frames):
    """Boxes [T - 1, 4] of one target in one clip, the frames scanned."""
    step = lambda state, frame: tracker.step(variables, state, frame)
    return jax.lax.scan(step, state, frames[1:])[1].box


def check(tracker, variables, clips, boxes, expected, every=True):
    """Compare scans with the loop: alone, over targets and clips, and (`every`) over each."""
    run = functools.partial(scanned, tracker)
    over_targets, over_clips = jax.vmap(run, (None, 0, None)), jax.vmap(run, (None, 0, 0))
    both = jax.vmap(over_targets, (None, 0, 0))
    init = jax.vmap(jax.vmap(tracker.init, (None, None, 0)), (None, 0, 0))
    clips = jnp.asarray(clips)
    states = init(variables, clips[:, 0], boxes)
    pick = lambda *index: jax.tree.map(lambda leaf: leaf[index], states)

    # Weights are arguments: as constants of a compiled function they are folded ahead of time by
    # another arithmetic, and boxes drift by about 1e-5 pixels a step.
    def same(function, states, clips, wanted):
        found = jax.jit(function)(variables, states, clips)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=PIXELS)

    same(run, pick(0, 0), clips[0], expected[0, 0])
    same(both, states, clips, expected)
    if every:
        same(over_targets, pick(0), clips[0], expected[0])
        same(over_clips, pick(slice(None), 0), clips, expected[:, 0])


@pytest.mark.parametrize("name", ["siamrpn", "siamfc"])
def test_transformations_equal_the_loop(name):
    tracker, variables, clips, boxes = ready(name)
    expected = looped(tracker, variables, clips, boxes)
    assert np.abs(np.diff(expected, axis=2)).max(axis=(2, 3)).min() > 0.5  # all of them move
    check(tracker, variables, clips, boxes, expected, every=name == "siamfc")


@pytest.mark.parametrize("name", ["siamrpn", "siamfc"])
def test_steps_of_stacked_states_equal_the_loop(name):
    tracker, variables, clips, boxes = ready(name)
    expected = looped(tracker, variables, clips, boxes)
    init = jax.vmap(jax.vmap(tracker.init, (None, None, 0)), (None, 0, 0))
    step = jax.vmap(jax.vmap(tracker.step, (None, 0, None)), (None, 0, 0))
    states = init(variables, clips[:, 0], boxes)
    for index in range(clips.shape[1] - 1):
        states, outs = step(variables, states, clips[:, index + 1])
        np.testing.assert_allclose(outs.box, expected[:, :, index], rtol=0, atol=PIXELS)
    assert outs.valid.all()


@pytest.mark.slow
def test_100_frames_at_full_width(shared):
    tracker = zoo.tracker("siamrpn-alexnet-dw")
    variables = tame(tracker, tracker.init_variables(jax.random.key(0)))
    (track,) = folder.read(shared / "data" / "dev" / "OTB_Crossing")
    frames = np.stack([frame for frame, _ in zip(track.media, range(101), strict=False)])
    assert len(frames) == 101
    clips = np.stack([frames, frames[:, :, ::-1]])
    x, y, width, height = np.asarray(track.boxes[0], np.float32)
    mirrored = [frames.shape[2] - x - width, y, width, height]
    first = np.array([[x, y, width, height], mirrored], np.float32)
    boxes = np.stack([first, first + np.float32([20, 10, 12, -6])], axis=1)
    expected = looped(tracker, variables, clips, boxes)
    check(tracker, variables, clips, boxes, expected)
