"""Blurs of training crops: a matrix for the rows and one for the columns."""

import jax.numpy as jnp
from jaxtyping import Float, Num

from siamjax.typing import AnyArray, Array


def cross_blur(
    image: Float[Array, "H W 3"],
    half: Num[Array, ""],
    vertical: Float[Array, ""],
    most: int,
) -> Float[Array, "H W 3"]:
    """Average along a cross: `vertical` of a column's mean plus the rest of a row's mean.

    Args:
        image: any units.
        half: pixels on each side of the centre that are averaged, at most `most`.
        vertical: weight of the column, 0..1.
        most: static bound of `half`; the picture is mirrored this far at its borders.

    Returns:
        The blurred image.

    Source: PySOT `Augmentation._blur_aug`, borders as cv2.filter2D's default.
    """
    count = 2 * half.astype(jnp.float32) + 1
    rows = _band(image.shape[0], half, most) / count
    columns = _band(image.shape[1], half, most) / count
    column_mean = jnp.einsum("ih,hwc->iwc", rows * vertical, image)
    row_mean = jnp.einsum("hwc,jw->hjc", image, columns * (1 - vertical))
    return column_mean + row_mean


def _band(length, half, most):
    """Count how often the mirrored window of pixel i holds pixel j: [length, length]."""
    i = jnp.arange(length)[:, None]
    j = jnp.arange(length)[None, :]
    inside = jnp.abs(i - j) <= half
    # cv2's BORDER_REFLECT_101: position -j stands for j, position 2 (length - 1) - j for j.
    before = (i + j <= half) & (j > 0)
    after = (2 * (length - 1) - j - i <= half) & (j < length - 1)
    return inside.astype(jnp.float32) + before + after


def soften(
    image: Float[Array, "H W C"], sigma: Float[AnyArray, ""] | float
) -> Float[Array, "H W C"]:
    """Blur by a Gaussian of this standard deviation in pixels; borders weigh what is there."""

    def across(length):
        axis = jnp.arange(length, dtype=jnp.float32)
        distance = axis[:, None] - axis[None, :]
        weight = jnp.exp(-0.5 * (distance / jnp.maximum(sigma, 1e-2)) ** 2)
        return weight / weight.sum(axis=1, keepdims=True)

    rows = jnp.einsum("ih,hwc->iwc", across(image.shape[0]), image)
    return jnp.einsum("hwc,jw->hjc", rows, across(image.shape[1]))
