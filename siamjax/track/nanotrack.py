"""NanoTrack, versions 2 and 3: distances from points to the target's sides, no anchors.

Source: HonglinChu/SiamTrackers, `NanoTrack`; the step is SiamRPN's (Li et al. 2018).

OpenCV's `TrackerNano` runs version 2 to other boxes. As its source has it (`tracker_nano.cpp`), it
swaps red and blue before a network that was trained on BGR; its search window is twice the
exemplar's, for 255 / 127 is divided in whole numbers; its penalty on changes of size takes the
target's place for its size; window, rate and penalty are .455, .37 and .055; crops start at whole
pixels, cut off and not rounded, and so do the boxes given out. Over 59 steps of DAVIS cows, OTB
Car4 and VOT bag its boxes differ from these by 2.7, 2.2 and 2.9 px on average; fed frames that undo
the swap, by 2.1, 1.3 and 2.0 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float

from siamjax.models.apply import apply
from siamjax.models.nanotrack import VERSIONS, NanoTrackNet
from siamjax.track.region import RegionTracker
from siamjax.track.response import hann_window
from siamjax.typing import AnyArray, Array, Variables

STRIDE = 16
"""Crop pixels between points."""
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class NanoTrack(RegionTracker):
    """NanoTrack, a configuration alone; equal trackers compile once.

    Attributes:
        version: 2 or 3.
        dtype: of the network's arithmetic; parameters and outputs are float32.
        width: scales the network, for tests.
    """

    version: Literal[2, 3] = 3
    dtype: Literal["float32", "bfloat16"] = "float32"
    width: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if self.version not in VERSIONS:
            raise ValueError(f"version: expected one of {(*VERSIONS,)}, got {self.version!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {DTYPES}, got {self.dtype!r}")

    @property
    def net(self) -> NanoTrackNet:
        """The linen module of this configuration."""
        return NanoTrackNet(self.version, self.width, self.dtype)

    def template(self, variables: Variables, z: Float[AnyArray, "B k k 3"]) -> Any:
        """Make of exemplar crops (RGB, 0..255) the kernels of both branches."""
        return apply(self.net, variables, z, method="template")

    def respond(
        self, variables: Variables, template: Any, x: Float[AnyArray, "B s s 3"]
    ) -> dict[str, Array]:
        """Give `cls` [B, y, x, 1, 2] and `loc` [B, y, x, 1, 4] on search crops.

        `cls` are logits, index 1 the target; `loc` are distances (left, top, right, bottom) in crop
        pixels. A batch of one on either side serves every element of the other.
        """
        features = apply(self.net, variables, x, method="search")
        return apply(self.net, variables, template, features, method="respond")

    def points(self, size: int) -> Float[Array, "{size} {size} 2"]:
        """Give the points (x, y) of an output of `size` cells a side, from the crop's centre."""
        axis = (jnp.arange(size, dtype=jnp.float32) - size // 2) * STRIDE
        return jnp.stack(jnp.meshgrid(axis, axis), -1)

    def proposals(
        self, raw: Mapping[str, Any]
    ) -> tuple[Float[Array, "B N 4"], Float[Array, "B N"], Float[Array, "N"]]:
        """Read raw outputs as boxes, scores and the cosine window over them, row by row."""
        cls, loc = (jnp.asarray(raw[name])[..., 0, :] for name in ("cls", "loc"))
        batch, size = cls.shape[:2]
        first, last = loc[..., :2], loc[..., 2:]
        center = self.points(size)[None] + (last - first) / 2
        boxes = jnp.concatenate([center, first + last], -1).reshape(batch, -1, 4)
        scores = jax.nn.softmax(cls, -1)[..., 1].reshape(batch, -1)
        return boxes, scores, hann_window(size).ravel()
