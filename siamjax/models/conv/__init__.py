"""Convolution whose lowering is chosen by platform and shape.

Activations are NHWC, kernels HWIO. XLA's CPU backend has no fast path for groups (depthwise
convolutions are 10 times slower than shifted sums), slows down by half for batches over 1, and its
convolutions reach half the speed of its matrix products; accelerators want the plain form.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from siamjax.models.conv import gradient, plain, shift, taps, winograd
from siamjax.models.conv.shape import Padding, Shape, pairs
from siamjax.typing import AnyArray, Array
from siamjax.xcorr import same_axes

__all__ = ["METHODS", "Padding", "conv"]

Method = Literal["auto", "native", "split", "map", "shift", "taps", "gemm", "patches", "winograd"]
METHODS: tuple[str, ...] = get_args(Method)


def conv(
    x: Float[AnyArray, "B H W C"],
    kernel: Float[AnyArray, "h w I O"],
    *,
    strides: int = 1,
    padding: Padding = "VALID",
    dilation: int = 1,
    groups: int = 1,
    method: str = "auto",
) -> Float[Array, "B Ho Wo O"]:
    """Convolve in the sense of deep learning (the kernel is not flipped).

    out[n, i, j, o] = sum_{u, v, c} kernel[u, v, c, o] * x[n, i * s + u * d, j * s + v * d, c]

    Args:
        x: activations, [B, H, W, C].
        kernel: [h, w, C / groups, O].
        strides: s, of both axes.
        padding: "VALID", "SAME" (TensorFlow's: an odd pixel goes to the bottom and right), one
            number for all sides, or ((top, bottom), (left, right)).
        dilation: d, of both axes.
        groups: groups of channels; C for a depthwise convolution.
        method: "native", one XLA convolution; "split", one convolution per group, concatenated;
            "map", a loop over examples; "shift", a sum of shifted slices (depthwise only);
            "taps", one over input channels too (ungrouped, for few of them); "gemm", a matrix
            product (1x1 only); "patches", one of gathered windows; "winograd", matrix products
            over tiles (float32, not both strided and dilated); "auto" chooses by platform and
            shape. The gradients of "map", "taps", "patches" and "winograd" are of one kind, again
            chosen by shape (`gradient.py`).

    Returns:
        [B, Ho, Wo, O].

    Raises:
        ValueError: channels and groups do not fit, `padding` or `method` is unknown, or `method`
            cannot compute this shape.
    """
    if method not in METHODS:
        raise ValueError(f"conv: method is {method!r}, expected one of {METHODS}")
    channels, features = x.shape[3], kernel.shape[3]
    if groups < 1 or channels != kernel.shape[2] * groups or features % groups:
        raise ValueError(
            f"conv: x has {channels} channels, kernel {kernel.shape} and groups is {groups}, "
            f"expected {kernel.shape[2]} * groups channels and a multiple of groups features"
        )
    shape = Shape(strides, pairs(x, kernel, strides, padding, dilation), dilation, groups)
    if method == "shift" and groups != channels:
        raise ValueError(f"conv: method 'shift' needs groups = {channels} channels, not {groups}")
    if method == "taps" and groups != 1:
        raise ValueError(f"conv: method 'taps' needs 1 group, not {groups}")
    if method == "gemm" and not plain.is_pointwise(shape, kernel):
        raise ValueError(f"conv: method 'gemm' needs an ungrouped 1x1 kernel, not {kernel.shape}")
    if method == "winograd" and not winograd.possible(shape, x):
        raise ValueError(
            f"conv: method 'winograd' needs float32 and strides or dilation of 1, not {x.dtype}, "
            f"strides {strides} and dilation {dilation}"
        )
    return _conv(shape, method, *same_axes(jnp.asarray(x), jnp.asarray(kernel)))


# ------------------------------------------------------------------ the choice and its gradient


def _auto(shape: Shape, x: Array, kernel: Array) -> tuple[str, str]:
    """Name the methods for the CPU and for accelerators."""
    if shape.groups == x.shape[3] > 1:
        return "shift", "native"
    if plain.is_pointwise(shape, kernel):
        return "gemm", "gemm"
    if taps.pays(shape, kernel):
        return "taps", "native"
    if winograd.pays(shape, x, kernel):
        return "winograd", "split" if shape.groups > 1 else "native"
    if shape.strides > 1 and kernel.shape[2] >= 128:
        return "patches", "split" if shape.groups > 1 else "native"
    whole = "split" if shape.groups > 1 else "native"
    return "map" if x.shape[0] > 1 else whole, whole


def _run(
    table: dict[str, Callable[..., Any]],
    shape: Shape,
    method: str,
    x: Array,
    kernel: Array,
    *rest: Array,
) -> Any:
    """Run `table[method]`, resolving "auto" by the platform that the program is lowered for."""
    if method != "auto":
        return table[method](shape, x, kernel, *rest)
    cpu, accelerator = (functools.partial(table[name], shape) for name in _auto(shape, x, kernel))
    return lax.platform_dependent(x, kernel, *rest, cpu=cpu, default=accelerator)


def _primal(shape: Shape, method: str, x: Array, kernel: Array) -> Array:
    return _run(_FORWARD, shape, method, x, kernel)


def _forward(shape: Shape, method: str, x: Array, kernel: Array):
    return _primal(shape, method, x, kernel), (x, kernel)


def _backward(shape: Shape, method: str, residuals: tuple[Array, Array], g: AnyArray):
    return _run(_BACKWARD, shape, method, *residuals, jnp.asarray(g))


# One custom gradient around the choice: differentiating a bare `platform_dependent` would keep the
# residuals of every lowering.
_conv = jax.custom_vjp(_primal, nondiff_argnums=(0, 1))
_conv.defvjp(_forward, _backward)


def _automatic(forward: Callable[..., Array]):
    """Return the gradient that JAX derives from `forward`, as a function of (shape, x, k, g)."""

    def backward(shape: Shape, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        return jax.vjp(functools.partial(forward, shape), x, kernel)[1](g)

    return backward


_FORWARD = {
    "native": plain.native,
    "split": plain.split,
    "map": plain.by_example,
    "shift": shift.forward,
    "taps": taps.forward,
    "gemm": plain.gemm,
    "patches": plain.patches,
    "winograd": winograd.forward,
}
_BACKWARD = {name: _automatic(forward) for name, forward in _FORWARD.items()}
_BACKWARD["shift"] = shift.backward
_BACKWARD["gemm"] = gradient.pointwise
# The gradient of a loop over examples is 4 to 10 times slower.
_BACKWARD |= dict.fromkeys(("map", "patches", "taps", "winograd"), gradient.backward)
