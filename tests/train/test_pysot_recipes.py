"""The recipes of region trackers: their settings, and two steps of each, narrow and on noise."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from rich.console import Console

from siamjax import weights
from siamjax.data.pairs import PairConfig, Source, draw
from siamjax.data.readers import folder
from siamjax.track import zoo
from siamjax.train import freeze, optimizer, pysot
from siamjax.train import recipe as recipes
from siamjax.train.freeze import Unfreeze
from siamjax.train.loop import train
from siamjax.train.schedule import WarmupLog

# Name, GPUs, batch of one, pairs of two objects, grey ones, trained layers, factor on their rate.
PYSOT = [
    ("siamrpn_alexnet", 16, 128, 0.05, 0.0, ("conv4", "conv5"), 1.0),
    ("siamrpnpp_resnet50", 8, 28, 0.2, 0.0, ("layer2", "layer3", "layer4"), 0.1),
    ("siamrpnpp_resnet50_otb", 8, 16, 0.2, 0.2, ("layer1", "layer2", "layer3", "layer4"), 0.1),
    ("siamrpnpp_mobilenetv2", 8, 28, 0.2, 0.0, ("layer4", "layer5", "layer6", "layer7"), 0.1),
    ("siamrpnpp_longterm", 8, 28, 0.2, 0.0, ("layer2", "layer3", "layer4"), 0.1),
    ("dasiamrpn", 16, 128, 0.2, 0.0, ("conv4", "conv5"), 1.0),
]
NAMES = [row[0] for row in PYSOT]
SIAMMASK = ["siammask_resnet50_base", "siammask_resnet50_sharp"]


def test_pysots_own_crops_are_read_where_they_are(tmp_path):
    content = {f"video{i}": {"00": {"000000": [20, 30]}, "01": {"000000": [9, 9]}} for i in "ab"}
    for name, file in (("yt_bb", "train.json"), ("coco", "train2017.json"), ("vid", "train.json")):
        (tmp_path / name / "crop511").mkdir(parents=True)
        (tmp_path / name / file).write_text(json.dumps(content))
    found = pysot.sources(tmp_path)
    assert [(s.name, s.frame_range, s.per_epoch, len(s.tracks)) for s in found] == [
        ("vid", 100, 100_000, 4), ("yt_bb", 3, 2, 4), ("coco", 1, 2, 4),
    ]  # fmt: skip
    assert {draw(found, PairConfig(), 0, i).template.track.name for i in range(200)} == {
        "videoa.00", "videoa.01", "videob.00", "videob.01",
    }  # fmt: skip
    with pytest.raises(ValueError, match="GOT-10k: no such folder"):
        pysot.sources(tmp_path / "empty")


@pytest.mark.parametrize(("name", "gpus", "batch", "negative", "gray", "layers", "factor"), PYSOT)
def test_settings(name, gpus, batch, negative, gray, layers, factor):
    recipe = recipes.load(name)
    epoch = 600_000 // (gpus * batch)
    epochs = recipe.optimizer.schedule.epochs
    assert recipe.steps == epochs * epoch
    assert epochs == (50 if gpus == 16 else 20)
    assert recipe.batch_size == gpus * batch
    assert recipe.unfreeze == (Unfreeze(10 * epoch, layers, factor),)
    chosen = recipe.optimizer
    assert (chosen.gradients, chosen.shards, chosen.clip) == ("sum", gpus, 10.0)
    assert (chosen.method, chosen.momentum, chosen.weight_decay) == ("sgd", 0.9, 1e-4)
    assert chosen.decay_all
    assert recipe.pairs.negative == negative
    for augment, shift, scale in (
        (recipe.template_augment, 4, 0.05),
        (recipe.search_augment, 64, 0.18),
    ):
        assert (augment.shift, augment.scale) == (shift, scale)
        assert (augment.color, augment.gray, augment.flip) == (1, gray, 0)
    # The rate holds from the first step of an epoch to its last.
    rate = recipe.optimizer.schedule.build(recipe.steps)
    table = recipe.optimizer.schedule.table()
    assert float(rate(10 * epoch - 1)) == pytest.approx(table[9], rel=1e-6)
    assert float(rate(10 * epoch)) == pytest.approx(table[10], rel=1e-6)


def test_headers_say_what_was_not_run():
    for name in (*NAMES, *SIAMMASK, "siamrpn_lite"):
        text = (recipes.experiments() / f"{name}.py").read_text()
        header = text.split('"""')[1]
        for word in ("Result", "NOT RUN HERE", "Published", "Hardware", f"siamjax train {name}"):
            assert word in header, (name, word)


def test_settings_of_siammask():
    base, sharp = map(recipes.load, SIAMMASK)
    epoch = 600_000 // 64
    for recipe, stages in ((base, (1.0, 1.2, 36.0)), (sharp, (0.0, 0.0, 36.0))):
        tracker, chosen = recipe.tracker, recipe.optimizer
        assert (tracker.cls_weight, tracker.loc_weight, tracker.mask_weight) == stages
        assert (recipe.batch_size, recipe.steps) == (64, 20 * epoch)
        assert (chosen.method, chosen.shards, chosen.clip) == ("sgd", 1, 10.0)
        assert recipe.pairs.masks
        assert (recipe.search_augment.gray, recipe.template_augment.gray) == (0.25, 0.25)
        assert (recipe.search_augment.blur, recipe.template_augment.blur) == (0.18, 0.0)
    assert (base.tracker.variant, sharp.tracker.variant) == ("base", "sharp")
    assert base.optimizer.schedule == WarmupLog(1e-3, 5e-3, 2.5e-3, 5, 20)
    assert base.unfreeze == (Unfreeze(10 * epoch, ("layer2", "layer3"), 0.1),)
    assert (base.pairs.negative, sharp.pairs.negative) == (0.2, 0.0)
    assert (base.search_size, sharp.search_size) == (None, 143)
    assert (base.search_augment.shift, sharp.search_augment.shift) == (64, 8)
    rates = sharp.optimizer.schedule.table()
    assert (rates[0], rates[-1]) == pytest.approx((1e-2, 2.5e-3))
    # The second stage moves two parts alone, and has windows enough for the host's crops.
    shapes = jax.eval_shape(sharp.tracker.init_variables, jax.random.key(0))["params"]
    free = {
        path.split("/")[0]
        for path in freeze.paths(shapes)
        if not any(freeze.matches(rule, path) for rule in sharp.optimizer.frozen)
    }
    assert free == {"mask_head", "refine_head"}
    reach = 143 * (1 + sharp.search_augment.scale) + 2 * sharp.search_augment.shift
    assert reach < sharp.pairs.search_size


def test_initial_weights_of_the_second_stage(monkeypatch):
    sharp = recipes.load("siammask_resnet50_sharp")
    fresh = {kind: dict.fromkeys(("rpn_head", "refine_head"), 0) for kind in ("params", "b")}
    first = {kind: {"rpn_head": 1} for kind in ("params", "b")}
    for variant, wanted in (("base", None), ("sharp", "expected weights of siammask-base")):
        monkeypatch.setattr(weights, "load", lambda path, v=variant: (zoo.siammask(v), first))
        if wanted is None:
            got = sharp.initial(fresh, Path("base.npz"))
            assert got["params"] == {"rpn_head": 1, "refine_head": 0}
        else:
            with pytest.raises(ValueError, match=wanted):
                sharp.initial(fresh, Path("sharp.npz"))
    with pytest.raises(ValueError, match="expected the weights of siammask_resnet50_base"):
        sharp.initial(fresh, None)


def test_schedules_of_the_published_configurations():
    rates = {
        "siamrpn_alexnet": WarmupLog(2.5e-3, 5e-3, 2.5e-4, 5, 50),
        "siamrpnpp_resnet50": WarmupLog(1e-3, 5e-3, 5e-4, 5, 20),
        "siamrpnpp_resnet50_otb": WarmupLog(1e-3, 5e-3, 2.5e-3, 5, 20),
    }
    for name, schedule in rates.items():
        assert recipes.load(name).optimizer.schedule == schedule
    assert recipes.load("siamrpn_alexnet").search_size == 255


@pytest.mark.parametrize("name", NAMES)
def test_stages_are_parts_of_the_network_at_full_width(name):
    recipe = recipes.load(name)
    shapes = jax.eval_shape(recipe.tracker.init_variables, jax.random.key(0))["params"]
    frozen, free = freeze.phases(recipe.unfreeze)
    for phase in (frozen, free):
        optimizer.build(recipe.optimizer, recipe.steps, shapes, phase)
    stages = set(shapes["backbone"])
    assert set(free.layers) < stages
    held = {
        path.split("/")[1]
        for path in freeze.paths(shapes)
        if any(freeze.matches(rule, path) for rule in free.frozen)
    }
    assert held == stages - set(free.layers)


def test_initial_weights(monkeypatch):
    tracker = zoo.siamrpn("depthwise")
    put = pysot.initial(tracker)
    with pytest.raises(ValueError, match=r"--backbone FILE\.pth"):
        put({}, None)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(tracker.init_variables, jax.random.key(0))
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    trained = jax.tree.map(lambda leaf: rng.integers(1, 9, leaf.shape).astype(leaf.dtype), shapes)
    names = weights.to_torch(trained, tracker)
    prefix = "backbone."
    file = {name.removeprefix(prefix): names[name] for name in names if name.startswith(prefix)}
    monkeypatch.setattr(weights, "read_torch", lambda path: file)
    got = put(fresh, Path("alexnet-bn.pth"))
    for kind in ("params", "batch_stats"):
        equal = lambda name, wanted, kind=kind: jax.tree.map(
            np.testing.assert_array_equal, got[kind][name], wanted[kind][name]
        )
        equal("backbone", trained)
        equal("rpn_head", fresh)


NARROW = {
    "alexnet": {"width": 1 / 48, "hidden": 4, "instance": 143},
    "resnet50": {"width": 1 / 32, "hidden": 4, "features": (4, 4, 4), "instance": 175},
    "mobilenetv2": {"width": 1 / 16, "hidden": 4, "features": (4, 4, 4), "instance": 175},
    "efficientnet-lite0": {"hidden": 4, "instance": 191},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *SIAMMASK, "siamrpn_lite", "siammask_lite"])
def test_two_steps(name, tmp_path):
    tiny.write(tmp_path)
    recipe = recipes.load(name)
    narrow = NARROW[recipe.tracker.backbone]
    if name in SIAMMASK:
        narrow = narrow | {"features": (4,)}
    tracker = dataclasses.replace(recipe.tracker, **narrow)
    recipe = dataclasses.replace(
        recipe,
        tracker=tracker,
        sources=lambda data: [Source(folder.read(data), frame_range=2)],
        data=tmp_path / "data",
        initial=None,
        steps=2,
        batch_size=2,
        search_size=None,
        unfreeze=tuple(dataclasses.replace(stage, step=1) for stage in recipe.unfreeze),
        log_every=1,
        threads=1,
    )
    summary = train(recipe, tmp_path / "out", devices=1, console=Console(quiet=True))
    assert summary["steps"] == 2
    assert summary["skipped"] == 0
    assert np.isfinite(summary["loss"])
    assert weights.load(tmp_path / "out" / "weights.npz")[0] == tracker
