import jax
import jax.numpy as jnp
import numpy as np
import pytest
from track import siamfc_numpy

from siamjax.models.siamfc import BACKBONES, LITE, STRIDES, Fuse, Response, SiamFCNet


def test_every_backbone_has_a_stride():
    assert set(STRIDES) == set(BACKBONES)
    assert STRIDES["alexnet-v2"] == 4
    assert {STRIDES[name] for name in BACKBONES if name != "alexnet-v2"} == {8}


@pytest.mark.parametrize("batches", [(1, 3), (3, 1), (3, 3)])
def test_a_batch_of_one_serves_all(batches):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((batches[0], 3, 4, 5), np.float32)
    x = rng.standard_normal((batches[1], 8, 9, 5), np.float32)
    got = SiamFCNet("alexnet-v1").apply({}, z, x, method="respond")
    expected = np.empty((3, 6, 6))
    for n in range(3):
        a, b = np.float64(z[min(n, batches[0] - 1)]), np.float64(x[min(n, batches[1] - 1)])
        for i in range(6):
            for j in range(6):
                expected[n, i, j] = 0.001 * (b[i : i + 3, j : j + 4] * a).sum()
    np.testing.assert_allclose(got, expected, atol=1e-7)


def test_learned_response_starts_as_the_fixed_one():
    rng = np.random.default_rng(1)
    z, x = (rng.standard_normal((2, side, side, 4), np.float32) for side in (3, 6))
    head = Response(scale=0.25, learned=True)
    variables = head.init(jax.random.key(0), z, x)
    raw = siamfc_numpy.correlate(z, x)
    np.testing.assert_allclose(head.apply(variables, z, x), 0.25 * raw, rtol=1e-4, atol=1e-5)
    moved = {"params": {"gain": jnp.float32(2), "bias": jnp.float32(-3)}}
    got = head.apply(moved, z, x)
    np.testing.assert_allclose(got, 0.5 * raw - 3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [8, 7])
def test_fuse_equals_numpy(side):
    rng = np.random.default_rng(2)
    fine = rng.standard_normal((2, side, side, 3), np.float32)
    coarse = rng.standard_normal((2, 4, 4, 5), np.float32)
    neck = Fuse(features=6)
    variables = neck.init(jax.random.key(0), fine, coarse)
    params = variables["params"]
    low = coarse @ np.asarray(params["coarse"]["kernel"])[0, 0] + np.asarray(
        params["coarse"]["bias"]
    )
    expected = fine @ np.asarray(params["fine"]["kernel"])[0, 0]
    for i in range(side):
        for j in range(side):
            expected[:, i, j] += low[:, i // 2, j // 2]
    np.testing.assert_allclose(neck.apply(variables, fine, coarse), expected, atol=1e-5)


def test_lite_keeps_the_middle_of_its_template():
    net = SiamFCNet(LITE)
    z, x = jnp.zeros((1, 127, 127, 3)), jnp.zeros((1, 255, 255, 3))
    variables = jax.eval_shape(net.init, jax.random.key(0), z, x)
    embed = lambda v, image, method: net.apply(v, image, method=method)
    whole = jax.eval_shape(lambda v, a: embed(v, a, "search"), variables, z)
    middle = jax.eval_shape(lambda v, a: embed(v, a, "template"), variables, z)
    found = jax.eval_shape(lambda v, a: embed(v, a, "search"), variables, x)
    assert whole.shape[1:3] == (16, 16)
    assert middle.shape[1:3] == (8, 8)
    assert found.shape[1:3] == (32, 32)
    assert jax.eval_shape(net.apply, variables, z, x).shape == (1, 25, 25)
