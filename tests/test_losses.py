"""Losses against golden numbers of siamfc-pytorch, and against sums written out in NumPy."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from siamjax import losses

GOLDEN = np.load(Path(__file__).parent / "golden" / "losses_siamfc.npz")
STATELESS = ("balanced", "focal", "ohnm")
rng = np.random.default_rng(7)


def close(value, wanted, relative):
    np.testing.assert_allclose(value, wanted, rtol=0, atol=relative * np.abs(wanted).max())


@pytest.mark.parametrize("size", [15, 17])
def test_labels_are_those_of_siamfc_pytorch(size):
    np.testing.assert_array_equal(losses.logistic_labels(size, 8.0), GOLDEN[f"siamfc{size}/label"])


@pytest.mark.parametrize("size", [15, 17])
@pytest.mark.parametrize("name", STATELESS)
def test_golden_loss_and_gradient(size, name):
    case = f"siamfc{size}"
    function = jax.jit(jax.value_and_grad(getattr(losses, name)))
    value, gradient = function(GOLDEN[f"{case}/logits"], GOLDEN[f"{case}/label"])
    close(value, GOLDEN[f"{case}/{name}/loss"], 1e-5)
    close(gradient, GOLDEN[f"{case}/{name}/grad"], 1e-4)


def test_labels_follow_an_offset_in_pixels():
    label = jax.jit(lambda c: losses.logistic_labels(5, 8.0, c, r_pos=8.0))
    np.testing.assert_array_equal(
        label(jnp.array([8.0, -16.0])),
        [[0, 0, 1, 1, 1], [0, 0, 0, 1, 0], [0] * 5, [0] * 5, [0] * 5],
    )
    # Half a cell to the right: two columns are equally near.
    np.testing.assert_array_equal(label(jnp.array([4.0, 0.0]))[2], [0, 0, 1, 1, 0])


def test_euclidean_labels_and_ignored_ring():
    got = losses.logistic_labels(5, 4.0, r_pos=6.0, r_neg=9.0, distance="euclidean")
    ring = [0.0, 0.5, 0.5, 0.5, 0.0]
    inner = [0.5, 1, 1, 1, 0.5]
    np.testing.assert_array_equal(got, [ring, inner, inner, inner, ring])
    block = losses.logistic_labels(5, 4.0, r_pos=6.0, r_neg=9.0)
    np.testing.assert_array_equal(block[1], [0, 0.5, 1, 0.5, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8.0), "size=0"),
        ((17, -1.0), "stride=-1.0"),
    ],
)
def test_labels_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.logistic_labels(*arguments)


def test_labels_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\).*\(2, 4, 4\)"):
        losses.balanced(np.zeros((2, 4, 4), np.float32), np.zeros((3, 3), np.float32))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(x, y):
    return -(y * np.log(sigmoid(x)) + (1 - y) * np.log(1 - sigmoid(x)))


def test_balanced_weighs_and_ignores():
    x = np.array([0.3, -1.2, 2.0, 0.7, -0.4])
    y = np.array([1, 0, 0.5, 0, 1])
    e = cross_entropy(x, y)
    wanted = (e[[0, 4]].mean() + 3 * e[[1, 3]].mean()) / 4
    got = losses.balanced(x.astype(np.float32), y.astype(np.float32), neg_weight=3.0)
    close(got, wanted, 1e-6)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_balanced_of_one_class_is_its_mean(label):
    x = rng.normal(size=(2, 5)).astype(np.float32)
    y = np.full((2, 5), label, np.float32)
    close(losses.balanced(x, y), cross_entropy(x.astype(float), y).mean(), 1e-6)
    assert losses.balanced(x, np.full((2, 5), 0.5, np.float32)) == 0


def test_ohnm_takes_the_hardest():
    x = np.array([0.3, -1.2, 2.0, 0.7, -0.4], np.float32)
    y = np.array([0, 0, 1, 0, 0], np.float32)
    wanted = cross_entropy(x, y)[[2, 3, 0]].mean()
    close(losses.ohnm(x, y, neg_ratio=2.0), wanted, 1e-6)
    close(losses.ohnm(x, y, neg_ratio=9.0), cross_entropy(x, y).mean(), 1e-6)
    assert losses.ohnm(x, np.zeros(5, np.float32)) == 0


def test_focal_without_exponent_is_the_mean():
    x = rng.normal(size=12).astype(np.float32)
    y = (rng.random(12) < 0.3).astype(np.float32)
    close(losses.focal(x, y, gamma=0.0), cross_entropy(x, y).mean(), 1e-6)


def ghm_by_hand(logits, labels, running, momentum, bins):
    """Go through the bins one by one, as the paper defines them."""
    g = np.abs(sigmoid(logits) - labels)
    weights, running = np.zeros_like(logits), list(running)
    for b in range(bins):
        inside = (g >= b / bins) & ((g < (b + 1) / bins) | (b == bins - 1))
        if inside.sum():
            running[b] = momentum * running[b] + (1 - momentum) * inside.sum()
            weights[inside] = logits.size / running[b]
    weights /= weights.mean()
    gradient = weights * (sigmoid(logits) - labels) / logits.size
    return (weights * cross_entropy(logits, labels)).mean(), gradient, np.array(running)


@pytest.mark.parametrize("momentum", [0.5, 0.0])
def test_ghm_over_three_batches(momentum):
    state, running = losses.ghm_init(30), np.zeros(30)
    function = jax.jit(
        jax.value_and_grad(functools.partial(losses.ghm, momentum=momentum), has_aux=True)
    )
    label = np.asarray(losses.logistic_labels(17, 8.0))
    for _ in range(3):
        logits = rng.normal(-1, 2, size=(2, 17, 17)).astype(np.float32)
        (value, state), gradient = function(logits, label, state)
        want, want_gradient, running = ghm_by_hand(
            logits.astype(float), np.broadcast_to(label, logits.shape), running, momentum, 30
        )
        close(value, want, 1e-5)
        close(gradient, want_gradient, 1e-4)
        close(state, running, 1e-6)


def test_ghm_bins_are_half_open():
    # Gradient lengths 0.5 and 0 lie in the bins that begin there.
    _, state = losses.ghm(np.array([0.0, 200.0], np.float32), np.ones(2, np.float32),
                          losses.ghm_init(2), momentum=0.0)  # fmt: skip
    np.testing.assert_array_equal(state, [1, 1])
    with pytest.raises(ValueError, match="bins"):
        losses.ghm_init(0)


def everything(logits, labels, axis_name=None):
    """Sum all losses, each with its own factor."""
    total = sum(
        factor * getattr(losses, name)(logits, labels, axis_name=axis_name)
        for factor, name in zip((1.0, 2.0, 3.0), STATELESS, strict=True)
    )
    ghm, state = losses.ghm(logits, labels, losses.ghm_init(10), axis_name=axis_name)
    mean = losses.mean_where(logits**2, labels, axis_name=axis_name)
    return total + 4.0 * ghm + 5.0 * mean, state


@pytest.mark.parametrize("size", [1e4, 1e2])
def test_extreme_logits_stay_finite(size):
    labels = np.asarray(losses.logistic_labels(5, 8.0, r_pos=8.0))
    for logits in (labels * 2 * size - size, size - labels * 2 * size, np.zeros((5, 5))):
        value, gradient = jax.value_and_grad(everything, has_aux=True)(
            logits.astype(np.float32), labels
        )
        assert np.isfinite(value[0])
        assert np.isfinite(gradient).all()


def split_batch():
    """Four devices' samples, whose counts of positives differ: 5, 3, 0, 0 and so on."""
    offsets = np.array([[0, 0], [24, 24], [80, 0], [0, -80], [16, 0], [0, 0], [8, 8], [99, 9]])
    labels = jax.vmap(lambda c: losses.logistic_labels(7, 8.0, c, r_pos=8.0))(
        jnp.asarray(offsets, jnp.float32)
    )
    features = rng.normal(size=(8, 7, 7)).astype(np.float32)
    counts = np.asarray(labels).reshape(4, -1).sum(axis=1)
    assert len(set(counts)) > 2
    return features, np.asarray(labels)


@pytest.mark.parametrize("mode", ["jit", "shard_map", "shard_map unchecked", "pmap"])
def test_loss_over_four_devices_equals_one(mode):
    features, labels = split_batch()
    weight = jnp.array([1.3, -0.2])

    def objective(weight, features, labels, axis_name=None):
        logits = features * weight[0] + weight[1]
        return everything(logits, labels, axis_name)

    whole = jax.value_and_grad(objective, has_aux=True)
    (value, state), gradient = whole(weight, features, labels)

    def mapped(weight, features, labels):
        local = jax.lax.pcast(weight, "data", to="varying")
        out = functools.partial(objective, axis_name="data")
        (value, state), gradient = jax.value_and_grad(out, has_aux=True)(local, features, labels)
        return (jax.lax.pmean(value, "data"), jax.lax.pmean(state, "data")), jax.lax.pmean(
            gradient, "data"
        )

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    if mode == "jit":
        data = NamedSharding(mesh, P("data"))
        step = jax.jit(whole)
        features, labels = jax.device_put((features, labels), data)
    elif mode == "pmap":
        step = jax.pmap(mapped, "data", in_axes=(None, 0, 0), out_axes=None)
        features, labels = features.reshape(4, 2, 7, 7), labels.reshape(4, 2, 7, 7)
    else:
        step = jax.jit(
            jax.shard_map(
                mapped,
                mesh=mesh,
                in_specs=(P(), P("data"), P("data")),
                out_specs=P(),
                check_vma=mode == "shard_map",
            )
        )
    (got, got_state), got_gradient = jax.block_until_ready(step(weight, features, labels))
    close(got, value, 1e-5)
    close(got_gradient, gradient, 1e-5)
    close(got_state, state, 1e-6)
