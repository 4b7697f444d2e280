"""NanoTrack's network, versions 2 and 3: a small backbone, pixel-wise correlation, no anchors.

Input RGB 0..255; the weights want BGR, so the channels are flipped here. Every one of the 8x8
template positions is a kernel of its own, so that a correlation has 64 channels. Source:
HonglinChu/SiamTrackers, `NanoTrack`; the head's form is SiamBAN's (Chen et al. 2020), pixel-wise
correlation that of Alpha-Refine (Yan et al. 2021).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax import xcorr
from siamjax.models.layers import BatchNorm, Conv, relu6
from siamjax.models.mobilenetv3 import MobileNetV3, eights
from siamjax.models.rpn import shared_batch
from siamjax.typing import AnyArray, Array

Kernels = dict[str, dict[str, Array]]
BRANCHES = ("cls", "loc")
DEPTH = 6
"""Blocks in a tower."""


class Version(NamedTuple):
    """What differs between the two versions."""

    blocks: int
    """Of the backbone."""
    channels: int
    """Of its last block."""
    neck: int
    """Channels of a layer that the published weights hold and nothing uses."""
    depthwise: bool
    """Whether the template's centre is correlated channel by channel as well."""


VERSIONS = {2: Version(8, 48, 64, False), 3: Version(9, 96, 96, True)}
TOWER = 96
CENTER = 4
"""Cells of the template's centre that the depthwise correlation takes."""


class Adjust(nn.Module):
    """1x1 convolution and BatchNorm."""

    features: int
    use_bias: bool = True
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        conv = Conv(self.features, 1, use_bias=self.use_bias, dtype=self.dtype, name="conv")
        return BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="bn")(conv(x), train)


class ChannelAttention(nn.Module):
    """Scale every channel by a sigmoid of two 1x1 convolutions of all channels' means."""

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        y = x.mean((1, 2), keepdims=True)
        y = nn.relu(Conv(x.shape[-1], 1, dtype=self.dtype, name="fc1")(y))
        return x * nn.sigmoid(Conv(x.shape[-1], 1, dtype=self.dtype, name="fc2")(y))


class Mix(nn.Module):
    """A 2x2 depthwise and a 1x1 convolution: takes one row and one column off (version 3)."""

    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        features = x.shape[-1]
        corner = Conv(features, 2, groups=features, use_bias=False, dtype=self.dtype, name="corner")
        norm = BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="bn")
        x = relu6(norm(corner(x), train))
        return Adjust(features, True, self.axis_name, self.dtype, name="adjust")(x, train)


class TowerBlock(nn.Module):
    """Depthwise 3x3, 1x1 and BatchNorm; ReLU6 last (version 2) or, with BatchNorm, between (3)."""

    features: int
    norm_between: bool
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        channels = x.shape[-1]
        x = Conv(
            channels, 3, padding=1, groups=channels, use_bias=False, dtype=self.dtype, name="depth"
        )(x)
        point = Adjust(self.features, False, self.axis_name, self.dtype, name="point")
        if self.norm_between:
            norm = BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="bn")
            return point(relu6(norm(x, train)), train)
        return relu6(point(x, train))


class Branch(nn.Module):
    """Correlation, tower and output of either the class scores or the distances.

    Attributes:
        outputs: numbers a point.
        channels: of the features.
        depthwise: as `Version.depthwise`.
        tower: channels of the tower.
    """

    outputs: int
    channels: int
    depthwise: bool
    tower: int = TOWER
    axis_name: str | None = None
    dtype: str = "float32"

    def setup(self):
        adjust = lambda: Adjust(self.channels, True, self.axis_name, self.dtype)
        self.pixel_kernel, self.pixel_search = adjust(), adjust()
        self.attention = ChannelAttention(self.dtype)
        if self.depthwise:
            self.mix = Mix(self.axis_name, self.dtype)
            self.depth_kernel, self.depth_search = adjust(), adjust()
            self.down = Conv(self.tower, 1, dtype=self.dtype)
        self.blocks = [
            TowerBlock(self.tower, self.depthwise, self.axis_name, self.dtype) for _ in range(DEPTH)
        ]
        self.out = Conv(self.outputs, 1, dtype=self.dtype)

    def template(self, z: Float[AnyArray, "B h w C"], train: bool = False) -> dict[str, Array]:
        """Give `pixel` [B, h, w, C], one 1x1 kernel a position; `depth` [B, 4, 4, C]."""
        kernels = {"pixel": self.pixel_kernel(z, train)}
        if self.depthwise:
            edge = (z.shape[1] - CENTER) // 2
            center = z[:, edge : edge + CENTER, edge : edge + CENTER]
            kernels["depth"] = self.depth_kernel(center, train)
        return kernels

    def respond(
        self,
        kernels: Mapping[str, Float[AnyArray, "b _h _w C"]],
        x: Float[AnyArray, "n H W C"],
        train: bool = False,
    ) -> Float[Array, "B y x O"]:
        """Give the outputs, at every cell of 16x16 (version 2) or at 15x15 corners (3)."""
        y = self.attention(correlate_pixels(kernels["pixel"], self.pixel_search(x, train)))
        if self.depthwise:
            search = jnp.pad(self.depth_search(x, train), ((0, 0), (1, 1), (1, 1), (0, 0)))
            depth = xcorr.depthwise(*shared_batch(kernels["depth"], search))
            y = self.down(jnp.concatenate([self.mix(y, train), depth], -1))
        for block in self.blocks:
            y = block(y, train)
        return self.out(y)


def correlate_pixels(
    kernel: Float[AnyArray, "b h w C"], search: Float[AnyArray, "n H W C"]
) -> Float[Array, "B H W K"]:
    """Correlate every position of a template with a search, as a 1x1 kernel.

    out[n, y, x, k] = sum_c kernel[n, k, c] search[n, y, x, c], k row-major over the template.
    """
    kernel, search = shared_batch(kernel, search)
    batch, height, width, channels = search.shape
    product = jnp.einsum(
        "npc,nkc->npk",
        search.reshape(batch, -1, channels),
        kernel.reshape(batch, -1, channels),
    )
    return product.reshape(batch, height, width, -1)


class NanoTrackNet(nn.Module):
    """Backbone and two branches.

    Attributes:
        version: 2 or 3.
        width: scales the backbone and the towers, for tests.
        dtype: of the arithmetic, `"float32"` or `"bfloat16"`; parameters and outputs are float32.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        trained: stages of the backbone whose BatchNorm follows the batch in training; None for all.
    """

    version: int = 3
    width: float = 1.0
    dtype: str = "float32"
    axis_name: str | None = None
    trained: tuple[str, ...] | None = None

    def setup(self):
        version = VERSIONS[self.version]
        self.backbone = MobileNetV3(
            version.blocks, self.axis_name, self.dtype, self.trained, self.width
        )
        # Published weights hold this layer; nothing reads it.
        self.neck = Adjust(version.neck, False)
        branch = lambda outputs: Branch(
            outputs,
            eights(version.channels * self.width),
            version.depthwise,
            eights(TOWER * self.width),
            self.axis_name,
            self.dtype,
        )
        self.cls, self.loc = branch(2), branch(4)

    def search(self, x: Float[AnyArray, "B H W 3"], train: bool = False) -> Float[Array, "B y x c"]:
        """Embed windows [B, S, S, 3]: 127 px to 8x8, 255 px to 16x16."""
        stages = self.backbone(x[..., ::-1], train)
        return stages[f"block{VERSIONS[self.version].blocks}"]

    def template(self, z: Float[AnyArray, "B H W 3"], train: bool = False) -> Kernels:
        """Embed exemplars [B, 127, 127, 3]: both branches' kernels."""
        features = self.search(z, train)
        return {
            "cls": self.cls.template(features, train),
            "loc": self.loc.template(features, train),
        }

    def respond(
        self,
        template: Mapping[str, Mapping[str, Any]],
        features: Float[AnyArray, "n y x c"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Score every point and measure from it to the target's sides.

        Args:
            template: from `template`.
            features: from `search`; a batch of one on either side serves all of the other.
            train: normalise by the batch.

        Returns:
            `cls` [B, y, x, 1, 2], logits, index 1 the target's; `loc` [B, y, x, 1, 4], distances
            (left, top, right, bottom), crop pixels. float32.
        """
        cls = self.cls.respond(template["cls"], features, train)
        loc = self.loc.respond(template["loc"], features, train)
        return {
            "cls": cls[..., None, :].astype(jnp.float32),
            "loc": jnp.exp(loc[..., None, :].astype(jnp.float32)),
        }

    def __call__(
        self,
        z: Float[AnyArray, "b h w 3"],
        x: Float[AnyArray, "n H W 3"],
        train: bool = False,
    ) -> dict[str, Array]:
        """Give `respond` of exemplars [B, 127, 127, 3] on search windows [B, S, S, 3]."""
        if self.is_initializing():
            self.neck(jnp.zeros((1, 1, 1, VERSIONS[self.version].neck)))
        return self.respond(self.template(z, train), self.search(x, train), train)
