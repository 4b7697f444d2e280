"""PySOT's ResNet-18, 34 and 50: stride 8 from `layer2` on, dilation in place of later strides.

Input raw 0..255 in the colour order of the weights. Differs from the ImageNet networks of those
names: the stem and the strided 3x3 convolutions have no padding, `layer3` and `layer4` dilate by 2
and 4 (their first blocks by half of that), and the shortcuts into `layer2` to `layer4` are 3x3.
Source: Li et al., SiamRPN++, 2019, section 3.2; PySOT `resnet_atrous.py`.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import ConvNorm, follows_batch, max_pool
from siamjax.typing import AnyArray, Array


class Row(NamedTuple):
    """One layer: features of its 3x3 convolutions, stride of its first block, dilation."""

    features: int
    strides: int
    dilation: int


ROWS = {
    "layer1": Row(64, 1, 1),
    "layer2": Row(128, 2, 1),
    "layer3": Row(256, 1, 2),
    "layer4": Row(512, 1, 4),
}
STEM_FEATURES = 64
EXPANSION = 4
"""Outputs per feature of a bottleneck block's 3x3 convolution."""


class Residual(nn.Module):
    """Two 3x3 convolutions, or with `bottleneck` 1x1, 3x3 and 1x1, added to a shortcut.

    Where the shape changes the shortcut is a convolution, and the block's strided or dilated ones
    have half of the dilation.
    """

    features: int
    strides: int
    dilation: int
    bottleneck: bool
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], train: bool = False
    ) -> Float[Array, "B h w D"]:
        """Give the block's output after its last ReLU."""
        x = jnp.asarray(x, self.dtype)
        block = functools.partial(ConvNorm, axis_name=self.axis_name, dtype=self.dtype)
        outputs = self.features * (EXPANSION if self.bottleneck else 1)
        projected = self.strides > 1 or x.shape[-1] != outputs
        dilation = max(self.dilation // 2, 1) if projected else self.dilation
        padding = dilation if self.strides == 1 else 0
        window = functools.partial(
            block, kernel_size=3, strides=self.strides, padding=padding, dilation=dilation
        )
        if self.bottleneck:
            y = block(self.features, activation=nn.relu, name="conv1")(x, train)
            y = window(self.features, activation=nn.relu, name="conv2")(y, train)
            y = block(outputs, name="conv3")(y, train)
        else:
            y = window(outputs, activation=nn.relu, name="conv1")(x, train)
            full = self.dilation
            y = block(outputs, 3, padding=full, dilation=full, name="conv2")(y, train)
        if projected:
            make = block if self.strides == self.dilation == 1 else window
            x = make(outputs, name="downsample")(x, train)
        return nn.relu(y + x)


class Layer(nn.Module):
    """Blocks in a row, `block0`, `block1`, ...; only the first has the stride."""

    row: Row
    blocks: int
    bottleneck: bool
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], train: bool = False
    ) -> Float[Array, "B h w D"]:
        """Give the output of the last block."""
        x = jnp.asarray(x)
        features, strides, dilation = self.row
        for index in range(self.blocks):
            x = Residual(
                features,
                strides if index == 0 else 1,
                dilation,
                self.bottleneck,
                self.axis_name,
                self.dtype,
                name=f"block{index}",
            )(x, train)
        return x


class ResNet(nn.Module):
    """Stem and up to four layers: 127 px to 15x15, 255 px to 31x31 from `layer2` on.

    Attributes:
        blocks: how many blocks each layer has.
        bottleneck: the blocks of ResNet-50, four times as wide outside as inside.
        width: scales every layer.
        last: the deepest stage that is built, "stem" or one of `ROWS`.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        dtype: type of the arithmetic; parameters and stage outputs are float32.
        trained: stages whose BatchNorm follows the batch in training, None for all.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    width: float = 1.0
    last: str = "layer4"
    axis_name: str | None = None
    dtype: str = "float32"
    trained: tuple[str, ...] | None = None

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of the stages by name, `stem` being what the pooling receives."""
        scaled = lambda features: max(1, round(features * self.width))
        follows = lambda stage: follows_batch(stage, train, self.trained)
        stem = ConvNorm(
            scaled(STEM_FEATURES),
            7,
            2,
            activation=nn.relu,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="stem",
        )
        x = stem(x, follows("stem"))
        stages = {"stem": x.astype(jnp.float32)}
        if self.last == "stem":
            return stages
        x = max_pool(x, padding=1)
        for (name, row), blocks in zip(ROWS.items(), self.blocks, strict=True):
            row = row._replace(features=scaled(row.features))
            layer = Layer(row, blocks, self.bottleneck, self.axis_name, self.dtype, name=name)
            x = layer(x, follows(name))
            stages[name] = x.astype(jnp.float32)
            if name == self.last:
                break
        return stages
