from pathlib import Path

import numpy as np
import pytest

from siamjax.evaluate import vos

GOLDEN = Path(__file__).parents[1] / "golden"


def blobs(seed, shape=(37, 52), count=3):
    """Discs at random places, some over the frame's edge, and a few lone pixels."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = random.rand(*shape) < 0.003
    for _ in range(count):
        cy, cx, radius = random.rand(3) * (*shape, 9)
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
    return mask


def edges(mask):
    """List the boundary pixels, one by one."""
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            near = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            inside = [(min(v, height - 1), min(u, width - 1)) for v, u in near]
            if any(mask[at] != mask[y, x] for at in inside):
                found.append((y, x))
    return np.array(found).reshape(-1, 2)


def contour_by_distances(mask, truth, radius):
    ours, theirs = edges(mask), edges(truth)
    if not len(ours) or not len(theirs):
        return float(len(ours) == len(theirs))
    close = ((ours[:, None] - theirs[None]) ** 2).sum(-1) <= radius**2
    precision, recall = close.any(1).mean(), close.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_measures_are_those_of_counting(seed):
    mask, truth, void = blobs(seed), blobs(seed + 10), blobs(seed + 20)
    assert vos.region(mask, truth) == (mask & truth).sum() / (mask | truth).sum()
    # 0.02 of the diagonal of 63.9 pixels is 1.28, so 2 pixels.
    assert vos.contour(mask, truth, bound=0.02) == contour_by_distances(mask, truth, 2)
    assert vos.contour(mask, truth) == contour_by_distances(mask, truth, 1)
    assert vos.contour(mask, truth, bound=3) == contour_by_distances(mask, truth, 3)
    kept = ~void
    assert vos.region(mask, truth, void) == vos.region(mask & kept, truth & kept)
    assert vos.contour(mask, truth, void) == vos.contour(mask & kept, truth & kept)


def test_void_counts():
    mask, truth, void = blobs(0), blobs(10), blobs(20)
    assert vos.region(mask, truth, void) != vos.region(mask, truth)
    assert vos.contour(mask, truth, void) != vos.contour(mask, truth)


def test_boundary_of_a_square_and_of_a_full_frame():
    mask = np.zeros((6, 6), bool)
    mask[2:4, 2:4] = True
    expected = [[1, 1], [1, 2], [1, 3], [2, 1], [2, 3], [3, 1], [3, 2], [3, 3]]
    assert np.argwhere(vos.boundary(mask)).tolist() == expected
    assert not vos.boundary(np.ones((6, 6), bool)).any()
    mask[3:, 3:] = True  # it leaves the frame at the corner, which has no neighbour to differ from
    assert not vos.boundary(mask)[5, 5]
    assert vos.boundary(mask)[5, 2]


def test_disk():
    assert vos.disk(1).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert vos.disk(2).sum() == 13
    assert vos.disk(3)[0].tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_empty_masks():
    empty, full, some = np.zeros((9, 9), bool), np.ones((9, 9), bool), np.zeros((9, 9), bool)
    some[3:6, 3:6] = True
    assert (vos.region(empty, empty), vos.contour(empty, empty)) == (1, 1)
    for a, b in ((empty, some), (some, empty)):
        assert (vos.region(a, b), vos.contour(a, b)) == (0, 0)
    assert (vos.region(full, full), vos.contour(full, full)) == (1, 1)
    # A full frame has no boundary either.
    assert (vos.region(full, empty), vos.contour(full, empty)) == (0, 1)
    assert vos.region(some, some, full) == 1


def test_published_pairs(shared):
    golden = np.load(shared / "golden" / "eval" / "davis_jf.npz")
    width = int(golden["shape"][2])
    unpack = lambda name: np.unpackbits(golden[name], axis=-1)[..., :width].astype(bool)
    truths, masks, void = unpack("gt_packed"), unpack("pred_packed"), unpack("void_packed")
    cases = {
        "J": lambda a, b: vos.region(a, b),
        "F": lambda a, b: vos.contour(a, b),
        "J_void": lambda a, b: vos.region(a, b, void),
        "F_void": lambda a, b: vos.contour(a, b, void),
        "F_bound002": lambda a, b: vos.contour(a, b, bound=0.02),
    }
    for name, measure in cases.items():
        found = [measure(a, b) for a, b in zip(masks, truths, strict=True)]
        np.testing.assert_allclose(found, golden[name], atol=1e-9, err_msg=name)
    larger = lambda mask: np.kron(mask, np.ones((4, 4), bool))
    found = vos.contour(larger(masks[0]), larger(truths[0]))
    assert found == pytest.approx(float(golden["F_case0_upscaled4"]), abs=1e-9)


def test_published_statistics():
    golden = np.load(GOLDEN / "davis_statistics.npz")
    values, longer = golden["stat_values"], golden["stat300_values"]
    assert np.isnan(values).any()
    close = {"atol": 1e-12, "rtol": 0}
    expected = golden["stat_mean_recall_decay"]
    np.testing.assert_allclose(vos.statistics(values), expected, **close)
    np.testing.assert_allclose(vos.statistics(values, "uint8"), expected, **close)
    expected = golden["stat300_mean_recall_decay_int_ids"]
    np.testing.assert_allclose(vos.statistics(longer), expected, **close)
    expected = golden["stat300_mean_recall_decay_with_uint8_bug"]
    np.testing.assert_allclose(vos.statistics(longer, "uint8"), expected, **close)
    assert np.isnan(expected[2])


def test_statistics_of_few_values():
    assert vos.statistics(np.array([0.7])) == (0.7, 1.0, 0.0)
    # Limits 1, 2, 3, 4, 5 of five values: the first two against the last two; .5 is not above .5.
    found = vos.statistics(np.array([1.0, 0.8, 0.5, 0.3, 0.1]))
    np.testing.assert_allclose(found, [0.54, 0.4, 0.9 - 0.2])
    with pytest.raises(ValueError, match="none a number"):
        vos.statistics(np.full(3, np.nan))
    with pytest.raises(ValueError, match="0 values"):
        vos.statistics(np.zeros(0))


def test_score_leaves_out_the_first_and_the_last_frame():
    truth = np.zeros((12, 12), bool)
    truth[4:8, 4:8] = True
    half, none = truth.copy(), np.zeros_like(truth)
    half[4:6] = False
    scores = vos.score([none, truth, half, none], [truth] * 4)
    np.testing.assert_array_equal(scores.region, [0, 1, 0.5, 0])
    assert scores.j == (0.75, 0.5, 0.5)
    f = vos.contour(half, truth)
    assert scores.f == ((1 + f) / 2, (1 + (f > 0.5)) / 2, 1 - f)
    assert scores.j_and_f == (0.75 + (1 + f) / 2) / 2
    both = vos.mean([scores, vos.score([truth] * 3, [truth] * 3)])
    assert both.j == (0.875, 0.75, 0.25)
    numbers = vos.summary(both)
    assert numbers["j_recall"] == 0.75
    assert numbers["j_and_f"] == both.j_and_f
    assert list(numbers) == [
        "j_and_f", "j_mean", "j_recall", "j_decay", "f_mean", "f_recall", "f_decay",
    ]  # fmt: skip


def test_what_is_not_a_number_is_none():
    j = vos.Statistics(0.5, 0.5, float("nan"))
    assert vos.summary(vos.Scores(j, j, np.zeros(0), np.zeros(0)))["j_decay"] is None


def test_refusals():
    mask, other = np.zeros((4, 5), bool), np.zeros((5, 4), bool)
    with pytest.raises(ValueError, match=r"mask: expected \(5, 4\) as the truth, got \(4, 5\)"):
        vos.region(mask, other)
    with pytest.raises(ValueError, match="void: expected"):
        vos.contour(mask, mask, other)
    with pytest.raises(ValueError, match="bound: expected above 0, got 0"):
        vos.contour(mask, mask, bound=0)
    with pytest.raises(ValueError, match="masks: expected 3, one a frame, got 2"):
        vos.score([mask] * 2, [mask] * 3)
    with pytest.raises(ValueError, match="truths: expected at least 3 frames, got 2"):
        vos.score([mask] * 2, [mask] * 2)
    with pytest.raises(ValueError, match="scores: expected at least one"):
        vos.mean([])
