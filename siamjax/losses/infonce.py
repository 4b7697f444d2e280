"""Losses that tell a partner from the rest of the batch: NT-Xent, InfoNCE, SigLIP's sigmoid.

Row i of `a` belongs with row i of `b`; what else the batch holds are negatives, on all devices
where it is split. Similarities are cosines, whatever the embeddings' lengths. With `labels`, rows
of one label are no negatives of each other.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax.losses.axis import first_row, gather, reduced
from siamjax.metric.distances import unit
from siamjax.typing import AnyArray, Array

Embeddings = Float[AnyArray, "B D"]
Labels = Int[AnyArray, "B"] | None
Weights = Float[AnyArray, "B"] | None
Positive = float | int | Float[AnyArray, ""]
Reduced = Float[Array, "..."]


def nt_xent(
    a: Embeddings,
    b: Embeddings,
    *,
    temperature: Positive = 0.5,
    labels: Labels = None,
    reduction: str = "mean",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Find each view's partner among all other views of the batch, of both sides.

    l(i, j) = -log(exp(s_ij / t) / sum_{k != i} exp(s_ik / t)), averaged over (i, j) and (j, i),
    with s the cosines of the 2 N views.

    Args:
        a: one view of each object.
        b: another view.
        temperature: t, a number or a traced scalar.
        labels: of the objects, where some may be of one kind.
        reduction: "mean", "sum" or "none", over pairs.
        weights: of each pair, not negative.
        axis_name: axis over which the batch is split, in order (`siamjax.losses`).

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
    2020, equation 1 and algorithm 1.
    """
    a, b = unit(a), unit(b)
    views = jnp.concatenate([gather(a, axis_name), gather(b, axis_name)])
    count, whole = a.shape[0], views.shape[0] // 2
    own = first_row(count, axis_name) + jnp.arange(count)
    alike = jnp.tile(_alike(labels, own, whole, axis_name), (1, 2))
    columns = jnp.arange(2 * whole)[None]
    losses = []
    for rows, self, partner in ((a, own, own + whole), (b, own + whole, own)):
        excluded = (alike | (columns == self[:, None])) & (columns != partner[:, None])
        logits = jnp.where(excluded, -jnp.inf, _products(rows, views) / temperature)
        losses.append(_missed(logits, partner))
    return reduced((losses[0] + losses[1]) / 2, reduction, weights, axis_name)


def info_nce(
    a: Embeddings,
    b: Embeddings,
    *,
    temperature: Positive = 0.07,
    symmetric: bool = True,
    labels: Labels = None,
    reduction: str = "mean",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Find each row's partner among the other side's rows, in both directions.

    l_i = -0.5 log softmax_k(s_ik / t)[i] - 0.5 log softmax_k(s_ki / t)[i], s the cosines of `a`
    with `b`.

    Args:
        a: one side, such as images.
        b: the other, such as texts.
        temperature: t, a number or a traced scalar.
        symmetric: both directions; False for that from `a` to `b` alone.
        labels: of the pairs, where some may be of one kind.
        reduction: "mean", "sum" or "none", over pairs.
        weights: of each pair, not negative.
        axis_name: axis over which the batch is split, in order (`siamjax.losses`).

    Source: van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive
    Coding", 2018, equation 4; symmetric: Radford et al., "Learning Transferable Visual Models From
    Natural Language Supervision", 2021, figure 3.
    """
    a, b = unit(a), unit(b)
    count = a.shape[0]
    own = first_row(count, axis_name) + jnp.arange(count)
    losses = []
    for rows, others in ((a, b), (b, a))[: 2 if symmetric else 1]:
        others = gather(others, axis_name)
        whole = others.shape[0]
        excluded = _alike(labels, own, whole, axis_name) & (jnp.arange(whole)[None] != own[:, None])
        logits = jnp.where(excluded, -jnp.inf, _products(rows, others) / temperature)
        losses.append(_missed(logits, own))
    return reduced(sum(losses[1:], losses[0]) / len(losses), reduction, weights, axis_name)


def siglip(
    a: Embeddings,
    b: Embeddings,
    *,
    temperature: Positive = 0.1,
    bias: Positive = -10.0,
    labels: Labels = None,
    reduction: str = "mean",
    weights: Weights = None,
    axis_name: str | None = None,
) -> Reduced:
    """Tell for every pair of the batch by itself whether it belongs together.

    l_i = -sum_k log sigmoid(z_ik (s_ik / t + bias)), z = 1 for k = i and -1 elsewhere, s the
    cosines.

    Args:
        a: one side, such as images.
        b: the other, such as texts.
        temperature: t, the inverse of the paper's; a number or a traced scalar.
        bias: of the logits; the paper starts at -10, most pairs being negatives.
        labels: of the pairs, where some may be of one kind.
        reduction: "mean", "sum" or "none", over the rows of `a`.
        weights: of each row of `a`, not negative.
        axis_name: axis over which the batch is split, in order (`siamjax.losses`).

    Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023, equation in section
    3.2; all negatives are gathered at once, not passed round in turns (section 3.3).
    """
    a, others = unit(a), gather(unit(b), axis_name)
    count, whole = a.shape[0], others.shape[0]
    own = first_row(count, axis_name) + jnp.arange(count)
    partner = jnp.arange(whole)[None] == own[:, None]
    logits = _products(a, others) / temperature + bias
    entropy = -jax.nn.log_sigmoid(jnp.where(partner, logits, -logits))
    excluded = _alike(labels, own, whole, axis_name) & ~partner
    losses = jnp.where(excluded, 0.0, entropy).sum(axis=1)
    return reduced(losses, reduction, weights, axis_name)


def _alike(labels: Labels, own: Array, whole: int, axis_name: str | None) -> Array:
    """Tell which of the whole batch have the label of each own row: bool[B, N]."""
    if labels is None:
        return jnp.zeros((own.shape[0], whole), bool)
    labels = jnp.asarray(labels)
    return labels[:, None] == gather(labels, axis_name)[None]


def _products(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def _missed(logits: Array, right: Array) -> Array:
    """Give the softmax cross-entropy of each row with its right column."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), right[:, None], axis=1)[:, 0]
