"""PySOT's MobileNetV2: stride 8 from `layer3` on, dilation in place of later strides.

Input raw 0..255 in the colour order of the weights. Differs from the ImageNet network: the stem and
the strided depthwise convolutions have no padding, `layer4` to `layer7` dilate, and the first block
expands although by 1. Source: Sandler et al., MobileNetV2, 2018, table 2; Li et al., SiamRPN++,
2019; PySOT `mobile_v2.py`.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import ConvNorm, follows_batch, relu6
from siamjax.typing import AnyArray, Array


class Row(NamedTuple):
    """One layer: expansion, features, blocks, stride of its first block, dilation."""

    expansion: int
    features: int
    blocks: int
    strides: int
    dilation: int


ROWS = {
    "layer1": Row(1, 16, 1, 1, 1),
    "layer2": Row(6, 24, 2, 2, 1),
    "layer3": Row(6, 32, 3, 2, 1),
    "layer4": Row(6, 64, 4, 1, 2),
    "layer5": Row(6, 96, 3, 1, 2),
    "layer6": Row(6, 160, 3, 1, 4),
    "layer7": Row(6, 320, 1, 1, 4),
}
STEM_FEATURES = 32
PRESET_WIDTH = 1.4
"""The multiple of the table's features that SiamRPN++'s published weights have."""


def scaled(features: int, width: float) -> int:
    """Multiply a layer's features, rounding down as PySOT does."""
    return max(1, int(features * width))


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1; add the input if shapes agree."""

    features: int
    expansion: int
    strides: int
    dilation: int
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], train: bool = False
    ) -> Float[Array, "B h w D"]:
        """Give the block's output, which has no activation."""
        x = jnp.asarray(x, self.dtype)
        block = functools.partial(ConvNorm, axis_name=self.axis_name, dtype=self.dtype)
        wide = x.shape[-1] * self.expansion
        y = block(wide, activation=relu6, name="expand")(x, train)
        y = block(
            wide,
            3,
            self.strides,
            padding=self.dilation if self.strides == 1 else 0,
            dilation=self.dilation,
            groups=wide,
            activation=relu6,
            name="depthwise",
        )(y, train)
        y = block(self.features, name="project")(y, train)
        alike = self.strides == 1 and x.shape[-1] == self.features
        return x + y if alike else y


class Layer(nn.Module):
    """Blocks in a row, `block0`, `block1`, ...; the first has the stride and its own dilation."""

    row: Row
    first_dilation: int
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], train: bool = False
    ) -> Float[Array, "B h w D"]:
        """Give the output of the last block."""
        x = jnp.asarray(x)
        for index in range(self.row.blocks):
            x = InvertedResidual(
                self.row.features,
                self.row.expansion,
                self.row.strides if index == 0 else 1,
                self.first_dilation if index == 0 else self.row.dilation,
                self.axis_name,
                self.dtype,
                name=f"block{index}",
            )(x, train)
        return x


class MobileNetV2(nn.Module):
    """Stem `layer0` and up to seven layers: 127 px to 15x15, 255 px to 31x31 from `layer3` on.

    Attributes:
        width: multiplies the features of every layer.
        last: the deepest stage that is built, "layer0" or one of `ROWS`.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        dtype: type of the arithmetic; parameters and stage outputs are float32.
        trained: stages whose BatchNorm follows the batch in training, None for all.
    """

    width: float = PRESET_WIDTH
    last: str = "layer7"
    axis_name: str | None = None
    dtype: str = "float32"
    trained: tuple[str, ...] | None = None

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of the stages by name."""
        follows = lambda stage: follows_batch(stage, train, self.trained)
        stem = ConvNorm(
            scaled(STEM_FEATURES, self.width),
            3,
            2,
            activation=relu6,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="layer0",
        )
        x = stem(x, follows("layer0"))
        stages = {"layer0": x.astype(jnp.float32)}
        before = 1
        for name, row in ROWS.items():
            if self.last in stages:
                break
            # Where the dilation grows, the first block takes half of the new one.
            first = row.dilation if row.dilation == before else max(row.dilation // 2, 1)
            before = row.dilation
            row = row._replace(features=scaled(row.features, self.width))
            layer = Layer(row, first, self.axis_name, self.dtype, name=name)
            x = layer(x, follows(name))
            stages[name] = x.astype(jnp.float32)
        return stages
