"""SiamMask's training loss: its parts, its stages, several devices, and slopes in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from siammask_small import BASE, SHARP, draw_variables

from siamjax.models import backbones
from siamjax.track import mask_loss, rpn_loss
from siamjax.train.step import init_state, make_step

KEY = jax.random.key(6)
TINY = {
    "sharp": dataclasses.replace(SHARP, instance=143, mask_positions=3),
    "base": dataclasses.replace(BASE, mask_positions=3),
}


def make_batch(side, size=2, seed=0):
    rng = np.random.default_rng(seed)
    image = lambda side: rng.uniform(0, 255, (size, side, side, 3)).astype(np.float32)
    middle = (side - 1) / 2 - 31
    box = np.float32([[middle, middle, 63, 63], [middle - 3, middle + 5, 72, 60]])
    mask = np.zeros((size, side, side), bool)
    mask[:, side // 2 - 20 : side // 2 + 15, side // 2 - 25 : side // 2 + 22] = True
    return {
        "template": image(127),
        "search": image(side),
        "search_box": np.resize(box, (size, 4)),
        "positive": np.ones(size, bool),
        "search_mask": mask,
        "has_mask": np.ones(size, bool),
    }


@pytest.fixture(scope="module")
def variables():
    return {kind: draw_variables(tracker) for kind, tracker in TINY.items()}


def test_choose():
    holds = np.zeros((4, 5), bool)
    holds[[0, 2, 3], [1, 4, 0]] = True
    held = {(0, 1), (2, 4), (3, 0)}
    positions, counted = mask_loss.choose(KEY, holds, 6)
    assert {tuple(p) for p in np.asarray(positions)[np.asarray(counted)].tolist()} == held
    assert counted.tolist() == [True] * 3 + [False] * 3
    chosen = [mask_loss.choose(jax.random.key(i), holds, 1) for i in range(60)]
    assert all(counted.tolist() == [True] for _, counted in chosen)
    assert {tuple(positions[0].tolist()) for positions, _ in chosen} == held
    assert mask_loss.choose(KEY, holds[:1, :2], 9)[0].tolist() == [[0, 1], [0, 0]]


def test_padding():
    cases = {(255, 25, 8): 32, (143, 3, 8): 0, (255, 9, 16): 0, (127, 1, 8): 0}
    assert {case: mask_loss.padding(*case) for case in cases} == cases
    for case, excess in (((256, 25, 8), 63), ((255, 3, 8), -112)):
        with pytest.raises(ValueError, match=f"exceed them by {excess}"):
            mask_loss.padding(*case)


SHARP_IS_SLOW = ["base", pytest.param("sharp", marks=pytest.mark.slow)]


@pytest.mark.parametrize("kind", SHARP_IS_SLOW)
def test_loss_is_that_of_its_parts(variables, kind):
    """Boxes as `rpn_loss` scores them; masks by NumPy from the same logits."""
    tracker, drawn = dataclasses.replace(TINY[kind], mask_positions=25), variables[kind]
    batch = make_batch(tracker.instance)
    call = jax.jit(lambda b: tracker.loss(drawn["params"], drawn["batch_stats"], b, KEY, False))
    value, (stats, metrics) = call(batch)
    jax.tree.map(np.testing.assert_array_equal, stats, drawn["batch_stats"])

    anchor_key, _ = jax.random.split(KEY)
    template = tracker.template(drawn, batch["template"])
    raw = tracker.respond(drawn, template, batch["search"])
    size = raw["cls"].shape[1]
    chosen = rpn_loss.draw(
        tracker, batch, size, anchor_key, None, negatives="rest", pair_region="center"
    )
    boxes, parts = rpn_loss.score(tracker, raw, chosen)
    assert {name: float(metrics[name]) for name in parts} == pytest.approx(
        {name: float(part) for name, part in parts.items()}, rel=1e-4
    )
    holds = (np.asarray(chosen.labels) == 1).any(axis=3)
    assert 1 < holds.sum() < 2 * size * size
    cells = np.stack(np.divmod(np.arange(size * size), size), axis=1)
    logits = tracker.refine(drawn, raw["features"], np.broadcast_to(cells, (2, *cells.shape)))
    margins, overlaps = [], []
    for pair, row, column in np.argwhere(holds):
        seen = np.float64(logits[pair, size * row + column])
        window = batch["search_mask"][pair, 8 * row :, 8 * column :][:127, :127]
        margins.append(np.log1p(np.exp(-np.where(window, 1, -1) * seen)).mean())
        found = seen >= 0
        overlaps.append((found & window).sum() / (found | window).sum())
    assert float(metrics["mask_loss"]) == pytest.approx(np.mean(margins), rel=1e-4)
    assert float(metrics["mask_iou"]) == pytest.approx(np.mean(overlaps), rel=1e-4)
    assert float(metrics["mask_iou5"]) == pytest.approx(np.mean(np.array(overlaps) > 0.5))
    assert float(value) == pytest.approx(float(boxes) + 36 * np.mean(margins), rel=1e-4)

    # Pairs without masks score none, and their boxes as before.
    value, (_, metrics) = call(batch | {"has_mask": np.array([False, False])})
    assert float(metrics["mask_loss"]) == 0
    assert float(value) == pytest.approx(float(boxes), rel=1e-4)
    value, (_, metrics) = call(batch | {"has_mask": np.array([False, True])})
    second = [margin for margin, place in zip(margins, np.argwhere(holds), strict=True) if place[0]]
    assert float(metrics["mask_loss"]) == pytest.approx(np.mean(second), rel=1e-4)


def test_draws_do_not_depend_on_the_split():
    labels = np.random.default_rng(0).integers(-1, 2, (8, 3, 3, 2)).astype(np.int8)
    has_mask = np.arange(8) != 5
    whole = jax.jit(lambda *given: mask_loss.draw(*given, 2, KEY))(labels, has_mask)
    holds = (labels == 1).any(axis=3) & has_mask[:, None, None]
    np.testing.assert_array_equal(whole[1].sum(axis=1), np.minimum(holds.sum(axis=(1, 2)), 2))
    for pair, place in np.argwhere(whole[1]):
        assert holds[pair][tuple(whole[0][pair, place])]
    split = labels.reshape(4, 2, 3, 3, 2), has_mask.reshape(4, 2)
    part = lambda labels, has_mask: mask_loss.draw(labels, has_mask, 2, KEY, "data")
    parts = jax.jit(jax.vmap(part, axis_name="data"))(*split)
    for got, wanted in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.slow
def test_refine_stage_moves_masks_alone(variables):
    """The published second stage: no loss of boxes, everything else and its BatchNorm frozen."""
    tracker = dataclasses.replace(
        TINY["sharp"], cls_weight=0.0, loc_weight=0.0, frozen_norm=("neck", "rpn_head")
    )
    optimizer = optax.sgd(1e-3)
    step = jax.jit(make_step(tracker, optimizer, frozen=("^backbone/", "^neck/", "^rpn_head/")))
    before = init_state(variables["sharp"], optimizer)
    after, metrics = step(before, make_batch(143), KEY)
    assert float(metrics["loss"]) == pytest.approx(36 * float(metrics["mask_loss"]), rel=1e-5)
    assert float(metrics["skipped"]) == 0

    def moved(old, new):
        return any(map(np.any, jax.tree.leaves(jax.tree.map(np.not_equal, old, new))))

    parts = {part: moved(before.params[part], new) for part, new in after.params.items()}
    assert parts == {
        "backbone": False, "neck": False, "rpn_head": False, "mask_head": True,
        "refine_head": True,
    }  # fmt: skip
    statistics = {part: moved(before.stats[part], new) for part, new in after.stats.items()}
    assert statistics == {"backbone": False, "neck": False, "rpn_head": False, "mask_head": True}
    # The head's own masks are not run: neither their weights nor their statistics move.
    head = after.params["mask_head"]
    for name in ("fuse", "out"):
        assert not moved(before.params["mask_head"][name], head[name])
    assert not moved(before.stats["mask_head"]["fuse"], after.stats["mask_head"]["fuse"])


# --- slopes -------------------------------------------------------------------------------------


@pytest.fixture
def in_float64(monkeypatch):
    """Let the network compute in float64, where "float32" is written too."""
    monkeypatch.setattr(jnp, "float32", jnp.float64)
    monkeypatch.setattr(backbones, "DTYPES", ("float64",))
    with jax.enable_x64(True):
        yield


STEP = 1e-9
"""So short that hardly a ReLU turns its corner."""


@pytest.mark.parametrize("kind", SHARP_IS_SLOW)
def test_slopes_of_a_training_step(variables, kind, in_float64):
    """Central differences along random directions, part by part, agree with the gradient."""
    tracker = dataclasses.replace(TINY[kind])
    object.__setattr__(tracker, "dtype", "float64")  # no user's choice
    batch = make_batch(tracker.instance)
    batch |= {name: np.float64(batch[name]) for name in ("template", "search", "search_box")}
    rng = np.random.default_rng(0)
    # Biases of zero would put the outputs of dead channels on the corner of the ReLU.
    stir = lambda leaf: jnp.asarray(leaf + rng.normal(0, 0.02, leaf.shape) * (leaf == 0))
    params = jax.tree.map(stir, variables[kind]["params"])
    stats = jax.tree.map(jnp.float64, variables[kind]["batch_stats"])
    call = jax.jit(jax.value_and_grad(lambda p: tracker.loss(p, stats, batch, KEY, True)[0]))
    value, slope = call(params)
    assert value.dtype == np.float64
    for part in params:
        way = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params[part])
        ends = []
        for move in (STEP, -STEP):
            moved = jax.tree.map(lambda p, w, move=move: p + move * w, params[part], way)
            ends.append(float(call({**params, part: moved})[0]))
        difference = (ends[0] - ends[1]) / (2 * STEP)
        products = jax.tree.map(lambda s, w: float(np.vdot(s, w)), slope[part], way)
        expected = sum(jax.tree.leaves(products))
        assert abs(expected) > 0
        assert difference == pytest.approx(expected, rel=1e-4), part
