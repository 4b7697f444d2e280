"""Losses of pairs that are similar or not, from their distance.

`similar` is boolean, True for a pair of one kind. Texts name the label both ways round: where a
paper's Y is 1 for a *dissimilar* pair (Hadsell et al.), `similar` is its opposite.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from siamjax.losses.axis import reduced
from siamjax.typing import AnyArray, Array

Distances = Float[AnyArray, "*pairs"]
Similar = Bool[AnyArray, "*pairs"]
Weights = Float[AnyArray, "*#pairs"] | None
Reduced = Float[Array, "..."]

_SMALL = 1e-9
"""Added to a squared distance before its root, which then has a slope at 0."""


def contrastive(
    distance: Distances,
    similar: Similar,
    *,
    margin: float | int = 1.0,
    reduction: str = "sum",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Draw similar pairs together, and push others apart up to a margin, both linearly.

    l = sum(y d + (1 - y) max(margin - d, 0)), y = 1 for a similar pair and 0 for any other.

    Of cosine distances with margin 1 - m and the mean, this is PyTorch's `CosineEmbeddingLoss` of
    margin m.

    Args:
        distance: d of each pair, not negative (`siamjax.metric.distances.pairs`).
        similar: y. Some texts write y = 1 for a dissimilar pair, and so the formula the other way
            round; give `~y` of theirs.
        margin: distance from which on dissimilar pairs cost nothing. At d = margin the slope is -1.
        reduction: "sum", "mean" or "none".
        weights: of each pair, not negative.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
    2006, equation 2, with the distances themselves as partial losses.
    """
    d = jnp.asarray(distance)
    apart = jnp.where(d <= margin, margin - d, 0.0)
    return reduced(jnp.where(similar, d, apart), reduction, weights, axis_name)


def hadsell(
    squared: Distances,
    similar: Similar,
    *,
    margin: float | int = 1.0,
    reduction: str = "mean",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Draw similar pairs together, and push others apart up to a margin, both by squares.

    l = 0.5 (y d^2 + (1 - y) max(margin - d, 0)^2), y = 1 for a similar pair and 0 for any other;
    the d of the second term is sqrt(d^2 + 1e-9), whose gradient is finite at d = 0.

    Args:
        squared: d^2 of each pair, squared Euclidean distances.
        similar: y. The paper's Y is the opposite, 1 for dissimilar.
        margin: distance (not squared) from which on dissimilar pairs cost nothing.
        reduction: "mean", "sum" or "none".
        weights: of each pair, not negative.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: Hadsell, Chopra and LeCun, 2006, equation 4.
    """
    squared = jnp.asarray(squared)
    apart = jnp.maximum(margin - jnp.sqrt(squared + _SMALL), 0.0)
    return reduced(0.5 * jnp.where(similar, squared, apart**2), reduction, weights, axis_name)


def logistic(
    logits: Float[AnyArray, "*pairs"],
    similar: Similar,
    *,
    reduction: str = "mean",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Score the probability sigmoid(logit) that a pair is similar by binary cross-entropy.

    l = -y log p - (1 - y) log(1 - p)

    Args:
        logits: large for similar, as scale * (threshold - distance).
        similar: y.
        reduction: "mean", "sum" or "none".
        weights: of each pair, not negative.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: Koch, Zemel and Salakhutdinov, "Siamese Neural Networks for One-shot Image
    Recognition", 2015, section 3.2, without its weight decay.
    """
    signed = jnp.where(similar, logits, -jnp.asarray(logits))
    return reduced(-jax.nn.log_sigmoid(signed), reduction, weights, axis_name)
