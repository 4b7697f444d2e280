"""Losses of a region proposal network's anchors: which are target, and where the box is.

Labels: 1 target, 0 background, -1 ignored (`siamjax.targets`). Sources: PySOT's
`pysot/models/loss.py` (REFERENCE 1.8); Girshick 2015; Lin et al. 2017.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax.losses.axis import everywhere, total
from siamjax.typing import AnyArray, Array, Scalar

Pair = Float[AnyArray, "*cells 2"]
Labels = Int[AnyArray, "*cells"]


def selected_cross_entropy(
    logits: Pair,
    labels: Labels,
    *,
    drop_lone: bool = False,
    axis_name: str | None = None,
) -> Scalar:
    """Softmax cross-entropy, positives and negatives of the batch each half.

    0.5 * mean over positives + 0.5 * mean over negatives; a mean over none is 0, and the other
    keeps its half.

    Args:
        logits: of background and target (index 1).
        labels: 1, 0, or -1 for ignored.
        drop_lone: PySOT's accident: a part is also 0 where the whole batch has exactly one such
            anchor. Off by default; its published weights were trained with it.
        axis_name: axis over which the batch is split (`siamjax.losses`). PySOT takes the means of
            every process on its own.

    Source: PySOT, `select_cross_entropy_loss`; SiamMask has the same without the accident.
    """
    entropy = _entropy(logits)
    labels = jnp.asarray(labels)
    value = jnp.zeros((), entropy.dtype)
    least = 2 if drop_lone else 1
    for label in (1, 0):
        mask = (labels == label).astype(entropy.dtype)
        count = total(mask.sum(), axis_name)
        share = jnp.where(count >= least, 0.5 / jnp.maximum(count, 1), 0.0)
        value = value + share * (mask * entropy[..., label]).sum()
    return everywhere(value, axis_name)


def softmax_focal(
    logits: Pair,
    labels: Labels,
    *,
    gamma: float | int = 2.0,
    alpha: float | int = 0.25,
    axis_name: str | None = None,
) -> Scalar:
    """Focal loss of a softmax over two classes, divided by the number of positives (at least 1).

    sum of -a (1 - p)^gamma log p over positives and negatives, p the right class's probability,
    a = alpha for positives and 1 - alpha for negatives.

    Args:
        logits: of background and target (index 1).
        labels: 1, 0, or -1 for ignored.
        gamma: exponent.
        alpha: weight of the positives, 0..1.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 5, with a softmax
    in place of the sigmoid.
    """
    entropy = _entropy(logits)
    labels = jnp.asarray(labels)
    value = jnp.zeros((), entropy.dtype)
    for label, weight in ((1, alpha), (0, 1 - alpha)):
        mask = labels == label
        missed = -jnp.expm1(-entropy[..., label])
        # A power of 0 has no finite slope below 1; the cells left out must not leave NaN either.
        factor = jnp.where(mask, jnp.maximum(missed, 1e-12), 1.0) ** gamma
        value = value + weight * jnp.where(mask, factor * entropy[..., label], 0.0).sum()
    positives = total((labels == 1).sum().astype(entropy.dtype), axis_name)
    return everywhere(value / jnp.maximum(positives, 1), axis_name)


def weighted_l1(
    delta: Float[AnyArray, "B *cells 4"],
    truth: Float[AnyArray, "B *cells 4"],
    weight: Float[AnyArray, "B *cells"],
    *,
    beta: float | int = 0.0,
    axis_name: str | None = None,
) -> Scalar:
    """Absolute difference of box codes, summed with weights, divided by the number of pairs.

    With weights that sum to 1 over the positives of a pair this is a mean over pairs of the mean
    over their positives of the sum of four differences. Pairs without positives count as 0.

    Args:
        delta: (dx, dy, dw, dh) of the network.
        truth: the codes wanted.
        weight: of each anchor (`siamjax.targets.Targets.weight`).
        beta: below this difference the loss is quadratic, d^2 / (2 beta), and beta / 2 less above
            it (smooth L1); 0 is the plain absolute difference.
        axis_name: axis over which the batch is split in equal shares (`siamjax.losses`).

    Raises:
        ValueError: `beta` is negative.

    Source: PySOT, `weight_l1_loss`; smooth form: Girshick, "Fast R-CNN", 2015, equation 3.
    """
    if beta < 0:
        raise ValueError(f"beta: expected at least 0, got {beta}")
    away = jnp.abs(jnp.asarray(delta) - truth)
    if beta > 0:
        away = jnp.where(away < beta, 0.5 * away**2 / beta, away - 0.5 * beta)
    pairs = away.shape[0] * (1 if axis_name is None else jax.lax.axis_size(axis_name))
    return everywhere((away.sum(axis=-1) * weight).sum() / pairs, axis_name)


def _entropy(logits: Pair) -> Array:
    """Cross-entropy of each class, [..., 2]."""
    return -jax.nn.log_softmax(jnp.asarray(logits), axis=-1)
