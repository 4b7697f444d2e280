"""DaSiamRPN: SiamRPN's up-channel head, with a wider search for small targets.

The published code's step is SiamRPN's. What the paper describes besides, distractors and the search
that grows while the target is lost, every region tracker has: `RegionTracker.aware`, `wider`.
Source: Zhu et al., Distractor-aware Siamese networks for visual object tracking, 2018, and
foolwood/DaSiamRPN.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Float

from siamjax import geometry
from siamjax.track.siamrpn import SiamRPN
from siamjax.typing import AnyArray, Array


@dataclass(frozen=True)
class DaSiamRPN(SiamRPN):
    """DaSiamRPN, a configuration alone; equal trackers compile once.

    Attributes:
        small_instance: side of the search crop for small targets, pixels; 0 for the same.
        small_area: part of the frame's area below which a target is small.
    """

    head: Literal["up", "depthwise"] = "up"
    instance: int = 271
    small_instance: int = 0
    small_area: float = 0.004

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the search crops, pixels: usual, for small targets, while lost."""
        small = (self.small_instance,) if self.small_instance else ()
        return (self.instance, *small, *self.wider)

    def home(self, size: Float[AnyArray, "2"], bounds: Float[AnyArray, "2"]):
        """Say which of `sizes` suits a target of this size."""
        if not self.small_instance:
            return super().home(size, bounds)
        small = jnp.prod(size) / jnp.prod(bounds) < self.small_area
        return small.astype(jnp.int32)

    def middle(self, box: Float[AnyArray, "4"]) -> Float[Array, "2"]:
        """Give the centre (x, y) that the first state has for a box: between its edges."""
        return jnp.asarray(geometry.center(jnp.asarray(box)))
