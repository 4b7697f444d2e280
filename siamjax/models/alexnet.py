"""AlexNet backbones of siamfc-pytorch: V1, V2 and V3.

Five convolutions without padding, so that features shift exactly as the picture does; input raw
0..255 RGB. Source: Bertinetto et al. 2016, table 1 (V1); siamfc-pytorch `backbones.py` (V2, V3).
"""

import functools
from typing import NamedTuple

from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import BatchNorm, Conv
from siamjax.typing import AnyArray, Array


class Layout(NamedTuple):
    """What differs between the three versions."""

    widths: tuple[int, int, int, int, int]
    groups: int
    second_pool_stride: int
    last_norm: bool


LAYOUTS = {
    "alexnet-v1": Layout((96, 256, 384, 384, 256), 2, 2, False),
    "alexnet-v2": Layout((96, 256, 384, 384, 32), 2, 1, False),
    "alexnet-v3": Layout((192, 512, 768, 768, 512), 1, 2, True),
}

# siamfc-pytorch initialises every kernel by Xavier's uniform rule and every bias by zero.
_xavier = nn.initializers.xavier_uniform()


class Block(nn.Module):
    """Convolution, then BatchNorm and ReLU where asked for."""

    features: int
    kernel_size: int
    strides: int = 1
    groups: int = 1
    norm: bool = True
    relu: bool = True
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        x = Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            groups=self.groups,
            kernel_init=_xavier,
            name="conv",
        )(x)
        if self.norm:
            x = BatchNorm(momentum=0.05, epsilon=1e-6, axis_name=self.axis_name, name="bn")(
                x, train
            )
        return nn.relu(x) if self.relu else x


class AlexNet(nn.Module):
    """AlexNet without padding: 127 px to 6x6, 255 px to 22x22 (V1, V3, stride 8).

    `layout` names an entry of `LAYOUTS`; `width` scales every layer but the last, for tests.
    """

    layout: str = "alexnet-v1"
    width: float = 1.0
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of all five stages by name, the last being `conv5`."""
        layout = LAYOUTS[self.layout]
        first, second, third, fourth = (
            max(2, round(w * self.width) // 2 * 2) for w in layout.widths[:4]
        )
        groups = layout.groups
        block = functools.partial(Block, axis_name=self.axis_name)
        stages = {}
        x = stages["conv1"] = block(first, 11, strides=2, name="conv1")(x, train)
        x = nn.max_pool(x, window_shape=(3, 3), strides=(2, 2))
        x = stages["conv2"] = block(second, 5, groups=groups, name="conv2")(x, train)
        pool = (layout.second_pool_stride,) * 2
        x = nn.max_pool(x, window_shape=(3, 3), strides=pool)
        x = stages["conv3"] = block(third, 3, name="conv3")(x, train)
        x = stages["conv4"] = block(fourth, 3, groups=groups, name="conv4")(x, train)
        stages["conv5"] = block(
            layout.widths[4], 3, groups=groups, norm=layout.last_norm, relu=False, name="conv5"
        )(x, train)
        return stages
