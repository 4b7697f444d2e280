import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.backbones_numpy import Net, relative
from models.rpn_numpy import draw

from siamjax.models.neck import Neck, center_crop


@pytest.mark.parametrize(
    ("width", "margin", "cells"),
    [
        (15, None, range(4, 11)),
        (15, 4, range(4, 11)),
        (16, None, range(4, 11)),
        (17, None, range(5, 12)),
        (17, 4, range(4, 13)),
        (19, None, range(6, 13)),
        (8, None, range(7)),
        (7, None, range(7)),
        (7, 4, range(7)),
        (6, None, range(6)),
        (20, None, range(20)),
        (20, 4, range(20)),
        (31, None, range(31)),
    ],
)
def test_cells_that_are_kept(width, margin, cells):
    rows, columns = np.mgrid[:width, :width].astype(np.float32)
    got = center_crop(np.stack([rows, columns], -1)[None], margin)
    kept = np.array(cells, np.float32)
    assert got.shape == (1, len(kept), len(kept), 2)
    np.testing.assert_array_equal(got[0, :, 0, 0], kept)
    np.testing.assert_array_equal(got[0, 0, :, 1], kept)


def test_neck_equals_numpy():
    rng = np.random.default_rng(1)
    stages = tuple(
        rng.standard_normal((2, side, side, c), np.float32) for side, c in ((15, 5), (21, 3))
    )
    neck = Neck(features=(4, 6))
    variables = draw(jax.eval_shape(neck.init, jax.random.key(0), stages))
    small, large = neck.apply(variables, stages)
    reference = Net(variables)
    assert relative(small, reference(stages[0], "level_0")[:, 4:11, 4:11]) < 1e-6
    assert relative(large, reference(stages[1], "level_1")) < 1e-6


def test_statistics_are_those_before_the_crop():
    x = np.zeros((1, 15, 15, 1), np.float32)
    x[0, 0, 0, 0] = 225.0
    neck = Neck(features=(1,))
    variables = neck.init(jax.random.key(0), (x,))
    kernel = float(variables["params"]["level_0"]["conv"]["kernel"][0, 0, 0, 0])
    _, moved = neck.apply(variables, (x,), train=True, mutable=["batch_stats"])
    mean = moved["batch_stats"]["level_0"]["bn"]["mean"]
    np.testing.assert_allclose(mean, [0.1 * kernel], rtol=1e-5)


def test_every_level_needs_a_stage():
    with pytest.raises(ValueError, match="zip"):
        Neck(features=(2, 3)).init(jax.random.key(0), (jnp.zeros((1, 7, 7, 2)),))
