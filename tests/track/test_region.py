import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import region_numpy as ref

from siamjax.crop import crop
from siamjax.track import zoo
from siamjax.track.distractors import Aware
from siamjax.track.siamrpn import SiamRPN

SMALL = SiamRPN(backbone="alexnet", width=0.05, hidden=8, instance=159)
WIDER = dataclasses.replace(SMALL, wider=(191, 223), lost_window_influence=0.001)
BOX = np.array([60, 40, 30, 22], np.float32)


@pytest.fixture(scope="module")
def variables():
    return SMALL.init_variables(jax.random.key(0))


@pytest.fixture(scope="module")
def frames():
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (9, 16, 20, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


def outputs(tracker, variables, state, frame, instance):
    """The network on a window that NumPy places."""
    side = round(ref.side(*np.asarray(state.size, float)) * instance / 127)
    x = crop(frame, state.center, jnp.float32(side), instance, state.fill, "pysot")
    raw = tracker.respond(variables, state.template, np.asarray(x, np.float32)[None])
    return ref.read(raw["cls"][0], raw["loc"][0])


def run_long_term(tracker, variables, frames):
    """Step through the frames, comparing each with PySOT's long-term step in NumPy."""
    state = tracker.init(variables, frames[0], BOX)
    seen = []
    for frame in frames[1:]:
        lost, level = bool(state.lost), int(state.search)
        size, center = np.asarray(state.size, float), np.asarray(state.center, float)
        scale = 127 / ref.side(*size)
        boxes, score = outputs(tracker, variables, state, frame, tracker.sizes[level])
        influence = 0.001 if lost else tracker.window_influence
        index, penalty, _ = ref.choose(boxes, score, size, scale, tracker.penalty_k, influence)
        best = score[index]
        if best >= tracker.lost_below:
            rate = penalty[index] * best * tracker.lr
            center, size = ref.moved(center, size, boxes[index], rate, scale)
        if best < tracker.lost_below:
            lost = True
        elif best > tracker.found_above:
            lost = False
        level = min(level + 1, len(tracker.wider)) if lost else 0
        state, out = tracker.step(variables, state, frame)
        np.testing.assert_allclose(state.center, center, rtol=0, atol=1e-3)
        np.testing.assert_allclose(state.size, size, rtol=0, atol=1e-3)
        shown, sides = ref.clipped(center, size, 160, 128)
        np.testing.assert_allclose(out.box, [*(shown - sides / 2), *sides], rtol=0, atol=1e-3)
        assert float(out.score) == pytest.approx(best, abs=1e-5)
        assert (bool(out.lost), int(state.search)) == (lost, level)
        seen.append((bool(out.lost), level))
    return seen


def test_long_term_steps_are_those_of_numpy(variables, frames):
    state = WIDER.init(variables, frames[0], BOX)
    scores = []
    for frame in frames[1:]:
        state, out = WIDER.step(variables, state, frame)
        scores.append(float(out.score))
    low, high = np.quantile(scores, [0.7, 0.8])
    tracker = dataclasses.replace(WIDER, lost_below=float(low), found_above=float(high))
    seen = run_long_term(tracker, variables, frames)
    assert {True, False} == {lost for lost, _ in seen}
    never = dataclasses.replace(WIDER, lost_below=1.0, found_above=1.0)
    assert run_long_term(never, variables, frames[:5]) == [(True, n) for n in (1, 2, 2, 2)]


def test_lost_without_wider_windows_only_says_so(variables, frames):
    warned = dataclasses.replace(SMALL, lost_below=1.0, found_above=1.0)
    plain, flagged = (t.init(variables, frames[0], BOX) for t in (SMALL, warned))
    for frame in frames[1:4]:
        plain, one = SMALL.step(variables, plain, frame)
        flagged, other = warned.step(variables, flagged, frame)
        np.testing.assert_array_equal(one.box, other.box)
        assert (bool(one.lost), bool(other.lost)) == (False, True)


def test_both_sizes_are_compiled_once(variables, frames):
    tracker = dataclasses.replace(WIDER, wider=(199,), lost_below=0.5, found_above=0.6)
    state = tracker.init(variables, frames[0], BOX)
    before = tracker._locate_each._cache_size()
    for lost in (False, True, False, True):
        state, _ = tracker.step(variables, state._replace(lost=jnp.asarray(lost)), frames[1])
    assert tracker._locate_each._cache_size() == before + 1


@pytest.mark.parametrize(
    "box",
    [(np.nan, 1, 5, 5), (10, 10, 0, 5), (10, 10, 5, -1), (500, 10, 5, 5), (-50, 10, 5, 5)],
)
def test_unusable_boxes_are_never_valid(variables, frames, box):
    state = SMALL.init(variables, frames[0], np.array(box, np.float32))
    _, out = SMALL.step(variables, state, frames[1])
    assert not bool(out.valid)
    assert not bool(out.lost)
    assert np.isnan(out.box).all()
    assert float(out.score) == 0


@pytest.mark.parametrize(
    "box", [(0, 0, 0.5, 0.5), (-20, -20, 300, 300), (159, 127, 30, 30), (0, 0, 160, 128)]
)
def test_odd_boxes_are_tracked(variables, frames, box):
    state = SMALL.init(variables, frames[0], np.array(box, np.float32))
    _, out = SMALL.step(variables, state, frames[1])
    assert bool(out.valid)
    assert np.isfinite(out.box).all()
    assert np.all(np.asarray(out.box)[2:] >= 10)


def test_a_frame_of_another_size_compiles_the_crop_alone(variables, frames):
    state = SMALL.init(variables, frames[0], BOX)
    state, _ = SMALL.step(variables, state, frames[1])
    before = SMALL._locate_each._cache_size()
    _, out = SMALL.step(variables, state, frames[2][:90, :110])
    assert SMALL._locate_each._cache_size() == before
    assert bool(out.valid)


def test_wrong_frames_and_boxes_are_refused(variables, frames):
    with pytest.raises(ValueError, match="box: expected 4 numbers"):
        SMALL.init.__wrapped__(SMALL, variables, frames[0], np.zeros(5, np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wider": (150,)}, "wider: expected sides growing from 159"),
        ({"backbone": "vgg"}, "backbone: expected one of"),
        ({"layers": ("conv9",)}, "alexnet has no 'conv9'"),
        ({"features": (8, 8)}, "features: expected 1 numbers"),
        ({"head": "up", "layers": ("conv4", "conv5")}, "'up' serves one stage"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **settings)


@pytest.mark.parametrize("name", [n for n in zoo.names() if not n.startswith("siamfc")])
@pytest.mark.parametrize("aware", [None, Aware(most=2)])
def test_described_trackers_are_built_again(name, aware):
    tracker = dataclasses.replace(zoo.tracker(name), aware=aware)
    family, config = zoo.describe(tracker)
    again = zoo.build(family, json.loads(json.dumps(config)))
    assert again == tracker
    assert hash(again) == hash(tracker)
