"""Losses of anchors and boxes against PySOT's numbers and against NumPy; alike on four devices."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from siamjax import losses

rng = np.random.default_rng(3)


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "golden" / "train" / "losses.npz")


def close(value, wanted, relative):
    np.testing.assert_allclose(value, wanted, rtol=0, atol=relative * np.abs(wanted).max())


def heads(array, parts):
    """Turn PySOT's channels (B, parts * A, y, x) into ours, [B, y, x, A, parts]."""
    batch, channels, *plane = array.shape
    return array.reshape(batch, parts, channels // parts, *plane).transpose(0, 3, 4, 2, 1)


def maps(array):
    return np.moveaxis(array, 1, -1)


CASES = {
    "normal": False,
    "no_positive": False,
    "one_positive_pysot_quirk": True,
    "no_negative": False,
}


@pytest.mark.parametrize("case", CASES)
def test_golden_cross_entropy(golden, case):
    logits = heads(golden[f"xent/{case}/logits"], 2)
    labels = maps(golden[f"xent/{case}/label"])
    for drop in {CASES[case], True}:
        call = jax.value_and_grad(functools.partial(losses.selected_cross_entropy, drop_lone=drop))
        value, gradient = jax.jit(call)(logits, labels)
        close(value, golden[f"xent/{case}/loss"], 1e-5)
        close(gradient, heads(golden[f"xent/{case}/grad"], 2), 1e-4)
    if case == "one_positive_pysot_quirk":
        sane = losses.selected_cross_entropy(logits, labels)
        close(sane, golden[f"xent/{case}/loss_without_quirk"], 1e-5)


def test_golden_l1(golden):
    delta = heads(golden["l1/pred"], 4)
    truth = golden["l1/label"].transpose(0, 3, 4, 2, 1)
    value, gradient = jax.jit(jax.value_and_grad(losses.weighted_l1))(
        delta, truth, maps(golden["l1/weight"])
    )
    close(value, golden["l1/loss"], 1e-5)
    close(gradient, heads(golden["l1/grad"], 4), 1e-4)


def entropies(logits):
    logits = logits.astype(np.float64)
    return np.log(np.exp(logits).sum(axis=-1, keepdims=True)) - logits


LABELS = np.array([1, 0, -1, 0, 1, 1, -1, 0, 0, 0], np.int8)


def test_cross_entropy_by_hand():
    logits = rng.normal(size=(10, 2)).astype(np.float32)
    e = entropies(logits)
    positive, negative = e[LABELS == 1, 1].mean(), e[LABELS == 0, 0].mean()
    got = losses.selected_cross_entropy(logits, LABELS)
    close(got, (positive + negative) / 2, 1e-6)
    few = np.where(np.arange(10) > 1, -1, LABELS)  # one positive, one negative
    close(losses.selected_cross_entropy(logits, few), (e[0, 1] + e[1, 0]) / 2, 1e-6)
    assert losses.selected_cross_entropy(logits, few, drop_lone=True) == 0
    assert losses.selected_cross_entropy(logits, np.full(10, -1)) == 0


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (0.5, 0.75)])
def test_focal_by_hand(gamma, alpha):
    logits = rng.normal(size=(10, 2)).astype(np.float32)
    e = entropies(logits)
    term = lambda e: (1 - np.exp(-e)) ** gamma * e
    whole = alpha * term(e[LABELS == 1, 1]).sum() + (1 - alpha) * term(e[LABELS == 0, 0]).sum()
    got = losses.softmax_focal(logits, LABELS, gamma=gamma, alpha=alpha)
    close(got, whole / 3, 1e-5)
    none = np.where(LABELS == 1, -1, LABELS)
    whole = (1 - alpha) * term(e[none == 0, 0]).sum()
    close(losses.softmax_focal(logits, none, gamma=gamma, alpha=alpha), whole, 1e-5)


def test_smooth_l1_is_quadratic_below_beta():
    delta = np.float32([[[0.25, 0, -2, 0]], [[0, 0.5, 0, 0]]])
    truth, weight = np.zeros((2, 1, 4), np.float32), np.float32([[1.0], [3.0]])
    # .5 * .0625 / .5 + (2 - .25) = 1.8125; 3 * (.5 - .25) = .75; two pairs
    got = losses.weighted_l1(delta, truth, weight, beta=0.5)
    close(got, (1.8125 + 0.75) / 2, 1e-6)
    close(losses.weighted_l1(delta, truth, weight), (2.25 + 1.5) / 2, 1e-6)
    with pytest.raises(ValueError, match="beta"):
        losses.weighted_l1(delta, truth, weight, beta=-1.0)


def test_overlaps_by_hand():
    corners = np.float32([[0, 0, 4, 4], [0, 0, 2, 2], [1, 1, 3, 5], [0, 0, 0, 0]])
    truth = np.float32([[2, 1, 6, 3], [5, 0, 7, 2], [1, 1, 3, 5], [0, 0, 0, 0]])
    weight = np.float32([1, 2, 1, 0])
    # intersections 4, 0, 8; unions 20, 8, 8; hulls 24, 14, 8
    ratios = np.array([5 / 21, 1 / 9, 1])
    mean = lambda values: (values * weight[:3]).sum() / 4
    close(losses.iou(corners, truth, weight), mean(1 - ratios), 1e-6)
    close(losses.iou(corners, truth, weight, form="log"), mean(-np.log(ratios)), 1e-6)
    plain = np.array([4 / 20, 0, 1])
    close(losses.iou(corners, truth, weight, smooth=0.0), mean(1 - plain), 1e-6)
    generalised = plain - np.array([4 / 24, 6 / 14, 0])
    close(losses.giou(corners, truth, weight), mean(1 - generalised), 1e-6)
    assert losses.giou(corners, truth, np.zeros(4, np.float32)) == 0
    with pytest.raises(ValueError, match="form"):
        inspect.unwrap(losses.iou)(corners, truth, weight, form="square")


@pytest.mark.parametrize("name", ["iou", "giou"])
def test_overlap_gradients_are_slopes(name):
    corners = np.float32([[0, 0, 4, 4], [1, 2, 8, 5], [0, 0, 2, 2]])
    truth = np.float32([[2, 1, 6, 3], [0, 0, 7, 4], [5, 0, 7, 2]])
    weight = np.float32([1, 2, 0.5])
    loss = lambda corners: getattr(losses, name)(corners, truth, weight)
    gradient = np.asarray(jax.grad(loss)(corners))
    step = 1e-2
    for place in np.ndindex(corners.shape):
        move = np.zeros_like(corners)
        move[place] = step
        slope = (float(loss(corners + move)) - float(loss(corners - move))) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=2e-4)
    # A box without overlap is drawn near by GIoU alone.
    assert (gradient[2, 2] < 0) == (name == "giou")


def test_what_has_no_weight_leaves_no_nan():
    corners = np.float32([[0, 0, 4, 4], [np.inf, 0, 0, 0], [0, 0, 0, 0]])
    truth = np.float32([[2, 1, 6, 3], [0, 0, 1, 1], [0, 0, 0, 0]])
    weight = np.float32([1, 0, 0])
    for loss in (
        losses.giou,
        functools.partial(losses.iou, form="log", smooth=0.0),
    ):
        value, gradient = jax.value_and_grad(loss)(corners, truth, weight)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert not gradient[1:].any()
    logits = np.float32([[1e4, -1e4], [-1e4, 1e4], [0, 0]])
    for gamma in (0.0, 0.5, 2.0):
        for labels in ([1, 0, -1], [0, 1, -1], [-1, -1, 1]):
            call = functools.partial(losses.softmax_focal, gamma=gamma)
            value, gradient = jax.value_and_grad(call)(logits, np.int8(labels))
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()


# --- over devices -------------------------------------------------------------------------------


def everything(parameters, batch, axis_name=None):
    """Sum all losses, each with its own factor."""
    scale = parameters["scale"]
    logits, delta = batch["logits"] * scale + parameters["bias"], batch["delta"] * scale
    corners = batch["corners"] * scale
    labels, weight = batch["labels"], batch["weight"]
    named = {"axis_name": axis_name}
    return (
        losses.selected_cross_entropy(logits, labels, **named)
        + 2.0 * losses.softmax_focal(logits, labels, **named)
        + 3.0 * losses.weighted_l1(delta, batch["truth"], weight, **named)
        + 4.0 * losses.weighted_l1(delta, batch["truth"], weight, beta=0.5, **named)
        + 5.0 * losses.iou(corners, batch["boxes"], weight, form="log", **named)
        + 6.0 * losses.giou(corners, batch["boxes"], weight, **named)
    )


@pytest.fixture(scope="module")
def split_batch():
    """Eight pairs whose positives differ: two devices have many, one has one, one has none."""
    cells = (8, 3, 3, 5)
    labels = np.where(rng.random(cells) < 0.5, 0, -1).astype(np.int8)
    for pair, count in enumerate([9, 0, 3, 4, 1, 0, 0, 0]):
        labels[pair].reshape(-1)[:count] = 1
    corners = lambda: np.sort(rng.normal(size=(*cells, 2, 2)), axis=-2).reshape(*cells, 4)
    batch = {
        "logits": rng.normal(size=(*cells, 2)),
        "delta": rng.normal(size=(*cells, 4)),
        "truth": rng.normal(size=(*cells, 4)),
        "corners": corners(),
        "boxes": corners(),
        "weight": (labels == 1) / np.maximum((labels == 1).sum((1, 2, 3), keepdims=True), 1),
    }
    return {**{name: value.astype(np.float32) for name, value in batch.items()}, "labels": labels}


@pytest.mark.parametrize("mode", ["shard_map", "shard_map unchecked", "pmap"])
def test_losses_over_four_devices_equal_one(split_batch, mode):
    parameters = {"scale": jnp.asarray(1.3), "bias": jnp.array([0.2, -0.4]).reshape(1, 1, 1, 1, 2)}
    value, gradient = jax.value_and_grad(everything)(parameters, split_batch)

    def mapped(parameters, batch):
        local = jax.lax.pcast(parameters, "data", to="varying")
        loss = functools.partial(everything, axis_name="data")
        return jax.lax.pmean(jax.value_and_grad(loss)(local, batch), "data")

    if mode == "pmap":
        step = jax.pmap(mapped, "data", in_axes=(None, 0), out_axes=None)
        batch = jax.tree.map(lambda v: v.reshape(4, 2, *v.shape[1:]), split_batch)
    else:
        mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
        check = mode == "shard_map"
        specs = (P(), P("data"))
        step = jax.jit(
            jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=check)
        )
        batch = split_batch
    got, got_gradient = jax.block_until_ready(step(parameters, batch))
    close(got, value, 1e-5)
    for name, wanted in gradient.items():
        assert np.abs(wanted).max() > 1e-2
        close(got_gradient[name], wanted, 1e-5)
