"""Classification losses with a margin between classes, on the hypersphere."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax.losses.axis import reduced
from siamjax.metric.distances import root
from siamjax.typing import AnyArray, Array


def arcface(
    cosines: Float[AnyArray, "B C"],
    labels: Int[AnyArray, "B"],
    *,
    margin: float | int = 0.5,
    cosine_margin: float | int = 0.0,
    scale: float | int | Float[AnyArray, ""] = 64.0,
    reduction: str = "mean",
    weights: Float[AnyArray, "B"] | None = None,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Classify by the angle to a centre of each class, the right one's made larger.

    l = -log(exp(s c_y) / (exp(s c_y) + sum_{j != y} exp(s cos t_j))), c_y = cos(t_y + margin) -
    cosine_margin, t_j the angle between the embedding and the centre of class j.

    Where t_y + margin would exceed pi and the cosine rise again, c_y falls on linearly, as
    cos t_y - margin sin(margin) (the authors' code).

    Args:
        cosines: cos t_j of each embedding with each class's centre, -1 to 1.
        labels: y, 0 to C - 1.
        margin: of the angle, radians, 0 to pi (ArcFace).
        cosine_margin: of the cosine (CosFace: 0.35 with `margin` 0).
        scale: s, a number or a traced scalar.
        reduction: "mean", "sum" or "none".
        weights: of each example, not negative.
        axis_name: axis over which the batch is split (`siamjax.losses`).

    Raises:
        ValueError: `margin` is outside 0 to pi.

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", 2019,
    equation 3; equation 4 with `cosine_margin`.
    """
    if not 0 <= margin < math.pi:
        raise ValueError(f"margin: expected an angle of 0 to pi, got {margin}")
    cosines, labels = jnp.asarray(cosines), jnp.asarray(labels)
    right = jnp.take_along_axis(cosines, labels[:, None], axis=1)
    turned = right * math.cos(margin) - root(1 - right**2) * math.sin(margin)
    linear = right - margin * math.sin(margin)
    wanted = jnp.where(right > -math.cos(margin), turned, linear) - cosine_margin
    is_right = jnp.arange(cosines.shape[1])[None] == labels[:, None]
    logits = scale * jnp.where(is_right, wanted, cosines)
    missed = -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), labels[:, None], axis=1)
    return reduced(missed[:, 0], reduction, weights, axis_name)
