"""Losses of metric learning against PyTorch's numbers and NumPy's; alike on four devices."""

import functools
import inspect
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from siamjax import losses
from siamjax.metric.distances import pairs

GOLDEN = Path(__file__).parents[1] / "golden" / "metric.npz"
rng = np.random.default_rng(7)
floats = lambda *shape: rng.normal(size=shape).astype(np.float32)
close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


# --- golden numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_golden_contrastive(golden, margin):
    name = f"contrastive_linear_sum_m{margin}"
    similar = golden["y"] == 1
    call = lambda a, b: losses.contrastive(pairs(a, b), similar, margin=margin)
    value, (grad_a, grad_b) = jax.value_and_grad(call, (0, 1))(golden["a"], golden["b"])
    close(value, golden[f"{name}/loss"])
    close(grad_a, golden[f"{name}/grad_a"])
    close(grad_b, golden[f"{name}/grad_b"])
    distance = pairs(golden["a"], golden["b"])
    each = losses.contrastive(distance, similar, margin=margin, reduction="none")
    close(each, golden[f"{name}/per_pair"])

    name = f"contrastive_on_d_m{margin}"
    similar = golden[f"{name}/y"] == 1
    call = functools.partial(losses.contrastive, similar=similar, margin=margin)
    close(call(golden[f"{name}/d"], reduction="none"), golden[f"{name}/per_pair"])
    close(jax.grad(call)(golden[f"{name}/d"]), golden[f"{name}/grad_d"])


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_golden_hadsell(golden, margin):
    name = f"hadsell_mean_m{margin}"
    similar = golden["y"] == 1
    call = lambda a, b: losses.hadsell(pairs(a, b, "squared"), similar, margin=margin)
    value, (grad_a, grad_b) = jax.value_and_grad(call, (0, 1))(golden["a"], golden["b"])
    close(value, golden[f"{name}/loss"])
    close(grad_a, golden[f"{name}/grad_a"])
    close(grad_b, golden[f"{name}/grad_b"])
    squared = pairs(golden["a"], golden["b"], "squared")
    whole = losses.hadsell(squared, similar, margin=margin, reduction="sum")
    close(whole, golden[f"{name}/loss_sum"], atol=1e-4)


@pytest.mark.parametrize("margin", [0.5, 1.0, 2.0])
def test_golden_triplet(golden, margin):
    b = golden["b"]

    def call(a):
        apart = functools.partial(pairs, distance="squared")
        return losses.triplet(apart(a, b), apart(a, np.roll(b, 1, axis=0)), margin=margin)

    value, gradient = jax.value_and_grad(call)(golden["a"])
    close(value, golden[f"triplet_mean_m{margin}/loss"])
    close(gradient, golden[f"triplet_mean_m{margin}/grad_anchor"])


def test_golden_cosine_embedding(golden):
    """PyTorch's loss of margin m is the contrastive one with margin 1 - m."""
    similar = golden["y"] == 1

    def call(a):
        distance = pairs(a, golden["b"], "cosine")
        return losses.contrastive(distance, similar, margin=1 - 0.2, reduction="mean")

    value, gradient = jax.value_and_grad(call)(golden["a"])
    close(value, golden["cosine_embedding_margin0.2/loss"])
    assert np.isfinite(gradient).all()
    some = np.arange(12) != 6  # the zero vector, where PyTorch's gradient is 1e8
    close(gradient[some], golden["cosine_embedding_margin0.2/grad_a"][some])


# --- by hand and against NumPy ------------------------------------------------------------------


def test_reductions_and_weights():
    distance = np.float32([0.5, 0.25, 2.0, np.nan])
    similar = np.array([True, False, False, True])
    weights = np.float32([2.0, 4.0, 1.0, 0.0])
    call = functools.partial(losses.contrastive, distance, similar, weights=weights)
    assert call() == 4.0  # 2 * 0.5 + 4 * 0.75
    assert call(reduction="mean") == np.float32(4 / 7)
    np.testing.assert_array_equal(call(reduction="none"), [1.0, 3.0, 0.0, 0.0])
    nothing = losses.contrastive(distance, similar, weights=0 * weights, reduction="mean")
    assert nothing == 0.0
    with pytest.raises(ValueError, match=r"reduction.*'total'"):
        call(reduction="total")
    with pytest.raises(ValueError, match=r"weights of shape \(3,\)"):
        inspect.unwrap(losses.contrastive)(distance, similar, weights=np.ones(3))


def test_logistic():
    logits = np.float32([2.0, -1.0, 100.0, -1000.0])
    similar = np.array([True, False, False, True])
    wanted = [np.log1p(np.exp(-2.0)), np.log1p(np.exp(-1.0)), 100.0, 1000.0]
    close(losses.logistic(logits, similar, reduction="none"), wanted)


def numpy_triplets(x, labels, mining, margin):
    """Loop over anchors and positives; give the losses of those that have a triplet."""
    x = x.astype(np.float64)
    d = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    found = []
    for i in range(len(x)):
        positives = [j for j in range(len(x)) if labels[j] == labels[i] and j != i]
        negatives = [j for j in range(len(x)) if labels[j] != labels[i]]
        if not positives or not negatives:
            continue
        away = d[i, negatives]
        if mining == "hard":
            found.append(max(d[i, positives].max() - away.min() + margin, 0))
            continue
        for j in positives:
            beyond = away[away > d[i, j]]
            chosen = beyond.min() if len(beyond) else away.max()
            found.append(max(d[i, j] - chosen + margin, 0))
    return np.array(found)


LABELS = np.array([0, 1, 0, 2, 1, 0, 3, 2, 1, 0])


@pytest.mark.parametrize("mining", ["hard", "semi-hard"])
def test_mining(mining):
    margin = 0.2
    x = rng.integers(0, 3, (10, 3)).astype(np.float32)  # distances are often equal
    wanted = numpy_triplets(x, LABELS, mining, margin)
    assert (wanted > 0).any()
    call = functools.partial(losses.mined_triplet, x, LABELS, mining=mining, margin=margin)
    each = jax.jit(functools.partial(call, reduction="none"))()
    close(np.sort(each[each > 0]), np.sort(wanted[wanted > 0]))
    weights = np.where(LABELS == 0, 1.0, 0.0).astype(np.float32)
    only = numpy_triplets(x, np.where(LABELS == 0, 0, 10 + np.arange(10)), mining, margin)
    close(jax.jit(call)(weights=weights), only.mean())


@pytest.mark.parametrize("mining", ["hard", "semi-hard"])
def test_nothing_to_mine(mining):
    step = jax.jit(jax.value_and_grad(functools.partial(losses.mined_triplet, mining=mining)))
    for labels in (np.zeros(4, int), np.arange(4)):
        for x in (floats(4, 3), np.zeros((4, 3), np.float32)):
            value, gradient = step(x, labels)
            assert value == 0
            assert not gradient.any()


def softmax_entropy(logits, right):
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), right]


def unit(x):
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("kinds", [None, np.array([0, 1, 2, 0, 3])])
def test_partners_against_numpy(kinds):
    a, b = floats(5, 4), floats(5, 4)
    u, v = unit(a), unit(b)
    own = np.arange(5)
    alike = np.zeros((5, 5), bool) if kinds is None else kinds[:, None] == kinds[None]
    alike = alike & ~np.eye(5, dtype=bool)

    def run(loss, **settings):
        call = functools.partial(loss, labels=kinds, reduction="none", **settings)
        return jax.jit(call)(a, b)

    logits = np.where(alike, -np.inf, u @ v.T / 0.2)
    there, back = softmax_entropy(logits, own), softmax_entropy(logits.T, own)
    close(run(losses.info_nce, temperature=0.2), (there + back) / 2)
    close(run(losses.info_nce, temperature=0.2, symmetric=False), there)

    views = np.concatenate([u, v])
    itself = np.eye(10, dtype=bool) | np.tile(alike, (2, 2))
    logits = np.where(itself, -np.inf, views @ views.T / 0.5)
    each = softmax_entropy(logits, np.concatenate([own + 5, own]))
    close(run(losses.nt_xent, temperature=0.5), (each[:5] + each[5:]) / 2)

    logits = u @ v.T / 0.1 - 3.0
    entropy = np.log1p(np.exp(np.where(np.eye(5) == 1, -logits, logits)))
    wanted = np.where(alike, 0, entropy).sum(axis=1)
    close(run(losses.siglip, temperature=0.1, bias=-3.0), wanted, atol=1e-4)


def test_info_nce_of_equal_rows_is_the_logarithm_of_their_number():
    x = np.ones((8, 3), np.float32)
    close(losses.info_nce(x, x), math.log(8))
    close(losses.nt_xent(x, x), math.log(15))


def test_arcface():
    angles = np.array([[0.3, 1.2, 2.0], [2.9, 1.0, 0.4], [1.0, 0.0, math.pi]])
    labels = np.array([0, 0, 2])
    wanted = 10 * np.cos(angles)
    wanted[0, 0] = 10 * (math.cos(0.3 + 0.5) - 0.1)
    for row, right in ((1, 0), (2, 2)):  # beyond pi - 0.5
        wanted[row, right] = 10 * (math.cos(angles[row, right]) - 0.5 * math.sin(0.5) - 0.1)
    cosines = np.cos(angles).astype(np.float32)
    call = functools.partial(losses.arcface, margin=0.5, cosine_margin=0.1, scale=10.0)
    each = call(cosines, labels, reduction="none")
    close(each, softmax_entropy(wanted, labels), atol=1e-4)
    plain = losses.arcface(cosines, labels, margin=0.0, scale=1.0)
    close(plain, softmax_entropy(np.cos(angles), labels).mean())
    with pytest.raises(ValueError, match=r"margin: .*got -0.1"):
        losses.arcface(cosines, labels, margin=-0.1)


# --- finite gradients ---------------------------------------------------------------------------

ALL = {
    "contrastive": lambda a, b: losses.contrastive(pairs(a, b), SIMILAR),
    "contrastive cosine": lambda a, b: losses.contrastive(pairs(a, b, "cosine"), SIMILAR),
    "hadsell": lambda a, b: losses.hadsell(pairs(a, b, "squared"), SIMILAR),
    "logistic": lambda a, b: losses.logistic(1 - pairs(a, b, "manhattan"), SIMILAR),
    "triplet": lambda a, b: losses.triplet(pairs(a, b), pairs(a, b[::-1])),
    "hard": lambda a, b: losses.mined_triplet(a + b, CLASSES, mining="hard"),
    "semi-hard": lambda a, b: losses.mined_triplet(a + b, CLASSES, mining="semi-hard"),
    "nt_xent": lambda a, b: losses.nt_xent(a, b),
    "info_nce": lambda a, b: losses.info_nce(a, b, labels=CLASSES),
    "siglip": lambda a, b: losses.siglip(a, b, labels=CLASSES),
    "arcface": lambda a, b: losses.arcface(jnp.clip(a[:, :3], -1, 1), CLASSES),
}
SIMILAR = np.array([True, False, True, False])
CLASSES = np.array([0, 0, 1, 1])


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_finite_where_embeddings_coincide_or_vanish(name):
    step = jax.jit(jax.value_and_grad(ALL[name], (0, 1)))
    same = np.float32([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    for a, b in ((same, same), (np.zeros_like(same), same), (same, -same)):
        value, gradients = step(jnp.asarray(a), jnp.asarray(b))
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


# --- over devices -------------------------------------------------------------------------------


def everything(parameters, batch, axis_name=None):
    """Sum all losses, each with its own factor."""
    named = {"axis_name": axis_name}
    a, b = batch["a"] @ parameters["w"], batch["b"] @ parameters["w"]
    labels, weights = batch["label"], batch["weight"]
    contrastive = functools.partial(losses.contrastive, pairs(a, b), batch["similar"], margin=3.0)
    mined = functools.partial(losses.mined_triplet, a, labels, weights=weights, **named)
    return (
        contrastive(**named)
        + 2.0 * contrastive(reduction="mean", weights=weights, **named)
        + 3.0 * losses.hadsell(pairs(a, b, "squared"), batch["similar"], **named)
        + 4.0 * losses.triplet(pairs(a, b), pairs(a, batch["c"]), **named)
        + 5.0 * mined(mining="hard")
        + 6.0 * mined(mining="semi-hard", reduction="sum")
        + 7.0 * losses.nt_xent(a, b, labels=labels, weights=weights, **named)
        + 8.0 * losses.info_nce(a, b, temperature=parameters["t"], **named)
        + 9.0 * losses.siglip(a, b, bias=-1.0, labels=labels, **named)
        + 10.0 * losses.arcface(jnp.tanh(a), labels % 3, scale=4.0, **named)
    )


def contrastive_only(parameters, batch, axis_name=None):
    a, b = batch["a"] @ parameters["w"], batch["b"] @ parameters["w"]
    return losses.contrastive(
        pairs(a, b), batch["similar"], margin=3.0, reduction="mean", axis_name=axis_name
    )


@pytest.fixture(scope="module")
def batch():
    return {
        "a": floats(8, 5),
        "b": floats(8, 5),
        "c": floats(8, 3),
        "similar": np.array([1, 1, 0, 1, 0, 0, 0, 1]) == 1,
        "label": np.array([0, 1, 2, 3, 2, 0, 0, 2]),
        "weight": np.float32([1, 2, 0, 0, 1, 0.5, 3, 1]),
    }


PARAMETERS = {"w": jnp.asarray(floats(5, 3)), "t": jnp.float32(0.3)}


@pytest.fixture(scope="module")
def on_one_device(batch):
    run = lambda loss: jax.jit(jax.value_and_grad(loss))(PARAMETERS, batch)
    return {loss: run(loss) for loss in (everything, contrastive_only)}


@pytest.mark.parametrize(
    ("loss", "mode"),
    [
        (everything, "shard_map"),
        (everything, "pmap"),
        (contrastive_only, "shard_map"),
        (contrastive_only, "shard_map unchecked"),
        (contrastive_only, "pmap"),
        (contrastive_only, "jit"),
    ],
)
def test_four_devices_equal_one(batch, on_one_device, loss, mode):
    value, gradient = on_one_device[loss]

    def mapped(parameters, batch):
        local = jax.lax.pcast(parameters, "data", to="varying")
        call = functools.partial(loss, axis_name="data")
        return jax.lax.pmean(jax.value_and_grad(call)(local, batch), "data")

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    if mode == "pmap":
        step = jax.pmap(mapped, "data", in_axes=(None, 0), out_axes=None)
        batch = jax.tree.map(lambda v: v.reshape(4, 2, *v.shape[1:]), batch)
    elif mode == "jit":
        step = jax.jit(jax.value_and_grad(loss))
        batch = jax.device_put(batch, NamedSharding(mesh, P("data")))
    else:
        step = jax.jit(
            jax.shard_map(
                mapped,
                mesh=mesh,
                in_specs=(P(), P("data")),
                out_specs=P(),
                check_vma=mode == "shard_map",
            )
        )
    got, got_gradient = jax.block_until_ready(step(PARAMETERS, batch))
    np.testing.assert_allclose(got, value, rtol=1e-6)
    wanted = np.asarray(gradient["w"])
    np.testing.assert_allclose(got_gradient["w"], wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
    np.testing.assert_allclose(got_gradient["t"], gradient["t"], rtol=1e-5)
