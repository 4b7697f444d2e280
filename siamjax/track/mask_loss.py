"""The training loss of SiamMask: boxes as SiamRPN's, and masks at positions that hold the target.

Source: SiamMask (Wang et al. 2019), section 3.2, and the authors' `tools/train_siammask.py` and
`train_siammask_refine.py` (REFERENCE 1.8).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array as AnyDtype
from jaxtyping import Bool, Float, Int, Int8

from siamjax import losses, targets
from siamjax.models.refine import SIZE, read_masks
from siamjax.track import rpn_loss
from siamjax.typing import AnyArray, Array, Params

if TYPE_CHECKING:
    from siamjax.track.siammask import SiamMask


def loss(
    tracker: SiamMask,
    params: Params,
    stats: Params,
    batch: Mapping[str, AnyArray],
    key: AnyDtype,
    train: bool,
    axis_name: str | None,
) -> tuple[Array, tuple[Params, dict[str, Array]]]:
    """Score a batch of pairs: `rpn_loss.score` plus `mask_weight` times the masks' soft margin.

    Anchors and positions are drawn as `rpn_loss.loss` draws, by SiamMask's rules. Where masks are
    refined, the head's own are not run.

    Args:
        tracker: its network, anchors and weights.
        params: the network's parameters.
        stats: its running statistics.
        batch: that of `Family.loss`, with `search_mask` [B, s, s] and `has_mask` [B].
        key: draws anchors and positions.
        train: normalise by the batch, where the tracker does not say otherwise.
        axis_name: mapped axis over which the batch is split.

    Returns:
        The loss, and the new statistics with the metrics of `rpn_loss.score` and of `score`.
    """
    net = dataclasses.replace(tracker.net, axis_name=axis_name)
    anchor_key, position_key = jax.random.split(key)

    def forward(net: Any, z: AnyArray, x: AnyArray) -> Any:
        template, features = net.template(z, train), net.search(x, train)
        call = net.propose if net.refined else net.respond
        raw = call(template, features, train)
        drawn = rpn_loss.draw(
            tracker, batch, raw["cls"].shape[1], anchor_key, axis_name,
            negatives="rest", pair_region="center",
        )  # fmt: skip
        labels, count = drawn.labels, tracker.mask_positions
        positions, counted = draw(labels, batch["has_mask"], count, position_key, axis_name)
        if net.refined:
            logits = net.refine(raw["features"], positions)
        else:
            logits = read_masks(raw["mask"], positions)
        return raw, drawn, (positions, counted, logits)

    variables = {"params": params, "batch_stats": stats}
    z, x = batch["template"], batch["search"]
    result, moved = net.apply(variables, z, x, method=forward, mutable=["batch_stats"])
    raw, drawn, (positions, counted, logits) = result
    value, metrics = rpn_loss.score(tracker, raw, drawn, axis_name)
    labels = losses.mask_labels(
        batch["search_mask"],
        positions,
        SIZE,
        stride=tracker.stride,
        padding=padding(x.shape[1], raw["cls"].shape[1], tracker.stride),
    )
    mask_loss, mask_metrics = score(logits, labels, counted, axis_name)
    stats = {**stats, **moved["batch_stats"]} if train else stats
    return value + tracker.mask_weight * mask_loss, (stats, {**metrics, **mask_metrics})


def draw(
    labels: Int8[AnyArray, "B y x A"],
    has_mask: Bool[AnyArray, "B"],
    count: int,
    key: AnyDtype,
    axis_name: str | None = None,
) -> tuple[Int[Array, "B K 2"], Bool[Array, "B K"]]:
    """Draw the positions whose masks are scored: those with a target among their drawn anchors.

    Args:
        labels: of the anchors that were drawn (`Targets.labels`).
        has_mask: pairs without are not scored.
        count: K, most positions of a pair.
        key: of the step.
        axis_name: mapped axis over which the batch is split, in order.

    Returns:
        `choose` of every pair.
    """
    holds = (jnp.asarray(labels) == targets.POSITIVE).any(axis=3)
    holds &= jnp.asarray(has_mask)[:, None, None]
    keys = rpn_loss.pair_keys(key, len(holds), axis_name)
    return jax.vmap(choose, (0, 0, None))(keys, holds, count)


def choose(
    key: AnyDtype, holds: Bool[AnyArray, "y x"], count: int
) -> tuple[Int[Array, "K 2"], Bool[Array, "K"]]:
    """Draw at most `count` of the cells that hold the target.

    Returns:
        (row, column) of K = `count` cells (or of all, if fewer exist), and which of them hold it.
    """
    holds = jnp.asarray(holds)
    lottery = jnp.where(holds, 1 + jax.random.uniform(key, holds.shape), 0.0).ravel()
    ticket, cell = jax.lax.top_k(lottery, min(count, holds.size))
    return jnp.stack(jnp.divmod(cell, holds.shape[1]), axis=1), ticket > 0


def padding(side: int, size: int, stride: int) -> int:
    """Give the crop pixels by which the first position's window reaches outside the search crop.

    The windows of all positions lie centred in the crop: 32 for searches of 255 and 25 positions
    8 px apart, 0 for 143 and 3, or for 255 and 9 positions 16 px apart.

    Args:
        side: of the search crop.
        size: positions of a row.
        stride: crop pixels from one to the next.

    Raises:
        ValueError: half a pixel, or windows that do not reach the crop's border.
    """
    excess = stride * (size - 1) + SIZE - side
    if excess < 0 or excess % 2:
        raise ValueError(
            f"search crops of {side} px: windows of {SIZE} px at {size} positions {stride} px apart"
            f" exceed them by {excess}, expected an even number of at least 0"
        )
    return excess // 2


def score(
    logits: Float[AnyArray, "B K h w"],
    labels: Float[AnyArray, "B K h w"],
    counted: Bool[AnyArray, "B K"],
    axis_name: str | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Compare masks with their labels.

    Returns:
        The loss, and the metrics: `mask_loss`; `mask_iou`, mean overlap at the positions that
        count; `mask_iou5` and `mask_iou7`, the share of them whose overlap exceeds 0.5 and 0.7.
    """
    value = losses.soft_margin(logits, labels, counted, axis_name=axis_name)
    overlap = losses.mask_overlap(logits, labels)

    def mean(values: Array) -> Array:
        return losses.mean_where(values, counted, axis_name=axis_name)

    metrics = {
        "mask_loss": value,
        "mask_iou": mean(overlap),
        "mask_iou5": mean((overlap > 0.5).astype(overlap.dtype)),
        "mask_iou7": mean((overlap > 0.7).astype(overlap.dtype)),
    }
    return value, metrics
