"""Distances against PyTorch's numbers and NumPy's differences in float64."""

import functools
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.metric.distances import DISTANCES, all_pairs, nearest, pairs, root, unit

GOLDEN = Path(__file__).parents[1] / "golden" / "metric.npz"
rng = np.random.default_rng(2)
floats = lambda *shape: rng.normal(size=shape).astype(np.float32)


def reference(a, b, distance):
    """Measure all pairs from their differences."""
    a, b = a[:, None].astype(np.float64), b[None].astype(np.float64)
    if distance == "cosine":
        lengths = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
        return 1 - np.where(lengths > 0, (a * b).sum(2) / np.where(lengths > 0, lengths, 1), 0)
    if distance == "manhattan":
        return np.abs(a - b).sum(2)
    squared = ((a - b) ** 2).sum(2)
    return squared if distance == "squared" else np.sqrt(squared)


@pytest.mark.parametrize(
    ("name", "distance"),
    [("euclid", "euclidean"), ("sqeuclid", "squared"), ("cosine_distance_eps1e-8", "cosine")],
)
def test_golden(name, distance):
    golden = np.load(GOLDEN)
    a, b = golden["a"], golden["b"]
    values, vjp = jax.vjp(functools.partial(pairs, distance=distance), a, b)
    np.testing.assert_allclose(values, golden[f"{name}/value"], rtol=0, atol=1e-5)
    for gradient, side in zip(vjp(np.ones(12, np.float32)), ("a", "b"), strict=True):
        wanted = golden[f"{name}/grad_{side}"]
        # Of the zero vectors in rows 5 and 6 PyTorch's cosine has a gradient of 1e8, ours none.
        some = np.abs(wanted).max(axis=1) < 1e4
        assert some.sum() >= 10
        np.testing.assert_allclose(gradient[some], wanted[some], rtol=0, atol=1e-5)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("distance", DISTANCES)
def test_all_pairs_equal_differences(distance):
    a, b = floats(7, 5), floats(4, 5)
    a[3] = b[1]
    wanted = reference(a, b, distance)
    call = functools.partial(all_pairs, distance=distance)
    whole = call(a, b)
    np.testing.assert_allclose(whole, wanted, rtol=1e-5, atol=2e-3)
    np.testing.assert_allclose(np.delete(whole, 3, 0), np.delete(wanted, 3, 0), rtol=2e-5)
    for block in (3, 7):  # 3 leaves a last block of one row
        np.testing.assert_allclose(call(a, b, block=block), whole, rtol=1e-6, atol=1e-6)
    rows = pairs(a, np.repeat(b[1:2], 7, axis=0), distance)
    np.testing.assert_allclose(rows, wanted[:, 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("distance", "queries", "rows", "block", "k"),
    [
        ("euclidean", 9, 23, 5, 4),  # last blocks of 4 and 3 rows
        ("squared", 2, 6, 30, 6),
        ("cosine", 5, 7, 4, 7),
        ("manhattan", 3, 4, 1, 2),
    ],
)
def test_nearest_in_blocks(distance, queries, rows, block, k):
    # A grid of small integers, where distances are often equal.
    a = rng.integers(-2, 3, (queries, 3)).astype(np.float32)
    bank = rng.integers(-2, 3, (rows, 3)).astype(np.float32)
    wanted = np.sort(reference(a, bank, distance), axis=1)[:, :k]
    found, index = nearest(a, bank, k, distance, block=block)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == k for row in np.asarray(index).tolist())
    there = np.take_along_axis(reference(a, bank, distance), np.asarray(index), axis=1)
    np.testing.assert_allclose(there, wanted, rtol=1e-5, atol=1e-5)


def test_what_was_found_is_measured_by_differences():
    """Far from the origin the matrix product is off by 0.1; distances are not."""
    bank = (1000 + 0.01 * rng.normal(size=(6, 4))).astype(np.float32)
    found, index = nearest(bank[:1], bank, 6)
    wanted = reference(bank[:1], bank, "euclidean")[0]
    np.testing.assert_allclose(found[0], np.sort(wanted), rtol=1e-5)
    np.testing.assert_allclose(wanted[np.asarray(index[0])], found[0], rtol=1e-5)


@pytest.mark.parametrize("distance", ["euclidean", "manhattan"])
def test_gradient_of_all_pairs(distance):
    a, b, weights = floats(5, 3), floats(4, 3), floats(5, 4)
    call = lambda a: (all_pairs(a, b, distance) * weights).sum()
    each = lambda x: pairs(jnp.broadcast_to(x, b.shape), b, distance)
    plain = lambda a: (jax.vmap(each)(a) * weights).sum()
    wanted = jax.jit(jax.grad(plain))(a)
    np.testing.assert_allclose(jax.jit(jax.grad(call))(a), wanted, rtol=1e-4, atol=1e-5)


def test_slopes_where_there_are_none():
    np.testing.assert_array_equal(root(np.float32([4, 0, -1])), [2, 0, 0])
    np.testing.assert_array_equal(jax.grad(lambda x: root(x).sum())(np.float32([4, 0])), [0.25, 0])
    zero = np.zeros((1, 3), np.float32)
    np.testing.assert_array_equal(unit(zero), zero)
    assert not jax.grad(lambda x: unit(x).sum())(zero).any()
    np.testing.assert_allclose(unit(np.float32([[3e-9, 4e-9, 0]])), [[0.6, 0.8, 0]], rtol=1e-5)


def test_errors():
    a, b = floats(3, 2), floats(4, 2)
    for call in (pairs, all_pairs):
        with pytest.raises(ValueError, match=r"distance: .*'hamming'"):
            inspect.unwrap(call)(a, a, "hamming")
    with pytest.raises(ValueError, match=r"block: .*got 0"):
        inspect.unwrap(all_pairs)(a, b, block=0)
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"k: expected 1 to the bank's 4 rows, got {k}"):
            inspect.unwrap(nearest)(a, b, k)
