"""The kernel's gradient by Winograd's filtering: the forward pass's products, transposed.

With data and cotangent evaluated at the points of a tile, the gradient of the kernel's values there
is one matrix product [C, tiles] by [tiles, O] a point.

Source: as in `winograd.py`; the transposes of its transforms.
"""

import jax.numpy as jnp
from jax import lax

from siamjax.layout import stored
from siamjax.models.conv import winograd
from siamjax.models.conv.shape import Shape, padded
from siamjax.typing import AnyArray, Array


def kernel_gradient(shape: Shape, x: Array, kernel: AnyArray, g: Array) -> Array:
    """Return the gradient [h, w, C / groups, O] for the cotangent `g` [B, Ho, Wo, O].

    Float32 errors against the largest value stay under 1e-5.
    """
    taps, narrow, axes = winograd.plan(shape, kernel)
    x = padded(shape, x)

    def group(x: Array, g: Array) -> Array:
        x = winograd.undilated(shape, x, taps, narrow, (g.shape[1], g.shape[2]))
        return _by_tiles(axes, x, winograd.phases_to_batch(g, shape.dilation))

    parts = zip(jnp.split(x, shape.groups, 3), jnp.split(g, shape.groups, 3), strict=True)
    gradient = jnp.concatenate([group(a, b) for a, b in parts], 3)
    return _phases_to_kernel(gradient.reshape(*taps, -1, g.shape[3]), shape.strides, kernel)


def _by_tiles(axes: tuple[winograd.Axis, winograd.Axis], x: Array, g: Array) -> Array:
    """Multiply matrices [C, tiles] and [tiles, O] at every point, then transform to taps."""
    rows, columns = axes
    x, tiles = winograd.covered(axes, x)
    wanted = (n * len(axis.outputs) for axis, n in zip(axes, tiles, strict=True))
    more = [(0, n - have) for n, have in zip(wanted, g.shape[1:3], strict=True)]
    g = jnp.pad(g, ((0, 0), *more, (0, 0)))
    # Rows are written to memory before columns, which keeps the compiling short.
    data = stored(jnp.stack(winograd.evaluate(rows, x, 1, tiles[0])))
    shares = stored(jnp.stack(_spread(rows, g, 1)))
    points = [
        a.reshape(len(a), -1, x.shape[3]).mT @ b.reshape(len(b), -1, g.shape[3])
        for a, b in zip(
            winograd.evaluate(columns, data, 3, tiles[1]), _spread(columns, shares, 3), strict=True
        )
    ]
    lines = [winograd.combine(tap, points) for tap in columns.taps.T]
    return jnp.stack(
        [jnp.stack([winograd.combine(tap, list(line)) for line in lines]) for tap in rows.taps.T]
    )


def _spread(axis: winograd.Axis, g: Array, dimension: int) -> list[Array]:
    """Give every point's share of all tiles of `g` along `dimension`."""
    m, length = len(axis.outputs), g.shape[dimension]
    parts = [lax.slice_in_dim(g, k, length, m, dimension) for k in range(m)]
    return [winograd.combine(point, parts) for point in axis.outputs.T]


def _phases_to_kernel(gradient: Array, strides: int, kernel: AnyArray) -> Array:
    """Give each of the `strides` by `strides` taps that were channels its place back."""
    h, w, channels, features = kernel.shape
    rows, columns = gradient.shape[:2]
    gradient = gradient.reshape(rows, columns, strides, strides, channels, features)
    gradient = jnp.swapaxes(gradient, 1, 2)
    return gradient.reshape(rows * strides, columns * strides, channels, features)[:h, :w]
