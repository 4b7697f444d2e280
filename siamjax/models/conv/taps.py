"""Convolution of pictures as one loop over the outputs that adds up every tap.

For 3 input channels XLA's CPU convolution takes 4 times as long.
"""

import math

from jax import lax

from siamjax.models.conv.shape import Shape, padded
from siamjax.typing import Array
from siamjax.xcorr import tree_sum

_MOST = 32
"""Taps of an output that pay: all are one expression in the loop."""


def pays(shape: Shape, kernel: Array) -> bool:
    """Tell whether it is faster than XLA's convolution on a CPU."""
    return shape.groups == 1 and math.prod(kernel.shape[:3]) <= _MOST


def forward(shape: Shape, x: Array, kernel: Array) -> Array:
    """Sum over the kernel's offsets and input channels, for all features at once."""
    h, w, channels, _ = kernel.shape
    rows, columns = shape.output_size(x, kernel)
    x = padded(shape, x)

    def tap(u: int, v: int, c: int) -> Array:
        top, left = u * shape.dilation, v * shape.dilation
        bottom, right = ((n - 1) * shape.strides + 1 for n in (rows, columns))
        seen = lax.slice(
            x,
            (0, top, left, c),
            (x.shape[0], top + bottom, left + right, c + 1),
            (1, shape.strides, shape.strides, 1),
        )
        return seen * kernel[u, v, c][None, None, None]

    return tree_sum(tap(u, v, c) for u in range(h) for v in range(w) for c in range(channels))
