"""What trackers do to a response map before its peak is read: upsampling and a cosine window."""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from siamjax.typing import Array


@functools.cache
def _upsampling_matrix(size: int, factor: int) -> np.ndarray:
    out, a = size * factor, -0.75
    position = (np.arange(out) + 0.5) / factor - 0.5
    first = np.floor(position).astype(int) - 1
    matrix = np.zeros((out, size))
    for tap in range(4):
        d = np.abs(position - (first + tap))
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        weight = np.where(d <= 1, near, far)
        np.add.at(matrix, (np.arange(out), np.clip(first + tap, 0, size - 1)), weight)
    return matrix.astype(np.float32)


def upsampling_matrix(size: int, factor: int) -> Float[Array, "out size"]:
    """Give the rows of bicubic upsampling along one axis, borders repeated.

    Equal to `cv2.resize` with INTER_CUBIC, whose cubic has a = -0.75 (`jax.image.resize` has
    -0.5). `up = rows @ response @ rows.T`.
    """
    return jnp.asarray(_upsampling_matrix(size, factor))


def hann_window(size: int) -> Float[Array, "size size"]:
    """Give the outer product of two Hann windows, 1 in the middle (PySOT)."""
    hann = np.hanning(size)
    return jnp.asarray(np.outer(hann, hann), jnp.float32)


def cosine_window(size: int) -> Float[Array, "size size"]:
    """Give the outer product of two Hann windows, summing to 1 (siamfc-pytorch)."""
    hann = np.hanning(size)
    window = np.outer(hann, hann)
    return jnp.asarray(window / window.sum(), jnp.float32)
