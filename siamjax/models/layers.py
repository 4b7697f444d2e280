"""Linen layers: convolution by `siamjax.models.conv`, BatchNorm in PyTorch's conventions.

`dtype` is the type of the arithmetic and of the output ("float32", "bfloat16"); parameters and
running statistics are float32 whatever it is.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Float

from siamjax.models.conv import Padding, conv
from siamjax.typing import AnyArray, Array
from siamjax.xcorr import same_axes


def follows_batch(stage: str, train: bool, trained: tuple[str, ...] | None) -> bool:
    """Tell whether a stage's BatchNorm takes the batch's statistics: in training, if listed.

    `trained` None lists every stage; the others keep their running statistics, as a backbone does
    before it is unfrozen.
    """
    return train and (trained is None or stage in trained)


def max_pool(
    x: Float[AnyArray, "B H W C"], size: int = 3, strides: int = 2, padding: int = 0
) -> Float[Array, "B Ho Wo C"]:
    """Take the maximum of every window; the border of `padding` cells is minus infinity.

    Rows of the window first, then columns, as maxima of slices: on CPUs a third of the time of
    `lax.reduce_window`, and backward a twentieth of its. Among equal values the first in
    row-major order receives the gradient, as in PyTorch.
    """
    x = jnp.asarray(x)
    border = (padding, padding, 0)
    config = [(0, 0, 0), border, border, (0, 0, 0)]
    x = lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)
    for axis in (2, 1):
        reach = (x.shape[axis] - size) // strides * strides + 1
        slices = (lax.slice_in_dim(x, u, u + reach, strides, axis) for u in range(size))
        x = functools.reduce(_first_largest, slices)
    return x


def _first_largest(a: Array, b: Array) -> Array:
    """Return the larger, NaN if one is; `jnp.maximum` would share the gradient of equal values."""
    return jnp.where((a >= b) | jnp.isnan(a), a, b)


@jax.custom_jvp
def relu6(x: Float[AnyArray, "*n"]) -> Float[Array, "*n"]:
    """Clip to 0..6; the gradient at both ends is 0, as in PyTorch, where `nn.relu6` gives a half.

    Its gradient compares once with each end; that of `nn.relu6` is made of four comparisons.
    """
    return jnp.clip(x, 0, 6)


@relu6.defjvp
def _relu6_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    return relu6(x), jnp.where((x > 0) & (x < 6), tangent, 0)


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
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"]) -> Float[Array, "B Ho Wo O"]:
        """Convolve `x` and add the bias."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = conv(
            jnp.asarray(x, self.dtype),
            jnp.asarray(kernel, self.dtype),
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,))
            y = y + jnp.asarray(bias, self.dtype)[None, None, None]
        return y


@jax.custom_vjp
def _squares(x: Array, center: Array) -> Array:
    """Sum the squared distances of `x` [..., C] from its mean, [C]."""
    return jnp.square(_apart(x, center)).sum(tuple(range(x.ndim - 1)))


def _apart(x: Array, center: Array) -> Array:
    return x - center.reshape((1,) * (x.ndim - 1) + (-1,))


def _squares_forward(x: Array, center: Array) -> tuple[Array, tuple[Array, Array]]:
    return _squares(x, center), (x, center)


def _squares_backward(residuals: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, center = residuals
    g = g.reshape((1,) * (x.ndim - 1) + (-1,))
    return 2 * _apart(x, center) * g, jnp.zeros_like(center)


# The sum's derivative by the mean is zero: left to be found out, it costs a pass over memory.
_squares.defvjp(_squares_forward, _squares_backward)


class BatchNorm(nn.Module):
    """BatchNorm in torch's convention; statistics `mean`, `var`, `count` in `batch_stats`.

    Training normalises by the biased variance of the batch and moves the running statistics by
    `new = (1 - momentum) * old + momentum * batch`, the running variance by the *unbiased* one;
    Flax's `momentum` is one minus this one and its running variance biased. `count` counts the
    updates (torch's `num_batches_tracked`). With `axis_name`, statistics are those of the global
    batch over that mapped axis of devices, which holds equal shares. The arithmetic is float32;
    `dtype` is that of the output.

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2; torch.nn.BatchNorm2d for the conventions.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Float[AnyArray, "*n C"], train: bool = False) -> Float[Array, "*n C"]:
        """Normalise `x` by the running statistics, or with `train` by the batch's own.

        Raises:
            ValueError: `train` with a single value per channel, whose variance is unknown.
        """
        x = jnp.asarray(x, jnp.float32)
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
        return (x * factor.reshape(channels) + shift.reshape(channels)).astype(self.dtype)

    def _statistics(self, x: Array) -> tuple[Array, Array, int]:
        """Return mean, biased variance and number of values per channel of the global batch."""
        axes = tuple(range(x.ndim - 1))
        shards = 1 if self.axis_name is None else lax.axis_size(self.axis_name)
        n = x.size // x.shape[-1] * shards
        if n < 2:
            raise ValueError(f"BatchNorm: training needs 2 values per channel, x is {x.shape}")
        center = self._summed(x.sum(axes)) / n
        return center, self._summed(_squares(*same_axes(x, center))) / n, n

    def _summed(self, a: Array) -> Array:
        return a if self.axis_name is None else lax.psum(a, self.axis_name)

    def _moved(self, old: AnyArray, new: Array) -> Array:
        return (1 - self.momentum) * jnp.asarray(old) + self.momentum * lax.stop_gradient(new)


class ConvNorm(nn.Module):
    """Convolution without bias (`conv`) and BatchNorm (`bn`), then `activation` where given.

    Kernels start normal with variance 2 / (kernel area * outputs): He et al. 2015, equation 14.
    """

    features: int
    kernel_size: int = 1
    strides: int = 1
    padding: Padding = "VALID"
    dilation: int = 1
    groups: int = 1
    activation: Callable[[Array], Array] | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(
        2, "fan_out", "normal"
    )
    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], train: bool = False
    ) -> Float[Array, "B Ho Wo O"]:
        """Convolve, normalise (with `train` by the batch's statistics), activate."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation,
            self.groups,
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        norm = BatchNorm(self.momentum, self.epsilon, self.axis_name, self.dtype, name="bn")
        x = norm(x, train)
        return x if self.activation is None else self.activation(x)
