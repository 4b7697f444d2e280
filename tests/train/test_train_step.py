"""The step on one device: what it computes, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from train_fake import Fake, batch, jitter

from siamjax.train.step import TrainState, init_state, make_step

KEY = jax.random.key(3)


def close(got, wanted, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=0), got, wanted)


def start(optimizer, ema=False):
    return init_state(Fake().init_variables(jax.random.key(0)), optimizer, ema=ema)


def test_one_step_of_sgd_is_the_gradient():
    optimizer = optax.sgd(0.1)
    state = start(optimizer)
    new, metrics = jax.jit(make_step(Fake(), optimizer))(state, batch(), KEY)
    objective = lambda p: Fake().loss(p, state.stats, batch(), KEY)[0]
    loss, gradient = jax.value_and_grad(objective)(state.params)
    close(new.params, jax.tree.map(lambda p, g: p - 0.1 * g, state.params, gradient), 1e-6)
    close(metrics["loss"], loss, 1e-6)
    norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in jax.tree.leaves(gradient)))
    close(metrics["grad_norm"], norm, 1e-5)
    assert new.step == 1
    assert metrics["skipped"] == 0
    assert metrics["positives"] == 4
    assert new.stats["backbone"]["count"] == 1


def test_a_step_that_is_not_finite_only_counts():
    optimizer = optax.adam(0.1)
    state = start(optimizer, ema=True)
    step = jax.jit(make_step(Fake(), optimizer, ema_decay=0.9))
    bad = batch()
    bad["y"] = np.full(8, np.nan, np.float32)
    new, metrics = step(state, bad, KEY)
    assert metrics["skipped"] == 1
    assert new.step == 1
    jax.tree.map(np.testing.assert_array_equal, new._replace(step=0), state._replace(step=0))
    after, metrics = step(new, batch(), KEY)
    assert metrics["skipped"] == 0
    wanted, _ = step(state._replace(step=jnp.ones((), jnp.int32)), batch(), KEY)
    jax.tree.map(np.testing.assert_array_equal, after, wanted)


def test_a_gradient_that_overflows_is_skipped_though_the_loss_is_finite():
    class Steep(Fake):
        def loss(self, params, stats, batch, key, train=True):
            return jnp.sqrt(params["head"]["bias"]), (stats, {})

    optimizer = optax.sgd(0.1)
    new, metrics = make_step(Steep(), optimizer)(start(optimizer), batch(), KEY)
    assert metrics["loss"] == 0
    assert metrics["skipped"] == 1
    assert new.params["head"]["bias"] == 0


def test_ema_follows():
    optimizer = optax.sgd(0.1)
    state = start(optimizer, ema=True)
    step = make_step(Fake(), optimizer, ema_decay=0.75)
    one, _ = step(state, batch(0), KEY)
    two, _ = step(one, batch(1), KEY)
    kernel = lambda params: np.asarray(params["backbone"]["kernel"])
    first = 0.75 * kernel(state.params) + 0.25 * kernel(one.params)
    close(kernel(two.ema), 0.75 * first + 0.25 * kernel(two.params), 1e-6)


def test_augmentation_depends_on_the_index_alone():
    whole = jitter(KEY, batch(2))["x"]
    part = jitter(KEY, {name: value[3:5] for name, value in batch(2).items()})["x"]
    np.testing.assert_array_equal(whole[3:5], part)
    step = make_step(Fake(), optax.sgd(0.1), jitter)
    state = start(optax.sgd(0.1))
    moved = {**batch(), "index": batch(1)["index"]}
    assert step(state, batch(), KEY)[1]["loss"] != step(state, moved, KEY)[1]["loss"]


def test_frozen_parts_stay_and_do_not_enter_the_norm():
    optimizer = optax.sgd(0.1)
    state = start(optimizer)
    new, metrics = make_step(Fake(), optimizer, frozen=["^backbone/"])(state, batch(), KEY)
    jax.tree.map(np.testing.assert_array_equal, new.params["backbone"], state.params["backbone"])
    moved = new.params["head"]["bias"] - state.params["head"]["bias"]
    assert abs(moved) > 0
    assert metrics["grad_norm"] == pytest.approx(abs(float(moved)) / 0.1, rel=1e-5)


def test_state_has_the_documented_fields():
    assert TrainState._fields == ("params", "stats", "opt_state", "step", "ema")
