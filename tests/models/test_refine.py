import functools

import jax
import numpy as np
import pytest
from models.backbones_numpy import draw, picture, relative
from models.refine_numpy import refine as refine_numpy

from siamjax.models import refine
from siamjax.models.backbones import BACKBONES
from siamjax.models.refine import LEVELS, Level, Refine

# Three positions a row; windows of two stages that begin two steps before their first cells.
TINY, SIDE = (Level("a", 3, 1, 5, 4), Level("b", 7, 2, 4, 3)), 15
CELLS, BORDERS = (1, 3), (2, 4)
POSITIONS = np.array([[[1, 2], [0, 0]], [[2, 0], [1, 1]]])


@functools.cache
def tiny():
    """A refinement of narrow stages: module, parameters, correlation, stages of two pictures."""
    module, rng = Refine(TINY, SIDE), np.random.default_rng(7)
    normal = lambda *shape: np.float32(rng.normal(size=shape))
    stages = tuple(normal(2, n, n, c) for n, c in zip(CELLS, (5, 3), strict=True))
    inputs = (normal(2, 3, 3, 6), stages)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs, POSITIONS)
    params = jax.tree.map(lambda leaf: 0.3 * normal(*leaf.shape), shapes["params"])
    run = lambda params, *inputs: module.apply({"params": params}, *inputs)
    return jax.jit(run), params, *inputs


def expected(params, correlation, stages, positions=POSITIONS):
    """The same by NumPy, one position at a time."""
    masks = [
        refine_numpy(params, TINY, BORDERS, SIDE, correlation[n], [s[n] for s in stages], one)
        for n in range(len(positions))
        for one in positions[n]
    ]
    return np.reshape(masks, (*positions.shape[:2], SIDE, SIDE))


# ------------------------------------------------------------------ enlargement and windows


def test_nearest_takes_the_cell_before():
    x = np.arange(3.0)[:, None] + 10 * np.arange(2.0)[None]
    got = refine.nearest(np.float32(x)[None, ..., None], 7)
    assert got.shape == (1, 7, 7, 1)
    np.testing.assert_array_equal(got[0, :, 0, 0], [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(got[0, 0, :, 0], [0, 0, 0, 0, 10, 10, 10])


@pytest.mark.parametrize(("before", "after"), [(15, 31), (31, 61), (61, 127), (64, 127)])
def test_enlargements_are_those_of_torch(before, after):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(1, 2, before, before)).astype(np.float32)
    image = torch.from_numpy(x)
    wanted = torch.nn.functional.interpolate(image, size=(after, after)).numpy()
    got = np.asarray(refine.nearest(x.transpose(0, 2, 3, 1), after))
    np.testing.assert_array_equal(got.transpose(0, 3, 1, 2), wanted)
    # In float64: torch's float32 weights are wrong by 9e-6.
    wanted = torch.nn.UpsamplingBilinear2d(size=(after, after))(image.double()).numpy()
    assert relative(refine.enlarge(x, after), wanted) < 1e-6


def test_corners_stay_corners():
    got = refine.enlarge(np.float32([[0, 4, 8], [2, 6, 10]]), 5)
    np.testing.assert_allclose(got[0], [0, 2, 4, 6, 8])
    np.testing.assert_allclose(got[:, 4], [8, 8.5, 9, 9.5, 10])


@pytest.mark.parametrize(
    ("name", "cells", "positions", "wanted"),
    [
        ("resnet50", (31, 63, 125), 25, 4),
        ("resnet50", (17, 35, 69), 3, 0),
        ("resnet50", (31, 64, 127), 25, 4),
        ("resnet18", (23, 47, 93), 17, 4),
        ("efficientnet-lite0", (32, 64, 128), 9, 0),
    ],
)
def test_where_the_first_window_begins(name, cells, positions, wanted):
    assert refine.margin(LEVELS[name][0], cells[0], positions) == wanted


def test_windows_are_cut_at_rows_and_columns():
    x = np.float32(np.arange(63)[:, None] * 100 + np.arange(63))[None, ..., None]
    positions = np.array([[[12, 20], [0, 3], [99, 3]], [[4, 4], [4, 4], [4, 4]]])
    (inside, top, far), _ = refine.windows(x, positions, LEVELS["resnet50"][1], 4, 25)
    np.testing.assert_array_equal(inside[..., 0], x[0, 16:47, 32:63, 0])
    np.testing.assert_array_equal(top[8:, 2:, 0], x[0, :23, :29, 0])
    assert not np.asarray(top)[:8].any()
    assert not np.asarray(top)[:, :2].any()
    np.testing.assert_array_equal(far[:23, 2:, 0], x[0, 40:63, :29, 0])
    assert not np.asarray(far)[23:].any()


def test_lite_windows_show_what_the_exemplar_shows():
    """Stages of an exemplar cut out of the search crop at 16 px a position, away from borders."""
    backbone = BACKBONES["efficientnet-lite0"].make(width=1 / 8, layers=("block4",))
    x, run, variables = picture(191), jax.jit(backbone.apply), draw(backbone)
    variables["params"]["stem"]["conv"]["kernel"] *= 64  # it scales its input itself
    row, column = 16 * 1, 16 * 4
    whole, alone = run(variables, x), run(variables, x[:, row : row + 127, column : column + 127])
    for level, inner in zip(LEVELS["efficientnet-lite0"], ((5, 11), (8, 24), (3, 60)), strict=True):
        x, inner = whole[level.stage], slice(*inner)
        here, beside = refine.windows(x, np.array([[[1, 4], [1, 3]]]), level, 0, 5)[0]
        wanted = alone[level.stage][0]
        assert here.shape == wanted.shape
        assert relative(here[inner, inner], wanted[inner, inner]) < 1e-5
        assert relative(beside[inner, inner], wanted[inner, inner]) > 1e-3


# ------------------------------------------------------------------ the refinement


def test_refinement_equals_numpy():
    run, *inputs = tiny()
    assert refine.margin(TINY[0], 1, 3) == 2
    wanted = expected(*inputs)
    assert relative(run(*inputs, POSITIONS), wanted) < 1e-5
    assert relative(wanted[0, 0], wanted[0, 1]) > 0.1
    outside = np.array([[[1, 9], [-4, 0]], [[2, -1], [1, 1]]])
    np.testing.assert_array_equal(run(*inputs, outside), run(*inputs, POSITIONS))


def test_targets_are_refined_alike_together_and_apart():
    run, params, correlation, stages = tiny()
    wanted = run(params, correlation, stages, POSITIONS)
    one = lambda c, s, p: run(params, c[None], tuple(a[None] for a in s), p[None])[0]
    apart = jax.jit(jax.vmap(one))(correlation, stages, POSITIONS)
    assert relative(apart, wanted) < 1e-5
    shared = run(params, correlation, tuple(stage[:1] for stage in stages), POSITIONS)
    assert relative(shared[0], wanted[0]) < 1e-5
    alike = expected(params, correlation[1:], [stage[:1] for stage in stages], POSITIONS[1:])
    assert relative(shared[1:], alike) < 1e-5


def test_gradients_are_those_of_finite_differences():
    """Along one direction for each input, the differences of the float64 reference."""
    run, *point = tiny()
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(2, 2, SIDE, SIDE))
    value = lambda *point: (run(*point, POSITIONS) * weight).sum()
    grads = jax.jit(jax.grad(value, (0, 1, 2)))(*point)
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(grads))
    for part, tree in enumerate(point):
        ways = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), tree)

        def moved(step, part=part, ways=ways):
            place = list(point)
            go = lambda leaf, way: np.float64(leaf) + step * way
            place[part] = jax.tree.map(go, point[part], ways)
            return (expected(*place) * weight).sum()

        wanted = (moved(1e-6) - moved(-1e-6)) / 2e-6
        pairs = zip(jax.tree.leaves(grads[part]), jax.tree.leaves(ways), strict=True)
        got = sum((np.float64(g) * d).sum() for g, d in pairs)
        assert abs(got - wanted) <= 1e-4 * abs(wanted)
