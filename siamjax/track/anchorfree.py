"""An anchor-free tracker on any backbone: the light one whose weights this project trains.

The network is `siamjax.models.anchorfree`'s; the step is SiamRPN's (Li et al. 2018).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Float

from siamjax import geometry
from siamjax.models.anchorfree import AnchorFreeNet, points
from siamjax.models.apply import apply
from siamjax.models.backbones import BACKBONES, DTYPES
from siamjax.track.points import PointTracker
from siamjax.typing import AnyArray, Array, Variables


@dataclass(frozen=True)
class AnchorFree(PointTracker):
    """An anchor-free tracker, a configuration alone; equal trackers compile once.

    Attributes:
        backbone: a name in `siamjax.models.backbones.BACKBONES`.
        layers: stages of the backbone whose channels are used, all of one stride; () for the
            backbone's usual ones.
        hidden: channels that are correlated, and those of the towers.
        depth: blocks of a tower.
        kernel: side of their depthwise convolutions, cells; odd.
        stride: crop pixels from one point to the next, the backbone's.
        offset: crop pixels from the crop's centre to the middle of the points; 0.5 puts those of
            255 px at 7.5 + 16 i.
        box_aware: the template also holds which part of each of its cells the target's box covers.
        dtype: of the network's arithmetic; parameters and outputs are float32.
        trained: stages of the backbone whose BatchNorm follows the batch while training, None for
            all.
        width: scales the backbone, for tests and smaller trackers.
    """

    penalty_k: float = 0.15
    window_influence: float = 0.35
    lr: float = 0.35
    backbone: str = "efficientnet-lite0"
    layers: tuple[str, ...] = ("block10",)
    hidden: int = 96
    depth: int = 3
    kernel: int = 5
    stride: int = 16
    offset: float = 0.5
    box_aware: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    trained: tuple[str, ...] | None = ()
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
        strides = {spec.strides[name] for name in self.layers or spec.layers}
        if strides != {self.stride}:
            raise ValueError(
                f"stride: that of layers {self.layers or spec.layers} is {sorted(strides)},"
                f" got {self.stride}"
            )
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel: expected an odd number of at least 1, got {self.kernel}")
        for name, least in (("hidden", 1), ("depth", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name}: expected a number of at least {least}, got {getattr(self, name)}"
                )
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {DTYPES}, got {self.dtype!r}")

    @property
    def net(self) -> AnchorFreeNet:
        """The linen module of this configuration."""
        return AnchorFreeNet(
            backbone_name=self.backbone,
            layers=self.layers or BACKBONES[self.backbone].layers,
            hidden=self.hidden,
            depth=self.depth,
            kernel=self.kernel,
            stride=self.stride,
            offset=self.offset,
            box_aware=self.box_aware,
            width=self.width,
            dtype=self.dtype,
            trained=self.trained,
        )

    def points(self, size: int) -> Float[Array, "{size} {size} 2"]:
        """Give the points (x, y) of an output of `size` cells a side, from the crop's centre."""
        axis = points(size, self.stride, self.offset)
        return jnp.stack(jnp.meshgrid(axis, axis), -1)

    def embed(
        self,
        variables: Variables,
        z: Float[AnyArray, "B k k 3"],
        size: Float[AnyArray, "B 2"],
    ) -> Any:
        """Make templates of exemplar crops with a target of a known size in their midst."""
        if not self.box_aware:
            return self.template(variables, z)
        size = jnp.asarray(size)
        box = geometry.from_pixel_center(jnp.full_like(size, (z.shape[1] - 1) / 2), size)
        return apply(self.net, variables, z, False, box, method="template")

    def known(self, batch: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Give the templates' boxes to a network that looks at them."""
        return {"box": batch["template_box"]} if self.box_aware else {}
