"""Convolution by Winograd's minimal filtering: fewer multiplications, as plain matrix products.

Along one axis, m neighbouring outputs of a filter of r taps need m + r - 1 multiplications in place
of m * r: data and taps are evaluated, as polynomials, at so many points and multiplied there. Each
point is one matrix product over all tiles of m outputs and all channels; the evaluations around
them are short sums of strided slices, which XLA fuses.

Source: Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray 2016, "Fast
algorithms for convolutional neural networks", sections 3 and 4.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.polynomial.polynomial import polyfromroots

from siamjax.models.conv.shape import Shape, padded
from siamjax.typing import AnyArray, Array

_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0, -0.5, 2.0)
"""Where polynomials are evaluated, beside infinity: products with powers of two are exact."""

_LONGEST = 4
"""Outputs of a tile along its longer axis, at most: more cost accuracy."""

_NARROW = 64
"""Below so many channels, columns become channels: thin matrix products are slow."""

_TEMPORARY = 10 * 2**20
"""Bytes that the products of all points may take at a time, to stay in the caches; and a program
that needs over 32 MiB has them mapped and faulted in anew in every call (0.5 ms a MiB)."""


_WORTH = 2 * 10**8
"""Multiplications for one example below which compiling it, seconds for a shape, is not repaid."""


def possible(shape: Shape, x: AnyArray) -> bool:
    """Tell whether `forward` can compute it: half types lose too much in the transforms."""
    return x.dtype == jnp.float32 and 1 in (shape.strides, shape.dilation)


def pays(shape: Shape, x: AnyArray, kernel: AnyArray) -> bool:
    """Tell whether it is faster than XLA's convolution on a CPU."""
    rows, columns = shape.output_size(x, kernel)
    _, w, channels, features = kernel.shape
    return (
        possible(shape, x)
        and rows * columns * kernel.size >= _WORTH
        and min(kernel.shape[:2]) > 1
        and (shape.strides == 1 or channels * shape.strides**2 < _NARROW)
        and rows * columns >= 400
        and min(channels * w, features // shape.groups) >= 16
    )


def forward(shape: Shape, x: Array, kernel: Array) -> Array:
    """Rewrite without strides, dilation and groups, transform the kernel once, go by tiles.

    Float32 errors against the largest value stay under 3e-6.
    """
    size, reach = shape.output_size(x, kernel), (kernel.shape[0] - 1) * shape.dilation + 1
    taps, narrow, axes = plan(shape, kernel)
    kernel = _kernel_phases(kernel, shape.strides)
    if narrow:
        kernel = kernel.reshape(taps[0], 1, -1, kernel.shape[3])
    features = kernel.shape[3]
    weights = [_transform(axes, part) for part in jnp.split(kernel, shape.groups, 3)]

    def group(x: Array, weights: list[list[Array]], rows: int) -> Array:
        batch = len(x)
        x = undilated(shape, x, taps, narrow, (rows, size[1]))
        y = _batch_to_phases(_by_tiles(axes, weights, x), batch, shape.dilation)
        return y[:, :rows, : size[1]]

    def run(x: Array, rows: int) -> Array:
        """Give so many rows of outputs for padded `x`."""
        parts = zip(jnp.split(x, shape.groups, 3), weights, strict=True)
        return jnp.concatenate([group(part, a, rows) for part, a in parts], 3)

    x = padded(shape, x)
    growth = math.prod(len(axis.data) / len(axis.outputs) for axis in axes)
    cost = 4 * features * math.prod(size) * growth / _TEMPORARY
    if cost <= 1:
        return _in_turns(functools.partial(run, rows=size[0]), x, int(1 / cost))
    unit = len(axes[0].outputs) * shape.dilation
    rows = -(-size[0] // (math.ceil(cost) * unit)) * unit
    return _in_bands(run, x, size[0], rows, shape.strides, reach)


def _in_turns(run: Callable[..., Array], x: Array, most: int) -> Array:
    """Run so many examples at a time, at most."""
    together = max(n for n in range(1, min(most, len(x)) + 1) if len(x) % n == 0)
    if together == len(x):
        return run(x)
    y = lax.map(run, x.reshape(-1, together, *x.shape[1:]))
    return y.reshape(-1, *y.shape[2:])


def _in_bands(
    run: Callable[..., Array], x: Array, total: int, rows: int, strides: int, reach: int
) -> Array:
    """Run `rows` rows of outputs of one example at a time."""
    bands = -(-total // rows)
    height = (rows - 1) * strides + reach
    last = (bands - 1) * rows * strides
    x = jnp.pad(x, ((0, 0), (0, max(0, last + height - x.shape[1])), (0, 0), (0, 0)))
    starts = range(0, last + 1, rows * strides)
    parts = jnp.stack([x[:, start : start + height] for start in starts], 1)
    y = _in_turns(functools.partial(run, rows=rows), parts.reshape(-1, *parts.shape[2:]), 1)
    return y.reshape(len(x), -1, *y.shape[2:])[:, :total]


# ------------------------------------------------------------------ to stride 1, undilated


def plan(shape: Shape, kernel: AnyArray) -> tuple[tuple[int, int], bool, tuple["Axis", "Axis"]]:
    """Give the taps at stride 1, whether columns become channels, and the tiles of both axes."""
    rows, columns = (-(-n // shape.strides) for n in kernel.shape[:2])
    narrow = kernel.shape[2] * shape.strides**2 < _NARROW
    return (rows, columns), narrow, _axes(rows, 1 if narrow else columns)


def undilated(
    shape: Shape, x: Array, taps: tuple[int, int], narrow: bool, size: tuple[int, int]
) -> Array:
    """Rewrite padded `x` for stride 1 and no dilation; `size` is the response's."""
    if shape.strides > 1:
        x = _phases_to_channels(x, shape.strides, taps, size)
    x = phases_to_batch(x, shape.dilation)
    return _columns_to_channels(x, taps[1]) if narrow else x


def _kernel_phases(kernel: Array, strides: int) -> Array:
    """Make every `strides` by `strides` block of taps one tap of as many times the channels."""
    if strides == 1:
        return kernel
    h, w, channels, features = kernel.shape
    kernel = jnp.pad(kernel, ((0, -h % strides), (0, -w % strides), (0, 0), (0, 0)))
    rows, columns = (n // strides for n in kernel.shape[:2])
    kernel = kernel.reshape(rows, strides, columns, strides, channels, features)
    return jnp.swapaxes(kernel, 1, 2).reshape(rows, columns, -1, features)


def _phases_to_channels(
    x: Array, strides: int, taps: tuple[int, int], size: tuple[int, int]
) -> Array:
    """Make every `strides` by `strides` block of pixels one pixel of as many times the channels."""
    batch, *have, channels = x.shape
    rows, columns = (n - 1 + r for n, r in zip(size, taps, strict=True))
    more = [(0, n * strides - m, 0) for n, m in zip((rows, columns), have, strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *more, (0, 0, 0)])
    x = x.reshape(batch, rows, strides, columns, strides, channels)
    return jnp.swapaxes(x, 2, 3).reshape(batch, rows, columns, -1)


def phases_to_batch(x: Array, dilation: int) -> Array:
    """Take every `dilation`-th row and column, from each start, as an example of its own."""
    if dilation == 1:
        return x
    d, (batch, height, width, channels) = dilation, x.shape
    x = jnp.pad(x, ((0, 0), (0, -height % d), (0, -width % d), (0, 0)))
    x = x.reshape(batch, x.shape[1] // d, d, x.shape[2] // d, d, channels)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, x.shape[1], x.shape[3], channels)


def _batch_to_phases(y: Array, batch: int, dilation: int) -> Array:
    """Invert `phases_to_batch`."""
    if dilation == 1:
        return y
    d, (_, height, width, features) = dilation, y.shape
    y = y.reshape(batch, d, d, height, width, features).transpose(0, 3, 1, 4, 2, 5)
    return y.reshape(batch, height * d, width * d, features)


def _columns_to_channels(x: Array, taps: int) -> Array:
    """Put what the kernel's columns see side by side."""
    width = x.shape[2] - taps + 1
    return jnp.concatenate([x[:, :, v : v + width] for v in range(taps)], 3)


# ------------------------------------------------------------------ tiles


class Axis(NamedTuple):
    """The transforms of m outputs of r taps along one axis, for n = m + r - 1 points.

    outputs @ ((taps @ g) * (data @ d)) for g [r] and d [n] is out[i] = sum_k g[k] * d[i + k].
    """

    data: np.ndarray
    taps: np.ndarray
    outputs: np.ndarray

    def tiles(self, length: int) -> int:
        """Return how many tiles cover the response to `length` values."""
        m, r = len(self.outputs), self.taps.shape[1]
        return -(-(length - r + 1) // m)


@functools.cache
def transforms(m: int, r: int) -> Axis:
    """Give the transforms by Toom and Cook's rule; those of m = 1 are the plain sum over taps.

    Raises:
        ValueError: there are not enough points for m > 1.
    """
    if m == 1:
        return Axis(np.eye(r), np.eye(r), np.ones((1, r)))
    if m + r - 2 > len(_POINTS):
        raise ValueError(f"winograd: {m} outputs of {r} taps need more than {len(_POINTS)} points")
    points = np.array(_POINTS[: m + r - 2])
    others = [np.delete(points, i) for i in range(len(points))]
    data = [*(np.append(polyfromroots(rest), 0) for rest in others), polyfromroots(points)]
    scales = [np.prod(point - rest) for point, rest in zip(points, others, strict=True)]
    taps = np.vander(points, r, increasing=True) / np.array(scales)[:, None]
    outputs = np.vander(points, m, increasing=True)
    at_infinity = lambda rows: np.vstack([rows, np.eye(rows.shape[1])[-1:]])
    return Axis(np.stack(data), at_infinity(taps), at_infinity(outputs).T)


def _axes(h: int, w: int) -> tuple[Axis, Axis]:
    """Choose tiles for a kernel of h by w: long ones of rows, short ones of columns."""
    most = lambda r: max(1, len(_POINTS) + 2 - r)
    return (
        transforms(min(_LONGEST, most(h)), h),
        transforms(1 if w == 1 else min(2, most(w)), w),
    )


def _transform(axes: tuple[Axis, Axis], kernel: Array) -> list[list[Array]]:
    """Evaluate the kernel at every point: [C, O] by row and column."""
    lines = [combine(row, list(kernel)) for row in axes[0].taps]
    return [[combine(row, list(line)) for row in axes[1].taps] for line in lines]


def _by_tiles(axes: tuple[Axis, Axis], weights: list[list[Array]], x: Array) -> Array:
    """Multiply matrices [tiles, C] and [C, O] at every point of both axes."""
    rows, columns = axes
    x, tiles = covered(axes, x)
    products = [
        [
            cell.reshape(-1, x.shape[3]) @ kernel
            for cell, kernel in zip(evaluate(columns, line, 2, tiles[1]), kernels, strict=True)
        ]
        for line, kernels in zip(evaluate(rows, x, 1, tiles[0]), weights, strict=True)
    ]
    lines = [[combine(out, part) for out in rows.outputs] for part in zip(*products, strict=True)]
    cells = [[combine(out, part) for out in columns.outputs] for part in zip(*lines, strict=True)]
    shape = x.shape[0], *tiles, -1
    y = jnp.stack([jnp.stack([a.reshape(shape) for a in row], 3) for row in cells], 2)
    return y.reshape(x.shape[0], y.shape[1] * y.shape[2], y.shape[3] * y.shape[4], -1)


def covered(axes: tuple[Axis, Axis], x: Array) -> tuple[Array, tuple[int, int]]:
    """Pad `x` to whole tiles; gives their numbers too."""
    rows, columns = (axis.tiles(n) for axis, n in zip(axes, x.shape[1:3], strict=True))
    needed = [
        (n - 1) * len(axis.outputs) + len(axis.data)
        for axis, n in zip(axes, (rows, columns), strict=True)
    ]
    more = [(0, n - have) for n, have in zip(needed, x.shape[1:3], strict=True)]
    return jnp.pad(x, ((0, 0), *more, (0, 0))), (rows, columns)


def evaluate(axis: Axis, x: Array, dimension: int, tiles: int) -> list[Array]:
    """Evaluate all tiles along `dimension` at each point."""
    m, n = len(axis.outputs), len(axis.data)
    parts = [lax.slice_in_dim(x, k, k + (tiles - 1) * m + 1, m, dimension) for k in range(n)]
    return [combine(row, parts) for row in axis.data]


def combine(coefficients: Iterable[float], parts: Sequence[Array]) -> Array:
    """Sum `parts` times `coefficients`, many of which are 0, 1 or -1."""
    terms = [
        part if factor == 1 else -part if factor == -1 else part * np.asarray(factor, part.dtype)
        for factor, part in zip(coefficients, parts, strict=True)
        if factor != 0
    ]
    return functools.reduce(operator.add, terms)
