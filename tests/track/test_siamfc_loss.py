import jax
import jax.numpy as jnp
import numpy as np
import pytest
from track import siamfc_numpy
from track.conftest import TINY

from siamjax import weights as files
from siamjax.track.siamfc import SiamFC

KEY = jax.random.key(0)


def make_batch(tracker, size=2, seed=0):
    rng = np.random.default_rng(seed)
    k, s = tracker.template_crop, tracker.instance
    image = lambda side: np.float32(rng.integers(0, 256, (size, side, side, 3)))
    middle = lambda side: np.float32([(side - 31) / 2, (side - 25) / 2, 31, 25])
    return {
        "template": image(k),
        "template_box": np.stack([middle(k)] * size),
        "search": image(s),
        "search_box": np.stack([middle(s)] * size),
        "positive": np.ones(size, bool),
    }


def run(tracker, variables, batch, train=False):
    call = jax.jit(lambda p, s, b: tracker.loss(p, s, b, KEY, train))
    return call(variables["params"], variables["batch_stats"], batch)


def labels_by_hand(size, stride, offset, radius=16):
    cells = (np.arange(size) - (size - 1) / 2) * stride
    away = np.abs(cells[None] - offset[0]) + np.abs(cells[:, None] - offset[1])
    return away <= radius


def balanced_by_hand(logits, labels):
    logits = np.float64(logits)
    entropy = np.logaddexp(0, logits) - logits * labels
    parts = [entropy[mask].mean() for mask in (labels, ~labels) if mask.any()]
    return np.mean(parts)


@pytest.fixture(scope="module")
def responses(tiny, weights):
    batch = make_batch(tiny)
    template = tiny.template(weights, batch["template"])
    return batch, np.asarray(tiny.respond(weights, template, batch["search"])["response"])


@pytest.mark.parametrize(
    ("shift", "positive"),
    [
        ((0, 0), (True, True)),
        ((8, -16), (True, True)),
        ((3, 5), (True, False)),
        ((0, 0), (False,) * 2),
    ],
)
def test_labels_follow_the_box_and_negative_pairs_have_none(
    tiny, weights, responses, shift, positive
):
    batch, response = responses
    box = batch["search_box"] + np.float32([*shift, 0, 0])
    batch = {**batch, "search_box": box, "positive": np.array(positive)}
    loss, (stats, metrics) = run(tiny, weights, batch)
    label = labels_by_hand(response.shape[-1], 8, shift)
    labels = np.stack([label & one for one in positive])
    assert float(loss) == pytest.approx(balanced_by_hand(response, labels), rel=1e-4)
    jax.tree.map(np.testing.assert_array_equal, stats, weights["batch_stats"])
    errors = []
    for one, single in zip(positive, response, strict=True):
        y, x = np.unravel_index(single.argmax(), single.shape)
        cells = np.array([x, y]) - (len(single) - 1) / 2
        errors += [np.hypot(*(cells * 8 - shift))] if one else []
    expected = np.mean(errors) if errors else 0
    assert float(metrics["center_error"]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


# Not "ghm": its weights jump between bins, and by definition no gradient passes through them.
@pytest.mark.parametrize(
    "name",
    ["balanced", *(pytest.param(name, marks=pytest.mark.slow) for name in ("focal", "ohnm"))],
)
def test_gradient_along_a_direction(name):
    tracker = SiamFC(**TINY, loss_name=name, frozen_norm=True)
    variables = tracker.init_variables(jax.random.key(1))
    batch = make_batch(tracker)
    params, stats = variables["params"], variables["batch_stats"]
    value = jax.jit(lambda p: tracker.loss(p, stats, batch, KEY)[0])
    slope = jax.grad(value)(params)
    # Along the gradient itself, so that float32 differences stand well above their rounding.
    norm = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(slope)))
    assert norm > 0
    move = lambda step: jax.tree.map(lambda p, g: p + step * g / norm, params, slope)
    step = 2e-3
    difference = (float(value(move(step))) - float(value(move(-step)))) / (2 * step)
    assert difference == pytest.approx(norm, rel=0.02)


def test_running_statistics_move_twice(tiny, weights):
    batch = make_batch(tiny)
    _, (stats, _) = run(tiny, weights, batch, train=True)
    conv = weights["params"]["backbone"]["conv1"]["conv"]
    mean, var = np.zeros(len(conv["bias"])), np.ones(len(conv["bias"]))
    for images in (batch["template"], batch["search"]):
        x = siamfc_numpy.convolve(images, np.asarray(conv["kernel"]), 2) + np.asarray(conv["bias"])
        mean = 0.95 * mean + 0.05 * x.mean((0, 1, 2))
        var = 0.95 * var + 0.05 * x.var((0, 1, 2), ddof=1)
    norm = stats["backbone"]["conv1"]["bn"]
    np.testing.assert_allclose(norm["mean"], mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(norm["var"], var, rtol=1e-3)
    assert int(norm["count"]) == 2


def test_frozen_norm_leaves_statistics():
    tracker = SiamFC(**TINY, frozen_norm=True)
    variables = tracker.init_variables(jax.random.key(1))
    batch = make_batch(tracker)
    trained, (stats, _) = run(tracker, variables, batch, train=True)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    assert float(trained) == pytest.approx(float(run(tracker, variables, batch)[0]), rel=1e-6)


def test_ghm_counts_move_while_training_only():
    tracker = SiamFC(**TINY, loss_name="ghm", frozen_norm=True)
    variables = tracker.init_variables(jax.random.key(1))
    batch = make_batch(tracker)
    assert not np.asarray(variables["batch_stats"]["ghm"]).any()
    _, (stats, _) = run(tracker, variables, batch, train=True)
    cells = 2 * 5 * 5
    assert float(stats["ghm"].sum()) == pytest.approx(cells / 2)  # half of the new counts
    _, (stats, _) = run(tracker, variables, batch, train=False)
    assert not np.asarray(stats["ghm"]).any()


def test_wrong_template_crop(tiny, weights):
    batch = make_batch(tiny)
    batch["template"] = batch["template"][:, 1:, 1:]
    with pytest.raises(ValueError, match=r"batch\['template'\]: expected crops of 95 pixels"):
        run(tiny, weights, batch)


def test_template_pyramid_takes_room_for_every_scale():
    tracker = SiamFC(**TINY, pyramid="template", scale_step=1.05, scale_loss=1.0)
    assert tracker.template_crop == 95 + 2 * 3  # 95 * 0.05 / 2 = 2.4 a side
    variables = tracker.init_variables(jax.random.key(1))
    batch = make_batch(tracker)
    loss, (_, metrics) = run(tracker, variables, batch)
    rest, _ = run(SiamFC(**TINY, pyramid="template", scale_step=1.05), variables, batch)
    assert float(loss) == pytest.approx(float(rest) + float(metrics["scale_loss"]), rel=1e-5)
    assert float(metrics["scale_loss"]) > 0


def test_weights_by_torch_names_keep_ghm_out():
    tracker = SiamFC("alexnet-v1", width=1 / 48, loss_name="ghm")
    variables = tracker.init_variables(KEY)
    state_dict = files.to_torch(variables, tracker)
    assert not any("ghm" in name for name in state_dict)
    again = files.from_torch(state_dict, tracker)
    assert jnp.shape(again["batch_stats"]["ghm"]) == (30,)
