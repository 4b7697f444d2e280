import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import region_numpy as ref

from siamjax.crop import crop
from siamjax.track import zoo
from siamjax.track.dasiamrpn import DaSiamRPN
from siamjax.track.distractors import Aware, detect, mean

SMALL = DaSiamRPN(width=0.05, hidden=6, instance=159, small_instance=175)
AWARE = dataclasses.replace(
    SMALL, aware=Aware(most=2, score=0.4, weight=0.9, candidates=6, overlap=0.3)
)


class Stub(DaSiamRPN):
    """Its proposals are those of a test."""

    boxes: ClassVar[list] = []

    def proposals(self, raw):
        return self.boxes[-1]


BOX = np.array([60, 40, 30, 22], np.float32)


@pytest.fixture(scope="module")
def variables():
    return SMALL.init_variables(jax.random.key(0))


@pytest.fixture(scope="module")
def frames():
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (5, 16, 20, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("box", "size"), [((60, 40, 30, 22), 159), ((60, 40, 9, 9), 175)])
def test_steps_are_those_of_numpy(variables, frames, box, size):
    """9 x 9 of 160 x 128 is below 0.4 per cent: the wider window."""
    box = np.array(box, np.float32)
    state = SMALL.init(variables, frames[0], box)
    center, sides = box[:2] + box[2:] / 2, box[2:].astype(float)
    for frame in frames[1:]:
        scale = 127 / ref.side(*sides)
        side = jnp.float32(round(ref.side(*sides) * size / 127))
        middle = jnp.asarray(center, jnp.float32)
        x = crop(frame, middle, side, size, state.fill, "pysot")
        raw = SMALL.respond(variables, state.template, np.asarray(x, np.float32)[None])
        boxes, score = ref.read(raw["cls"][0], raw["loc"][0])
        constants = (SMALL.penalty_k, SMALL.window_influence)
        index, penalty, _ = ref.choose(boxes, score, sides, scale, *constants)
        rate = penalty[index] * score[index] * SMALL.lr
        center, sides = ref.moved(center, sides, boxes[index], rate, scale)
        center, sides = ref.clipped(center, sides, 160, 128)
        state, out = SMALL.step(variables, state, frame)
        np.testing.assert_allclose(out.box, [*(center - sides / 2), *sides], rtol=0, atol=1e-3)
        assert float(out.score) == pytest.approx(score[index], abs=1e-5)


def test_without_memory_nothing_is_ranked_anew(variables, frames):
    """Nothing scores above 1, so no distractor is ever learnt."""
    blind = dataclasses.replace(SMALL, aware=Aware(score=1.0, candidates=6))
    one, other = SMALL.init(variables, frames[0], BOX), blind.init(variables, frames[0], BOX)
    for frame in frames[1:]:
        one, plain = SMALL.step(variables, one, frame)
        other, out = blind.step(variables, other, frame)
        np.testing.assert_allclose(out.box, plain.box, rtol=0, atol=1e-4)
        assert float(other.memory.weight) == 0


def test_ranked_against_the_distractors(variables, frames):
    state = AWARE.init(variables, frames[0], BOX)
    state, _ = AWARE.step(variables, state, frames[1])
    assert float(state.memory.weight) == pytest.approx(0.01)
    (x, _) = AWARE._search_crops_each(frames[2], state)
    image = np.asarray(x, np.float32)[None]
    weight = float(state.memory.weight)
    against = jax.tree.map(lambda total: total / weight, state.memory.template)
    size, scale = np.asarray(state.size, float), float(AWARE.scale(state))
    constants = (AWARE.penalty_k, AWARE.window_influence)
    raw = [AWARE.respond(variables, one, image) for one in (state.template, against)]
    (boxes, score), (_, other) = (ref.read(one["cls"][0], one["loc"][0]) for one in raw)
    plain, penalty, ranks = ref.choose(boxes, score, size, scale, *constants)
    _, _, against = ref.choose(boxes, score - 0.9 * other, size, scale, *constants)
    kept = []
    corner = lambda b: np.array([*(b[:2] - b[2:] / 2), *(b[:2] + b[2:] / 2)])
    for index in np.argsort(-ranks):
        mine = corner(boxes[index])
        shared = []
        for other in kept:
            theirs = corner(boxes[other])
            meet = np.minimum(mine[2:], theirs[2:]) - np.maximum(mine[:2], theirs[:2])
            common = np.prod(np.maximum(meet, 0))
            shared.append(common / (boxes[index, 2:].prod() + boxes[other, 2:].prod() - common))
        if all(value <= AWARE.aware.overlap for value in shared):
            kept.append(index)
    best = max(kept[: AWARE.aware.candidates], key=lambda i: against[i])
    choice, _ = AWARE.detect(variables, state, x, AWARE.hyper())
    assert int(choice.which) == best
    assert best != plain
    assert float(choice.score) == pytest.approx(score[best], abs=1e-5)
    assert float(choice.penalty) == pytest.approx(penalty[best], abs=1e-5)


def test_the_second_copy_of_the_target_is_learnt(variables):
    """A frame with two of them: what is learnt is nearly the target's own template."""
    aware = dataclasses.replace(AWARE, instance=271, small_instance=0)
    random = np.random.default_rng(3)
    patch = random.integers(0, 256, (4, 4, 3)).repeat(6, 0).repeat(6, 1).astype(np.uint8)
    frame = np.full((128, 200, 3), 128, np.uint8)
    for x in (60, 100):
        frame[50:74, x : x + 24] = patch
    state = aware.init(variables, frame, np.array([60, 50, 24, 24], np.float32))
    (x,) = aware._search_crops_each(frame, state)
    scale = float(aware.scale(state))

    def learnt(box, score):
        """Let the network propose the target and this box alone."""
        boxes = jnp.array([[[0.0, 0, 24, 24], [*box, 24, 24]]]) * scale
        scores = jnp.array([[0.9, score]])
        stub = Stub(**dataclasses.asdict(aware) | {"aware": aware.aware._replace(candidates=2)})
        stub.boxes.append((boxes, scores, jnp.zeros(2)))
        choice, memory = detect(stub, stub.aware, variables, state, x, stub.hyper())
        assert int(choice.which) == 0
        if not float(memory.weight):
            return None
        own, found = (
            np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])
            for tree in (state.template, mean(memory))
        )
        return np.corrcoef(own, found)[0, 1]

    assert learnt((40.0, 0.0), 0.8) > 0.95
    assert learnt((40.0, 40.0), 0.8) < 0.9
    assert learnt((40.0, 0.0), 0.3) is None
    assert learnt((4.0, 0.0), 0.8) is None


def test_many_targets_are_one_by_one(variables, frames):
    boxes = np.array([BOX, BOX + np.float32([20, 10, 6, 0])])
    init = jax.vmap(AWARE.init, (None, None, 0))
    step = jax.vmap(AWARE.step, (None, 0, None))
    states = init(variables, frames[0], boxes)
    singles = [AWARE.init(variables, frames[0], box) for box in boxes]
    for frame in frames[1:3]:
        states, outs = step(variables, states, frame)
        pairs = [AWARE.step(variables, state, frame) for state in singles]
        singles = [state for state, _ in pairs]
        got = np.stack([out.box for _, out in pairs])
        np.testing.assert_allclose(outs.box, got, rtol=0, atol=1e-4)


def test_named_sizes():
    big = zoo.dasiamrpn("big", aware=Aware(most=4), wider=(399, 527))
    assert big.sizes == (271, 287, 399, 527)
    assert (big.hidden, big.width, big.aware.most) == (512, 2.0, 4)
    assert zoo.dasiamrpn("vot").sizes == (271,)
    assert zoo.dasiamrpn("otb").hyper() == (0.22, 0.4, 0.3)
