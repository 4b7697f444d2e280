"""SiamFC's training loss: positions by logistic labels, scales by their odds.

Source: Bertinetto et al. 2016, section 2.2, and siamfc-pytorch's losses. The scale loss of a
pyramid of templates is this project's own.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from siamjax import geometry, losses
from siamjax.crop import sample
from siamjax.models.apply import apply
from siamjax.typing import AnyArray, Array, Params

if TYPE_CHECKING:
    from siamjax.track.siamfc import SiamFC


def loss(
    tracker: SiamFC,
    params: Params,
    stats: Params,
    batch: Mapping[str, AnyArray],
    train: bool,
    axis_name: str | None,
) -> tuple[Array, tuple[Params, dict[str, Array]]]:
    """Score a batch of pairs against their logistic labels, as `Family.loss` has it.

    Nothing is drawn. The metrics are `center_error`, crop pixels, of the highest response of the
    middle scale over positive pairs, and `scale_loss` where there is one.
    """
    center = geometry.pixel_center(batch["search_box"]) - (tracker.instance - 1) / 2
    response, moved = responses(tracker, params, stats, batch, train, axis_name)
    size = response.shape[-1]
    label = functools.partial(
        losses.logistic_labels, size, tracker.stride, r_pos=tracker.label_radius
    )
    positive = batch["positive"][:, None, None]
    labels = jnp.where(positive, jax.vmap(label)(center), 0.0)

    likely = _scale_odds(tracker, batch)
    chosen = jnp.take_along_axis(response, jnp.argmax(likely, axis=1)[:, None, None, None], axis=1)[
        :, 0
    ]
    new_stats = {**stats, **moved}
    if tracker.loss_name == "ghm":
        value, new_stats["ghm"] = losses.ghm(chosen, labels, stats["ghm"], axis_name=axis_name)
    else:
        value = getattr(losses, tracker.loss_name)(chosen, labels, axis_name=axis_name)
    metrics = {"center_error": _center_error(tracker, response, center, batch["positive"])}
    if tracker.scale_loss > 0:
        log_odds = jax.nn.log_softmax(response, axis=1)
        entropy = -jnp.sum(likely[:, :, None, None] * log_odds, axis=1)
        scale_loss = losses.mean_where(entropy, labels, axis_name=axis_name)
        metrics["scale_loss"] = scale_loss
        value = value + tracker.scale_loss * scale_loss
    return value, (new_stats if train else stats, metrics)


def responses(tracker, params, stats, batch, train, axis_name):
    """Respond to a batch at every scale of the templates: [B, scales or 1, y, x]."""
    z, x = batch["template"], batch["search"]
    if z.shape[1:3] != (tracker.template_crop,) * 2:
        raise ValueError(
            f"batch['template']: expected crops of {tracker.template_crop} pixels, got {z.shape}"
        )
    if tracker.pyramid == "template":
        middle = jnp.full(2, (tracker.template_crop - 1) / 2)
        cut = lambda image, factor: sample(
            image, middle, tracker.exemplar / factor, tracker.exemplar, jnp.zeros(3)
        )
        z = jax.vmap(jax.vmap(cut, (None, 0)), (0, None))(z, tracker.factors())
        z = z.reshape(-1, *z.shape[2:])
    variables = {"params": params, "batch_stats": stats}
    net = dataclasses.replace(tracker.net, axis_name=axis_name)
    embed = lambda net, z, x: (net.template(z, train), net.search(x, train))
    (z, x), moved = net.apply(variables, z, x, method=embed, mutable=["batch_stats"])
    repeats = z.shape[0] // x.shape[0]
    response = apply(tracker.net, variables, z, jnp.repeat(x, repeats, axis=0), method="respond")
    return response.reshape(-1, repeats, *response.shape[1:]), moved["batch_stats"]


def _scale_odds(tracker, batch):
    """Give how likely each scale of the templates is, from the true sizes: [B, scales or 1]."""
    if tracker.pyramid == "search":
        return jnp.ones((batch["search"].shape[0], 1))
    names = ("search_box", "template_box")
    sides = [geometry.context_side(batch[name][:, 2:]) for name in names]
    steps = jnp.log(sides[0] / sides[1]) / math.log(tracker.scale_step)
    half = tracker.scales // 2
    away = jnp.clip(steps, -half, half)[:, None] - jnp.arange(-half, half + 1.0)[None]
    return jax.nn.softmax(-2 * away**2, axis=1)


def _center_error(tracker, response, center, positive):
    middle = response[:, response.shape[1] // 2]
    size = middle.shape[-1]
    index = jnp.argmax(middle.reshape(middle.shape[0], -1), axis=1)
    cells = jnp.stack([index % size, index // size], axis=1) - (size - 1) / 2
    error = jnp.linalg.norm(cells * tracker.stride - center, axis=1)
    return jnp.sum(error * positive) / jnp.maximum(jnp.sum(positive), 1)
