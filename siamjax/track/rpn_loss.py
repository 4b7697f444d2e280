"""The training loss of region-proposal trackers: which anchors, and where the box is.

Source: SiamRPN (Li et al. 2018), section 3.4, and SiamRPN++ (Li et al. 2019), section 3.2, as PySOT
computes them (REFERENCE 1.8).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array as AnyDtype
from jaxtyping import Bool, Float

from siamjax import anchors, geometry, losses, targets
from siamjax.targets import Targets
from siamjax.typing import AnyArray, Array, Params

if TYPE_CHECKING:
    from siamjax.track.region import RegionTracker
    from siamjax.track.siamrpn import SiamRPN


def loss(
    tracker: SiamRPN,
    params: Params,
    stats: Params,
    batch: Mapping[str, AnyArray],
    key: AnyDtype,
    train: bool,
    axis_name: str | None,
) -> tuple[Array, tuple[Params, dict[str, Array]]]:
    """Score a batch of pairs as `Family.loss` has it; the metrics are those of `score`.

    Which anchors are drawn depends on `key` and a pair's place in the whole batch, not on how the
    batch is split over `axis_name`.
    """
    raw, moved = forward(tracker, params, stats, batch, train, axis_name)
    drawn = draw(tracker, batch, raw["cls"].shape[1], key, axis_name)
    value, metrics = score(tracker, raw, drawn, axis_name)
    return value, (moved if train else stats, metrics)


def forward(
    tracker: RegionTracker,
    params: Params,
    stats: Params,
    batch: Mapping[str, AnyArray],
    train: bool,
    axis_name: str | None,
) -> tuple[dict[str, Array], Params]:
    """Respond to a batch; running statistics move twice in the backbone, templates first.

    Returns:
        `cls` and `loc`, and the new statistics.
    """
    net = dataclasses.replace(tracker.net, axis_name=axis_name)
    variables = {"params": params, "batch_stats": stats}
    z, x = batch["template"], batch["search"]
    known = tracker.known(batch)
    result: Any = net.apply(variables, z, x, train, mutable=["batch_stats"], **known)
    raw, moved = result
    return raw, {**stats, **moved["batch_stats"]}


def draw(
    tracker: SiamRPN,
    batch: Mapping[str, AnyArray],
    size: int,
    key: AnyDtype,
    axis_name: str | None,
    *,
    negatives: Literal["fixed", "rest"] = "fixed",
    pair_region: Literal["target", "center"] = "target",
) -> Targets:
    """Label the anchors of each pair of a batch (`siamjax.targets.assign`).

    Args:
        tracker: its anchors, and which overlap makes them target or background.
        batch: `search`, `search_box`, `positive`.
        size: cells a side of the network's output.
        key: of the step.
        axis_name: mapped axis over which the batch is split, in order.
        negatives: how many, as `assign` has it; PySOT's by default.
        pair_region: where pairs of two objects have theirs, likewise.
    """
    box, side = jnp.asarray(batch["search_box"]), batch["search"].shape[1]
    center = geometry.pixel_center(box) - (side - 1) / 2
    keys = pair_keys(key, box.shape[0], axis_name)
    assign = functools.partial(
        targets.assign,
        stride=tracker.stride,
        thresholds=tracker.overlaps,
        negatives=negatives,
        pair_region=pair_region,
    )
    boxes = jnp.concatenate([center, box[:, 2:]], axis=1)
    one = jax.vmap(assign, (0, None, 0, 0))
    return one(keys, tracker.grid(size), boxes, jnp.asarray(batch["positive"]))


def pair_keys(key: AnyDtype, pairs: int, axis_name: str | None) -> AnyDtype:
    """Give each of a device's pairs a key by its place in the whole batch."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * pairs
    return jax.vmap(functools.partial(jax.random.fold_in, key))(first + jnp.arange(pairs))


def score(
    tracker: SiamRPN,
    raw: Mapping[str, AnyArray],
    drawn: Targets,
    axis_name: str | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Weigh classification and regression against each other.

    Args:
        tracker: its anchors and the weights of the two losses.
        raw: `cls` [B, y, x, A, 2] and `loc` [B, y, x, A, 4].
        drawn: the targets.
        axis_name: mapped axis over which the batch is split.

    Returns:
        cls_weight * cls_loss + loc_weight * loc_loss, and the metrics: both losses; `positives`, a
        pair; `iou`, the mean overlap of the boxes at positive anchors with the truth.
    """
    cls_loss = losses.selected_cross_entropy(raw["cls"], drawn.labels, axis_name=axis_name)
    loc_loss = losses.weighted_l1(raw["loc"], drawn.delta, drawn.weight, axis_name=axis_name)
    positive: Bool[Array, "B y x A"] = jnp.asarray(drawn.labels) == targets.POSITIVE
    grid = tracker.grid(positive.shape[1])
    found, truth = (_boxes(grid, delta) for delta in (raw["loc"], drawn.delta))
    overlap = jax.lax.stop_gradient(geometry.iou(found, truth))
    metrics = {
        "cls_loss": cls_loss,
        "loc_loss": loc_loss,
        "positives": positive.sum(axis=(1, 2, 3)).mean(),
        "iou": losses.mean_where(jnp.asarray(overlap), positive, axis_name=axis_name),
    }
    return tracker.cls_weight * cls_loss + tracker.loc_weight * loc_loss, metrics


def _boxes(
    grid: Float[Array, "y x A 4"], delta: Float[AnyArray, "B y x A 4"]
) -> Float[Array, "B y x A 4"]:
    """Decode, and give boxes (x, y, width, height)."""
    decoded = anchors.decode(grid, delta)
    return jnp.asarray(geometry.from_center(decoded[..., :2], decoded[..., 2:]))
