"""SiamRPN and SiamRPN++: boxes regressed from anchors, over any backbone and either head.

Source: Li et al., High performance visual tracking with Siamese region proposal network, 2018; Li
et al., SiamRPN++, 2019; configurations of PySOT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Float

from siamjax import anchors
from siamjax.models.backbones import BACKBONES
from siamjax.models.siamrpn import SiamRPNNet
from siamjax.track import rpn_loss
from siamjax.track.region import RegionTracker
from siamjax.track.response import hann_window
from siamjax.typing import Array

HEADS = ("up", "depthwise")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class SiamRPN(RegionTracker):
    """A region-proposal tracker, a configuration alone; equal trackers compile once.

    Attributes:
        backbone: a name in `siamjax.models.backbones.BACKBONES`.
        layers: stages of the backbone that the heads use, one region-proposal head each; () for
            the backbone's usual ones.
        features: channels after the neck, one number a stage; () for no neck.
        head: `"up"`, correlation with a kernel of anchors times channels (SiamRPN), or
            `"depthwise"`, channel by channel (SiamRPN++).
        hidden: channels that the heads correlate; a tuple gives one number a stage.
        weighted: levels are summed by learned weights, not averaged.
        ratios: of the anchors, height to width.
        scales: of the anchors, in strides.
        stride: crop pixels a cell of the output.
        dtype: of the network's arithmetic; parameters and outputs are float32.
        trained: stages of the backbone whose BatchNorm follows the batch while training, None for
            all; PySOT starts with none.
        cls_weight: of the classification loss.
        loc_weight: of the regression loss.
        overlaps: anchors whose overlap with the box is below the first number are background to the
            loss, above the second target.
        width: scales the backbone, for tests and DaSiamRPN's big model.
    """

    backbone: str = "alexnet"
    layers: tuple[str, ...] = ()
    features: tuple[int, ...] = ()
    head: Literal["up", "depthwise"] = "depthwise"
    hidden: int | tuple[int, ...] = 256
    weighted: bool = False
    ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    scales: tuple[float, ...] = (8.0,)
    stride: int = 8
    dtype: Literal["float32", "bfloat16"] = "float32"
    trained: tuple[str, ...] | None = ()
    cls_weight: float = 1.0
    loc_weight: float = 1.2
    overlaps: tuple[float, float] = (0.3, 0.6)
    width: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        if self.backbone not in BACKBONES:
            known = ", ".join(BACKBONES)
            raise ValueError(f"backbone: expected one of {known}, got {self.backbone!r}")
        spec = BACKBONES[self.backbone]
        strange = [name for name in self.layers if name not in spec.channels]
        if strange:
            stages = ", ".join(spec.channels)
            raise ValueError(f"layers: {self.backbone} has no {strange[0]!r}, but {stages}")
        if self.head not in HEADS:
            raise ValueError(f"head: expected one of {HEADS}, got {self.head!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {DTYPES}, got {self.dtype!r}")
        if not 0 <= self.overlaps[0] <= self.overlaps[1] <= 1:
            raise ValueError(f"overlaps: expected 0 <= low <= high <= 1, got {self.overlaps}")
        levels = len(self.layers or spec.layers)
        if self.features and len(self.features) != levels:
            raise ValueError(f"features: expected {levels} numbers or none, got {self.features}")
        if self.head == "up" and levels > 1:
            raise ValueError(f"head: 'up' serves one stage, got {levels}")

    @property
    def net(self) -> SiamRPNNet:
        """The linen module of this configuration."""
        return SiamRPNNet(**self._net_settings())

    def _net_settings(self) -> dict[str, Any]:
        """Give what every network of region proposals is made with."""
        return {
            "backbone_name": self.backbone,
            "layers": self.layers or BACKBONES[self.backbone].layers,
            "features": self.features,
            "head": self.head,
            "anchors": len(self.ratios) * len(self.scales),
            "hidden": self.hidden,
            "weighted": self.weighted,
            "width": self.width,
            "dtype": self.dtype,
            "trained": self.trained,
        }

    def grid(self, size: int) -> Float[Array, "{size} {size} A 4"]:
        """Give the anchors (cx, cy, width, height) of an output of `size` cells a side."""
        return anchors.grid(size, self.stride, self.ratios, self.scales)

    def proposals(
        self, raw: Mapping[str, Any]
    ) -> tuple[Float[Array, "B N 4"], Float[Array, "B N"], Float[Array, "N"]]:
        """Read raw outputs as boxes, scores and the cosine window over them.

        N runs over anchors, rows and columns, in this order (PySOT's).
        """
        cls, loc = jnp.asarray(raw["cls"]), jnp.asarray(raw["loc"])
        size, count = cls.shape[1], cls.shape[3]
        boxes = anchors.decode(self.grid(size), loc)
        scores = jax.nn.softmax(cls, axis=-1)[..., 1]
        flat = lambda a: jnp.moveaxis(a, 3, 1).reshape(a.shape[0], -1, *a.shape[4:])
        return flat(boxes), flat(scores), jnp.tile(hann_window(size).ravel(), count)

    def _loss(self, params, stats, batch, key, train, axis_name):
        return rpn_loss.loss(self, params, stats, batch, key, train, axis_name)
