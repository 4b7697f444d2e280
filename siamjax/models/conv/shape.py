"""What is static about one convolution, and the padding that goes with it."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from siamjax.typing import AnyArray, Array

Padding = str | int | Sequence[tuple[int, int]]


class Shape(NamedTuple):
    """Everything static but the sizes; padding as ((top, bottom), (left, right))."""

    strides: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: int
    groups: int

    def output_size(self, x: AnyArray, kernel: AnyArray) -> tuple[int, int]:
        """Return the rows and columns of the response to `x` before its padding."""
        rows, columns = (
            (x.shape[axis + 1] + sum(self.padding[axis]) - (size - 1) * self.dilation - 1)
            // self.strides
            + 1
            for axis, size in enumerate(kernel.shape[:2])
        )
        return rows, columns


def pairs(
    x: AnyArray, kernel: AnyArray, strides: int, padding: Padding, dilation: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Resolve `padding` to ((top, bottom), (left, right)).

    Raises:
        ValueError: a word other than "VALID" and "SAME".
    """
    if isinstance(padding, int):
        return (padding, padding), (padding, padding)
    if isinstance(padding, str):
        if padding not in ("VALID", "SAME"):
            raise ValueError(f"conv: padding is {padding!r}, expected 'VALID', 'SAME' or numbers")
        window = [(size - 1) * dilation + 1 for size in kernel.shape[:2]]
        padding = lax.padtype_to_pads(x.shape[1:3], window, (strides, strides), padding)
    (top, bottom), (left, right) = padding
    return (int(top), int(bottom)), (int(left), int(right))


def padded(shape: Shape, x: Array) -> Array:
    """Pad `x` with zeros; negative amounts cut."""
    config = [(0, 0, 0), *((low, high, 0) for low, high in shape.padding), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), config)
