"""Sums over a batch that is split over devices, and means by counts of the whole batch."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from siamjax.typing import AnyArray, Array, Scalar

Labels = Shaped[AnyArray, "..."]
Reduction = Literal["mean", "sum", "none"]


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


def gather(rows: Shaped[Array, "B *n"], axis_name: str | None) -> Shaped[Array, "N *n"]:
    """Give the rows of all devices in order, so that each compares its own with the whole batch.

    This collective is differentiated: a row's gradient adds up what every device does with it, and
    is scaled for `pmean` where the loss is (`everywhere`).
    """
    return rows if axis_name is None else jax.lax.all_gather(rows, axis_name, tiled=True)


def first_row(count: int, axis_name: str | None) -> Array | int:
    """Give the place in the whole batch of the first of a device's `count` rows."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name) * count


def reduced(
    values: Float[Array, "*n"],
    reduction: str,
    weights: Shaped[AnyArray, "..."] | None = None,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Weigh losses, and sum or average them.

    Args:
        values: a loss each.
        reduction: "sum" of the weighted losses; "mean", their sum divided by that of the weights, 0
            where that is 0; "none", the weighted losses of this device, for a caller who sums them
            over devices.
        weights: not negative, broadcast to `values`; a loss without weight may be anything. None
            for ones.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Raises:
        ValueError: `reduction` is unknown, or `weights` do not broadcast.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
    given = jnp.ones(()) if weights is None else jnp.asarray(weights)
    try:
        weight = jnp.broadcast_to(given, values.shape)
    except ValueError as error:
        raise ValueError(
            f"weights of shape {given.shape} do not broadcast to losses {values.shape}"
        ) from error
    weight = weight.astype(values.dtype)
    values = jnp.where(weight > 0, weight * values, 0.0)
    if reduction == "none":
        return values
    if reduction == "sum":
        return everywhere(values.sum(), axis_name)
    whole = total(weight.sum(), axis_name)
    return everywhere(values.sum() / jnp.where(whole > 0, whole, 1.0), axis_name)
