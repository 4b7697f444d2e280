"""The network of SiamRPN, DaSiamRPN and SiamRPN++: backbone, neck, region-proposal head.

Input is RGB, 0..255; the channels are flipped here where the backbone's weights want BGR.

Source: SiamRPN (Li et al. 2018), DaSiamRPN (Zhu et al. 2018), SiamRPN++ (Li et al. 2019); layers
as PySOT and DaSiamRPN have them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import linen as nn
from jaxtyping import Float

from siamjax.models.backbones import BACKBONES
from siamjax.models.neck import Neck
from siamjax.models.rpn import HEADS, LevelRPN
from siamjax.typing import AnyArray, Array


class SiamRPNNet(nn.Module):
    """Any backbone with any head.

    Attributes:
        backbone_name: a name in `BACKBONES`.
        layers: stages of the backbone that are used, one per level; empty for the backbone's usual
            ones.
        features: channels after the neck, one per level; empty for no neck.
        head: `"up"` (SiamRPN, DaSiamRPN) or `"depthwise"` (SiamRPN++).
        anchors: A, anchors per position.
        hidden: channels that the head correlates; a tuple gives one number a level.
        weighted: levels are averaged by learned weights, else evenly.
        width: scales the backbone's layers.
        dtype: of the arithmetic, `"float32"` or `"bfloat16"`; parameters and outputs are float32.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        trained: stages of the backbone whose BatchNorm follows the batch in training; None for all.
        crop_margin: `margin` of the neck's crop, cells.
    """

    backbone_name: str = "alexnet"
    layers: tuple[str, ...] = ()
    features: tuple[int, ...] = ()
    head: str = "depthwise"
    anchors: int = 5
    hidden: int | tuple[int, ...] = 256
    weighted: bool = True
    width: float = 1.0
    dtype: str = "float32"
    axis_name: str | None = None
    trained: tuple[str, ...] | None = None
    crop_margin: int | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages of the backbone that are used, one per level."""
        return self.layers or BACKBONES[self.backbone_name].layers

    def setup(self):
        spec, levels = BACKBONES[self.backbone_name], len(self.stages)
        if self.head not in HEADS:
            raise ValueError(f"head: expected one of {HEADS}, got {self.head!r}")
        if len(self.features) not in (0, levels):
            raise ValueError(f"features: expected none or {levels} numbers, got {self.features}")
        hidden = self.hidden if isinstance(self.hidden, tuple) else (self.hidden,) * levels
        if len(hidden) != levels:
            raise ValueError(f"hidden: expected one number or {levels}, got {self.hidden}")
        strides = [spec.strides[name] for name in self.stages if name in spec.strides]
        if len(set(strides)) > 1:
            raise ValueError(f"layers: expected one stride, got {strides} of {self.stages}")
        self.backbone = spec.make(
            axis_name=self.axis_name,
            dtype=self.dtype,
            trained=self.trained,
            width=self.width,
            layers=self.stages,
        )
        if self.features:
            self.neck = Neck(self.features, self.crop_margin, self.dtype, self.axis_name)
        self.rpn_head = LevelRPN(
            self.head, self.anchors, hidden, self.weighted, self.dtype, self.axis_name
        )

    def embed(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B _y _x _c"]]:
        """Give every stage of the backbone, by name, of images [B, H, W, 3]."""
        return self.backbone(x[..., ::-1] if BACKBONES[self.backbone_name].bgr else x, train)

    def adjust(
        self, stages: Mapping[str, Float[AnyArray, "B _y _x _c"]], train: bool = False
    ) -> tuple[Float[AnyArray, "B _y _x _c"], ...]:
        """Give one map per level, after the neck."""
        features = tuple(stages[name] for name in self.stages)
        return self.neck(features, train) if self.features else features

    def search(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> tuple[Float[AnyArray, "B _y _x _c"], ...]:
        """Embed search windows [B, S, S, 3]: one map per level, after the neck."""
        return self.adjust(self.embed(x, train), train)

    def template(
        self, z: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> tuple[dict[str, Array], ...]:
        """Embed exemplars [B, 127, 127, 3]: the correlation kernels of every level."""
        return self.rpn_head.template(self.search(z, train), train)

    def respond(
        self,
        template: Sequence[dict[str, Any]],
        features: Sequence[Float[AnyArray, "n _y _x _c"]],
        train: bool = False,
    ) -> dict[str, Array]:
        """Score and place every anchor.

        Args:
            template: from `template`.
            features: from `search`; a batch of one on either side serves all of the other.
            train: normalise by the batch.

        Returns:
            `cls` [B, y, x, A, 2], logits, index 1 the target's; `loc` [B, y, x, A, 4],
            (dx, dy, dw, dh). float32.
        """
        return self.rpn_head.respond(template, features, train)

    def __call__(
        self,
        z: Float[AnyArray, "B h w 3"],
        x: Float[AnyArray, "B H W 3"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Give `respond` of exemplars [B, 127, 127, 3] on search windows [B, S, S, 3]."""
        return self.respond(self.template(z, train), self.search(x, train), train)
