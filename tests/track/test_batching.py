import jax
import jax.numpy as jnp
import numpy as np
import pytest

from siamjax.track.batching import map_examples


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    return (
        {"w": jnp.asarray(rng.standard_normal((5, 3)), jnp.float32)},
        jnp.asarray(rng.standard_normal((2, 4, 6, 5)), jnp.float32),  # [outer, n, rows, features]
    )


def embed(variables, crops):
    """Each example by itself: squares, weights, and a maximum over its rows."""
    return jnp.max((crops**2) @ variables["w"], axis=1)


def expected(w, crops):
    return (np.float64(crops) ** 2 @ np.float64(w)).max(-2)


def run(variables, crops):
    return map_examples(embed, variables, crops)


@pytest.mark.parametrize("examples", [1, 4])
def test_batch_vmap_and_jit(case, examples):
    variables, crops = case
    crops = crops[:, :examples]
    wanted = expected(variables["w"], crops)
    np.testing.assert_allclose(run(variables, crops[0]), wanted[0], rtol=1e-5)
    over = jax.vmap(run, (None, 0))
    np.testing.assert_allclose(over(variables, crops), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(over)(variables, crops), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(run)(variables, crops[1]), wanted[1], rtol=1e-5)


def test_double_vmap(case):
    variables, crops = case
    stacked = jnp.stack([crops, crops + 1, crops - 1])
    got = jax.vmap(jax.vmap(run, (None, 0)), (None, 0))(variables, stacked)
    np.testing.assert_allclose(got, expected(variables["w"], stacked), rtol=1e-4)
    moved = stacked.transpose(1, 2, 0, 3, 4)  # outer axis third, inner axis second
    got = jax.vmap(jax.vmap(run, (None, 1)), (None, 2))(variables, moved)
    wanted = expected(variables["w"], stacked).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(got, wanted, rtol=1e-4)


def test_batched_variables(case):
    variables, crops = case
    many = {"w": jnp.stack([variables["w"], -variables["w"]])}
    wanted = np.stack([expected(many["w"][n], crops[n]) for n in range(2)])
    np.testing.assert_allclose(jax.vmap(run)(many, crops), wanted, rtol=1e-5)
    shared = np.stack([expected(many["w"][n], crops[0]) for n in range(2)])
    np.testing.assert_allclose(jax.vmap(run, (0, None))(many, crops[0]), shared, rtol=1e-5)
    mixed = jax.vmap(jax.vmap(run, (None, 0)), (0, None))(many, crops)
    wanted = np.stack([expected(many["w"][n], crops) for n in range(2)])
    np.testing.assert_allclose(mixed, wanted, rtol=1e-5)


def test_nothing_batched_stays_single(case):
    variables, crops = case
    got, _ = jax.vmap(lambda n: (run(variables, crops[0]), n))(jnp.arange(3))
    np.testing.assert_allclose(got, np.stack([expected(variables["w"], crops[0])] * 3), rtol=1e-5)
