"""Distances of embeddings: of pairs, of all pairs, and the nearest of a bank.

Small means alike. All pairs are computed from matrix products, never from an array of differences
[A, B, D]: |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, whose rounding error is some 1e-7 of |a|^2 (in an
Euclidean distance: 4e-4 of |a| between points that coincide). `pairs` forms the differences of its
rows and is exact; `nearest` measures what it found anew in this way. Products are float32 on
accelerators too.
"""

import functools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from siamjax.typing import AnyArray, Array

Distance = Literal["euclidean", "squared", "cosine", "manhattan"]
DISTANCES: tuple[str, ...] = get_args(Distance)

_TINY = 1e-12
"""A vector shorter than this has no direction."""

_CELLS = 2**20
"""Cells of a block of distances that stay in the cache while it is finished."""


def root(squared: Float[AnyArray, "*n"]) -> Float[Array, "*n"]:
    """Take the square root, 0 for what is not positive, with slope 0 there."""
    squared = jnp.asarray(squared)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def unit(vectors: Float[AnyArray, "*n D"]) -> Float[Array, "*n D"]:
    """Scale vectors to length 1; a zero vector stays one, and its gradient is 0."""
    vectors = jnp.asarray(vectors)
    squared = jnp.square(vectors).sum(axis=-1, keepdims=True)
    some = squared > _TINY**2
    return jnp.where(some, vectors * lax.rsqrt(jnp.where(some, squared, 1.0)), 0.0)


def pairs(
    a: Float[AnyArray, "*n D"], b: Float[AnyArray, "*n D"], distance: str = "euclidean"
) -> Float[Array, "*n"]:
    """Measure every row of `a` against the same row of `b`.

    Args:
        a: embeddings.
        b: as many of the same width.
        distance: "euclidean" |a - b|; "squared" |a - b|^2; "cosine" 1 - a.b / (|a| |b|), which is 1
            where one of the two is zero; "manhattan" sum |a_i - b_i|.

    Returns:
        Distances, whose gradient is finite everywhere: 0 where a square root, an absolute value or
        a direction has none.

    Raises:
        ValueError: `distance` is unknown.
    """
    _check(distance)
    a, b = jnp.asarray(a), jnp.asarray(b)
    if distance == "cosine":
        return 1 - (unit(a) * unit(b)).sum(axis=-1)
    if distance == "manhattan":
        return jnp.abs(a - b).sum(axis=-1)
    squared = jnp.square(a - b).sum(axis=-1)
    return squared if distance == "squared" else root(squared)


@functools.partial(jax.jit, static_argnames=("distance", "block"))
def all_pairs(
    a: Float[AnyArray, "A D"],
    b: Float[AnyArray, "B D"],
    distance: str = "euclidean",
    *,
    block: int | None = None,
) -> Float[Array, "A B"]:
    """Measure every row of `a` against every row of `b`.

    Args:
        a: embeddings.
        b: embeddings of the same width.
        distance: as in `pairs`.
        block: rows of `a` at a time, each written straight into the result, so that nothing but the
            result is as large as it; None for all at once ("manhattan" chooses its own).

    Raises:
        ValueError: `distance` is unknown, or `block` is under 1.
    """
    _check(distance)
    a, b = jnp.asarray(a), jnp.asarray(b)
    if distance == "cosine":
        a, b = unit(a), unit(b)
    if block is None and distance == "manhattan":
        block = max(1, _CELLS // max(1, b.shape[0]))
    if block is None or block >= a.shape[0]:
        return _tile(a, b, distance)
    if block < 1:
        raise ValueError(f"block: expected at least 1 row, got {block}")

    def write(index: Array, out: Array) -> Array:
        start = jnp.minimum(index * block, a.shape[0] - block)
        rows = lax.dynamic_slice_in_dim(a, start, block)
        return lax.dynamic_update_slice_in_dim(out, _tile(rows, b, distance), start, 0)

    out = jnp.zeros((a.shape[0], b.shape[0]), a.dtype)
    return lax.fori_loop(0, -(-a.shape[0] // block), write, out)


@functools.partial(jax.jit, static_argnames=("k", "distance", "block"))
def nearest(
    query: Float[AnyArray, "Q D"],
    bank: Float[AnyArray, "N D"],
    k: int,
    distance: str = "euclidean",
    *,
    block: int = 1024,
) -> tuple[Float[Array, "Q {k}"], Int[Array, "Q {k}"]]:
    """Find the `k` nearest rows of a bank, keeping no more than a block of distances at a time.

    Args:
        query: embeddings.
        bank: embeddings among which to find.
        k: how many, 1 to the bank's size.
        distance: as in `pairs`.
        block: rows of the bank, and of the query, at a time.

    Returns:
        Distances from small to large, and rows of the bank; of equal distances the first row.

    Raises:
        ValueError: `distance` is unknown, or `k` or `block` does not fit.
    """
    _check(distance)
    query, bank = jnp.asarray(query), jnp.asarray(bank)
    if not 1 <= k <= bank.shape[0]:
        raise ValueError(f"k: expected 1 to the bank's {bank.shape[0]} rows, got {k}")
    if block < 1:
        raise ValueError(f"block: expected at least 1 row, got {block}")
    if distance == "cosine":
        query, bank = unit(query), unit(bank)
    rows, columns = min(block, query.shape[0]), min(block, bank.shape[0])

    def search(some: Array) -> tuple[Array, Array]:
        def better(index: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            start = jnp.minimum(index * columns, bank.shape[0] - columns)
            number = start + jnp.arange(columns)
            apart = _tile(some, lax.dynamic_slice_in_dim(bank, start, columns), distance)
            # The last block begins before its turn where the size is no multiple.
            apart = jnp.where((number >= index * columns)[None], apart, jnp.inf)
            apart = jnp.concatenate([best[0], apart], axis=1)
            number = jnp.broadcast_to(number[None], (rows, columns))
            number = jnp.concatenate([best[1], number], axis=1)
            negative, place = lax.top_k(-apart, k)
            return -negative, jnp.take_along_axis(number, place, axis=1)

        none = jnp.full((rows, k), jnp.inf, some.dtype), jnp.zeros((rows, k), jnp.int32)
        _, found = lax.fori_loop(0, -(-bank.shape[0] // columns), better, none)
        exact = pairs(
            jnp.broadcast_to(some[:, None], (rows, k, some.shape[1])), bank[found], distance
        )
        exact, found = lax.sort((exact, found), dimension=1, num_keys=2)
        return exact, found

    def write(index: Array, out: tuple[Array, Array]) -> tuple[Array, Array]:
        start = jnp.minimum(index * rows, query.shape[0] - rows)
        apart, number = search(lax.dynamic_slice_in_dim(query, start, rows))
        return (
            lax.dynamic_update_slice_in_dim(out[0], apart, start, 0),
            lax.dynamic_update_slice_in_dim(out[1], number, start, 0),
        )

    out = jnp.zeros((query.shape[0], k), query.dtype), jnp.zeros((query.shape[0], k), jnp.int32)
    return lax.fori_loop(0, -(-query.shape[0] // rows), write, out)


def _tile(a: Array, b: Array, distance: str) -> Float[Array, "A B"]:
    """Give all distances of two blocks; for "cosine" they are of length 1 already."""
    if distance == "manhattan":
        add = lambda i, sums: sums + jnp.abs(a[:, i, None] - b[None, :, i])
        # From the first term on, not from zeros, which no mapped axis of devices varies.
        return lax.fori_loop(1, a.shape[1], add, jnp.abs(a[:, :1] - b[None, :, 0]))
    products = jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST)
    if distance == "cosine":
        return 1 - products
    lengths = jnp.square(a).sum(axis=1)[:, None] + jnp.square(b).sum(axis=1)[None, :]
    squared = jnp.maximum(lengths - 2 * products, 0.0)
    return squared if distance == "squared" else root(squared)


def _check(distance: str) -> None:
    if distance not in DISTANCES:
        raise ValueError(f"distance: expected one of {DISTANCES}, got {distance!r}")
