"""Choosing among proposed boxes, and moving to the one chosen: pure functions.

Source: Li et al., High performance visual tracking with Siamese region proposal network, 2018,
section 4.3; arithmetic of PySOT's `siamrpn_tracker.py`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax import geometry
from siamjax.masks import Patch
from siamjax.typing import AnyArray, Array

SMALLEST = 10.0
"""Least width and height of a target, frame pixels (PySOT)."""


class Hyper(NamedTuple):
    """The tracking constants; `vmap` over them searches hyper-parameters."""

    penalty_k: AnyArray | float
    """Strength of the penalty on changes of size and aspect ratio."""
    window_influence: AnyArray | float
    """Weight of the cosine window against the penalised score, 0..1."""
    lr: AnyArray | float
    """How far the size follows a proposal of score 1 without penalty, 0..1."""


class Choice(NamedTuple):
    """The proposal that a step follows."""

    which: Int[Array, ""]
    """Its index."""
    box: Float[Array, "4"]
    """(cx, cy, width, height), crop pixels from the crop's centre."""
    score: Float[Array, ""]
    """The network's own, before penalty and window."""
    penalty: Float[Array, ""]
    """Factor of the penalty, 0..1."""
    patch: Patch | None = None
    """Its mask, where the family draws one."""


def penalties(
    boxes: Float[AnyArray, "N 4"], size: Float[AnyArray, "2"], strength: AnyArray | float
) -> Float[Array, "N"]:
    """Penalise changes of size and shape: 1 for none, towards 0.

    Args:
        boxes: (cx, cy, width, height), crop pixels.
        size: the target's width and height now, crop pixels.
        strength: `Hyper.penalty_k`.

    Source: Li et al. 2018, equation 13, the two ratios multiplied as PySOT does.
    """
    boxes = jnp.asarray(boxes)
    change = lambda ratio: jnp.maximum(ratio, 1 / ratio)
    of_size = change(geometry.context_side(boxes[:, 2:]) / geometry.context_side(size))
    of_shape = change((size[0] / size[1]) / (boxes[:, 2] / boxes[:, 3]))
    return jnp.exp(-(of_shape * of_size - 1) * strength)


def choose(
    boxes: Float[AnyArray, "N 4"],
    scores: Float[AnyArray, "N"],
    window: Float[AnyArray, "N"],
    size: Float[AnyArray, "2"],
    hyper: Hyper,
) -> tuple[Choice, Float[Array, "N"]]:
    """Choose among proposals by score, change of size and shape, and distance.

    Args:
        boxes: (cx, cy, width, height), crop pixels from the crop's centre.
        scores: of the target class, 0..1.
        window: 0..1, of each proposal's position.
        size: the target's width and height now, crop pixels.
        hyper: tracking constants.

    Returns:
        The choice, and what it is the argmax of.

    Source: PySOT, `siamrpn_tracker.py`.
    """
    boxes, scores = jnp.asarray(boxes), jnp.asarray(scores)
    penalty = penalties(boxes, size, hyper.penalty_k)
    ranks = penalty * scores * (1 - hyper.window_influence) + window * hyper.window_influence
    index = jnp.argmax(ranks)
    return Choice(index, boxes[index], scores[index], penalty[index]), ranks


def follow(
    center: Float[AnyArray, "2"],
    size: Float[AnyArray, "2"],
    choice: Choice,
    scale: Float[AnyArray, ""],
    lr: AnyArray | float,
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Move to the chosen proposal: the centre wholly, the size by the rate that its score earns.

    Args:
        center: of the target, frame pixels.
        size: width and height, frame pixels.
        choice: from `choose`.
        scale: crop pixels a frame pixel.
        lr: rate of a proposal of score 1 without penalty.

    Returns:
        The next centre and size, unlimited.
    """
    found = choice.box / scale
    rate = choice.penalty * choice.score * lr
    return jnp.asarray(center + found[:2]), jnp.asarray(size * (1 - rate) + found[2:] * rate)


def limit(
    center: Float[AnyArray, "2"], size: Float[AnyArray, "2"], bounds: Float[AnyArray, "2"]
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Keep the centre inside the frame and the sides between `SMALLEST` and the frame's.

    Args:
        center: frame pixels.
        size: frame pixels.
        bounds: the frame's width and height.
    """
    bounds = jnp.asarray(bounds)
    return jnp.clip(center, 0, bounds), jnp.clip(size, jnp.minimum(SMALLEST, bounds), bounds)
