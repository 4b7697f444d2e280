import cv2
import numpy as np
import pytest

from siamjax.track.pyramid import Hyper, factors, follow, highest

HYPER = Hyper(1.05, 0.9, 0.4, 0.2, 0.5, 1.5)


def test_factors_grow_from_the_smallest():
    np.testing.assert_allclose(factors(3, 1.05), [1 / 1.05, 1, 1.05], rtol=1e-6)
    np.testing.assert_allclose(factors(5, 2.0), [0.25, 0.5, 1, 2, 4])
    np.testing.assert_array_equal(factors(1, 1.05), [1])


def numpy_peak(response, hyper, upsampling):
    """siamfc-pytorch's choice of scale and place, with cv2's enlargement."""
    grid = response.shape[1] * upsampling
    up = [cv2.resize(np.float64(r), (grid, grid), interpolation=cv2.INTER_CUBIC) for r in response]
    penalty = [1 if s == len(up) // 2 else hyper.scale_penalty for s in range(len(up))]
    which = max(range(len(up)), key=lambda s: up[s].max() * penalty[s])
    best = up[which] * penalty[which] - (up[which] * penalty[which]).min()
    window = np.outer(np.hanning(grid), np.hanning(grid))
    share = hyper.window_influence
    best = (1 - share) * best / best.sum() + share * window / window.sum()
    y, x = np.unravel_index(best.argmax(), best.shape)
    return which, (np.array([x, y]) - (grid - 1) / 2) / upsampling, up[which].max()


@pytest.mark.parametrize("scales", [1, 3, 5])
def test_the_peak_is_that_of_numpy(scales):
    rng = np.random.default_rng(scales)
    seen = set()
    for _ in range(8):
        response = rng.normal(1, 2, (scales, 7, 7)).astype(np.float32)
        which, cells, logit = numpy_peak(response, HYPER, 4)
        found = highest(response, HYPER, 4)
        assert int(found.which) == which
        np.testing.assert_allclose(found.cells, cells, atol=1e-5)
        assert float(found.logit) == pytest.approx(logit, abs=1e-4)
        seen.add(which)
    assert len(seen) > 1 or scales == 1


def test_other_scales_need_to_be_higher():
    response = np.zeros((3, 5, 5), np.float32)
    response[1, 2, 2], response[2, 2, 2] = 1.0, 1.05
    assert int(highest(response, HYPER, 1).which) == 1
    assert int(highest(response, HYPER._replace(scale_penalty=1.0), 1).which) == 2


def test_the_window_draws_to_the_middle():
    response = np.zeros((1, 5, 5), np.float32)
    response[0, 0, 4], response[0, 2, 2] = 1.0, 0.9
    np.testing.assert_allclose(highest(response, HYPER, 1).cells, [0, 0])
    free = highest(response, HYPER._replace(window_influence=0.0), 1)
    np.testing.assert_allclose(free.cells, [2, -2])


@pytest.mark.parametrize(
    ("scale", "factor", "expected"),
    [(1.0, 1.05, 1.02), (0.8, 1.0, 0.8), (1.48, 1.05, 1.5), (0.51, 0.9, 0.5)],
)
def test_the_size_follows_part_of_the_way_within_limits(scale, factor, expected):
    found = follow(np.array(scale, np.float32), np.array(factor, np.float32), HYPER)
    assert float(found) == pytest.approx(expected, rel=1e-6)
