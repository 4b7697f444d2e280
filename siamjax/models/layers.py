"""Linen layers: convolution by `siamjax.models.conv`, BatchNorm in PyTorch's conventions."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Float

from siamjax.models.conv import Padding, conv
from siamjax.typing import AnyArray, Array


class Conv(nn.Module):
    """2-D convolution, NHWC, kernel HWIO [kh, kw, in / groups, out]; arguments as in `conv`."""

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
    def __call__(self, x: Float[AnyArray, "B H W C"]) -> Float[Array, "B Ho Wo O"]:
        """Convolve `x` and add the bias."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = conv(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.use_bias:
            y = y + self.param("bias", self.bias_init, (self.features,))[None, None, None]
        return y


class BatchNorm(nn.Module):
    """BatchNorm in torch's convention; statistics `mean`, `var`, `count` in `batch_stats`.

    Training normalises by the biased variance of the batch and moves the running statistics by
    `new = (1 - momentum) * old + momentum * batch`, the running variance by the *unbiased* one;
    Flax's `momentum` is one minus this one and its running variance biased. `count` counts the
    updates (torch's `num_batches_tracked`). With `axis_name`, statistics are those of the global
    batch over that mapped axis of devices, which holds equal shares.

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2; torch.nn.BatchNorm2d for the conventions.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[AnyArray, "*n C"], train: bool = False) -> Float[Array, "*n C"]:
        """Normalise `x` by the running statistics, or with `train` by the batch's own.

        Raises:
            ValueError: `train` with a single value per channel, whose variance is unknown.
        """
        x = jnp.asarray(x)
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (features,))
        var = self.variable("batch_stats", "var", jnp.ones, (features,))
        count = self.variable("batch_stats", "count", jnp.zeros, (), jnp.int32)
        if train:
            center, spread, n = self._statistics(x)
            if not self.is_initializing():
                unbiased = spread * (n / (n - 1))
                mean.value = self._moved(mean.value, center)
                var.value = self._moved(var.value, unbiased)
                count.value = count.value + 1
        else:
            center, spread = mean.value, var.value
        factor = scale * lax.rsqrt(spread + self.epsilon)
        shift = bias - center * factor
        channels = (1,) * (x.ndim - 1) + (features,)
        return x * factor.reshape(channels) + shift.reshape(channels)

    def _statistics(self, x: Array) -> tuple[Array, Array, int]:
        """Return mean, biased variance and number of values per channel of the global batch."""
        axes = tuple(range(x.ndim - 1))
        shards = 1 if self.axis_name is None else lax.axis_size(self.axis_name)
        n = x.size // x.shape[-1] * shards
        if n < 2:
            raise ValueError(f"BatchNorm: training needs 2 values per channel, x is {x.shape}")
        center = self._summed(x.sum(axes)) / n
        apart = x - center.reshape((1,) * len(axes) + (-1,))
        return center, self._summed(jnp.square(apart).sum(axes)) / n, n

    def _summed(self, a: Array) -> Array:
        return a if self.axis_name is None else lax.psum(a, self.axis_name)

    def _moved(self, old: AnyArray, new: Array) -> Array:
        return (1 - self.momentum) * jnp.asarray(old) + self.momentum * lax.stop_gradient(new)
