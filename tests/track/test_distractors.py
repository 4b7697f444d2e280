import jax
import numpy as np

from siamjax.track.distractors import forget, learn, mean, strongest


def test_running_mean_is_unbiased_from_the_first_frame():
    memory = forget({"cls": np.ones((1, 2, 3), np.float32)})
    np.testing.assert_array_equal(mean(memory)["cls"], np.zeros((1, 2, 3)))
    frames = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    for each in frames:
        memory = learn(memory, {"cls": each}, np.array([True, True]), 0.1)
    shares = 0.1 * 0.9 ** np.arange(3, -1, -1)
    expected = np.tensordot(shares / shares.sum(), frames.mean(axis=1), axes=1)
    np.testing.assert_allclose(mean(memory)["cls"][0], expected, atol=1e-5)


def test_only_what_is_present_is_learnt():
    memory = forget(np.zeros((1, 3), np.float32))
    templates = np.array([[1, 2, 3], [10, 20, 30]], np.float32)
    none = learn(memory, templates, np.array([False, False]), 0.1)
    np.testing.assert_array_equal(none.template, np.zeros((1, 3)))
    assert float(none.weight) == 0
    second = learn(memory, templates, np.array([False, True]), 0.1)
    np.testing.assert_allclose(mean(second)[0], [10, 20, 30], rtol=1e-6)


def iou(a, b):
    start = np.maximum(a[:2] - a[2:] / 2, b[:2] - b[2:] / 2)
    end = np.minimum(a[:2] + a[2:] / 2, b[:2] + b[2:] / 2)
    common = np.prod(np.maximum(end - start, 0))
    return common / (np.prod(a[2:]) + np.prod(b[2:]) - common)


def test_suppression_is_that_of_a_loop():
    random = np.random.default_rng(2)
    middle, sides = random.uniform(-60, 60, (80, 2)), random.uniform(10, 50, (80, 2))
    boxes = np.concatenate([middle, sides], axis=1).astype(np.float32)
    ranks = random.uniform(0, 1, 80).astype(np.float32)
    kept = []
    for index in np.argsort(-ranks):
        if all(iou(boxes[index], boxes[other]) <= 0.4 for other in kept):
            kept.append(int(index))
    got, picked = strongest(boxes, ranks, 6, 0.4)
    assert got.tolist() == kept[:6]
    assert picked.all()
    _, picked = strongest(boxes, ranks, len(kept) + 2, 0.4)
    assert picked.tolist() == [True] * len(kept) + [False, False]


def test_suppression_is_mapped():
    random = np.random.default_rng(3)
    boxes = random.uniform(10, 50, (3, 30, 4)).astype(np.float32)
    ranks = random.uniform(0, 1, (3, 30)).astype(np.float32)
    pick = lambda b, r: strongest(b, r, 4, 0.3)[0]
    many = jax.vmap(pick)(boxes, ranks)
    np.testing.assert_array_equal(many, [pick(b, r) for b, r in zip(boxes, ranks, strict=True)])
