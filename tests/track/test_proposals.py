import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamjax.track.proposals import Choice, Hyper, choose, follow, limit, penalties

HYPER = Hyper(0.16, 0.4, 0.3)


def side(w, h):
    return math.sqrt((w + (w + h) / 2) * (h + (w + h) / 2))


def numpy_choice(boxes, scores, window, size, hyper):
    """PySOT's selection, one proposal at a time."""
    best, ranks, factors = None, [], []
    for (_, _, w, h), score, near in zip(boxes, scores, window, strict=True):
        r = side(w, h) / side(*size)
        q = (size[0] / size[1]) / (w / h)
        factor = math.exp(-(max(r, 1 / r) * max(q, 1 / q) - 1) * hyper.penalty_k)
        factors.append(factor)
        share = hyper.window_influence
        ranks.append(factor * score * (1 - share) + near * share)
        if best is None or ranks[-1] > ranks[best]:
            best = len(ranks) - 1
    return best, factors, ranks


sides = st.floats(4, 200, width=32)


@settings(max_examples=40, deadline=None)
@given(
    boxes=hnp.arrays(np.float32, (7, 4), elements=sides),
    scores=hnp.arrays(np.float32, 7, elements=st.floats(0, 1, width=32)),
    size=hnp.arrays(np.float32, 2, elements=sides),
)
def test_choice_is_that_of_a_loop(boxes, scores, size):
    window = np.linspace(0, 1, 7, dtype=np.float32)
    index, factors, ranks = numpy_choice(
        boxes.astype(float), scores.astype(float), window, size.astype(float), HYPER
    )
    choice, got = choose(boxes, scores, window, size, HYPER)
    np.testing.assert_allclose(got, ranks, rtol=0, atol=1e-5)
    np.testing.assert_allclose(penalties(boxes, size, 0.16), factors, rtol=1e-3, atol=1e-6)
    assert ranks[int(choice.which)] >= ranks[index] - 2e-5
    np.testing.assert_array_equal(choice.box, boxes[int(choice.which)])
    assert float(choice.score) == scores[int(choice.which)]


def test_no_change_is_not_penalised_and_doubling_is():
    boxes = np.array([[0, 0, 40, 20], [0, 0, 80, 40], [0, 0, 20, 40]], np.float32)
    got = penalties(boxes, np.array([40, 20], np.float32), 0.5)
    # Twice the size; the same size turned by 90 degrees is a fourfold change of shape.
    np.testing.assert_allclose(got, [1.0, math.exp(-0.5), math.exp(-1.5)], rtol=1e-6)


def test_following_moves_wholly_and_grows_by_rate():
    box = np.array([12, -6, 60, 30], np.float32)
    choice = Choice(np.int32(0), box, np.float32(0.8), np.float32(0.5))
    center, size = np.array([100, 50], np.float32), np.array([40, 20], np.float32)
    center, size = follow(center, size, choice, np.array(2.0, np.float32), 0.25)
    np.testing.assert_allclose(center, [106, 47])
    # The rate is 0.8 * 0.5 * 0.25 = 0.1, the box found 30 x 15.
    np.testing.assert_allclose(size, [39, 19.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("center", "size", "expected"),
    [
        ((-5, 50), (40, 20), (0, 50, 40, 20)),
        ((330, 250), (4, 500), (320, 240, 10, 240)),
        ((160, 120), (400, 3), (160, 120, 320, 10)),
    ],
)
def test_limits(center, size, expected):
    as_float = lambda values: np.array(values, np.float32)
    got = limit(as_float(center), as_float(size), as_float((320, 240)))
    np.testing.assert_array_equal(np.concatenate(got), as_float(expected))


def test_frames_smaller_than_the_least_target():
    as_float = lambda values: np.array(values, np.float32)
    _, size = limit(as_float((2, 2)), as_float((40, 40)), as_float((4, 6)))
    np.testing.assert_array_equal(size, [4, 6])


def test_choosing_is_mapped():
    random = np.random.default_rng(0)
    boxes = random.uniform(5, 50, (3, 9, 4)).astype(np.float32)
    scores = random.uniform(0, 1, (3, 9)).astype(np.float32)
    size = random.uniform(5, 50, (3, 2)).astype(np.float32)
    window = np.ones(9, np.float32)
    many, _ = jax.vmap(choose, (0, 0, None, 0, None))(boxes, scores, window, size, HYPER)
    for i in range(3):
        one, _ = choose(boxes[i], scores[i], window, size[i], HYPER)
        assert int(one.which) == int(many.which[i])
