"""AlexNet backbones: siamfc-pytorch's V1, V2 and V3, and the one of PySOT and DaSiamRPN.

Five convolutions without padding, so that features shift exactly as the picture does; input raw
0..255 in the colour order of the weights. Source: Bertinetto et al. 2016, table 1 (V1);
siamfc-pytorch `backbones.py` (V2, V3); PySOT `alexnet.py` and DaSiamRPN `net.py`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from siamjax.models.layers import BatchNorm, Conv, follows_batch, max_pool
from siamjax.typing import AnyArray, Array


class Layout(NamedTuple):
    """What differs between siamfc-pytorch's three versions."""

    widths: tuple[int, int, int, int, int]
    groups: int
    second_pool_stride: int
    last_norm: bool


LAYOUTS = {
    "alexnet-v1": Layout((96, 256, 384, 384, 256), 2, 2, False),
    "alexnet-v2": Layout((96, 256, 384, 384, 32), 2, 1, False),
    "alexnet-v3": Layout((192, 512, 768, 768, 512), 1, 2, True),
}


class Row(NamedTuple):
    """One stage of PySOT's AlexNet."""

    features: int
    kernel_size: int
    strides: int
    pool: bool
    relu: bool


ROWS = {
    "conv1": Row(96, 11, 2, True, True),
    "conv2": Row(256, 5, 1, True, True),
    "conv3": Row(384, 3, 1, False, True),
    "conv4": Row(384, 3, 1, False, True),
    "conv5": Row(256, 3, 1, False, False),
}

# siamfc-pytorch initialises every kernel by Xavier's uniform rule and every bias by zero.
_xavier = nn.initializers.xavier_uniform()


# PyTorch's default: kernels and biases uniform within one over the root of the inputs' number.
_default_kernel = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Block(nn.Module):
    """Convolution, then BatchNorm, pooling by 3x3 with stride 2 and ReLU, each where asked for."""

    features: int
    kernel_size: int
    strides: int = 1
    groups: int = 1
    norm: bool = True
    pool: bool = False
    relu: bool = True
    momentum: float = 0.05
    epsilon: float = 1e-6
    kernel_init: nn.initializers.Initializer = _xavier
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], train: bool = False):
        x = Conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            groups=self.groups,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        if self.norm:
            norm = BatchNorm(self.momentum, self.epsilon, self.axis_name, self.dtype, name="bn")
            x = norm(x, train)
        if self.pool:
            x = max_pool(x)
        return nn.relu(x) if self.relu else x


class AlexNet(nn.Module):
    """siamfc-pytorch's AlexNet: 127 px to 6x6, 255 px to 22x22 (V1, V3, stride 8).

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
        x = max_pool(x)
        x = stages["conv2"] = block(second, 5, groups=groups, name="conv2")(x, train)
        x = max_pool(x, strides=layout.second_pool_stride)
        x = stages["conv3"] = block(third, 3, name="conv3")(x, train)
        x = stages["conv4"] = block(fourth, 3, groups=groups, name="conv4")(x, train)
        stages["conv5"] = block(
            layout.widths[4], 3, groups=groups, norm=layout.last_norm, relu=False, name="conv5"
        )(x, train)
        return stages


def _uniform(inputs: int) -> nn.initializers.Initializer:
    """Draw uniformly within one over the root of `inputs`."""
    limit = inputs**-0.5

    def draw(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return draw


class PySOTAlexNet(nn.Module):
    """AlexNet without groups, BatchNorm in every stage: 127 px to 6x6, 287 px to 26x26, stride 8.

    A stage is convolution, BatchNorm, pooling (the first two) and ReLU (all but the last), its
    output what comes after all of them.

    Attributes:
        width: scales every layer; 2 is the backbone of DaSiamRPN's big model.
        last: the deepest stage that is built, one of `ROWS`.
        axis_name: mapped axis over which BatchNorm takes its batch statistics.
        dtype: type of the arithmetic; parameters and stage outputs are float32.
        trained: stages whose BatchNorm follows the batch in training, None for all.
    """

    width: float = 1.0
    last: str = "conv5"
    axis_name: str | None = None
    dtype: str = "float32"
    trained: tuple[str, ...] | None = None

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W 3"], train: bool = False
    ) -> dict[str, Float[Array, "B h w c"]]:
        """Give the outputs of the stages by name."""
        stages = {}
        for name, row in ROWS.items():
            block = Block(
                max(1, round(row.features * self.width)),
                row.kernel_size,
                row.strides,
                pool=row.pool,
                relu=row.relu,
                momentum=0.1,
                epsilon=1e-5,
                kernel_init=_default_kernel,
                bias_init=_uniform(x.shape[-1] * row.kernel_size**2),
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=name,
            )
            x = block(x, follows_batch(name, train, self.trained))
            stages[name] = x.astype(jnp.float32)
            if name == self.last:
                break
        return stages
