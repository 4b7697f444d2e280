"""The loss of region-proposal trackers: PySOT's numbers, its parts, and several devices."""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from siamjax import weights
from siamjax.targets import Targets
from siamjax.track import rpn_loss
from siamjax.track.siamrpn import SiamRPN
from siamjax.train.step import init_state, make_step

MODEL = "siamrpn_alex_dwxcorr"
KEY = jax.random.key(6)


# --- PySOT's own numbers ------------------------------------------------------------------------


class Golden:
    """PySOT's AlexNet with its targets, losses and gradients on two pairs."""

    def __init__(self, folder):
        spec = importlib.util.spec_from_file_location("golden_weights", folder / "weights.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = np.load(folder / "models" / f"{MODEL}.npz")
        keys = module.load_spec(str(folder / "models" / f"{MODEL}.keys.json"))
        self.tracker = SiamRPN(backbone="alexnet", instance=255, trained=None)
        self.state_dict = module.state_dict(keys, int(model["seed"]))
        self.variables = weights.from_torch(self.state_dict, self.tracker)
        self.numbers = np.load(folder / "train" / "whole_model.npz")
        rgb = lambda image: image[..., ::-1].astype(np.float32)
        self.batch = {"template": rgb(model["z"]), "search": rgb(model["x"][:, 16:271, 16:271])}
        order = (0, 2, 3, 1)
        labels = self.numbers["label_cls"].transpose(order)
        self.drawn = Targets(
            labels=labels,
            delta=self.numbers["label_loc"].transpose(0, 3, 4, 2, 1),
            weight=self.numbers["label_loc_weight"].transpose(order),
            overlap=np.zeros(labels.shape, np.float32),
        )

    def run(self, train):
        def objective(params):
            stats = self.variables["batch_stats"]
            raw, moved = rpn_loss.forward(self.tracker, params, stats, self.batch, train, None)
            value, metrics = rpn_loss.score(self.tracker, raw, self.drawn)
            return value, (moved, metrics)

        call = jax.jit(jax.value_and_grad(objective, has_aux=True))
        (value, (stats, metrics)), gradient = call(self.variables["params"])
        zeros = jax.tree.map(jnp.zeros_like, self.variables["batch_stats"])
        gradient = weights.to_torch({"params": gradient, "batch_stats": zeros}, self.tracker)
        both = {"params": self.variables["params"], "batch_stats": stats}
        return value, metrics, gradient, weights.to_torch(both, self.tracker)


@pytest.fixture(scope="module")
def golden(shared):
    return Golden(shared / "golden")


@pytest.mark.parametrize("mode", ["bn_eval", "bn_train"])
def test_whole_model(golden, mode):
    value, metrics, gradient, after = golden.run(mode == "bn_train")
    numbers = golden.numbers
    assert float(value) == pytest.approx(numbers[f"{mode}/total_loss"], rel=1e-5)
    for name in ("cls_loss", "loc_loss"):
        assert float(metrics[name]) == pytest.approx(numbers[f"{mode}/{name}"], rel=1e-5)
    assert metrics["positives"] == 9

    total = float(numbers[f"{mode}/grad_total_l2"])
    for name, wanted in zip(numbers["param_names"], numbers[f"{mode}/grad_l2"], strict=True):
        norm = float(np.linalg.norm(gradient[name].astype(np.float64)))
        if wanted > 1e-5 * total:
            assert norm == pytest.approx(wanted, rel=1e-3), name
        else:
            assert norm < 1e-6 * total, name
    whole = [key for key in numbers if key.startswith(f"{mode}/grad/")]
    first = [key for key in numbers if key.startswith(f"{mode}/grad_first64/")]
    assert (len(whole), len(first)) == (6, 3)
    for key in whole + first:
        wanted = numbers[key]
        got = gradient[key.split("/")[2]].reshape(-1)[: wanted.size].reshape(wanted.shape)
        if np.linalg.norm(wanted) > 1e-5 * total:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=3e-4 * np.abs(wanted).max())

    moved = [key for key in numbers if key.startswith(f"{mode}/after/")]
    assert len(moved) == (33 if mode == "bn_train" else 0)
    for key in moved:
        wanted = numbers[key]
        got = after[key.split("/")[2]]
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    if mode == "bn_eval":
        jax.tree.map(np.testing.assert_array_equal, after, golden.state_dict)


# --- a narrow network ---------------------------------------------------------------------------


TINY = SiamRPN(backbone="alexnet", width=1 / 48, hidden=4, instance=191, trained=None)


def make_batch(size=4, seed=0):
    rng = np.random.default_rng(seed)
    image = lambda side: rng.uniform(0, 255, (size, side, side, 3)).astype(np.float32)
    box = np.float32([[63.5, 63.5, 64, 64], [56, 76, 90, 44], [0, 0, 60, 60], [60, 66, 62, 66]])
    return {
        "template": image(127),
        "template_box": np.tile(np.float32([[32, 32, 63, 63]]), (size, 1)),
        "search": image(191),
        "search_box": np.resize(box, (size, 4)),
        "positive": np.resize([True, True, False, True], size),
    }


@pytest.fixture(scope="module")
def variables():
    return TINY.init_variables(jax.random.key(1))


def run(tracker, variables, batch, train=False):
    call = jax.jit(lambda p, s, b: tracker.loss(p, s, b, KEY, train))
    return call(variables["params"], variables["batch_stats"], batch)


def test_loss_is_that_of_the_drawn_anchors(variables):
    batch = make_batch()
    value, (stats, metrics) = run(TINY, variables, batch)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    raw = TINY.respond(variables, TINY.template(variables, batch["template"]), batch["search"])
    cls, loc = np.float64(raw["cls"]), np.float64(raw["loc"])
    size = cls.shape[1]
    drawn = rpn_loss.draw(TINY, batch, size, KEY, None)
    labels, grid = np.asarray(drawn.labels), np.float64(TINY.grid(size))
    entropy = np.log(np.exp(cls).sum(-1)) - np.moveaxis(cls, -1, 0)
    cls_loss = (entropy[1][labels == 1].mean() + entropy[0][labels == 0].mean()) / 2
    assert float(metrics["cls_loss"]) == pytest.approx(cls_loss, rel=1e-5)

    losses, overlaps = [], []
    for pair, (x, y, w, h) in enumerate(batch["search_box"].astype(float)):
        chosen = labels[pair] == 1
        assert chosen.any() == batch["positive"][pair]
        cx, cy = x + (w - 1) / 2 - 95, y + (h - 1) / 2 - 95
        ax, ay, aw, ah = np.moveaxis(grid[chosen], -1, 0)
        code = np.stack([(cx - ax) / aw, (cy - ay) / ah, np.log(w / aw), np.log(h / ah)], -1)
        if chosen.any():
            losses.append(np.abs(loc[pair][chosen] - code).sum(-1).mean())
        dx, dy, dw, dh = np.moveaxis(loc[pair][chosen], -1, 0)
        px, py, pw, ph = dx * aw + ax, dy * ah + ay, np.exp(dw) * aw, np.exp(dh) * ah
        side = lambda a, b, c, d: (
            np.minimum(a + b / 2, c + d / 2) - np.maximum(a - b / 2, c - d / 2)
        )
        inside = side(px, pw, cx, w).clip(0) * side(py, ph, cy, h).clip(0)
        overlaps += list(inside / (pw * ph + w * h - inside))
    assert float(metrics["loc_loss"]) == pytest.approx(sum(losses) / 4, rel=1e-4)
    assert float(metrics["iou"]) == pytest.approx(np.mean(overlaps), rel=1e-4)
    assert float(metrics["positives"]) == len(overlaps) / 4
    assert float(value) == pytest.approx(cls_loss + 1.2 * sum(losses) / 4, rel=1e-5)


def test_the_key_draws():
    batch = make_batch()
    drawn = [rpn_loss.draw(TINY, batch, 9, key, None).labels for key in (KEY, jax.random.key(7))]
    np.testing.assert_array_equal(drawn[0] == 1, drawn[1] == 1)  # fewer than 16: all of them
    assert not np.array_equal(drawn[0], drawn[1])


def test_trained_says_which_statistics_follow_the_batch(variables):
    tracker = dataclasses.replace(TINY, trained=("conv4", "conv5"))
    _, (stats, _) = run(tracker, variables, make_batch(), train=True)
    counts = {name: int(stage["bn"]["count"]) for name, stage in stats["backbone"].items()}
    assert counts == {"conv1": 0, "conv2": 0, "conv3": 0, "conv4": 2, "conv5": 2}
    branch = stats["rpn_head"]["level_0"]["cls"]
    assert int(branch["conv_kernel"]["bn"]["count"]) == 1
    assert int(branch["fuse"]["bn"]["count"]) == 1


def test_draws_do_not_depend_on_the_split():
    batch = make_batch(8)
    whole = rpn_loss.draw(TINY, batch, 9, KEY, None)
    part = lambda batch: rpn_loss.draw(TINY, batch, 9, KEY, "data")
    split = jax.tree.map(lambda v: v.reshape(4, 2, *v.shape[1:]), batch)
    got = jax.pmap(part, "data")(split)
    for name in Targets._fields:
        wanted = np.asarray(getattr(whole, name))
        again = getattr(got, name).reshape(wanted.shape)
        np.testing.assert_allclose(again, wanted, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(got.labels.reshape(whole.labels.shape), whole.labels)
    assert not np.array_equal(whole.labels[0], whole.labels[4])


@pytest.mark.parametrize(
    "mode",
    ["shard_map", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("pmap", "jit"))],
)
def test_a_step_on_four_devices_is_that_of_one(variables, mode):
    """One pair a device: one has no positives at all."""
    batch = {**make_batch(), "index": np.arange(4, dtype=np.uint32)}
    optimizer = optax.sgd(0.1)
    state = init_state(variables, optimizer)
    one, wanted = jax.jit(make_step(TINY, optimizer))(state, batch, KEY)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    step = make_step(TINY, optimizer, axis_name=None if mode == "jit" else "data")
    if mode == "jit":
        step, batch = jax.jit(step), jax.device_put(batch, NamedSharding(mesh, P("data")))
    elif mode == "pmap":
        step = jax.pmap(step, "data", in_axes=(None, 0, None), out_axes=(None, None))
        batch = jax.tree.map(lambda v: v[:, None], batch)
    else:
        specs = (P(), P("data"), P())
        step = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=specs, out_specs=P()))
    other, got = jax.block_until_ready(step(state, batch, KEY))
    for name in ("loss", "cls_loss", "loc_loss", "positives", "iou", "grad_norm"):
        assert float(got[name]) == pytest.approx(float(wanted[name]), rel=1e-4)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), one.params, state.params)
    largest = max(jax.tree.leaves(moved))
    assert largest > 0
    close = lambda a, b, atol: np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    jax.tree.map(lambda a, b: close(a, b, 1e-4 * largest), other.params, one.params)
    jax.tree.map(lambda a, b: close(a, b, 1e-3), other.stats, one.stats)


def test_overlaps_say_what_is_target_and_what_background():
    batch = make_batch()
    usual = rpn_loss.draw(TINY, batch, 9, KEY, None)
    wider = dataclasses.replace(TINY, overlaps=(0.1, 0.45))
    drawn = rpn_loss.draw(wider, batch, 9, KEY, None)
    overlap, labels = np.asarray(drawn.overlap), np.asarray(drawn.labels)
    same = batch["positive"]
    assert overlap[labels == 1].min() > 0.45
    assert overlap[labels == 1].min() < 0.6 < np.asarray(usual.overlap)[usual.labels == 1].min()
    assert overlap[same][labels[same] == 0].max() < 0.1
    with pytest.raises(ValueError, match=r"overlaps: expected 0 <= low <= high <= 1, got \(0.6, "):
        dataclasses.replace(TINY, overlaps=(0.6, 0.3))
