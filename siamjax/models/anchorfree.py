"""An anchor-free network: any backbone, correlation with every template position, two towers.

Input RGB 0..255. Every position of the template's map is a 1x1 kernel of its own; what they answer
is read together with the search features, and towers say of every point whether it lies on the
target and how far the target's sides are.

Source: pixel-wise correlation of Alpha-Refine (Yan et al. 2021), distances from points of FCOS
(Tian et al. 2019) and SiamBAN (Chen et al. 2020); the sizes and the box told to the template are
this project's own.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.models.backbones import BACKBONES
from siamjax.models.layers import Conv, ConvNorm
from siamjax.models.nanotrack import correlate_pixels
from siamjax.typing import AnyArray, Array

START = 1.84
"""Bias of the distances: at the start boxes have half the exemplar's side, as targets have."""


def points(size: int, stride: int, offset: float | int) -> Float[Array, "{size}"]:
    """Give the points along an axis, crop pixels from the crop's centre.

    Args:
        size: how many.
        stride: from one to the next.
        offset: of their middle from the crop's.
    """
    return (jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2) * stride + offset


def occupancy(
    box: Float[AnyArray, "B 4"], side: int, size: int, stride: int, offset: float | int
) -> Float[Array, "B {size} {size}"]:
    """Give the part of every cell that a box covers, 0..1.

    Args:
        box: (x, y, width, height) in a crop, x and y centres of pixels.
        side: of the crop, pixels.
        size: cells a side, `stride` pixels wide, their centres at `points`.
        stride: crop pixels.
        offset: crop pixels.
    """
    box = jnp.asarray(box)
    middle = points(size, stride, offset)[None] + (side - 1) / 2
    covers = []
    for axis in (0, 1):
        first = box[:, axis, None] - 0.5
        start = jnp.maximum(first, middle - stride / 2)
        end = jnp.minimum(first + box[:, axis + 2, None], middle + stride / 2)
        covers.append(jnp.maximum(end - start, 0) / stride)
    return covers[1][:, :, None] * covers[0][:, None, :]


class TowerBlock(nn.Module):
    """Depthwise convolution, 1x1, BatchNorm, ReLU."""

    features: int
    kernel: int
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], train: bool = False
    ) -> Float[Array, "B H W _D"]:
        channels = x.shape[-1]
        depth = Conv(
            channels, self.kernel, padding="SAME", groups=channels, use_bias=False,
            dtype=self.dtype, name="depth",
        )  # fmt: skip
        point = ConvNorm(
            self.features, activation=nn.relu, axis_name=self.axis_name, dtype=self.dtype,
            name="point",
        )  # fmt: skip
        return point(depth(x), train)


class AnchorFreeNet(nn.Module):
    """Backbone, correlation and two towers.

    Attributes:
        backbone_name: a name in `BACKBONES`.
        layers: stages of the backbone whose channels are used, all of one stride.
        hidden: channels that are correlated, and those of the towers.
        depth: blocks of a tower.
        kernel: side of their depthwise convolutions, cells.
        stride: crop pixels from one point to the next.
        offset: crop pixels from the crop's centre to the middle of the points.
        box_aware: the template also holds which part of each of its cells the target's box covers.
        width: scales the backbone's layers.
        dtype: of the arithmetic, `"float32"` or `"bfloat16"`; parameters and outputs are float32.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        trained: stages of the backbone whose BatchNorm follows the batch in training; None for all.
    """

    backbone_name: str = "efficientnet-lite0"
    layers: tuple[str, ...] = ("block10",)
    hidden: int = 96
    depth: int = 3
    kernel: int = 5
    stride: int = 16
    offset: float = 0.5
    box_aware: bool = False
    width: float = 1.0
    dtype: str = "float32"
    axis_name: str | None = None
    trained: tuple[str, ...] | None = None

    def setup(self):
        spec = BACKBONES[self.backbone_name]
        self.backbone = spec.make(
            axis_name=self.axis_name,
            dtype=self.dtype,
            trained=self.trained,
            width=self.width,
            layers=self.layers,
        )
        norm = lambda activation: ConvNorm(
            self.hidden, activation=activation, axis_name=self.axis_name, dtype=self.dtype
        )
        self.adjust_template, self.adjust_search = norm(None), norm(None)
        self.answer, self.fuse = norm(nn.relu), norm(nn.relu)
        tower = lambda: [
            TowerBlock(self.hidden, self.kernel, self.axis_name, self.dtype)
            for _ in range(self.depth)
        ]
        self.cls_tower, self.loc_tower = tower(), tower()
        self.cls_out = Conv(1, 1, dtype=self.dtype)
        self.loc_out = Conv(4, 1, bias_init=nn.initializers.constant(START), dtype=self.dtype)

    def embed(self, x: Float[AnyArray, "B H W 3"], train: bool = False) -> Float[Array, "B y x c"]:
        """Give the channels of `layers` of images [B, H, W, 3]."""
        x = x[..., ::-1] if BACKBONES[self.backbone_name].bgr else x
        stages = self.backbone(x, train)
        return jnp.concatenate([stages[name] for name in self.layers], -1)

    def search(self, x: Float[AnyArray, "B H W 3"], train: bool = False) -> Float[Array, "B y x d"]:
        """Embed search windows [B, S, S, 3]: 255 px to 16x16."""
        return self.adjust_search(self.embed(x, train), train)

    def template(
        self,
        z: Float[AnyArray, "B H W 3"],
        train: bool = False,
        box: Float[AnyArray, "B 4"] | None = None,
    ) -> Float[Array, "B y x d"]:
        """Embed exemplars [B, k, k, 3], 127 px to 8x8: one kernel a position.

        Args:
            z: exemplars.
            train: normalise by the batch.
            box: of the target in each, (x, y, width, height) in its pixels, where the network is
                `box_aware`; None takes squares of half the side in the middle, as square targets
                have them.
        """
        features = self.embed(z, train)
        if self.box_aware:
            batch, side, size = z.shape[0], z.shape[1], features.shape[1]
            if box is None:
                box = jnp.tile(jnp.array([[side / 4, side / 4, side / 2, side / 2]]), (batch, 1))
            cover = occupancy(box, side, size, self.stride, self.offset)
            features = jnp.concatenate([features, cover[..., None]], -1)
        return self.adjust_template(features, train) * self.hidden**-0.5

    def respond(
        self,
        template: Float[AnyArray, "b h w d"],
        features: Float[AnyArray, "n y x d"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Score every point and measure from it to the target's sides.

        Args:
            template: from `template`.
            features: from `search`; a batch of one on either side serves all of the other.
            train: normalise by the batch.

        Returns:
            `cls` [B, y, x, 1, 2], logits, that of the background 0, index 1 the target's; `loc`
            [B, y, x, 1, 4], distances (left, top, right, bottom), crop pixels. float32.
        """
        y = self.answer(correlate_pixels(template, features), train)
        features = jnp.broadcast_to(features, (y.shape[0], *features.shape[1:]))
        cls = loc = self.fuse(jnp.concatenate([y, features], -1), train)
        for block in self.cls_tower:
            cls = block(cls, train)
        for block in self.loc_tower:
            loc = block(loc, train)
        score = self.cls_out(cls).astype(jnp.float32)
        loc = self.stride * nn.softplus(self.loc_out(loc).astype(jnp.float32))
        return {
            "cls": jnp.stack([jnp.zeros_like(score), score], -1),
            "loc": loc[..., None, :],
        }

    def __call__(
        self,
        z: Float[AnyArray, "b h w 3"],
        x: Float[AnyArray, "n H W 3"],
        train: bool = False,
        box: Float[AnyArray, "b 4"] | None = None,
    ) -> dict[str, Array]:
        """Give `respond` of exemplars [B, 127, 127, 3] on search windows [B, S, S, 3]."""
        return self.respond(self.template(z, train, box), self.search(x, train), train)
