"""Depthwise convolution as a sum of shifted slices times weights, with its own gradient.

XLA's CPU backend takes 10 times as long for the grouped form.
"""

import jax.numpy as jnp
from jax import lax

from siamjax.models.conv.shape import Shape, padded
from siamjax.typing import Array
from siamjax.xcorr import tree_sum

_ROWS = 16
"""Most rows summed at a time by the kernel's gradient: fewer read and write the sums more often."""


def forward(shape: Shape, x: Array, kernel: Array) -> Array:
    """Sum over the kernel's offsets what each of them sees."""
    h, w, _, features = kernel.shape
    size = shape.output_size(x, kernel)
    x = _spread(shape, x, features)
    return tree_sum(
        _window(shape, x, u, v, size) * kernel[None, u, v : v + 1]
        for u in range(h)
        for v in range(w)
    )


def backward(shape: Shape, x: Array, kernel: Array, g: Array) -> tuple[Array, Array]:
    """Return the gradients of `x` and of `kernel` for the cotangent `g`."""
    return _input_gradient(shape, x, kernel, g), _kernel_gradient(shape, x, kernel, g)


def _input_gradient(shape: Shape, x: Array, kernel: Array, g: Array) -> Array:
    """Correlate `g`, spread by the strides, with the flipped kernel."""
    h, w, _, features = kernel.shape
    config = [(0, 0, 0)]
    for axis, size in ((1, h), (2, w)):
        reach = (size - 1) * shape.dilation
        low = reach - shape.padding[axis - 1][0]
        spread = (g.shape[axis] - 1) * shape.strides + 1
        config.append((low, x.shape[axis] + reach - low - spread, shape.strides - 1))
    spread = lax.pad(g, jnp.zeros((), g.dtype), [*config, (0, 0, 0)])
    plain = Shape(1, ((0, 0), (0, 0)), shape.dilation, features)
    dx = forward(plain, spread, kernel[::-1, ::-1])
    return dx.reshape((*x.shape, features // x.shape[3])).sum(-1)


def _kernel_gradient(shape: Shape, x: Array, kernel: Array, g: Array) -> Array:
    """Sum x * g over examples and positions, a few rows at a time.

    XLA's CPU reductions over leading axes take 4 times as long as this loop.
    """
    h, w, _, features = kernel.shape
    x = _spread(shape, x, features)
    chunks = -(-g.shape[1] // _ROWS)
    rows = -(-g.shape[1] // chunks)
    reach = (rows - 1) * shape.strides + (h - 1) * shape.dilation + 1
    g = jnp.pad(g, ((0, 0), (0, chunks * rows - g.shape[1]), (0, 0), (0, 0)))
    needed = (chunks - 1) * rows * shape.strides + reach
    x = jnp.pad(x, ((0, 0), (0, max(0, needed - x.shape[1])), (0, 0), (0, 0)))
    one_row = (1, g.shape[2])

    def chunk(index: Array | int) -> tuple[Array, ...]:
        example, row = index // chunks, index % chunks * rows
        a = lax.dynamic_slice(x, (example, row * shape.strides, 0, 0), (1, reach, *x.shape[2:]))
        b = lax.dynamic_slice(g, (example, row, 0, 0), (1, rows, *g.shape[2:]))
        # As arrays of their own: sums fused with a slice whose place varies are not vectorised.
        a, b = lax.optimization_barrier((a, b))

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


def _spread(shape: Shape, x: Array, features: int) -> Array:
    """Pad `x`, each channel repeated for the features that it gives rise to."""
    repeats = features // x.shape[3]
    return padded(shape, x if repeats == 1 else jnp.repeat(x, repeats, 3))


def _window(shape: Shape, x: Array, u: int, v: int, size: tuple[int, int]) -> Array:
    """Return what offset (u, v) of the kernel sees at each of `size` positions."""
    top, left = u * shape.dilation, v * shape.dilation
    bottom, right = ((n - 1) * shape.strides + 1 for n in size)
    return lax.slice(
        x,
        (0, top, left, 0),
        (x.shape[0], top + bottom, left + right, x.shape[3]),
        (1, shape.strides, shape.strides, 1),
    )
