"""SiamMask: a SiamRPN++ of one level that also draws the mask of the proposal it follows.

Box and state are SiamRPN's; the mask is a result alone, the next step does not depend on it.
Source: Wang et al., Fast online object tracking and segmentation: a unifying approach, 2019;
arithmetic of PySOT's `siammask_tracker.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax import geometry
from siamjax.masks import Patch
from siamjax.models.apply import apply
from siamjax.models.refine import LEVELS
from siamjax.models.siammask import SiamMaskNet
from siamjax.track import mask_loss
from siamjax.track.region import State
from siamjax.track.siamrpn import SiamRPN
from siamjax.typing import AnyArray, Array, Variables

VARIANTS = ("sharp", "base")


@dataclass(frozen=True)
class SiamMask(SiamRPN):
    """SiamMask, a configuration alone; equal trackers compile once.

    Attributes:
        variant: `"sharp"`, whose masks are refined from shallow stages, or `"base"`, whose 63 x 63
            values are enlarged to the exemplar's side as in training.
        mask_threshold: a pixel is the target's where its probability exceeds this.
        mask_weight: of the masks' loss.
        mask_positions: whose masks a training example scores, at most.
        frozen_norm: of `"neck"`, `"rpn_head"` and `"mask_head"` those whose BatchNorm keeps its
            running statistics in training.
    """

    backbone: str = "resnet50"
    layers: tuple[str, ...] = ("layer3",)
    features: tuple[int, ...] = (256,)
    variant: Literal["sharp", "base"] = "sharp"
    mask_threshold: float = 0.15
    mask_weight: float = 36.0
    mask_positions: int = 16
    frozen_norm: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {VARIANTS}, got {self.variant!r}")
        if self.head != "depthwise":
            raise ValueError(f"head: masks are drawn from 'depthwise', got {self.head!r}")
        if len(self.net.stages) != 1:
            raise ValueError(f"layers: expected one stage, got {self.net.stages}")
        if self.variant == "sharp" and self.backbone not in LEVELS:
            known = ", ".join(LEVELS)
            raise ValueError(f"backbone: masks are refined with {known}, got {self.backbone!r}")
        if not 0 <= self.mask_threshold < 1:
            raise ValueError(f"mask_threshold: expected 0 to 1, got {self.mask_threshold}")

    @property
    def net(self) -> SiamMaskNet:
        """The linen module of this configuration."""
        refined = self.variant == "sharp"
        return SiamMaskNet(**self._net_settings(), refined=refined, frozen_norm=self.frozen_norm)

    def middle(self, box: Float[AnyArray, "4"]) -> Float[Array, "2"]:
        """Give the centre (x, y) that the first state has for a box.

        That of PySOT, which runs the sharp variant alone; SiamMask's, between the edges, for base.
        """
        return super().middle(box) if self.variant == "sharp" else jnp.asarray(geometry.center(box))

    def mask_window(
        self, positions: Int[AnyArray, "*n 2"], cells: int, side: int | None = None
    ) -> Float[Array, "*n 3"]:
        """Say which part of a search crop the masks at some positions cover.

        It is where the exemplar would lie. 127 pixels wide, it begins at 8 (p - 4) for position p
        of a ResNet's 25, at 8 p of the 3 of crops of 143 pixels.

        Args:
            positions: (row, column) of the network's output.
            cells: of a row of that output.
            side: of the search crop, pixels; `instance` by default.

        Returns:
            (x, y, side), crop pixels, x and y the square's first.
        """
        side = self.instance if side is None else side
        before = mask_loss.padding(side, cells, self.stride)
        corner = jnp.asarray(positions, jnp.float32)[..., ::-1] * self.stride - before
        return jnp.concatenate([corner, jnp.full_like(corner[..., :1], self.exemplar)], axis=-1)

    def refine(
        self, variables: Variables, features: Any, positions: Int[AnyArray, "B K 2"]
    ) -> Float[Array, "B K m m"]:
        """Draw the masks of chosen positions.

        Args:
            variables: the network's.
            features: of `respond`.
            positions: (row, column).

        Returns:
            Logits over the pixels of `mask_window`.
        """
        return apply(self.net, variables, features, positions, method="refine")

    def draw(
        self,
        variables: Variables,
        raw: Mapping[str, Any],
        which: Int[Array, ""],
        state: State,
        side: int,
    ) -> Patch:
        """Draw the mask of a proposal, in frame pixels."""
        cells = raw["cls"].shape[1]
        position = jnp.stack(jnp.divmod(which % (cells * cells), cells))
        logits = self.refine(variables, raw["features"], position[None, None])[0, 0]
        whole = jnp.round(geometry.context_side(state.size) * (side / self.exemplar))
        window = self.mask_window(position, cells, side) * (whole / side)
        origin = jnp.append(state.center - whole / 2, 0.0)
        threshold = jnp.asarray(self.mask_threshold, jnp.float32)
        return Patch(jax.nn.sigmoid(logits), origin + window, threshold)

    def _loss(self, params, stats, batch, key, train, axis_name):
        return mask_loss.loss(self, params, stats, batch, key, train, axis_name)
