"""What trackers share that measure from points to the target's sides: no anchors.

Source: FCOS (Tian et al. 2019), SiamBAN (Chen et al. 2020); the step is SiamRPN's (Li et al. 2018).
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array as AnyDtype
from jaxtyping import Float

from siamjax.models.apply import apply
from siamjax.track import point_loss
from siamjax.track.region import RegionTracker
from siamjax.track.response import hann_window
from siamjax.typing import AnyArray, Array, Params, Variables


@dataclass(frozen=True)
class PointTracker(RegionTracker):
    """One score and four distances a point.

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

    def template(self, variables: Variables, z: Float[AnyArray, "B k k 3"]) -> Any:
        """Make of exemplar crops (RGB, 0..255) all that a search needs of them."""
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

    def loss(
        self,
        params: Params,
        stats: Params,
        batch: Mapping[str, AnyArray],
        key: AnyDtype,
        train: bool = True,
        axis_name: str | None = None,
    ) -> tuple[Array, tuple[Params, dict[str, Array]]]:
        """Score a batch of pairs against the boxes, and against a teacher where there is one.

        Args:
            params: the network's parameters.
            stats: its `batch_stats`.
            batch: `template` [B, k, k, 3] and `search` [B, s, s, 3], RGB 0..255; `template_box`,
                `search_box` [B, 4] in crop pixels; `positive` [B], False where the search crop
                does not hold the template's object. A teacher's `teacher_cls` [B, y, x], 0..1, and
                `teacher_box` [B, y, x, 4], (cx, cy, width, height) from the crop's centre, at the
                same points.
            key: unused: nothing is drawn.
            train: normalise by the batch and return new statistics.
            axis_name: mapped axis over which the batch is split.

        Returns:
            The loss, and the new statistics with the metrics of `siamjax.track.point_loss`.
        """
        del key
        return point_loss.loss(self, params, stats, batch, train, axis_name)
