"""Convolution whose lowering is chosen by platform and shape.

Activations are NHWC, kernels HWIO. XLA's CPU backend has no fast path for groups (depthwise
convolutions are 10 times slower than shifted sums) and slows down by half for batches over 1;
accelerators want the plain form.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from siamjax.typing import AnyArray, Array
from siamjax.xcorr import same_axes, tree_sum

Padding = str | int | Sequence[tuple[int, int]]
Method = Literal["auto", "native", "split", "map", "shift", "gemm"]
METHODS: tuple[str, ...] = get_args(Method)

_ROWS = 8
"""Rows summed at a time by the depthwise kernel's gradient: fewer read and write sums more."""


class _Shape(NamedTuple):
    """Everything static about one convolution; padding as ((top, bottom), (left, right))."""

    strides: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: int
    groups: int


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
            "map", a loop over examples (the gradient as one convolution); "shift", a sum of
            shifted slices (depthwise only); "gemm", a matrix product (1x1 only); "auto" chooses
            by platform and shape, forward and backward.

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
    shape = _Shape(strides, _pairs(x, kernel, strides, padding, dilation), dilation, groups)
    if method == "shift" and groups != channels:
        raise ValueError(f"conv: method 'shift' needs groups = {channels} channels, not {groups}")
    if method == "gemm" and not _is_pointwise(shape, kernel):
        raise ValueError(f"conv: method 'gemm' needs an ungrouped 1x1 kernel, not {kernel.shape}")
    return _conv(shape, method, *same_axes(jnp.asarray(x), jnp.asarray(kernel)))


def _pairs(
    x: AnyArray, kernel: AnyArray, strides: int, padding: Padding, dilation: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Resolve `padding` to ((top, bottom), (left, right))."""
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if isinstance(padding, str):
        if padding not in ("VALID", "SAME"):
            raise ValueError(f"conv: padding is {padding!r}, expected 'VALID', 'SAME' or numbers")
        window = [(size - 1) * dilation + 1 for size in kernel.shape[:2]]
        padding = lax.padtype_to_pads(x.shape[1:3], window, (strides, strides), padding)
    (top, bottom), (left, right) = padding
    return (int(top), int(bottom)), (int(left), int(right))


def _is_pointwise(shape: _Shape, kernel: AnyArray) -> bool:
    return kernel.shape[:2] == (1, 1) and shape.groups == 1 and shape.padding == ((0, 0), (0, 0))


# ------------------------------------------------------------------ the choice and its gradient


def _auto(shape: _Shape, x: Array, kernel: Array) -> tuple[str, str]:
    """Name the methods for the CPU and for accelerators."""
    if shape.groups == x.shape[3] > 1:
        return "shift", "native"
    if _is_pointwise(shape, kernel):
        return "gemm", "native"
    whole = "split" if shape.groups > 1 else "native"
    return "map" if x.shape[0] > 1 else whole, whole


def _run(table: dict[str, Callable], shape: _Shape, method: str, x: Array, kernel: Array, *rest):
    """Run `table[method]`, resolving "auto" by the platform that the program is lowered for."""
    if method != "auto":
        return table[method](shape, x, kernel, *rest)
    cpu, accelerator = (functools.partial(table[name], shape) for name in _auto(shape, x, kernel))
    return lax.platform_dependent(x, kernel, *rest, cpu=cpu, default=accelerator)


def _primal(shape: _Shape, method: str, x: Array, kernel: Array) -> Array:
    return _run(_FORWARD, shape, method, x, kernel)


def _forward(shape: _Shape, method: str, x: Array, kernel: Array):
    return _primal(shape, method, x, kernel), (x, kernel)


def _backward(shape: _Shape, method: str, residuals: tuple[Array, Array], g: AnyArray):
    return _run(_BACKWARD, shape, method, *residuals, jnp.asarray(g))


# One custom gradient around the choice: differentiating a bare `platform_dependent` would keep the
# residuals of every lowering.
_conv = jax.custom_vjp(_primal, nondiff_argnums=(0, 1))
_conv.defvjp(_forward, _backward)


def _automatic(forward: Callable[..., Array]):
    """Return the gradient that JAX derives from `forward`, as a function of (shape, x, k, g)."""

    def backward(shape: _Shape, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
        return jax.vjp(functools.partial(forward, shape), x, kernel)[1](g)

    return backward


# ------------------------------------------------------------------ lowerings


def _native(shape: _Shape, x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (shape.strides,) * 2,
        shape.padding,
        rhs_dilation=(shape.dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=shape.groups,
    )


def _split(shape: _Shape, x: Array, kernel: Array) -> Array:
    if shape.groups == 1:
        return _native(shape, x, kernel)
    one = shape._replace(groups=1)
    parts = zip(jnp.split(x, shape.groups, 3), jnp.split(kernel, shape.groups, 3), strict=True)
    return jnp.concatenate([_native(one, a, b) for a, b in parts], 3)


def _map(shape: _Shape, x: Array, kernel: Array) -> Array:
    return lax.map(lambda example: _split(shape, example[None], kernel)[0], x)


def _gemm(shape: _Shape, x: Array, kernel: Array) -> Array:
    return x[:, :: shape.strides, :: shape.strides] @ kernel[0]


def _shift(shape: _Shape, x: Array, kernel: Array) -> Array:
    h, w, _, features = kernel.shape
    x = _padded(shape, x, features)
    size = _output_size(shape, x, h, w)
    return tree_sum(
        _window(shape, x, u, v, size) * kernel[None, u, v : v + 1]
        for u in range(h)
        for v in range(w)
    )


def _shift_backward(shape: _Shape, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    return _shift_input_gradient(shape, x, kernel, g), _shift_kernel_gradient(shape, x, kernel, g)


def _shift_input_gradient(shape: _Shape, x: Array, kernel: Array, g: Array) -> Array:
    """Correlate `g`, spread by the strides, with the flipped kernel."""
    h, w, _, features = kernel.shape
    config = [(0, 0, 0)]
    for axis, size in ((1, h), (2, w)):
        reach = (size - 1) * shape.dilation
        low = reach - shape.padding[axis - 1][0]
        spread = (g.shape[axis] - 1) * shape.strides + 1
        config.append((low, x.shape[axis] + reach - low - spread, shape.strides - 1))
    spread = lax.pad(g, jnp.zeros((), g.dtype), [*config, (0, 0, 0)])
    plain = _Shape(1, ((0, 0), (0, 0)), shape.dilation, features)
    dx = _shift(plain, spread, kernel[::-1, ::-1])
    return dx.reshape((*x.shape, features // x.shape[3])).sum(-1)


def _shift_kernel_gradient(shape: _Shape, x: Array, kernel: Array, g: Array) -> Array:
    """Sum x * g over examples and positions, a few rows at a time.

    XLA's CPU reductions over leading axes take 4 times as long as this loop.
    """
    h, w, _, features = kernel.shape
    x = _padded(shape, x, features)
    rows = min(_ROWS, g.shape[1])
    chunks = -(-g.shape[1] // rows)
    reach = (rows - 1) * shape.strides + (h - 1) * shape.dilation + 1
    g = jnp.pad(g, ((0, 0), (0, chunks * rows - g.shape[1]), (0, 0), (0, 0)))
    needed = (chunks - 1) * rows * shape.strides + reach
    x = jnp.pad(x, ((0, 0), (0, max(0, needed - x.shape[1])), (0, 0), (0, 0)))
    one_row = (1, g.shape[2])

    def chunk(index: Array | int) -> tuple[Array, ...]:
        example, row = index // chunks, index % chunks * rows
        a = lax.dynamic_slice(x, (example, row * shape.strides, 0, 0), (1, reach, *x.shape[2:]))
        b = lax.dynamic_slice(g, (example, row, 0, 0), (1, rows, *g.shape[2:]))

        def offset(u: int, v: int) -> Array:
            return tree_sum(
                _window(shape, a[:, r * shape.strides :], u, v, one_row) * b[:, r : r + 1]
                for r in range(rows)
            )

        return tuple(offset(u, v) for u in range(h) for v in range(w))

    # From the first chunk, not from zeros: under shard_map the carry must vary as the chunks do.
    sums = lax.fori_loop(
        1,
        chunks * x.shape[0],
        lambda index, total: tuple(map(jnp.add, total, chunk(index))),
        chunk(0),
    )
    return jnp.stack([a.sum((0, 1, 2)) for a in sums]).reshape(kernel.shape)


def _padded(shape: _Shape, x: Array, features: int) -> Array:
    """Pad `x`, each channel repeated for the features that it gives rise to."""
    repeats = features // x.shape[3]
    x = x if repeats == 1 else jnp.repeat(x, repeats, 3)
    config = [(0, 0, 0), *((low, high, 0) for low, high in shape.padding), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _output_size(shape: _Shape, x: Array, h: int, w: int) -> tuple[int, int]:
    """Return the rows and columns of the response to a padded `x`."""
    ho, wo = (
        (x.shape[axis] - (size - 1) * shape.dilation - 1) // shape.strides + 1
        for axis, size in ((1, h), (2, w))
    )
    return ho, wo


def _window(shape: _Shape, x: Array, u: int, v: int, size: tuple[int, int]) -> Array:
    """Return what offset (u, v) of the kernel sees at each of `size` positions."""
    top, left = u * shape.dilation, v * shape.dilation
    bottom, right = ((n - 1) * shape.strides + 1 for n in size)
    return lax.slice(
        x,
        (0, top, left, 0),
        (x.shape[0], top + bottom, left + right, x.shape[3]),
        (1, shape.strides, shape.strides, 1),
    )


_FORWARD = {"native": _native, "split": _split, "map": _map, "shift": _shift, "gemm": _gemm}
_BACKWARD = {name: _automatic(forward) for name, forward in _FORWARD.items()}
_BACKWARD["shift"] = _shift_backward
_BACKWARD["map"] = _BACKWARD["split"]  # the gradient of the loop is 4 to 10 times slower
