"""MobileNetV3-small as NanoTrack cuts it: stride 16, padding (k - 1) // 2, no classifier.

Input RGB or BGR 0..255 as the weights want it, unscaled. Source: Howard et al., Searching for
MobileNetV3, 2019, table 2; rows and rounding of HonglinChu/SiamTrackers, `NanoTrack`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.layout import stored
from siamjax.models.layers import ConvNorm, follows_batch
from siamjax.typing import AnyArray, Array


class Row(NamedTuple):
    """One inverted-residual block."""

    features: int
    kernel_size: int
    expansion: float
    strides: int
    squeeze: bool
    hard_swish: bool


ROWS = (
    Row(16, 3, 1, 2, True, False),
    Row(24, 3, 4.5, 2, False, False),
    Row(24, 3, 3.67, 1, False, False),
    Row(40, 5, 4, 2, True, True),
    Row(40, 5, 6, 1, True, True),
    Row(40, 5, 6, 1, True, True),
    Row(48, 5, 3, 1, True, True),
    Row(48, 5, 3, 1, True, True),
    Row(96, 5, 6, 1, True, True),
)
STEM_FEATURES = 16


def eights(channels: int | float) -> int:
    """Round to a multiple of 8, at least 8 and at least nine tenths of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def hard_sigmoid(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Clip x / 6 + 1/2 to 0..1."""
    return jnp.clip(x * (1 / 6) + 0.5, 0, 1)


def hard_swish(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Multiply by `hard_sigmoid`."""
    return x * hard_sigmoid(x)


def padded(features: int, kernel_size: int = 1, strides: int = 1, groups: int = 1, **rest: Any):
    """Give a `ConvNorm` with padding (k - 1) // 2."""
    padding = (kernel_size - 1) // 2
    return ConvNorm(features, kernel_size, strides, padding, groups=groups, **rest)


class SqueezeExcite(nn.Module):
    """Scale every channel by a factor that two dense layers make of all channels' means."""

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        channels = x.shape[-1]
        x = stored(x)  # read twice: else XLA would compute the convolution before it twice
        y = nn.Dense(eights(channels / 4), dtype=self.dtype, name="reduce")(x.mean((1, 2)))
        y = nn.Dense(channels, dtype=self.dtype, name="expand")(nn.relu(y))
        return x * hard_sigmoid(y)[:, None, None]


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; add the input where shapes agree."""

    row: Row
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        row = self.row
        activate = hard_swish if row.hard_swish else nn.relu
        convolve = lambda name, *shape: padded(
            *shape, axis_name=self.axis_name, dtype=self.dtype, name=name
        )
        wide = eights(x.shape[-1] * row.expansion)
        expands = row.expansion != 1
        y = activate(convolve("expand", wide)(x, train)) if expands else x
        y = convolve("depthwise", wide, row.kernel_size, row.strides, wide)(y, train)
        # A block that expands activates after its squeeze-and-excitation, the others before.
        y = y if expands else activate(y)
        if row.squeeze:
            y = SqueezeExcite(self.dtype, name="squeeze")(y)
        y = activate(y) if expands else y
        y = convolve("project", row.features)(y, train)
        return x + y if row.strides == 1 and x.shape[-1] == row.features else y


class MobileNetV3(nn.Module):
    """The stem and the first `blocks` blocks; outputs by name.

    `block1` has stride 4, `block2` 8, `block4` and all after it 16 (127 px to 8x8, 255 to 16x16).

    Attributes:
        blocks: 8 (NanoTrack v2, 48 channels) or 9 (v3, 96 channels).
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        dtype: type of the arithmetic; parameters and stage outputs are float32.
        trained: stages whose BatchNorm follows the batch in training, None for all.
        width: scales every layer.
    """

    blocks: int = 9
    axis_name: str | None = None
    dtype: str = "float32"
    trained: tuple[str, ...] | None = None
    width: float = 1.0

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of the stem and of every block by name."""
        follows = lambda stage: follows_batch(stage, train, self.trained)
        stem = padded(
            eights(STEM_FEATURES * self.width),
            3,
            strides=2,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="stem",
        )
        x = hard_swish(stem(x, follows("stem")))
        stages: dict[str, Any] = {"stem": x.astype(jnp.float32)}
        for index, row in enumerate(ROWS[: self.blocks]):
            name = f"block{index + 1}"
            row = row._replace(features=eights(row.features * self.width))
            x = InvertedResidual(row, self.axis_name, self.dtype, name=name)(x, follows(name))
            stages[name] = x.astype(jnp.float32)
        return stages
