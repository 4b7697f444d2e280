"""Sums over a batch that is split over devices, and means by counts of the whole batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from siamjax.typing import AnyArray, Array, Scalar

Labels = Shaped[AnyArray, "..."]


def mean_where(
    values: Float[AnyArray, "*cells"], labels: Labels, *, axis_name: str | None = None
) -> Scalar:
    """Average values over the cells with label 1; 0 where there are none.

    Args:
        values: any shape.
        labels: broadcast to `values`.
        axis_name: axis over which the batch is split (`siamjax.losses`).
    """
    values, labels = pair(values, labels)
    mask = (labels == 1).astype(values.dtype)
    count = jnp.maximum(total(mask.sum(), axis_name), 1)
    return everywhere((mask * values).sum() / count, axis_name)


def pair(logits, labels) -> tuple[Array, Array]:
    """Return both as float arrays of the logits' shape."""
    logits = jnp.asarray(logits)
    try:
        return logits, jnp.broadcast_to(jnp.asarray(labels, logits.dtype), logits.shape)
    except ValueError as error:
        raise ValueError(
            f"labels of shape {jnp.shape(labels)} do not broadcast to logits {logits.shape}"
        ) from error


def total(value: Array, axis_name: str | None) -> Array:
    """Sum over the axis, as a constant where there is one."""
    if axis_name is None:
        return jax.lax.stop_gradient(value)
    return jax.lax.psum(jax.lax.stop_gradient(value), axis_name)


def everywhere(share: Array, axis_name: str | None) -> Array:
    """Turn a device's share of the loss into the whole loss, gradient scaled for `pmean`."""
    if axis_name is None:
        return share
    fixed = jax.lax.stop_gradient(share)
    size = jax.lax.psum(1, axis_name)
    return jax.lax.psum(fixed, axis_name) + size * (share - fixed)
