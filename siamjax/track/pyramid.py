"""SiamFC's pyramid: which scale and which place of its responses a step follows; pure functions.

Source: Bertinetto et al. 2016; arithmetic of siamfc-pytorch and of the MATLAB original.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax.track.response import cosine_window, upsampling_matrix
from siamjax.typing import AnyArray, Array


class Hyper(NamedTuple):
    """The tracking constants; `vmap` over them searches hyper-parameters."""

    scale_step: AnyArray | float
    """Ratio between neighbouring scales."""
    scale_penalty: AnyArray | float
    """Factor on the responses of every scale but the middle one."""
    scale_lr: AnyArray | float
    """How far the size follows the chosen scale, 0..1."""
    window_influence: AnyArray | float
    """Weight of the cosine window against the normalised response, 0..1."""
    min_scale: AnyArray | float
    """Least size against the first one; 0 for no limit."""
    max_scale: AnyArray | float
    """Greatest size against the first one; infinite for no limit."""


class Peak(NamedTuple):
    """What a step follows."""

    which: Int[Array, ""]
    """The scale's index."""
    cells: Float[Array, "2"]
    """(x, y) from the middle of the response, its cells."""
    logit: Float[Array, ""]
    """The highest response at this scale, before penalty and window."""


def factors(count: int, step: AnyArray | float) -> Float[Array, "{count}"]:
    """Give the scales of a pyramid, smallest first; the middle one is 1."""
    half = count // 2
    return jnp.asarray(step, jnp.float32) ** jnp.arange(-half, half + 1, dtype=jnp.float32)


def highest(response: Float[AnyArray, "s y x"], hyper: Hyper, upsampling: int) -> Peak:
    """Choose the scale with the highest response, the others penalised, and the place at it.

    Args:
        response: logits at an odd number of scales.
        hyper: tracking constants.
        upsampling: of the response, bicubic, before anything is read from it.
    """
    rows = upsampling_matrix(response.shape[1], upsampling)
    precision = jax.lax.Precision.HIGHEST
    response = jnp.einsum("iy,syx,jx->sij", rows, response, rows, precision=precision)
    scales = response.shape[0]
    middle = jnp.arange(scales) == scales // 2
    penalty = jnp.where(middle, 1.0, hyper.scale_penalty)
    peaks = jnp.max(response, axis=(1, 2))
    which = jnp.argmax(peaks * penalty)
    best = response[which] * penalty[which]
    best = best - jnp.min(best)
    best = best / (jnp.sum(best) + 1e-16)
    influence = hyper.window_influence
    best = (1 - influence) * best + influence * cosine_window(rows.shape[0])
    index = jnp.argmax(best)
    where = jnp.stack([index % rows.shape[0], index // rows.shape[0]]).astype(jnp.float32)
    return Peak(which, (where - (rows.shape[0] - 1) / 2) / upsampling, peaks[which])


def follow(
    scale: Float[AnyArray, ""], factor: Float[AnyArray, ""], hyper: Hyper
) -> Float[Array, ""]:
    """Give the next size against the first one: part of the way to the chosen scale, limited.

    Args:
        scale: the size now, against the first one.
        factor: of the chosen scale.
        hyper: tracking constants.
    """
    moved = scale * ((1 - hyper.scale_lr) + hyper.scale_lr * factor)
    return jnp.clip(moved, hyper.min_scale, hyper.max_scale)
