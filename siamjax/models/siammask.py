"""The network of SiamMask: SiamRPN++ of one level, and a head that draws the target's mask.

The sharp variant refines the masks of chosen positions from the backbone's shallow stages; the base
variant enlarges the head's own 63 x 63. Input is RGB, 0..255.

Source: SiamMask (Wang et al. 2019); layers as PySOT's `siammask_r50_l3` and the authors' code.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Int

from siamjax.models.refine import LEVELS, Level, Refine, enlarge, read_at
from siamjax.models.rpn import DepthwiseXCorr
from siamjax.models.siamrpn import SiamRPNNet
from siamjax.typing import AnyArray, Array

MASK = 63
"""Side of the masks that the head itself gives, cells of two pixels."""
PARTS = ("neck", "rpn_head", "mask_head")


class SiamMaskNet(SiamRPNNet):
    """A `SiamRPNNet` of one level with masks; the defaults are the published sharp variant.

    Attributes:
        refined: masks are refined (sharp), else enlarged (base). Backbones that can: `LEVELS`.
        frozen_norm: those of `PARTS` whose BatchNorm keeps its running statistics in training.

    The others are those of `SiamRPNNet`.
    """

    backbone_name: str = "resnet50"
    layers: tuple[str, ...] = ("layer3",)
    features: tuple[int, ...] = (256,)
    crop_margin: int | None = 4
    refined: bool = True
    frozen_norm: tuple[str, ...] = ()

    @property
    def refine_levels(self) -> tuple[Level, ...]:
        """Stages that the refinement takes, the coarsest first; none without it."""
        return LEVELS.get(self.backbone_name, ()) if self.refined else ()

    def setup(self):
        super().setup()
        if len(self.stages) != 1:
            raise ValueError(f"layers: expected one stage, got {self.stages}")
        if self.refined and self.backbone_name not in LEVELS:
            raise ValueError(
                f"backbone_name: masks can be refined with {tuple(LEVELS)}, "
                f"not with {self.backbone_name!r}"
            )
        unknown = [name for name in self.frozen_norm if name not in PARTS]
        if unknown:
            raise ValueError(f"frozen_norm holds {unknown[0]!r}, expected some of {PARTS}")
        (hidden,) = self.hidden if isinstance(self.hidden, tuple) else (self.hidden,)
        self.mask_head = DepthwiseXCorr(MASK * MASK, hidden, self.dtype, self.axis_name)
        if self.refined:
            self.refine_head = Refine(self.refine_levels, dtype=self.dtype)

    def _follows(self, part: str, train: bool) -> bool:
        return train and part not in self.frozen_norm

    def search(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> tuple[Float[AnyArray, "B _y _x _c"], ...]:
        """Embed search windows [B, S, S, 3]: the level's map, then the `refine_levels`' stages."""
        stages = self.embed(x, train)
        (level,) = self.adjust(stages, self._follows("neck", train))
        return (level, *(stages[name] for name, *_ in self.refine_levels))

    def template(
        self, z: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> tuple[dict[str, Array], ...]:
        """Embed exemplars [B, 127, 127, 3]: the kernels `cls`, `loc` and `mask`."""
        level = self.adjust(self.embed(z, train), self._follows("neck", train))
        (kernels,) = self.rpn_head.template(level, self._follows("rpn_head", train))
        mask = self.mask_head.template(level[0], self._follows("mask_head", train))
        return ({**kernels, "mask": mask},)

    def propose(
        self,
        template: Sequence[dict[str, Any]],
        features: Sequence[Float[AnyArray, "n _y _x _c"]],
        train: bool = False,
    ) -> dict[str, Any]:
        """Score and place every anchor, and correlate for masks, reading none.

        What training the refinement alone needs: the head's last layers are not run, so that their
        statistics do not move, as published.

        Returns:
            `cls` and `loc` as `SiamRPNNet.respond`; `features`, what `refine` takes: the
            correlation [B, y, x, hidden] and the stages.
        """
        ((kernels,), (level, *stages)) = template, features
        anchored = {name: kernels[name] for name in ("cls", "loc")}
        raw = self.rpn_head.respond((anchored,), (level,), self._follows("rpn_head", train))
        follows = self._follows("mask_head", train)
        correlation = self.mask_head.correlate(kernels["mask"], level, follows)
        return {**raw, "features": (correlation, *stages)}

    def respond(
        self,
        template: Sequence[dict[str, Any]],
        features: Sequence[Float[AnyArray, "n _y _x _c"]],
        train: bool = False,
    ) -> dict[str, Any]:
        """Give `propose` and the head's own masks at every position.

        Args:
            template: from `template`.
            features: from `search`; a batch of one on either side serves all of the other.
            train: normalise by the batch.

        Returns:
            `cls`, `loc` and `features` of `propose`; `mask` [B, y, x, 63 * 63], logits, row by
            row, float32. Under `jit` a mask that is not used is not computed.
        """
        raw = self.propose(template, features, train)
        mask = self.mask_head.read(raw["features"][0], self._follows("mask_head", train))
        return {**raw, "mask": mask.astype(jnp.float32)}

    def refine(
        self,
        features: Sequence[Float[AnyArray, "_ _y _x _c"]],
        positions: Int[AnyArray, "B K 2"],
    ) -> Float[Array, "B K s s"]:
        """Draw the masks of chosen positions alone, statistics fixed.

        Args:
            features: from `propose` or `respond`.
            positions: (row, column) of the heads' output, clipped to those that exist.

        Returns:
            Logits [B, K, 127, 127] over crop pixels, of the window where the exemplar would lie.

        Raises:
            ValueError: the batches of features and positions differ.
        """
        correlation, *stages = features
        if len(positions) != len(correlation):
            raise ValueError(
                f"positions: expected a batch of {len(correlation)}, got {len(positions)}"
            )
        if self.refined:
            return self.refine_head(correlation, stages, positions)
        logits = self.mask_head.read(read_at(correlation, positions)[:, :, None])
        return enlarge(logits.astype(jnp.float32).reshape(*positions.shape[:2], MASK, MASK))

    def __call__(
        self,
        z: Float[AnyArray, "B h w 3"],
        x: Float[AnyArray, "B H W 3"],
        train: bool = False,
    ) -> dict[str, Any]:
        """Give `respond` of exemplars [B, 127, 127, 3] on search windows [B, S, S, 3]."""
        raw = self.respond(self.template(z, train), self.search(x, train), train)
        if self.is_initializing():
            self.refine(raw["features"], jnp.zeros((len(raw["cls"]), 1, 2), jnp.int32))
        return raw
