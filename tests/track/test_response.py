import cv2
import numpy as np
import pytest

from siamjax.track.response import cosine_window, upsampling_matrix


@pytest.mark.parametrize(("size", "factor"), [(17, 16), (5, 4), (4, 3), (25, 8), (1, 4)])
def test_upsampling_is_cv2s_bicubic(size, factor):
    response = np.random.default_rng(0).standard_normal((size, size), np.float32)
    rows = np.asarray(upsampling_matrix(size, factor))
    got = rows @ response @ rows.T
    whole = (size * factor,) * 2
    expected = cv2.resize(np.float64(response), whole, interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_cosine_window():
    got = np.asarray(cosine_window(5))
    hann = np.array([0, 0.5, 1, 0.5, 0])  # sums to 2
    np.testing.assert_allclose(got, np.outer(hann, hann) / 4, atol=1e-7)
