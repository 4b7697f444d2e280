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

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Float

from siamjax.models.nanotrack import VERSIONS, NanoTrackNet
from siamjax.track.points import PointTracker
from siamjax.typing import Array

STRIDE = 16
"""Crop pixels between points."""
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class NanoTrack(PointTracker):
    """NanoTrack, a configuration alone; equal trackers compile once.

    Attributes:
        version: 2 or 3.
        dtype: of the network's arithmetic; parameters and outputs are float32.
        width: scales the network, for tests.
        trained: stages of the backbone whose BatchNorm follows the batch while training, None for
            all.
    """

    version: Literal[2, 3] = 3
    dtype: Literal["float32", "bfloat16"] = "float32"
    width: float = 1.0
    trained: tuple[str, ...] | None = ()

    def __post_init__(self):
        super().__post_init__()
        if self.version not in VERSIONS:
            raise ValueError(f"version: expected one of {(*VERSIONS,)}, got {self.version!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {DTYPES}, got {self.dtype!r}")

    @property
    def net(self) -> NanoTrackNet:
        """The linen module of this configuration."""
        return NanoTrackNet(self.version, self.width, self.dtype, trained=self.trained)

    def points(self, size: int) -> Float[Array, "{size} {size} 2"]:
        """Give the points (x, y) of an output of `size` cells a side, from the crop's centre."""
        axis = (jnp.arange(size, dtype=jnp.float32) - size // 2) * STRIDE
        return jnp.stack(jnp.meshgrid(axis, axis), -1)
