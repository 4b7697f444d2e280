"""The optimiser's chain against updates written out, and parts chosen by path."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from siamjax.train import freeze
from siamjax.train.freeze import Phase, Unfreeze, phases
from siamjax.train.optimizer import Optimizer, build
from siamjax.train.schedule import Constant, Exponential

PARAMS = {
    "backbone": {
        "conv1": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 1.0)},
        "bn1": {"scale": jnp.full(2, 3.0)},
    },
    "head": {"gain": jnp.asarray(4.0)},
}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)


def run(config, steps=10, count=1):
    optimizer = build(config, steps, PARAMS)
    state, params = optimizer.init(PARAMS), PARAMS
    for _ in range(count):
        updates, state = jax.jit(optimizer.update)(GRADS, state, params)
        params = optax.apply_updates(params, updates)
    return {
        freeze.path_name(path): np.asarray(new)
        for path, new in jax.tree_util.tree_leaves_with_path(params)
    }


def test_sgd_as_torch_does_it():
    config = Optimizer("sgd", Constant(0.1), momentum=0.5, weight_decay=0.25, decay_all=True)
    after = run(config, count=2)
    # gradient 1 + 0.25 * 4 = 2, moves 0.2; then 1 + 0.25 * 3.8 = 1.95, plus half of 2: 0.295
    np.testing.assert_allclose(after["head/gain"], 4 - 0.2 - 0.295, rtol=1e-6)
    # 1 + 0.25 * 2 = 1.5, moves 0.15; then 1 + 0.25 * 1.85 + 0.75 = 2.2125
    np.testing.assert_allclose(after["backbone/conv1/kernel"], 2 - 0.15 - 0.22125, rtol=1e-6)


def test_decay_spares_biases_and_norms():
    after = run(Optimizer("sgd", Constant(0.1), momentum=0.0, weight_decay=0.25))
    np.testing.assert_allclose(after["backbone/conv1/kernel"], 2 - 0.1 * 1.5, rtol=1e-6)
    np.testing.assert_allclose(after["backbone/conv1/bias"], 0.9, rtol=1e-6)
    np.testing.assert_allclose(after["backbone/bn1/scale"], 2.9, rtol=1e-6)


def test_adamw_decays_apart_from_the_gradient():
    after = run(Optimizer("adamw", Constant(0.1), weight_decay=0.25))
    np.testing.assert_allclose(after["backbone/conv1/kernel"], 2 - 0.1 * (1 + 0.5), rtol=1e-5)
    np.testing.assert_allclose(after["head/gain"], 3.9, rtol=1e-5)


def test_clip_is_by_the_whole_gradient():
    after = run(Optimizer("sgd", Constant(1.0), momentum=0.0, weight_decay=0.0, clip=1.5))
    np.testing.assert_allclose(after["head/gain"], 4 - 1.5 / 3, rtol=1e-6)  # 9 ones: norm 3


def test_summed_gradients_are_multiplied_before_clipping():
    plain = {"momentum": 0.0, "weight_decay": 0.0}
    # Two shards add up to gradients of 2.
    after = run(Optimizer("sgd", Constant(0.1), **plain, gradients="sum", shards=2))
    np.testing.assert_allclose(after["head/gain"], 4 - 0.2, rtol=1e-6)
    # Nine twos have norm 6, which is clipped to 3; the mean's norm 3 was not.
    for gradients, wanted in (("sum", 1.0), ("mean", 1.0)):
        config = Optimizer("sgd", Constant(1.0), **plain, gradients=gradients, shards=2, clip=3.0)
        np.testing.assert_allclose(run(config)["head/gain"], 4 - wanted, rtol=1e-6)
    config = Optimizer("sgd", Constant(1.0), **plain, gradients="sum", shards=2, clip=4.0)
    np.testing.assert_allclose(run(config)["head/gain"], 4 - 4 / 3, rtol=1e-6)
    # Decay is added afterwards, to the gradient of 2, once.
    config = Optimizer(
        "sgd", Constant(0.1), 0.0, weight_decay=0.25, decay_all=True, gradients="sum", shards=2
    )
    np.testing.assert_allclose(run(config)["head/gain"], 4 - 0.1 * 3, rtol=1e-6)


def test_stages_divide_a_training():
    assert phases(()) == [Phase(0)]
    first, second, third = phases(
        (Unfreeze(10, ("conv4", "conv5"), 0.5), Unfreeze(20, ("conv3", "conv5"), 0.1))
    )
    assert first == Phase(0, ("^backbone/",), (), ())
    assert (second.start, second.layers) == (10, ("conv4", "conv5"))
    assert second.rules == (("^backbone/conv4/", 0.5), ("^backbone/conv5/", 0.5))
    assert (third.start, third.layers) == (20, ("conv4", "conv5", "conv3"))
    assert dict(third.rules) == {
        "^backbone/conv4/": 0.5, "^backbone/conv5/": 0.1, "^backbone/conv3/": 0.1,
    }  # fmt: skip
    held = lambda phase, name: any(freeze.matches(rule, name) for rule in phase.frozen)
    assert held(second, "backbone/conv3/kernel")
    assert held(second, "backbone/conv40/kernel")
    assert not held(second, "backbone/conv4/kernel")
    assert not held(second, "head/gain")
    assert not held(third, "backbone/conv3/kernel")
    assert phases((Unfreeze(0, ("conv5",)),))[0].start == 0


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((Unfreeze(-1),), "got -1"),
        ((Unfreeze(5), Unfreeze(5)), "got 5 after 5"),
        ((Unfreeze(5, ("conv5",), 0.0),), "lr_multiplier, got 0"),
    ],
)
def test_stages_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        phases(stages)


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_phase_holds_parts_and_lets_them_go_with_the_state_kept(method):
    config = Optimizer(method, Constant(0.1), 0.5, weight_decay=0.25, decay_all=True)
    frozen, free = phases((Unfreeze(2, ("conv1",), 0.5),))
    chains = [build(config, 10, PARAMS, phase) for phase in (frozen, free)]
    state, params = chains[0].init(PARAMS), PARAMS
    # Gradients as the step gives them: none where it is stopped.
    held = jax.tree.map(jnp.zeros_like, GRADS["backbone"])
    for _ in range(2):
        updates, state = chains[0].update({**GRADS, "backbone": held}, state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(np.testing.assert_array_equal, params["backbone"], PARAMS["backbone"])
    assert jax.tree.structure(state) == jax.tree.structure(chains[1].init(PARAMS))
    before = float(params["head"]["gain"])
    updates, state = chains[1].update(GRADS, state, params)
    params = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(params["backbone"]["bn1"]["scale"], [3.0, 3.0])
    if method == "sgd":
        # No momentum was gathered: 1 + 0.25 * 2, times 0.1 and the factor of a half.
        kernel = params["backbone"]["conv1"]["kernel"]
        np.testing.assert_allclose(kernel, 2 - 0.1 * 0.5 * 1.5, rtol=1e-6)
        # The rest goes on with its own: 2, then 1.95 + 1, then 1 + before / 4 + 2.95 / 2.
        assert before == pytest.approx(4 - 0.2 - 0.295)
        moved = before - float(params["head"]["gain"])
        assert moved == pytest.approx(0.1 * (1 + before / 4 + 2.95 / 2), rel=1e-5)


def test_schedule_spans_the_steps():
    after = run(
        Optimizer("sgd", Exponential(1.0, 0.25, 2), momentum=0.0, weight_decay=0.0), 4, count=3
    )
    np.testing.assert_allclose(after["head/gain"], 4 - 1 - 1 - 0.5, rtol=1e-6)


def test_multipliers_and_frozen_parts():
    config = Optimizer(
        "adamw",
        Constant(0.1),
        weight_decay=0.25,
        multipliers=((r"/bn\d+/", 0.5), ("^backbone/", 0.1)),
        frozen=("conv1/bias$",),
    )
    after = run(config, count=3)
    np.testing.assert_array_equal(after["backbone/conv1/bias"], [1.0, 1.0])
    np.testing.assert_allclose(after["backbone/bn1/scale"], 3 - 3 * 0.05, rtol=1e-5)
    np.testing.assert_allclose(after["head/gain"], 4 - 3 * 0.1, rtol=1e-5)
    assert 1.94 < after["backbone/conv1/kernel"].max() < 1.96


def test_paths():
    assert freeze.paths(PARAMS) == [
        "backbone/bn1/scale",
        "backbone/conv1/bias",
        "backbone/conv1/kernel",
        "head/gain",
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Optimizer(frozen=("backbon3/",)), r"'backbon3/' matches no parameter.*backbone/bn1/scale"),
        (Optimizer(multipliers=(("(", 1.0),)), "not a regular expression"),
        (Optimizer(momentum=1.0), "momentum"),
        (Optimizer(weight_decay=-1.0), "weight_decay"),
        (Optimizer(clip=0.0), "clip"),
        (Optimizer(shards=0), "shards"),
    ],
)
def test_refused(config, message):
    with pytest.raises(ValueError, match=message):
        build(config, 10, PARAMS)
