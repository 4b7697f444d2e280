"""What trackers share that measure from points to the target's sides: no anchors.

Source: FCOS (Tian et al. 2019), SiamBAN (Chen et al. 2020); the step is SiamRPN's (Li et al. 2018).
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from siamjax.track import point_loss
from siamjax.track.region import RegionTracker
from siamjax.track.response import hann_window
from siamjax.typing import Array


@dataclass(frozen=True)
class PointTracker(RegionTracker):
    """One score and four distances a point.

    `respond` gives `cls` [B, y, x, 1, 2], logits, index 1 the target, and `loc` [B, y, x, 1, 4],
    distances (left, top, right, bottom) in crop pixels.

    Attributes:
        loc_weight: of the boxes' loss in training, against the scores'.
        hardness: power of their score by which negatives weigh against each other; 0 for evenly.
        quality: the score wanted of a positive point is its box's overlap with the truth, not 1.
        distill_weight: of the difference from a teacher, where a batch holds one's answers.
    """

    loc_weight: float = 1.5
    hardness: float = 1.0
    quality: bool = False
    distill_weight: float = 1.0

    @abc.abstractmethod
    def points(self, size: int) -> Float[Array, "{size} {size} 2"]:
        """Give the points (x, y) of an output of `size` cells a side, from the crop's centre."""

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

    def _loss(self, params, stats, batch, key, train, axis_name):
        del key
        return point_loss.loss(self, params, stats, batch, train, axis_name)
