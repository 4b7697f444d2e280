"""What every tracker's step returns."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from siamjax.typing import AnyArray, Array


class Out(NamedTuple):
    """The result for one target in one frame."""

    box: Float[AnyArray, "*n 4"]
    """(x, y, width, height), frame pixels; NaN where not valid."""
    score: Float[AnyArray, "*n"]
    """0..1; its meaning is the family's own."""
    valid: Bool[AnyArray, "*n"]
    """False when the target was never given a usable box or the state is not finite."""
    lost: Bool[AnyArray, "*n"]
    """True where the tracker takes the target to be out of its sight; the box is its last guess."""
    mask: Float[AnyArray, "*n H W"] | None = None
    """Probability that each of the frame's pixels is the target's, 0 where nothing was looked for
    and where not valid; None from trackers that draw no masks."""
    mask_threshold: Float[AnyArray, "*n"] | None = None
    """The target is where `mask` exceeds this."""

    @property
    def rotated_box(self) -> Float[np.ndarray, "*n 4 2"] | None:
        """Corners (x, y) of the rectangle of least area around the mask, computed on the host.

        Those of `box` where the mask's largest part covers 100 square pixels or fewer; NaN where
        not valid; None from trackers that draw no masks. `siamjax.rotated` has other rectangles.
        """
        if self.mask is None or self.mask_threshold is None:
            return None
        from siamjax import rotated

        return rotated.boxes(self.mask, self.mask_threshold, self.box)


def usable(box: Float[AnyArray, "4"], height: int, width: int) -> Bool[Array, ""]:
    """Tell whether a box can be tracked: finite, with both sides above zero, touching the frame."""
    box = jnp.asarray(box)
    end = box[:2] + box[2:]
    limit = jnp.array([width, height], box.dtype)
    inside = jnp.all((end > 0) & (box[:2] < limit))
    return jnp.all(jnp.isfinite(box)) & jnp.all(box[2:] > 0) & inside
