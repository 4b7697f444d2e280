"""Convolution and BatchNorm layers whose lowering is chosen by platform and shape."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

Padding = str | int | Sequence[tuple[int, int]]


def conv(x, kernel, *, strides=1, padding="VALID", dilation=1, groups=1):
    """Convolve; placeholder until the platform-aware lowering lands."""
    if isinstance(padding, int):
        padding = [(padding, padding)] * 2
    return lax.conv_general_dilated(
        x, kernel, (strides, strides), padding, rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)


class Conv(nn.Module):
    """2-D convolution, NHWC, kernel HWIO [kh, kw, in / groups, out]."""

    features: int
    kernel_size: int
    strides: int = 1
    padding: Padding = "VALID"
    dilation: int = 1
    groups: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x):
        """Convolve `x` [B, H, W, C]."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = conv(x, kernel, strides=self.strides, padding=self.padding, dilation=self.dilation,
                 groups=self.groups)
        if self.use_bias:
            y = y + self.param("bias", self.bias_init, (self.features,))[None, None, None]
        return y


class BatchNorm(nn.Module):
    """BatchNorm in torch's convention; statistics `mean`, `var`, `count` in `batch_stats`."""

    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        """Normalise `x` [..., C]; with `train`, by the batch's own statistics."""
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        var = self.variable("batch_stats", "var", jnp.ones, (features,))
        self.variable("batch_stats", "count", jnp.zeros, (), jnp.int32)
        factor = scale * jax.lax.rsqrt(var.value + self.epsilon)
        shift = bias - mean.value * factor
        return x * factor.reshape((1,) * (x.ndim - 1) + (-1,)) + shift.reshape(
            (1,) * (x.ndim - 1) + (-1,))
