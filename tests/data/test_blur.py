import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.data.blur import cross_blur, soften


@pytest.mark.parametrize(("half", "vertical"), [(2, 0.3), (4, 1.0), (3, 0.0), (7, 0.6)])
def test_blur_against_filter2d(half, vertical):
    image = np.random.default_rng(0).uniform(0, 255, (33, 33, 3)).astype(np.float32)
    size = 2 * half + 1
    kernel = np.zeros((size, size), np.float32)
    kernel[:, half] += vertical / size
    kernel[half, :] += (1 - vertical) / size
    expected = cv2.filter2D(image, -1, kernel)
    out = cross_blur(jnp.asarray(image), jnp.asarray(half), jnp.asarray(vertical), 7)
    np.testing.assert_allclose(out, expected, atol=2e-3)


def test_soften_is_a_gaussian():
    image = np.random.default_rng(0).random((40, 40, 1), np.float32)
    expected = cv2.GaussianBlur(image, (0, 0), 1.5)
    got = np.asarray(soften(jnp.asarray(image), 1.5))[..., 0]
    np.testing.assert_allclose(got[10:30, 10:30], expected[10:30, 10:30], atol=1e-3)
    np.testing.assert_allclose(soften(jnp.asarray(image), 0.0), image, atol=1e-6)
