"""Convolution by XLA's own operations: whole, by groups, by examples, as a matrix product."""

import jax.numpy as jnp
from jax import lax

from siamjax.models.conv.shape import Shape, padded
from siamjax.typing import AnyArray, Array


def native(shape: Shape, x: Array, kernel: Array) -> Array:
    """Run one XLA convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (shape.strides,) * 2,
        shape.padding,
        rhs_dilation=(shape.dilation,) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=shape.groups,
    )


def split(shape: Shape, x: Array, kernel: Array) -> Array:
    """Convolve group by group: XLA's CPU backend has no fast path for groups."""
    if shape.groups == 1:
        return native(shape, x, kernel)
    one = shape._replace(groups=1)
    parts = zip(jnp.split(x, shape.groups, 3), jnp.split(kernel, shape.groups, 3), strict=True)
    return jnp.concatenate([native(one, a, b) for a, b in parts], 3)


def by_example(shape: Shape, x: Array, kernel: Array) -> Array:
    """Loop over examples: XLA's CPU convolutions slow down by half for batches over 1."""
    return lax.map(lambda example: split(shape, example[None], kernel)[0], x)


def patches(shape: Shape, x: Array, kernel: Array) -> Array:
    """Gather what every output sees, then multiply matrices, group by group."""
    h, w, _, features = kernel.shape
    rows, columns = ((n - 1) * shape.strides + 1 for n in shape.output_size(x, kernel))
    x = padded(shape, x)
    corners = [(u * shape.dilation, v * shape.dilation) for u in range(h) for v in range(w)]
    steps = (1, shape.strides, shape.strides, 1)
    seen = jnp.stack(
        [
            lax.slice(x, (0, u, v, 0), (len(x), u + rows, v + columns, x.shape[3]), steps)
            for u, v in corners
        ],
        3,
    )
    kernel = kernel.reshape(h * w, -1, features)
    parts = zip(jnp.split(seen, shape.groups, 4), jnp.split(kernel, shape.groups, 2), strict=True)
    matrices = [(a.reshape(*a.shape[:3], -1), b.reshape(-1, b.shape[2])) for a, b in parts]
    return jnp.concatenate([a @ b for a, b in matrices], 3)


def gemm(shape: Shape, x: Array, kernel: Array) -> Array:
    """Multiply matrices, for a 1x1 kernel."""
    return x[:, :: shape.strides, :: shape.strides] @ kernel[0]


def is_pointwise(shape: Shape, kernel: AnyArray) -> bool:
    """Tell whether `gemm` can compute it."""
    return kernel.shape[:2] == (1, 1) and shape.groups == 1 and shape.padding == ((0, 0), (0, 0))
