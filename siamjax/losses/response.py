"""Labels and losses of a fully-convolutional response map.

Logits and labels are response cells; label 1 is target, 0 background, anything between is ignored
by the counted losses. Definitions: SiamFC (Bertinetto et al., 2016) as siamfc-pytorch states them.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Shaped

from siamjax.losses.axis import everywhere, pair, total
from siamjax.typing import AnyArray, Array, Scalar

Logits = Float[AnyArray, "*cells"]
Labels = Shaped[AnyArray, "..."]


def logistic_labels(
    size: int,
    stride: float | int,
    center: Float[AnyArray, "2"] | None = None,
    *,
    r_pos: float | int = 16.0,
    r_neg: float | int = 0.0,
    distance: Literal["block", "euclidean"] = "block",
) -> Float[Array, "{size} {size}"]:
    """Label response cells by their distance to the target's centre.

    1 where the distance is at most `r_pos`, else 0.5 (ignored) below `r_neg`, else 0.

    Args:
        size: side of the response map in cells.
        stride: crop pixels from one cell to the next.
        center: (x, y) offset of the target's centre from the crop's centre, crop pixels; may be
            traced, and vmapped for a batch. None is a centred target.
        r_pos: radius of the positive cells, crop pixels.
        r_neg: radius beyond which cells are negative, crop pixels.
        distance: "block" (|dx| + |dy|, siamfc-pytorch) or "euclidean" (the authors' MATLAB).

    Returns:
        Labels [y, x].

    Raises:
        ValueError: `size` or `stride` is not positive, or `distance` is unknown.

    Source: Bertinetto et al., "Fully-Convolutional Siamese Networks for Object Tracking", 2016,
    equation 4, with the radii of siamfc-pytorch.
    """
    if size < 1 or stride <= 0:
        raise ValueError(f"size and stride must be positive, got size={size}, stride={stride}")
    cells = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2
    offset = jnp.zeros(2) if center is None else jnp.asarray(center, jnp.float32) / stride
    dx = jnp.abs(cells - offset[0])[None, :]
    dy = jnp.abs(cells - offset[1])[:, None]
    if distance == "block":
        far = dx + dy
    elif distance == "euclidean":
        far = jnp.sqrt(dx**2 + dy**2)
    else:
        raise ValueError(f"distance must be 'block' or 'euclidean', got {distance!r}")
    near = jnp.where(far < r_neg / stride, 0.5, 0.0)
    return jnp.where(far <= r_pos / stride, 1.0, near)


def balanced(
    logits: Logits, labels: Labels, *, neg_weight: float | int = 1.0, axis_name: str | None = None
) -> Scalar:
    """Binary cross-entropy, positives and negatives weighing equally.

    (mean over positives + neg_weight * mean over negatives) / (1 + neg_weight)

    Where a batch holds no positive (negative) cell, the other mean is the loss.

    Args:
        logits: response, any shape.
        labels: broadcast to `logits`.
        neg_weight: weight of the negative mean.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: siamfc-pytorch, `BalancedLoss`; Bertinetto et al., 2016, section 2.2.
    """
    logits, labels = pair(logits, labels)
    entropy = _cross_entropy(logits, labels)
    masks = (labels == 1).astype(logits.dtype), (labels == 0).astype(logits.dtype)
    counts = [total(mask.sum(), axis_name) for mask in masks]
    shares = [weight * (count > 0) for weight, count in zip((1, neg_weight), counts, strict=True)]
    whole = shares[0] + shares[1]
    scale = [
        share / jnp.maximum(count, 1) / jnp.where(whole > 0, whole, 1)
        for share, count in zip(shares, counts, strict=True)
    ]
    weight = masks[0] * scale[0] + masks[1] * scale[1]
    return everywhere((weight * entropy).sum(), axis_name)


def focal(
    logits: Logits, labels: Labels, *, gamma: float | int = 2.0, axis_name: str | None = None
) -> Scalar:
    """Focal loss, normalised by the mean of its own weights.

    sum_i w_i * bce_i / sum_i w_i, with w = (1 - p)^gamma for positives and p^gamma for negatives;
    the gradient flows through the weights and their sum.

    Args:
        logits: response, any shape.
        labels: broadcast to `logits`.
        gamma: exponent; 0 is the plain mean.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: siamfc-pytorch, `FocalLoss`. Lin et al., "Focal Loss for Dense Object Detection", 2017,
    equation 4, divides by the number of positives instead.
    """
    logits, labels = pair(logits, labels)
    log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    positive = jnp.where(labels > 0, gamma * log_q, -jnp.inf)
    negative = jnp.where(labels < 1, gamma * log_p, -jnp.inf)
    # A common factor cancels; without it the weights of well classified cells all vanish.
    largest = jax.lax.stop_gradient(jnp.maximum(positive, negative).max())
    if axis_name is not None:
        largest = jax.lax.pmax(largest, axis_name)
    positive = labels * jnp.exp(positive - largest)
    negative = (1 - labels) * jnp.exp(negative - largest)
    loss = -(positive * log_p + negative * log_q).sum()
    weight = (positive + negative).sum()
    # d(L / W) = (dL - (L / W) dW) / W, with L and W taken over all devices.
    whole = total(weight, axis_name)
    ratio = total(loss, axis_name) / whole
    return everywhere((loss - ratio * (weight - jax.lax.stop_gradient(weight))) / whole, axis_name)


def ghm_init(bins: int = 30) -> Float[Array, "{bins}"]:
    """Start the running counts of `ghm`, cells per bin of gradient length, at zero."""
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    return jnp.zeros(bins, jnp.float32)


def ghm(
    logits: Logits,
    labels: Labels,
    state: Float[AnyArray, " bins"],
    *,
    momentum: float | int = 0.5,
    axis_name: str | None = None,
) -> tuple[Scalar, Float[Array, " bins"]]:
    """Gradient-harmonised classification loss (GHM-C).

    Cells are binned by their gradient's length |sigmoid(logit) - label|; a cell weighs the inverse
    of its bin's running count, and the weights are scaled to a mean of 1.

    Args:
        logits: response, any shape.
        labels: broadcast to `logits`.
        state: running counts from `ghm_init` or the call before.
        momentum: share of the old count in a bin that is not empty now; 0 uses this batch alone.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Returns:
        Loss and the new state. No gradient passes through the weights.

    Source: Li et al., "Gradient Harmonized Single-stage Detector", 2019, section 3.3, with
    siamfc-pytorch's `GHMCLoss` scaling of the weights.
    """
    logits, labels = pair(logits, labels)
    bins = state.shape[0]
    edges = jnp.arange(1, bins, dtype=jnp.float32) / bins
    length = jnp.abs(jax.lax.stop_gradient(jax.nn.sigmoid(logits)) - labels)
    index = jnp.searchsorted(edges, length, side="right")
    count = total(jnp.zeros(bins).at[index.reshape(-1)].add(1.0), axis_name)
    running = jnp.where(
        count > 0, momentum * jnp.asarray(state) + (1 - momentum) * count, jnp.asarray(state)
    )
    inverse = jnp.where(count > 0, 1 / jnp.where(count > 0, running, 1), 0)
    weight = inverse[index] / jnp.maximum((count * inverse).sum(), jnp.finfo(jnp.float32).tiny)
    loss = everywhere((weight * _cross_entropy(logits, labels)).sum(), axis_name)
    return loss, running


def ohnm(
    logits: Logits, labels: Labels, *, neg_ratio: float | int = 3.0, axis_name: str | None = None
) -> Scalar:
    """Binary cross-entropy over the positives and the hardest negatives.

    The floor(neg_ratio * positives) negatives of the highest logits count, over the whole batch;
    all of them where there are fewer. A batch without a positive has loss 0.

    Args:
        logits: response, any shape.
        labels: broadcast to `logits`.
        neg_ratio: negatives per positive.
        axis_name: axis over which the batch is split, in order (`siamjax.losses`).

    Source: siamfc-pytorch, `OHNMLoss`; Shrivastava et al., "Training Region-based Object Detectors
    with Online Hard Example Mining", 2016.
    """
    logits, labels = pair(logits, labels)
    positive = labels == 1
    wanted = jnp.floor(neg_ratio * total(positive.sum().astype(jnp.float32), axis_name))
    hardness = jnp.where(labels == 0, jax.lax.stop_gradient(logits), -jnp.inf).reshape(-1)
    hard = (_rank(hardness, axis_name) < wanted).reshape(logits.shape) & (labels == 0)
    chosen = (positive | hard).astype(logits.dtype)
    count = jnp.maximum(total(chosen.sum(), axis_name), 1)
    return everywhere((chosen * _cross_entropy(logits, labels)).sum() / count, axis_name)


def _cross_entropy(logits: Array, labels: Array) -> Array:
    """Binary cross-entropy per cell, finite for any finite logit."""
    return jax.nn.softplus(logits) - logits * labels


def _rank(values: Float[Array, " n"], axis_name: str | None) -> Int[Array, " n"]:
    """Rank of each value in descending order, 0 the highest, over all devices."""
    whole = values if axis_name is None else jax.lax.all_gather(values, axis_name).reshape(-1)
    order = jnp.argsort(whole, descending=True, stable=True)
    ranks = jnp.zeros(whole.shape, jnp.int32).at[order].set(jnp.arange(len(whole)))
    if axis_name is None:
        return ranks
    start = jax.lax.axis_index(axis_name) * len(values)
    return jax.lax.dynamic_slice(ranks, (start,), values.shape)
