"""What a model of two towers learns from a batch of embeddings, and how it measures them.

`head` holds what is trained besides the towers: the learned distance's weights, a temperature, a
threshold or bias, the classes' centres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array as AnyDtype

from siamjax import losses
from siamjax.losses.axis import first_row, gather
from siamjax.metric.distances import all_pairs, pairs, unit
from siamjax.typing import AnyArray, Array, Params

if TYPE_CHECKING:
    from siamjax.metric.model import Towers

OF_PAIRS: tuple[str, ...] = ("contrastive", "hadsell", "logistic")
OF_PARTNERS: tuple[str, ...] = ("nt-xent", "info-nce", "siglip")
OF_CLASSES: tuple[str, ...] = ("triplet", "arcface")
OF_DISTANCES = (*OF_PAIRS, "triplet")
LOSSES = (*OF_PAIRS, *OF_PARTNERS, *OF_CLASSES)
NEEDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(OF_PAIRS, ("a", "b", "similar")),
    **dict.fromkeys(OF_PARTNERS, ("a", "b")),
    **dict.fromkeys(OF_CLASSES, ("a", "label")),
}
"""What a batch must hold for each loss."""

LEAST_TEMPERATURE = 0.01
"""Of a learned temperature: logits are multiplied by 100 at most (Radford et al. 2021)."""

SIGLIP_BIAS = -10.0


def init(model: Towers, key: AnyDtype) -> dict[str, Array]:
    """Draw the head's weights; {} where the model has none."""
    head = {}
    if model.distance_name == "learned":
        head["weight"] = jnp.full(model.dim, math.log(math.e - 1))  # 1, by softplus
    if model.learn_temperature and model.loss_name in (*OF_PARTNERS, "logistic"):
        head["log_temperature"] = jnp.log(jnp.float32(model.temperature))
    if model.loss_name == "logistic":
        head["threshold"] = jnp.float32(model.margin)
    if model.loss_name == "siglip":
        head["bias"] = jnp.float32(SIGLIP_BIAS)
    if model.loss_name == "arcface":
        head["centers"] = jax.random.normal(key, (model.classes, model.dim))
    return head


def distance(model: Towers, params: Params, a: AnyArray, b: AnyArray) -> Array:
    """Measure embeddings row by row."""
    return pairs(_scaled(model, params, a), _scaled(model, params, b), _plain(model))


def distances(model: Towers, params: Params, a: AnyArray, b: AnyArray) -> Array:
    """Measure all pairs of embeddings."""
    return all_pairs(_scaled(model, params, a), _scaled(model, params, b), _plain(model))


def score(
    model: Towers,
    params: Params,
    embeddings: Mapping[str, AnyArray],
    batch: Mapping[str, AnyArray],
    axis_name: str | None,
) -> tuple[Array, dict[str, Array]]:
    """Give the loss of a batch, and metrics.

    Args:
        model: which loss and distance.
        params: `head` is used.
        embeddings: [B, D] of "a" and, where the loss needs it, "b".
        batch: `similar` or `label`.
        axis_name: mapped axis over which the batch is split.

    Returns:
        The loss, and of pairs the means `similar_distance` and `different_distance`; of partners
        `accuracy`, the share of rows whose nearest is their partner, and `temperature`; of
        "triplet" `active`, the share of anchors with a loss; of "arcface" `accuracy`.
    """
    embeddings = {side: jnp.asarray(rows) for side, rows in embeddings.items()}
    if model.loss_name in OF_PAIRS:
        return _of_pairs(model, params, embeddings, batch, axis_name)
    if model.loss_name in OF_PARTNERS:
        return _of_partners(model, params, embeddings, batch, axis_name)
    return _of_classes(model, params, embeddings["a"], batch, axis_name)


def _of_pairs(model, params, embeddings, batch, axis_name):
    a, b, similar = embeddings["a"], embeddings["b"], jnp.asarray(batch["similar"])
    apart = distance(model, params, a, b)
    if model.loss_name == "logistic":
        logits = (params["head"]["threshold"] - apart) / _temperature(model, params)
        value = losses.logistic(logits, similar, axis_name=axis_name)
    elif model.loss_name == "hadsell":
        euclidean = model.distance_name in ("euclidean", "squared")
        squared = pairs(a, b, "squared") if euclidean else apart**2
        value = losses.hadsell(squared, similar, margin=model.margin, axis_name=axis_name)
    else:
        value = losses.contrastive(
            apart, similar, margin=model.margin, reduction="mean", axis_name=axis_name
        )
    means = {"similar_distance": similar, "different_distance": ~similar}
    fixed = jax.lax.stop_gradient(apart)
    return value, {
        name: losses.mean_where(fixed, mask, axis_name=axis_name) for name, mask in means.items()
    }


def _of_partners(model, params, embeddings, batch, axis_name):
    a, b, temperature = embeddings["a"], embeddings["b"], _temperature(model, params)
    labels = jnp.asarray(batch["label"]) if "label" in batch else None
    settings = {"temperature": temperature, "labels": labels, "axis_name": axis_name}
    if model.loss_name == "siglip":
        value = losses.siglip(a, b, bias=params["head"]["bias"], **settings)
    elif model.loss_name == "info-nce":
        value = losses.info_nce(a, b, **settings)
    else:
        value = losses.nt_xent(a, b, **settings)
    cosines = unit(a) @ gather(unit(b), axis_name).T
    own = first_row(a.shape[0], axis_name) + jnp.arange(a.shape[0])
    accuracy = (jnp.argmax(cosines, axis=1) == own).mean()
    return value, {"accuracy": accuracy, "temperature": temperature}


def _of_classes(model, params, a, batch, axis_name):
    labels = jnp.asarray(batch["label"])
    if model.loss_name == "triplet":
        settings = {"mining": model.mining, "margin": model.margin, "distance": _plain(model)}
        mined = lambda reduction: losses.mined_triplet(
            _scaled(model, params, a), labels, reduction=reduction, axis_name=axis_name, **settings
        )
        active = (mined("none") > 0).reshape(a.shape[0], -1).any(axis=1)
        return mined("mean"), {"active": active.mean()}
    cosines = unit(a) @ unit(params["head"]["centers"]).T
    value = losses.arcface(
        cosines, labels, margin=model.margin, scale=1 / model.temperature, axis_name=axis_name
    )
    return value, {"accuracy": (jnp.argmax(cosines, axis=1) == labels).mean()}


def _plain(model: Towers) -> str:
    """Name the distance of embeddings that `_scaled` returned."""
    return "manhattan" if model.distance_name == "learned" else model.distance_name


def _scaled(model: Towers, params: Params, embeddings: AnyArray) -> Array:
    """Weigh embeddings so that the learned distance is their Manhattan distance."""
    embeddings = jnp.asarray(embeddings)
    if model.distance_name != "learned":
        return embeddings
    return embeddings * jax.nn.softplus(params["head"]["weight"])[None]


def _temperature(model: Towers, params: Params) -> Array:
    if not model.learn_temperature:
        return jnp.float32(model.temperature)
    return jnp.maximum(jnp.exp(params["head"]["log_temperature"]), LEAST_TEMPERATURE)
