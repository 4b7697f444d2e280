"""Gradients of a convolution, put together from what is fast on CPUs.

XLA's own gradient of the kernel is a convolution with a kernel as large as the picture, slower than
matrix products are.
"""

import functools

import jax
import jax.numpy as jnp

from siamjax.models.conv import plain, winograd, winograd_gradient
from siamjax.models.conv.shape import Shape, padded
from siamjax.typing import Array


def backward(shape: Shape, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    """Return the gradients of `x` and of `kernel`, each by the way that is fast for its shape."""
    by_xla = jax.vjp(functools.partial(plain.split, shape), x, kernel)[1]
    dx, dk = by_xla(g)  # XLA leaves out what is replaced below
    if shape.strides == 1:
        other, flipped = adjoint(shape, x, kernel, g)
        if winograd.pays(other, g, flipped):
            dx = winograd.forward(other, g, flipped)
    if winograd.pays(shape, x, kernel):
        dk = winograd_gradient.kernel_gradient(shape, x, kernel, g)
    elif shape.strides > 1:
        dk = by_rows(shape, x, kernel, g)
    return dx, dk


def pointwise(shape: Shape, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    """Return the gradients of a 1x1 convolution, as products of two plain matrices.

    Contracted over three axes, XLA transposes the cotangent in memory first.
    """
    seen, pull = jax.vjp(lambda x: x[:, :: shape.strides, :: shape.strides], x)
    matrix = g.reshape(-1, g.shape[3])
    (dx,) = pull((matrix @ kernel[0, 0].T).reshape(seen.shape))
    return dx, (seen.reshape(-1, x.shape[3]).T @ matrix).reshape(kernel.shape)


def adjoint(shape: Shape, x: Array, kernel: Array, g: Array) -> tuple[Shape, Array]:
    """Give shape and kernel of the convolution of `g` that is the gradient of `x`, at stride 1."""
    h, w, inputs, _ = kernel.shape
    flipped = kernel[::-1, ::-1].reshape(h, w, inputs, shape.groups, -1)
    flipped = jnp.transpose(flipped, (0, 1, 4, 3, 2)).reshape(h, w, -1, x.shape[3])
    padding = []
    for axis, size in ((1, h), (2, w)):
        reach = (size - 1) * shape.dilation
        low = reach - shape.padding[axis - 1][0]
        padding.append((low, x.shape[axis] + reach - low - g.shape[axis]))
    return shape._replace(padding=tuple(padding)), flipped


def by_rows(shape: Shape, x: Array, kernel: Array, g: Array) -> Array:
    """Return the gradient of `kernel`: one matrix product for each of its rows, group by group."""
    h, w, inputs, _ = kernel.shape
    step, (rows, columns) = shape.strides, ((n - 1) * shape.strides + 1 for n in g.shape[1:3])
    x = padded(shape, x)

    def group(x: Array, g: Array) -> Array:
        lefts = [v * shape.dilation for v in range(w)]
        seen = jnp.concatenate([x[:, :, v : v + columns : step] for v in lefts], 3)
        tops = [u * shape.dilation for u in range(h)]
        bands = [seen[:, u : u + rows : step].reshape(-1, w * inputs) for u in tops]
        matrix = g.reshape(-1, g.shape[3])
        return jnp.stack([band.T @ matrix for band in bands]).reshape(h, w, inputs, -1)

    parts = zip(jnp.split(x, shape.groups, 3), jnp.split(g, shape.groups, 3), strict=True)
    return jnp.concatenate([group(a, b) for a, b in parts], 3)
