"""The training loss of trackers that measure from points: which points, and where the box is.

Points are the target's inside an ellipse around its centre, background outside a larger one, and
between them nothing. Source: the ellipses of SiamBAN (Chen et al. 2020), section 3.3, here 4 px
wider than a quarter and a half of the target; the overlap as the score wanted of VarifocalNet
(Zhang et al. 2021); what a teacher adds is this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from siamjax import geometry, losses
from siamjax.losses.axis import everywhere, total
from siamjax.track import rpn_loss
from siamjax.typing import AnyArray, Array, Params

if TYPE_CHECKING:
    from siamjax.track.points import PointTracker

INNER, OUTER = 1 / 4, 1 / 2
"""Half axes of the two ellipses, as parts of the target's sides."""
WIDER = 4.0
"""Crop pixels by which both are wider."""
CONVINCED = 0.5
"""Score of a teacher above which its box is believed."""


def loss(
    tracker: PointTracker,
    params: Params,
    stats: Params,
    batch: Mapping[str, AnyArray],
    train: bool,
    axis_name: str | None,
) -> tuple[Array, tuple[Params, dict[str, Array]]]:
    """Score a batch of pairs as `Family.loss` has it, and against a teacher where there is one.

    A teacher's answers are in the batch: `teacher_cls` [B, y, x], 0..1, and `teacher_box`
    [B, y, x, 4], (cx, cy, width, height) from the crop's centre, at the same points. Nothing is
    drawn. The metrics are those of `score` and `distill`.
    """
    raw, moved = rpn_loss.forward(tracker, params, stats, batch, train, axis_name)
    value, metrics = score(tracker, raw, batch, axis_name)
    if "teacher_cls" in batch:
        extra, more = distill(tracker, raw, batch, axis_name)
        value, metrics = value + tracker.distill_weight * extra, {**metrics, **more}
    return value, (moved if train else stats, metrics)


def labels(
    points: Float[AnyArray, "y x 2"],
    center: Float[AnyArray, "B 2"],
    size: Float[AnyArray, "B 2"],
    positive: Bool[AnyArray, "B"],
) -> tuple[Bool[Array, "B y x"], Bool[Array, "B y x"]]:
    """Tell which points are the target's and which the background's.

    Args:
        points: (x, y), crop pixels.
        center: of the targets, likewise.
        size: their width and height.
        positive: which search crops hold the target; in the others every point is background.
    """
    away = jnp.asarray(points)[None] - jnp.asarray(center)[:, None, None]

    def inside(part: float) -> Array:
        axes = jnp.asarray(size)[:, None, None] * part + WIDER
        return ((away / axes) ** 2).sum(-1) <= 1

    here = jnp.asarray(positive)[:, None, None]
    return inside(INNER) & here, ~(inside(OUTER) & here)


def score(
    tracker: PointTracker,
    raw: Mapping[str, AnyArray],
    batch: Mapping[str, AnyArray],
    axis_name: str | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Weigh scores and boxes against each other.

    Args:
        tracker: its points and settings of the loss.
        raw: `cls` [B, y, x, 1, 2] and `loc` [B, y, x, 1, 4].
        batch: `search`, `search_box`, `positive`.
        axis_name: mapped axis over which the batch is split.

    Returns:
        cls_loss + loc_weight * loc_loss, and the metrics: both losses; `positives`, a pair; `iou`,
        the mean overlap of the boxes at positive points with the truth.
    """
    logits, corners = read(tracker, raw)
    box, side = jnp.asarray(batch["search_box"]), batch["search"].shape[1]
    center = geometry.pixel_center(box) - (side - 1) / 2
    points = tracker.points(logits.shape[1])
    positive, negative = labels(points, center, box[:, 2:], jnp.asarray(batch["positive"]))
    truth = jnp.concatenate([center - box[:, 2:] / 2, center + box[:, 2:] / 2], -1)
    truth = jnp.broadcast_to(truth[:, None, None], corners.shape)
    overlap = jax.lax.stop_gradient(
        geometry.iou(geometry.from_corners(corners), geometry.from_corners(truth))
    )
    weight = positive.astype(jnp.float32)
    wanted = weight * overlap if tracker.quality else weight
    against = negative.astype(jnp.float32)
    cls_loss = halves(logits, wanted, weight, against, tracker.hardness, axis_name)
    loc_loss = losses.giou(corners, truth, weight, axis_name=axis_name)
    metrics = {
        "cls_loss": cls_loss,
        "loc_loss": loc_loss,
        "positives": positive.sum(axis=(1, 2)).mean(),
        "iou": losses.mean_where(jnp.asarray(overlap), positive, axis_name=axis_name),
    }
    return cls_loss + tracker.loc_weight * loc_loss, metrics


def distill(
    tracker: PointTracker,
    raw: Mapping[str, AnyArray],
    batch: Mapping[str, AnyArray],
    axis_name: str | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Compare scores and boxes with a teacher's, in the search crops that hold the target.

    Every point wants the teacher's probability t as its score; points weigh t in one half and, by
    their own score as negatives do, 1 - t in the other. Where t exceeds 0.5 the box wants the
    teacher's, by 1 - GIoU weighted by t.

    Args:
        tracker: its points and settings of the loss.
        raw: `cls` [B, y, x, 1, 2] and `loc` [B, y, x, 1, 4].
        batch: `positive`, `teacher_cls` and `teacher_box`, as `loss` has them.
        axis_name: mapped axis over which the batch is split.

    Returns:
        cls + loc_weight * loc, and the metrics `teacher_cls_loss`, `teacher_loc_loss`.
    """
    logits, corners = read(tracker, raw)
    probability, boxes = (jnp.asarray(batch[f"teacher_{name}"]) for name in ("cls", "box"))
    if probability.shape != logits.shape:
        raise ValueError(
            f"teacher_cls: expected one at each of the student's points {logits.shape},"
            f" got {probability.shape}"
        )
    here = jnp.asarray(batch["positive"]).astype(jnp.float32)[:, None, None]
    cls_loss = halves(
        logits, probability, here * probability, here * (1 - probability), tracker.hardness,
        axis_name,
    )  # fmt: skip
    half = boxes[..., 2:] / 2
    truth = jnp.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], -1)
    weight = here * jnp.where(probability > CONVINCED, probability, 0.0)
    loc_loss = losses.giou(corners, truth, weight, axis_name=axis_name)
    metrics = {"teacher_cls_loss": cls_loss, "teacher_loc_loss": loc_loss}
    return cls_loss + tracker.loc_weight * loc_loss, metrics


def read(
    tracker: PointTracker, raw: Mapping[str, AnyArray]
) -> tuple[Float[Array, "B y x"], Float[Array, "B y x 4"]]:
    """Read raw outputs as logits of the target, and corners from the crop's centre."""
    cls, loc = (jnp.asarray(raw[name])[..., 0, :] for name in ("cls", "loc"))
    points = tracker.points(cls.shape[1])[None]
    corners = jnp.concatenate([points - loc[..., :2], points + loc[..., 2:]], -1)
    return cls[..., 1] - cls[..., 0], corners


def halves(
    logits: Float[AnyArray, "*cells"],
    wanted: Float[AnyArray, "*cells"],
    positive: Float[AnyArray, "*cells"],
    negative: Float[AnyArray, "*cells"],
    hardness: float | int = 0.0,
    axis_name: str | None = None,
) -> Array:
    """Average binary cross entropy over positives and over negatives, half each.

    Args:
        logits: the scores'.
        wanted: probabilities.
        positive: weight of every cell in the first mean.
        negative: its weight in the second, to be multiplied by its score to the power `hardness`.
        hardness: 0 takes all negatives alike.
        axis_name: axis over which the batch is split (`siamjax.losses`).
    """
    logits = jnp.asarray(logits)
    entropy = jax.nn.softplus(logits) - logits * wanted
    likely = jax.lax.stop_gradient(jax.nn.sigmoid(logits)) ** hardness
    shares = []
    for weight in (jnp.asarray(positive), negative * likely):
        whole = total(weight.sum(), axis_name)
        shares.append(weight / jnp.where(whole > 0, whole, 1.0) / 2)
    return everywhere(((shares[0] + shares[1]) * entropy).sum(), axis_name)
