"""Losses of triplets: an anchor, a positive of its class, a negative of another."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax.losses.axis import first_row, gather, reduced
from siamjax.metric.distances import all_pairs
from siamjax.typing import AnyArray, Array

Weights = Float[AnyArray, "*#n"] | None
Reduced = Float[Array, "..."]


def triplet(
    positive: Float[AnyArray, "*n"],
    negative: Float[AnyArray, "*n"],
    *,
    margin: float | int = 1.0,
    reduction: str = "mean",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Have negatives farther than positives by a margin.

    l = max(d(anchor, positive) - d(anchor, negative) + margin, 0)

    Args:
        positive: distances of anchors to positives; squared Euclidean ones in the paper.
        negative: distances of the same anchors to negatives.
        margin: in units of the distances.
        reduction: "mean", "sum" or "none".
        weights: of each triplet, not negative.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: Schroff, Kalenichenko and Philbin, "FaceNet", 2015, equation 2.
    """
    gap = jnp.asarray(positive) - jnp.asarray(negative) + margin
    return reduced(jnp.maximum(gap, 0.0), reduction, weights, axis_name)


def mined_triplet(
    embeddings: Float[AnyArray, "B D"],
    labels: Int[AnyArray, "B"],
    *,
    mining: Literal["hard", "semi-hard"] = "semi-hard",
    margin: float | int = 1.0,
    distance: str = "euclidean",
    reduction: str = "mean",
    weights: Float[AnyArray, "B"] | None = None,
    axis_name: str | None = None,
) -> Reduced:
    """Choose the triplets of a batch by their present distances, on the device, and score them.

    "hard": each anchor with its farthest positive and its nearest negative. "semi-hard": each
    anchor with every positive, and the nearest negative that is farther than that positive; where
    none is, the farthest negative. An anchor without a positive, or without a negative, counts
    for nothing.

    Args:
        embeddings: of the batch, several of a class.
        labels: their classes.
        mining: the choice, through which no gradient passes.
        margin: in units of the distance.
        distance: as in `siamjax.metric.distances.pairs`.
        reduction: "mean" over the anchors ("hard") or pairs of anchor and positive ("semi-hard")
            that have a triplet; "sum"; or "none", [B] or [B, N] with N the whole batch.
        weights: of each anchor, not negative.
        axis_name: axis over which the batch is split, in order (`siamjax.losses`); positives and
            negatives are found on all devices.

    Raises:
        ValueError: `mining`, `distance` or `reduction` is unknown.

    Source: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss", 2017, equation 5 ("hard");
    Schroff et al., 2015, section 3.2 and equation 4, over all positives as in TensorFlow Addons'
    `triplet_semihard_loss` ("semi-hard").
    """
    if mining not in ("hard", "semi-hard"):
        raise ValueError(f"mining: expected 'hard' or 'semi-hard', got {mining!r}")
    embeddings, labels = jnp.asarray(embeddings), jnp.asarray(labels)
    count = embeddings.shape[0]
    apart = all_pairs(embeddings, gather(embeddings, axis_name), distance)
    every = gather(labels, axis_name)
    own = first_row(count, axis_name) + jnp.arange(count)
    same = labels[:, None] == every[None]
    positive = same & (own[:, None] != jnp.arange(len(every))[None])
    fixed = jax.lax.stop_gradient(apart)
    weight = jnp.ones(count) if weights is None else jnp.asarray(weights)
    usable = positive.any(axis=1) & ~same.all(axis=1)
    if mining == "hard":
        far = jnp.argmax(jnp.where(positive, fixed, -jnp.inf), axis=1)
        near = jnp.argmin(jnp.where(same, jnp.inf, fixed), axis=1)
        one = lambda index: jnp.take_along_axis(apart, index[:, None], axis=1)[:, 0]
        weight = weight * usable
        to_positive, to_negative = one(far), one(near)
    else:
        # Negatives from near to far, then the rest: the first beyond a positive is the one sought.
        kept = jnp.where(same, jnp.inf, fixed)
        order = jnp.argsort(kept, axis=1)
        ranked = jnp.take_along_axis(kept, order, axis=1)
        beyond = jax.vmap(lambda row, d: jnp.searchsorted(row, d, side="right"))(ranked, fixed)
        last = jnp.maximum((~same).sum(axis=1), 1)[:, None] - 1
        chosen = jnp.take_along_axis(order, jnp.minimum(beyond, last), axis=1)
        weight = weight[:, None] * (positive & usable[:, None])
        to_positive, to_negative = apart, jnp.take_along_axis(apart, chosen, axis=1)
    return triplet(
        to_positive,
        to_negative,
        margin=margin,
        reduction=reduction,
        weights=weight,
        axis_name=axis_name,
    )
