"""The loss of point trackers: labels and sums by hand and by NumPy, and several devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from models.nanotrack_numpy import draw

from siamjax.track import point_loss
from siamjax.track.anchorfree import AnchorFree
from siamjax.track.nanotrack import NanoTrack

TRACKER = AnchorFree(instance=95)
SIDE, CELLS = 95, 6


def make_batch(pairs=4, seed=0):
    rng = np.random.default_rng(seed)
    box = np.float32([[20, 24, 50, 40], [5, 30, 24, 61], [30, 30, 40, 40], [-10, 8, 60, 70]])
    return {
        "template": np.zeros((pairs, 2, 2, 3), np.float32),
        "search": np.zeros((pairs, SIDE, SIDE, 3), np.float32),
        "search_box": np.resize(box, (pairs, 4)),
        "positive": np.resize([True, True, False, True], pairs),
        "teacher_cls": rng.uniform(0, 1, (pairs, CELLS, CELLS)).astype(np.float32) ** 3,
        "teacher_box": rng.uniform(10, 50, (pairs, CELLS, CELLS, 4)).astype(np.float32),
    }


def make_raw(pairs=4, seed=1):
    rng = np.random.default_rng(seed)
    shape = (pairs, CELLS, CELLS, 1)
    return {
        "cls": rng.normal(0, 2, (*shape, 2)).astype(np.float32),
        "loc": rng.uniform(5, 40, (*shape, 4)).astype(np.float32),
    }


def test_labels_by_hand():
    # Half axes 8 + 4 and 2 + 4 of the inner ellipse, 16 + 4 and 4 + 4 of the outer one.
    axis = np.float32([0, 11, 13, 19, 21])
    points = np.stack([axis, np.zeros(5, np.float32)], -1)[None]
    size, center = np.float32([[32, 8]] * 2), np.zeros((2, 2), np.float32)
    positive, negative = point_loss.labels(points, center, size, np.array([True, False]))
    np.testing.assert_array_equal(positive[:, 0], [[1, 1, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(negative[:, 0], [[0, 0, 0, 0, 1], [1] * 5])
    across = point_loss.labels(points[..., ::-1], center, size, np.array([True, False]))
    np.testing.assert_array_equal(across[0][0, 0], [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(across[1][0, 0], [0, 1, 1, 1, 1])
    diagonal = np.float32([[[8, 4]], [[9, 4.5]]])  # 4/9 + 4/9 and 9/16 + 9/16 of the inner one
    positive, _ = point_loss.labels(diagonal, center[:1], size[:1], np.array([True]))
    np.testing.assert_array_equal(positive[0, :, 0], [True, False])


def entropy(p, t):
    return -t * np.log(p) - (1 - t) * np.log(1 - p)


def overlaps(a, b):
    """IoU and GIoU of boxes (left, top, right, bottom)."""
    side = lambda end, start: max(0.0, end - start)
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])
    inside = side(min(a[2], b[2]), max(a[0], b[0])) * side(min(a[3], b[3]), max(a[1], b[1]))
    union = area(a) + area(b) - inside
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inside / union, inside / union - (hull - union) / hull


def reference(tracker, raw, batch):
    """Both losses and their metrics, point by point in float64."""
    parts = {name: [] for name in ("positive", "negative", "box", "iou")}
    teacher = {name: [] for name in ("positive", "negative", "box")}
    for pair in range(len(batch["positive"])):
        x, y, w, h = batch["search_box"][pair].astype(float)
        here = batch["positive"][pair]
        cx, cy = x + (w - 1) / 2 - 47, y + (h - 1) / 2 - 47
        for row in range(CELLS):
            for column in range(CELLS):
                px, py = 16 * column - 40 + 0.5, 16 * row - 40 + 0.5
                background, target = raw["cls"][pair, row, column, 0].astype(float)
                p = 1 / (1 + np.exp(background - target))
                left, top, right, bottom = raw["loc"][pair, row, column, 0].astype(float)
                found = (px - left, py - top, px + right, py + bottom)
                inner, outer = (
                    ((px - cx) / (w * part + 4)) ** 2 + ((py - cy) / (h * part + 4)) ** 2
                    for part in (0.25, 0.5)
                )
                if here and inner <= 1:
                    iou, giou = overlaps(found, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
                    wanted = iou if tracker.quality else 1.0
                    parts["positive"].append((1.0, entropy(p, wanted)))
                    parts["box"].append((1.0, 1 - giou))
                    parts["iou"].append((1.0, iou))
                if not here or outer > 1:
                    parts["negative"].append((p**tracker.hardness, entropy(p, 0.0)))
                t = float(batch["teacher_cls"][pair, row, column])
                bx, by, bw, bh = batch["teacher_box"][pair, row, column].astype(float)
                if here:
                    teacher["positive"].append((t, entropy(p, t)))
                    teacher["negative"].append(((1 - t) * p**tracker.hardness, entropy(p, t)))
                    _, giou = overlaps(found, (bx - bw / 2, by - bh / 2, bx + bw / 2, by + bh / 2))
                    teacher["box"].append((t if t > 0.5 else 0.0, 1 - giou))

    mean = lambda pairs: np.prod(pairs, 1).sum() / np.sum(pairs, 0)[0]
    out = {"positives": len(parts["positive"]) / len(batch["positive"]), "iou": mean(parts["iou"])}
    for prefix, side in (("", parts), ("teacher_", teacher)):
        out[f"{prefix}cls_loss"] = (mean(side["positive"]) + mean(side["negative"])) / 2
        out[f"{prefix}loc_loss"] = mean(side["box"])
    return out


SETTINGS = [{}, {"quality": True, "hardness": 0.0}, {"hardness": 2.0}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_both_losses_equal_numpy(settings):
    tracker = dataclasses.replace(TRACKER, **settings)
    raw, batch = make_raw(), make_batch()
    value, metrics = point_loss.score(tracker, raw, batch)
    extra, more = point_loss.distill(tracker, raw, batch)
    wanted = reference(tracker, raw, batch)
    assert wanted["positives"] > 2
    got = {name: float(number) for name, number in {**metrics, **more}.items()}
    assert got == pytest.approx(wanted, rel=1e-5)
    plain, taught = ("", "teacher_")
    for whole, prefix in ((value, plain), (extra, taught)):
        summed = wanted[f"{prefix}cls_loss"] + 1.5 * wanted[f"{prefix}loc_loss"]
        assert float(whole) == pytest.approx(summed, rel=1e-5)


def test_weights_are_not_differentiated():
    """Of a negative with probability p alone, the gradient of its cross entropy is p / 2."""
    logits = np.float32([[-1.0, 2.0]])
    none, some = np.float32([[0, 0]]), np.float32([[0, 1]])
    slope = jax.grad(lambda s: point_loss.halves(s, none, none, some, 1.0))(logits)
    np.testing.assert_allclose(slope, [[0, 0.5 / (1 + np.exp(-2))]], rtol=1e-6)
    both = jax.grad(lambda s: point_loss.halves(s, none, none, some + 1 - some, 1.0))(logits)
    p = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(both, p**2 / p.sum() / 2, rtol=1e-6)


def test_a_batch_without_the_target_has_negatives_alone():
    batch, raw = make_batch(), make_raw()
    batch["positive"] = np.zeros(4, bool)
    value, metrics = point_loss.score(TRACKER, raw, batch)
    p = 1 / (1 + np.exp(np.float64(raw["cls"][..., 0] - raw["cls"][..., 1])))
    assert float(value) == pytest.approx((p * -np.log(1 - p)).sum() / p.sum() / 2, rel=1e-5)
    assert {float(metrics[name]) for name in ("loc_loss", "iou", "positives")} == {0.0}
    assert float(point_loss.distill(TRACKER, raw, batch)[0]) == 0


def test_on_four_devices_it_is_that_of_one():
    """One pair a device, one of them without a target; values, and gradients by their mean."""
    batch, raw = make_batch(), make_raw()
    factors = {"cls": jnp.float32([1.0, 1.2]), "loc": jnp.float32([1.0, 1.1, 0.9, 1.0])}

    def objective(factors, raw, batch, axis_name=None):
        raw = {name: value * factors[name].reshape(1, 1, 1, 1, -1) for name, value in raw.items()}
        first, metrics = point_loss.score(TRACKER, raw, batch, axis_name)
        second, more = point_loss.distill(TRACKER, raw, batch, axis_name)
        return first + second, {**metrics, **more}

    def split(factors, raw, batch):
        factors = jax.lax.pcast(factors, "data", to="varying")
        call = jax.value_and_grad(objective, has_aux=True)
        return jax.lax.pmean(call(factors, raw, batch, "data"), "data")

    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
    specs = (P(), P("data"), P("data"))
    got = jax.jit(jax.shard_map(split, mesh=mesh, in_specs=specs, out_specs=P()))(
        factors, raw, batch
    )
    wanted = jax.jit(jax.value_and_grad(objective, has_aux=True))(factors, raw, batch)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    jax.tree.map(close, jax.device_get(got), jax.device_get(wanted))


def test_a_teacher_of_another_grid_is_refused():
    batch = make_batch()
    batch["teacher_cls"] = batch["teacher_cls"][:, :5]
    with pytest.raises(ValueError, match=r"teacher_cls: expected one at .*\(4, 6, 6\), got \(4, 5"):
        point_loss.distill(TRACKER, make_raw(), batch)


# --- with a network -----------------------------------------------------------------------------

TINY = AnchorFree(
    backbone="alexnet", layers=("conv5",), stride=8, offset=0.0, width=1 / 48, hidden=4, depth=1,
    instance=167, box_aware=True, distill_weight=0.5,
)  # fmt: skip


def images(template, search, pairs=2):
    rng = np.random.default_rng(3)
    image = lambda side: rng.uniform(0, 255, (pairs, side, side, 3)).astype(np.float32)
    box = np.tile(np.float32([[32, 40, 62, 48]]), (pairs, 1))
    batch = {"template": image(template), "search": image(search), "template_box": box}
    return {**make_batch(pairs), **batch}


def test_loss_of_a_batch():
    """The head's statistics move, the backbone's do not; the teacher counts by its weight."""
    variables = draw(TINY.net, 127, 167)
    params, stats = variables["params"], variables["batch_stats"]
    batch = images(127, 167)
    batch["teacher_cls"] = np.resize(batch["teacher_cls"], (2, 11, 11))
    batch["teacher_box"] = np.resize(batch["teacher_box"], (2, 11, 11, 4))
    run = jax.jit(lambda p, batch: TINY.loss(p, stats, batch, jax.random.key(0)))
    value, (moved, metrics) = run(params, batch)
    assert set(metrics) == {
        "cls_loss", "loc_loss", "positives", "iou", "teacher_cls_loss", "teacher_loc_loss",
    }  # fmt: skip
    summed = float(metrics["cls_loss"]) + 1.5 * float(metrics["loc_loss"])
    summed += 0.5 * (float(metrics["teacher_cls_loss"]) + 1.5 * float(metrics["teacher_loc_loss"]))
    assert float(value) == pytest.approx(summed, rel=1e-5)
    jax.tree.map(np.testing.assert_array_equal, moved["backbone"], stats["backbone"])
    assert int(moved["fuse"]["bn"]["count"]) == 1
    assert int(moved["adjust_search"]["bn"]["count"]) == 1
    other = {**batch, "template_box": batch["template_box"] - np.float32([[20, 0, 0, 0]])}
    assert float(run(params, other)[0]) != float(value)


@pytest.mark.slow
def test_nanotrack_learns_by_it():
    tracker = NanoTrack(version=2, width=0.1, exemplar=63, instance=95)
    variables = draw(tracker.net, 63, 95)
    batch = {name: v for name, v in images(63, 95).items() if "teacher" not in name}

    def objective(params):
        value, (_, metrics) = tracker.loss(
            params, variables["batch_stats"], batch, jax.random.key(0)
        )
        return value, metrics

    (value, metrics), slope = jax.jit(jax.value_and_grad(objective, has_aux=True))(
        variables["params"]
    )
    assert np.isfinite(value)
    assert float(metrics["positives"]) > 0
    for part in ("backbone", "cls", "loc"):
        assert max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(slope[part])) > 0
