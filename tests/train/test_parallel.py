"""Devices do not change the parameters: jit, shard_map and pmap, on 2 and 4 of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from train_fake import Fake, batch, jitter

from siamjax.data.augment import Augment, augment_batch
from siamjax.track.siamfc import SiamFC
from siamjax.track.siamrpn import SiamRPN
from siamjax.train.parallel import Parallel
from siamjax.train.step import init_state, make_step

KEY = jax.random.key(3)
MODES = ("jit", "shard_map", "pmap")


def close(got, wanted, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol, rtol=0), got, wanted)


def run(over, make, state, batches):
    """Step through batches; gives the last state and the metrics of each step."""
    step, state, found = over.compile(make), over.replicate(state), []
    for one in batches:
        state, metrics = jax.block_until_ready(step(state, over.split(one), KEY))
        found.append(jax.device_get(metrics))
    return jax.device_get(state), found


def distance(a, b):
    return float(optax.tree.norm(jax.tree.map(np.subtract, a, b)))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_small_model_trains_alike(accumulate):
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.05))
    make = lambda axis: make_step(
        Fake(), optimizer, jitter, axis, ema_decay=0.5, accumulate=accumulate
    )
    state = init_state(Fake().init_variables(jax.random.key(0)), optimizer, ema=True)
    batches = [batch(i) for i in range(3)]
    one, wanted = run(Parallel("jit", 1), make, state, batches)
    assert distance(one.params, jax.device_get(state.params)) > 0.1
    for mode in MODES:
        for devices in (2, 4):
            other, got = run(Parallel(mode, devices), make, state, batches)
            close(got, wanted, 2e-5)
            close(other, one, 1e-5)


def test_parts_of_a_batch_are_averaged():
    """Two parts: the even rows and the odd ones, each with its own mean and statistics."""
    optimizer = optax.sgd(0.1)
    state = init_state(Fake().init_variables(jax.random.key(0)), optimizer)
    after, metrics = make_step(Fake(), optimizer, accumulate=2)(state, batch(), KEY)
    stats, losses, gradients = state.stats, [], []
    for first in (0, 1):
        part = {name: value[first::2] for name, value in batch().items()}
        objective = lambda p, part=part, stats=stats: Fake().loss(p, stats, part, KEY)
        (loss, (stats, _)), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        losses.append(loss)
        gradients.append(gradient)
    assert float(metrics["loss"]) == pytest.approx(float(sum(losses)) / 2, rel=1e-6)
    moved = lambda p, a, b: p - 0.1 * (a + b) / 2
    close(after.params, jax.tree.map(moved, state.params, *gradients), 1e-6)
    close(after.stats, stats, 1e-6)
    assert after.stats["backbone"]["count"] == 2
    assert after.step == 1


TRACKERS = {
    "siamfc": SiamFC("alexnet-v1", width=1 / 24, instance=143),
    "siamrpn": SiamRPN(backbone="alexnet", width=1 / 48, hidden=4, instance=143, trained=None),
}
RATES = {"siamfc": 0.1, "siamrpn": 1e-3}
AUGMENT = Augment(shift=6.0, scale=0.05, color=1.0, flip=0.5, gray=0.2)
STEPS = 5
POSITIVE = np.array([True, False, True, True])


def pairs(number):
    """A host batch: the shards of 2 and 4 devices hold unequal numbers of positives."""
    rng = np.random.default_rng(number)
    size = len(POSITIVE)
    boxes = np.concatenate([rng.uniform(30, 55, (size, 2)), rng.uniform(50, 75, (size, 2))], 1)
    return {
        "template": rng.integers(0, 256, (size, 135, 135, 3), np.uint8),
        "template_box": boxes.astype(np.float32),
        "search": rng.integers(0, 256, (size, 163, 163, 3), np.uint8),
        "search_box": boxes.astype(np.float32),
        "positive": np.roll(POSITIVE, number),
        "index": np.arange(size * number, size * (number + 1), dtype=np.uint32),
    }


@functools.cache
def training(name):
    tracker = TRACKERS[name]
    optimizer = optax.chain(optax.clip_by_global_norm(10.0), optax.sgd(RATES[name], momentum=0.9))
    augment = functools.partial(
        augment_batch,
        template_config=AUGMENT,
        search_config=AUGMENT,
        template_size=tracker.template_crop,
        search_size=tracker.instance,
    )
    make = lambda axis: make_step(tracker, optimizer, augment, axis)
    start = init_state(tracker.init_variables(jax.random.key(1)), optimizer)
    start = jax.tree.map(np.asarray, start)
    batches = [pairs(number) for number in range(STEPS)]
    return make, start, batches, run(Parallel("jit", 1), make, start, batches)


CASES = [(name, mode, devices) for name in TRACKERS for mode in MODES for devices in (2, 4)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mode", "devices"), CASES)
def test_trackers_train_alike(name, mode, devices):
    make, start, batches, (one, wanted) = training(name)
    other, got = run(Parallel(mode, devices), make, start, batches)
    # So far that a gradient wrong by 1 % would show, and not so far that one activation near 0,
    # which rounding puts on either side of it, does.
    assert distance(one.params, start.params) > 5e-2
    assert distance(one.stats, start.stats) > 1  # BatchNorm follows the batch
    close(other.params, one.params, 1e-5)
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine["loss"] == pytest.approx(float(theirs["loss"]), rel=1e-4)
        assert mine["skipped"] == 0
    scale = jax.tree.map(lambda leaf: np.maximum(1, np.abs(leaf)), one.stats)
    relative = lambda stats: jax.tree.map(np.divide, stats, scale)
    close(relative(other.stats), relative(one.stats), 1e-4)


def test_refusals():
    with pytest.raises(ValueError, match="devices must be 1 to 4"):
        Parallel("jit", 5)
    with pytest.raises(ValueError, match="devices must be 1 to 4"):
        Parallel("jit", 0)
    over = Parallel("pmap", 2)
    assert (over.size, over.shard, over.platform) == (2, (0, 1), "cpu")
    assert over.describe().startswith("2 x ")
    shapes = {name: value.shape for name, value in over.split(pairs(0)).items()}
    assert shapes["template"] == (2, 2, 135, 135, 3)
    placed = Parallel("jit", 2).replicate({"a": np.arange(3)})["a"]
    assert isinstance(placed, jax.Array)
    assert placed.sharding.is_fully_replicated
    np.testing.assert_array_equal(jnp.asarray(placed), [0, 1, 2])
