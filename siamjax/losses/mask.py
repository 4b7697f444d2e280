"""Loss and overlap of SiamMask's masks, at the positions that hold the target.

The label of a position is what its window shows of the search crop's mask: 1 on the target, -1
beside it, 0 (no slope) outside the crop. Source: SiamMask (Wang et al. 2019), section 3.2, and its
`models/siammask_sharp.py` (REFERENCE 1.8).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from siamjax.losses.axis import everywhere, total
from siamjax.typing import AnyArray, Array, Scalar

Logits = Float[AnyArray, "B K h w"]
Positions = Bool[AnyArray, "B K"]


def mask_labels(
    mask: Bool[AnyArray, "B H W"],
    positions: Int[AnyArray, "B K 2"],
    size: int,
    *,
    stride: int,
    padding: int = 0,
) -> Float[Array, "B K {size} {size}"]:
    """Read the labels of some positions: torch's `F.unfold` of the mask, there alone.

    Args:
        mask: of the search crop.
        positions: (row, column) of the network's output.
        size: side of a window, crop pixels.
        stride: crop pixels from one position to the next.
        padding: crop pixels by which the first window reaches outside.

    Returns:
        1 on the target, -1 beside it, 0 outside the crop. Windows that would reach farther outside
        than `padding` are moved back, as `jax.lax.dynamic_slice` does.
    """
    signs = jnp.where(jnp.asarray(mask), 1.0, -1.0)
    signs = jnp.pad(signs, ((0, 0), (padding, padding), (padding, padding)))
    corners = stride * jnp.asarray(positions)

    def window(picture, corner):
        return jax.lax.dynamic_slice(picture, (corner[0], corner[1]), (size, size))

    return jax.vmap(jax.vmap(window, (None, 0)))(signs, corners)


def soft_margin(
    logits: Logits,
    labels: Logits,
    positive: Positions,
    *,
    axis_name: str | None = None,
) -> Scalar:
    """Average log(1 + exp(-label * logit)) over all pixels of the positive positions; 0 for none.

    Args:
        logits: of the masks at K positions a pair.
        labels: `mask_labels`.
        positive: which of the positions count.
        axis_name: axis over which the batch is split (`siamjax.losses`).
    """
    logits = jnp.asarray(logits)
    margin = jax.nn.softplus(-jnp.asarray(labels, logits.dtype) * logits).mean(axis=(2, 3))
    weight = jnp.asarray(positive).astype(margin.dtype)
    count = jnp.maximum(total(weight.sum(), axis_name), 1)
    return everywhere((weight * margin).sum() / count, axis_name)


def mask_overlap(logits: Logits, labels: Logits) -> Float[Array, "B K"]:
    """Give the intersection over union of masks (logits of at least 0) with their labels.

    0 where neither shows anything.

    Source: SiamMask, `iou_measure`, whose sum of two booleans current PyTorch takes for a boolean;
    here it is the sum that was meant.
    """
    found, truth = jnp.asarray(logits) >= 0, jnp.asarray(labels) == 1
    common = (found & truth).sum(axis=(2, 3))
    either = (found | truth).sum(axis=(2, 3))
    return common / jnp.maximum(either, 1)
