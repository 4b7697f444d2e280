"""Distractors: proposals that look like the target and are not it; learnt, and ranked against.

Source: Zhu et al., Distractor-aware Siamese networks for visual object tracking, 2018, section 3.3,
read so: distractors are what non-maximum suppression leaves above a score, apart from the target;
they are averaged as templates, over a frame and by a running mean over frames; f in equation 2 is
the network's probability. (Where f is linear in the template, as raw correlation is, the mean of
the templates gives the mean of the responses.) The target's own template stays that of the first
frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, UInt8

from siamjax import geometry
from siamjax.crop import sample
from siamjax.models.apply import apply
from siamjax.track.proposals import Choice, Hyper, choose, penalties
from siamjax.typing import AnyArray, Array, Variables

if TYPE_CHECKING:
    from siamjax.track.region import RegionTracker, State


class Aware(NamedTuple):
    """How distractors are told and what they weigh."""

    most: int = 3
    """Distractors learnt in one frame, at most."""
    score: float = 0.7
    """A proposal may be a distractor above this score."""
    weight: float = 0.5
    """Of the distractors' score against the target's."""
    rate: float = 0.01
    """Of the running mean over frames."""
    candidates: int = 16
    """Proposals left by non-maximum suppression that are ranked anew."""
    overlap: float = 0.4
    """IoU above which a proposal is the same as a better one."""


class Memory(NamedTuple):
    """The distractors met so far."""

    template: Any
    """Sum of their templates, each frame's mean weighted by how recent it is."""
    weight: Float[AnyArray, "*n"]
    """Sum of those weights; 0 before the first distractor."""


def forget(template: Any) -> Memory:
    """Give the memory of no distractors, for templates of this shape."""
    return Memory(jax.tree.map(jnp.zeros_like, template), jnp.zeros(()))


def learn(
    memory: Memory, templates: Any, present: Bool[AnyArray, "m"], rate: float | int
) -> Memory:
    """Move the running mean towards the distractors of one frame.

    Args:
        memory: before the frame.
        templates: of up to `m` distractors, a leading axis of `m`.
        present: which of them are; a frame without any leaves the memory as it is.
        rate: weight of a new frame against all before, 0..1.
    """
    share = jnp.asarray(present, jnp.float32)
    share = share / jnp.maximum(jnp.sum(share), 1)
    step = jnp.where(jnp.any(present), rate, 0.0)

    def moved(old, new):
        mean = jnp.tensordot(share, jnp.asarray(new), axes=1)[None]
        return old + step * (mean - old)

    template = jax.tree.map(moved, memory.template, templates)
    return Memory(template, memory.weight + step * (1 - memory.weight))


def mean(memory: Memory) -> Any:
    """Give the mean template of the distractors met; zeros before the first."""
    return jax.tree.map(lambda total: total / jnp.maximum(memory.weight, 1e-12), memory.template)


def strongest(
    boxes: Float[AnyArray, "N 4"],
    ranks: Float[AnyArray, "N"],
    count: int,
    overlap: float | int,
) -> tuple[Int[Array, "{count}"], Bool[Array, "{count}"]]:
    """Pick the highest ranks by greedy non-maximum suppression.

    Args:
        boxes: (cx, cy, width, height).
        ranks: finite.
        count: how many.
        overlap: IoU with one picked before above which a box is suppressed.

    Returns:
        Indices, highest rank first, and which of them are picks: False once all are suppressed.
    """
    edges = _edges(jnp.asarray(boxes))

    def pick(left, _):
        index = jnp.argmax(left)
        near = jnp.asarray(geometry.iou(edges, edges[index][None])) > overlap
        return jnp.where(near, -jnp.inf, left).at[index].set(-jnp.inf), (
            index,
            jnp.isfinite(left[index]),
        )

    return jax.lax.scan(pick, jnp.asarray(ranks), length=count)[1]


def detect(
    tracker: RegionTracker,
    aware: Aware,
    variables: Variables,
    state: State,
    x: UInt8[AnyArray, "s s 3"],
    hyper: Hyper,
) -> tuple[Choice, Memory]:
    """Choose among proposals by what tells the target from its distractors, and learn them.

    Of the best proposals that differ in place, that is chosen whose rank is highest once the
    distractors' score times `aware.weight` is taken from its own; the choice's score and penalty
    are the plain ones.
    """
    image = jnp.asarray(x, jnp.float32)
    features = apply(tracker.net, variables, image[None], method="search")
    size = state.size * tracker.scale(state)

    def propose(template):
        raw = apply(tracker.net, variables, template, features, method="respond")
        boxes, scores, window = tracker.proposals(raw)
        return (boxes[0], scores[0], window), raw

    (boxes, scores, window), raw = propose(state.template)
    _, ranks = choose(boxes, scores, window, size, hyper)
    best, picked = strongest(boxes, ranks, aware.candidates, aware.overlap)
    boxes, plain, window = boxes[best], scores[best], window[best]
    against = jax.lax.cond(
        state.memory.weight > 0,
        lambda: propose(mean(state.memory))[0][1][best],
        lambda: jnp.zeros_like(plain),
    )
    _, ranks = choose(boxes, plain - aware.weight * against, window, size, hyper)
    place = jnp.argmax(jnp.where(picked, ranks, -jnp.inf))
    penalty = penalties(boxes, size, hyper.penalty_k)
    patch = tracker.draw(variables, raw, best[place], state, x.shape[0])
    choice = Choice(best[place], boxes[place], plain[place], penalty[place], patch)

    away = jnp.asarray(geometry.iou(_edges(boxes), _edges(boxes[place])[None])) <= aware.overlap
    present = picked & away & (plain > aware.score)
    first = jnp.argsort(~present, stable=True)[: aware.most]
    boxes, present = boxes[first], present[first]

    def learnt():
        side = jnp.asarray(geometry.context_side(boxes[:, 2:]))
        center = boxes[:, :2] + (image.shape[0] - 1) / 2
        cut = lambda center, side: sample(image, center, side, tracker.exemplar, state.fill)
        size = boxes[:, 2:] * (tracker.exemplar / side)[:, None]
        templates = tracker.embed(variables, jax.vmap(cut)(center, side), size)
        return learn(state.memory, templates, present, aware.rate)

    return choice, jax.lax.cond(jnp.any(present), learnt, lambda: state.memory)


def _edges(boxes: Float[Array, "*n 4"]) -> Array:
    """Turn (cx, cy, width, height) into (x, y, width, height)."""
    return jnp.asarray(geometry.from_center(boxes[..., :2], boxes[..., 2:]))
